"""A folder whose sub-folders are the classes, as a task for the probe."""

import collections
import dataclasses
import os
from collections.abc import Sequence

import numpy as np

from byola_tf import audio, files
from byola_tf.corpus.metadata_table import few
from byola_tf.errors import UserError
from train_lib.pages import text
from train_lib.probe.tasks import tasks

MIN_FILES_PER_CLASS = 4
NUM_FOLDS = 5
_MAX_PROBE_SECONDS = 3600
_TIMED_FILES = 200


@dataclasses.dataclass(frozen=True)
class LabelledFolder:
    """Sounds by class.

    Attributes:
        folder: the folder.
        file_names: relative to the folder, one a sound.
        labels: name of the sub-folder, one a sound.
        unit_seconds: median duration, within 0.25 to 10 s.
        notes: what was left out, in sentences.
    """

    folder: str
    file_names: tuple[str, ...]
    labels: tuple[str, ...]
    unit_seconds: float
    notes: tuple[str, ...] = ()

    @property
    def classes(self) -> list[str]:
        """Names of the classes, sorted."""
        return sorted(set(self.labels))


def read(folder: str, ignored: str = "", flag: str = "audio") -> LabelledFolder:
    """Finds the classes and sounds of a folder.

    Args:
        folder: a local folder.
        ignored: a sub-folder that is no class, such as the demo's output.
        flag: the command's name for the folder, for messages.

    Raises:
        UserError: there are not two classes with enough files.
    """
    if not os.path.isdir(folder):
        raise UserError(
            f"`--{flag}` must be a folder. Received: {folder!r}, which is not. "
            "Check the path."
        )
    found = {
        entry.name: _find(entry.path)
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name)
        if entry.is_dir()
        and not entry.name.startswith(".")
        and not (ignored and os.path.realpath(entry) == os.path.realpath(ignored))
    }
    by_class = {name: there.paths for name, there in found.items() if there.paths}
    _check(folder, by_class, flag)
    paths = [path for names in by_class.values() for path in names]
    return LabelledFolder(
        folder=folder,
        file_names=tuple(os.path.relpath(path, folder) for path in paths),
        labels=tuple(_text(name) for name, names in by_class.items() for _ in names),
        unit_seconds=median_seconds(paths, flag),
        notes=_notes(found),
    )


def write_task(found: LabelledFolder, path: str) -> int:
    """Writes the metadata CSV of a probe.

    At most an hour of sound is used, an equal number of files a class.

    Args:
        found: the sounds.
        path: CSV file to write.

    Returns:
        number of rows.
    """
    limit = int(_MAX_PROBE_SECONDS / found.unit_seconds / len(found.classes))
    column, lines = divide(found, max(limit, 10))
    table = "".join(map(text.csv_line, [("file_name", "label", column), *lines]))
    # names are bytes, which need not be UTF-8
    files.write_bytes(path, table.encode("utf-8", "surrogateescape"))
    return len(lines)


def divide(
    found: LabelledFolder, limit: int | None = None
) -> tuple[str, list[tuple[str, str, str]]]:
    """Divides the sounds at random, with seed 0.

    Five stratified folds, or, where a random tenth of a fold might miss a
    class, a stratified split.

    Args:
        found: the sounds.
        limit: of the number of files a class.

    Returns:
        "fold" or "split", and sorted rows (file name, label, part).
    """
    rng = np.random.default_rng(0)
    labels = np.array(found.labels)
    chosen = [
        rng.permutation(np.flatnonzero(labels == name))[:limit]
        for name in found.classes
    ]
    if _folds_are_safe([len(rows) for rows in chosen]):
        column, parts_of = "fold", _folds
    else:
        column, parts_of = "split", _split
    first, lines = 0, []
    for rows in chosen:
        parts = parts_of(len(rows), first)
        first += len(rows)
        lines += [
            (found.file_names[row], found.labels[row], part)
            for row, part in zip(rows, parts, strict=True)
        ]
    return column, sorted(lines)


