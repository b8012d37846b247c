"""The tables of the page as data, for HTML, Markdown and CSV alike."""

import dataclasses
from collections.abc import Mapping, Sequence

from train_lib.probe.report import published, scoreboard
from train_lib.probe.report.collection import Collection
from train_lib.probe.report.scoreboard import Line, Score

_MODES = {
    "knn": "Nearest neighbours",
    "finetune": "Fine-tuned, encoder and classifier",
}


@dataclasses.dataclass(frozen=True)
class Board:
    """A table of scores.

    Attributes:
        title: heading.
        text: what it shows.
        columns: heading by column.
        groups: heading and lines.
        average: heading of the average's column; none where empty.
        note: below the table.
        folded: whether it is only background, with nothing measured in it.
    """

    title: str
    text: str
    columns: Mapping[str, str]
    groups: Sequence[tuple[str, Sequence[Line]]]
    average: str = ""
    note: str = ""
    folded: bool = False


@dataclasses.dataclass(frozen=True)
class Grid:
    """A table of text: the first column names the row."""

    title: str
    text: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


def boards(collection: Collection) -> list[Board]:
    """The tables of scores that the results suffice for, in the page's order."""
    found = [
        _results(collection),
        _beside_published(collection),
        _fsd50k(collection),
        _several_labels(collection),
        _other_modes(collection),
    ]
    return [board for board in found if board]


def robustness(collection: Collection) -> list[Grid]:
    """A table a task: cosine and score of every model under every perturbation."""
    grids = []
    for task in collection.tasks:
        results = [
            result for result in collection.of("robustness") if result.task == task
        ]
        if not results:
            continue
        metric = results[0].data.get("metric", "accuracy")
        keys = dict.fromkeys(
            (row["kind"], row["setting"])
            for result in results
            for row in result.data["rows"]
        )
        head = ["perturbation"]
        for result in results:
            head += [f"{result.model}: cosine", f"{metric}, %", "change"]
        rows = [["none", *(c for result in results for c in _clean(result.data))]]
        for kind, setting in keys:
            cells = [
                cell
                for result in results
                for cell in _perturbed(result.data, kind, setting)
            ]
            rows.append([f"{kind} {setting}", *cells])
        partial = any(result.data.get("partial") for result in results)
        clips = max(result.data.get("num_clips") or 0 for result in results)
        grids.append(
            Grid(
                collection.titles[task],
                f"{clips} test clips, perturbed; the classifiers are trained on clean "
                f"ones. {'An incomplete copy of the data set. ' * partial}"
                f"{_others(results)}",
                head,
                rows,
            )
        )
    return grids


def _results(collection: Collection) -> Board | None:
    average = scoreboard.average_of(collection)
    tasks = set(scoreboard.accuracy_tasks(collection))
    lines = [
        line
        for line in scoreboard.measured(collection, average)
        if tasks & set(line.scores)
    ]
    if not lines:
        return None
    shown = scoreboard.accuracy_tasks(collection)
    columns = {task: collection.titles[task] for task in shown}
    text = (
        "A linear classifier on the frozen embedding: accuracy on clips that it has "
        "not seen, in percent, with a 95\u00a0% interval over the seeds of the "
        "classifier. The best of each column is bold."
    )
    if average:
        text += (
            f" The last column is the {average.heading}; a model without all of them "
            "has none."
        )
    return Board(
        "Results", text, columns, [("", lines)], average.heading if average else ""
    )


def _beside_published(collection: Collection) -> Board:
    lines = scoreboard.nine_tasks(collection)
    text = (
        "The nine accuracy tasks of the paper, whose plain mean is its average. Rows "
        "in italics are published numbers, copied from the sources named above them; "
        "nobody measured them here."
    )
    later = {}
    for line in scoreboard.of_published(published.later()):
        later.setdefault(line.source, []).append(line)
    groups = [
        ("Measured", lines),
        (
            f"Published: {published.PAPER}",
            scoreboard.of_published(published.main()),
        ),
        *((f"Published later: {source}", rows) for source, rows in later.items()),
    ]
    return Board(
        "Beside the published results",
        text,
        published.NINE_TASKS,
        [group for group in groups if group[1]],
        "average",
        folded=not lines,
    )


