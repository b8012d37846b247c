"""What a reader has to know to compare the numbers, as footnotes."""

import dataclasses
import os
from collections.abc import Mapping, Sequence

from train_lib.pages import text
from train_lib.probe.report.collection import Collection, Result

_ORDINARY_SPLITS = ("the published split", "as in ")


@dataclasses.dataclass(frozen=True)
class Footnotes:
    """Numbered notes.

    Attributes:
        texts: notes; the first has the number 1.
        numbers: of each result's notes, by path of its file.
    """

    texts: Sequence[str]
    numbers: Mapping[str, Sequence[int]]

    def of(self, result: Result) -> str:
        """The marks of a result, e.g. "1,3"; empty without notes."""
        return ",".join(map(str, self.numbers.get(result.path, ())))


def footnotes(collection: Collection) -> Footnotes:
    """Collects the notes of all scores; a note that several share has one number."""
    numbers, by_path = {}, {}
    units = _common_units(collection)
    for result in collection.results:
        if result.mode == "robustness":
            continue  # its table has no marks; it says by itself what it is of
        found = notes(result, units.get(result.task))
        by_path[result.path] = [
            numbers.setdefault(note, len(numbers) + 1) for note in found
        ]
    return Footnotes(tuple(numbers), by_path)


def notes(result: Result, common_unit: float | None = None) -> list[str]:
    """The notes of one result.

    Args:
        result: to look at.
        common_unit: seconds of a crop in most results of the task; a result
            with another one says so.
    """
    data, task = result.data, result.task
    found = []
    if data.get("partial"):
        found.append(f"{task}: an incomplete copy of the data set{_counts(data)}.")
    split = data.get("split")
    if split and not split.startswith(_ORDINARY_SPLITS):
        found.append(f"{task}: {_sentence(split)}")
    found += [f"{task}: {_sentence(note)}" for note in data.get("notes") or ()]
    for part, names in (data.get("absent_classes") or {}).items():
        if names:
            found.append(f"{task}: not in {part}: {text.few(names)}.")
    skipped = data.get("skipped") or ()
    if skipped:
        names = text.few([os.path.basename(file["file_name"]) for file in skipped])
        found.append(f"{task}: {text.count(skipped, 'broken file')} left out: {names}.")
    unit = data.get("unit_seconds")
    if unit is not None and common_unit is not None and unit != common_unit:
        found.append(
            f"{task}: crops of {unit:g} s, not {common_unit:g} s as elsewhere."
        )
    if data.get("ci95") is None:
        found.append("One seed: no interval.")
    if data.get("learning_rate_source") == "given":
        found.append(
            f"Learning rate given by hand ({rates(data)}), not the published one nor "
            "chosen on validation."
        )
    return found


def rates(data: Mapping) -> str:
    """The learning rates of a result, each once."""
    found = data.get("learning_rate")
    found = found if isinstance(found, list) else [found]
    return " ".join(dict.fromkeys(f"{rate:g}" for rate in found if rate is not None))


def _common_units(collection: Collection) -> dict[str, float]:
    units = {}
    for result in collection.results:
        if result.data.get("unit_seconds") is not None:
            units.setdefault(result.task, []).append(result.data["unit_seconds"])
    return {task: max(values, key=values.count) for task, values in units.items()}


def _counts(data: Mapping) -> str:
    counts, expected = data.get("counts"), data.get("expected_counts")
    if not counts or not expected or set(counts) != set(expected):
        return ""
    pairs = [f"{counts[part]:,} of {expected[part]:,} ({part})" for part in expected]
    return f", {', '.join(pairs)}"


def _sentence(words: str) -> str:
    words = words.strip()
    return words if words.endswith((".", "!", "?")) else f"{words}."