def _find(folder: str) -> audio.Found:
    """The files of a folder; no audio among them is no error here."""
    try:
        return audio.find(folder)
    except UserError:
        names = [name for _, _, names in os.walk(folder) for name in names]
        endings = (os.path.splitext(name)[1].lower() for name in names)
        return audio.Found([], dict(collections.Counter(endings)))


def _notes(found: dict[str, audio.Found]) -> tuple[str, ...]:
    """What was left out of the sub-folders."""
    others = collections.Counter()
    for there in found.values():
        others.update(there.others)
    notes = [audio.Found([], dict(others)).left_out]
    if empty := [name for name, there in found.items() if not there.paths]:
        notes.append(
            f"{len(empty)} sub-folders without audio files are no classes: {few(empty)}"
        )
    return tuple(filter(None, notes))


def _text(name: str) -> str:
    """A folder's name as a label; bytes that are not UTF-8 are written out."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _check(folder: str, by_class: dict[str, list[str]], flag: str) -> None:
    """Raises UserError if this makes no task."""
    way_out = "Put the files of each class into a sub-folder named after it."
    if not by_class:
        raise UserError(
            f"`--{flag}` must hold a sub-folder of audio files per class. Received: "
            f"{folder!r}, in which no sub-folder has audio files. {way_out}"
        )
    if len(by_class) < 2:
        raise UserError(
            f"`--{flag}` must hold at least two classes. Received: one sub-folder with "
            f"audio files, {next(iter(by_class))!r}, in {folder!r}. {way_out}"
        )
    if several := [name for name in by_class if "," in name]:
        raise UserError(
            "A class must have no comma in its name, which separates labels. "
            f"Received: {several[0]!r} in {folder!r}. Rename the sub-folder."
        )
    name, count = min(
        ((name, len(paths)) for name, paths in by_class.items()),
        key=lambda item: item[1],
    )
    if count < MIN_FILES_PER_CLASS:
        raise UserError(
            f"Every class must have at least {MIN_FILES_PER_CLASS} audio files. "
            f"Received: {count} in {os.path.join(folder, name)!r}. Add files, or move "
            "the sub-folder away."
        )


def median_seconds(paths: Sequence[str], flag: str = "audio") -> float:
    """Median duration of audio files, within 0.25 to 10 s; of 200 if there are more.

    Args:
        paths: the files.
        flag: the command's name for the folder, for messages.

    Raises:
        UserError: none of them can be read.
    """
    rng = np.random.default_rng(0)
    durations = []
    for index in rng.permutation(len(paths))[:_TIMED_FILES]:
        try:
            # not what its header claims: what training and the probe will hear
            durations.append(audio.duration(paths[index]))
        except UserError:
            continue  # the probe counts and lists the broken files
    if not durations:
        raise UserError(
            f"`--{flag}` must hold readable audio files. Received: {len(paths)} files, "
            f"none of which can be read, such as {paths[0]!r}. Convert them to WAV."
        )
    return round(float(np.clip(np.median(durations), 0.25, 10.0)), 2)


def _folds_are_safe(counts: Sequence[int]) -> bool:
    """Whether the probe's draws of validation files will hold every class.

    It takes a random tenth of a fold's training files and draws again up to a
    hundred times while a class is missing.
    """
    training = np.array(counts) * (1 - 1 / NUM_FOLDS)
    missing = (1 - tasks.VALIDATION_SHARE) ** training
    return float(np.prod(1 - missing)) > 0.15


def _folds(count: int, first: int) -> list[str]:
    return [str(1 + (first + index) % NUM_FOLDS) for index in range(count)]


def _split(count: int, first: int) -> list[str]:
    del first
    num_test, num_valid = max(1, round(0.25 * count)), max(1, round(0.15 * count))
    num_train = count - num_test - num_valid
    return ["test"] * num_test + ["valid"] * num_valid + ["train"] * num_train