def _fsd50k(collection: Collection) -> Board:
    lines = scoreboard.fsd50k(collection)
    groups = [
        ("Measured", lines),
        (
            f"Published: {published.FSD50K_PAPER}",
            scoreboard.of_published(published.fsd50k()),
        ),
    ]
    return Board(
        "FSD50K",
        "Several labels a clip, so it stands apart from the average: mean average "
        "precision, macro AUC, and the mAP of the classes with a single source, a "
        "sequence of sounds, or a scene; in percent. Rows in italics are published.",
        published.FSD50K_METRICS,
        [group for group in groups if group[1]],
        note=published.FSD50K_NOTE,
        folded=not lines,
    )


def _several_labels(collection: Collection) -> Board | None:
    """Tasks other than FSD50K with several labels a clip."""
    tasks = [task for task in scoreboard.other_tasks(collection) if task != "fsd50k"]
    lines = [
        line
        for line in scoreboard.measured(collection, None)
        if set(tasks) & set(line.scores)
    ]
    if not lines:
        return None
    return Board(
        "Several labels a clip",
        "Mean average precision in percent, with a 95\u00a0% interval over the seeds "
        "of the classifier. No average takes these tasks in.",
        {task: collection.titles[task] for task in tasks},
        [("", lines)],
    )


def _other_modes(collection: Collection) -> Board | None:
    groups = [(heading, _mode(collection, mode)) for mode, heading in _MODES.items()]
    groups[1:1] = _few_shot(collection)
    groups = [group for group in groups if group[1]]
    if not groups:
        return None
    shown = {task for _, lines in groups for line in lines for task in line.scores}
    return Board(
        "Judged otherwise",
        "The same clips and embeddings with another classifier, in percent.",
        {t: collection.titles[t] for t in collection.tasks if t in shown},
        groups,
    )


def _mode(collection: Collection, mode: str) -> list[Line]:
    lines = []
    for model in collection.models:
        scores = {
            task: found
            for task in collection.tasks
            if (found := scoreboard.score(collection.find(model, task, mode)))
        }
        if scores:
            lines.append(Line(model, scores))
    return lines


def _few_shot(collection: Collection) -> list[tuple[str, list[Line]]]:
    """A group for every number of examples."""
    shots = {}
    for result in collection.of("few_shot"):
        found = result.data.get("few_shot") or {}
        for count, summary in found.items():
            ci95 = summary["ci95"]
            scores = shots.setdefault(int(count), {}).setdefault(result.model, {})
            scores[result.task] = Score(
                100 * summary["mean"], None if ci95 is None else 100 * ci95, result
            )
    return [
        (
            f"{count} example{'s' * (count > 1)} a class",
            [Line(model, scores) for model, scores in shots[count].items()],
        )
        for count in sorted(shots)
    ]


def _clean(data: Mapping) -> list[str]:
    return ["1.000", _percent(data["clean"]), ""]


def _perturbed(data: Mapping, kind: str, setting: str) -> list[str]:
    for row in data["rows"]:
        if (row["kind"], row["setting"]) == (kind, setting):
            change = 100 * (row["mean"] - data["clean"]["mean"])
            return [f"{row['cosine']:.3f}", _percent(row), f"{change:+.1f}"]
    return ["–", "–", "–"]


def _percent(score: Mapping) -> str:
    interval = "" if score.get("ci95") is None else f" ± {100 * score['ci95']:.1f}"
    return f"{100 * score['mean']:.1f}{interval}"


def _others(results) -> str:
    cosines = [
        f"{result.data['other_clips_cosine']:.3f} ({result.model})"
        for result in results
        if result.data.get("other_clips_cosine") is not None
    ]
    if not cosines:
        return ""
    return f"Two different clean clips have a cosine of {', '.join(cosines)}."
