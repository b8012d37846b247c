"""The tables of the report as data, for HTML and Markdown alike."""

import dataclasses
from collections.abc import Mapping, Sequence

from train_lib.pages import text
from train_lib.probe.report import notes as footnotes
from train_lib.probe.report import published, scores
from train_lib.probe.report.collection import Collection, Result
from train_lib.probe.report.notes import Footnotes
from train_lib.probe.report.scores import ModelScores


@dataclasses.dataclass(frozen=True)
class Cell:
    """A score in a table.

    Attributes:
        mean: percent.
        interval: half width; empty where there is none.
        marks: of its footnotes.
        is_best: whether it is the best measured one of its column and group.
    """

    mean: str
    interval: str = ""
    marks: str = ""
    is_best: bool = False


@dataclasses.dataclass(frozen=True)
class TableRow:
    """A name and its cells; text where a cell is no score."""

    name: str
    cells: Sequence[Cell | str]
    is_published: bool = False


@dataclasses.dataclass(frozen=True)
class ReportTable:
    """A table.

    Attributes:
        title: heading.
        text: what it shows.
        head: headings of the columns, the first above the names.
        groups: heading (none where empty) and rows.
        note: below the table.
        is_averaged: whether the last column is an average.
        is_background: whether nothing measured is in it.
    """

    title: str
    text: str
    head: Sequence[str]
    groups: Sequence[tuple[str, Sequence[TableRow]]]
    note: str = ""
    is_averaged: bool = False
    is_background: bool = False


def of_scores(collection: Collection, notes: Footnotes) -> list[ReportTable]:
    """The tables of scores that the results suffice for, in the page's order."""
    found = [
        _results(collection, notes),
        _beside_published(collection, notes),
        _fsd50k(collection, notes),
        _several_labels(collection, notes),
        _other_modes(collection, notes),
    ]
    return [table for table in found if table]


def of_robustness(collection: Collection) -> list[ReportTable]:
    """A table a task: cosine and score of every model under every perturbation."""
    by_task = {}
    for result in collection.of("robustness"):
        by_task.setdefault(result.task, []).append(result)
    return [
        _robustness(collection.titles[task], by_task[task])
        for task in collection.tasks
        if task in by_task
    ]


def of_files(collection: Collection) -> ReportTable:
    """What was run: a row a file."""
    head = (
        "file", "task", "mode", "score, %", "over test clips, %", "clips", "crop, s",
        "learning rate", "size", "seeds",
    )  # fmt: skip
    rows = []
    for result in collection.results:
        data = result.data
        cells = (
            result.task,
            result.mode,
            scores.score(result),
            " to ".join(map(text.percent, data.get("bootstrap95") or ())),
            data.get("num_clips"),
            f"{data['unit_seconds']:g}" if data.get("unit_seconds") else "",
            footnotes.rates(data),
            data.get("embedding_size"),
            " ".join(map(str, data.get("seeds") or ())),
        )
        shown = ["" if cell is None else str(cell) for cell in cells]
        rows.append(TableRow(result.path, [cell or text.ABSENT for cell in shown]))
    return ReportTable(
        "Record",
        "The files behind this page. “Over test clips” is the 95\u00a0% interval when "
        "the test clips are drawn again (bootstrap): it says what other clips would "
        "do, the ± above what other seeds would.",
        head,
        [("", rows)],
    )


def _scores(
    title: str,
    caption: str,
    columns: Mapping[str, str],
    groups: Sequence[tuple[str, Sequence[ModelScores]]],
    notes: Footnotes,
    average: str = "",
    **options,
) -> ReportTable:
    """A table of scores.

    Args:
        title, caption: see `ReportTable`.
        columns: heading by column.
        groups: heading and scores; groups without scores are left out.
        notes: whose marks stand beside measured scores.
        average: heading of the last column; none where empty.
        **options: see `ReportTable`.
    """
    head = ["model", *columns.values(), *([average] if average else [])]
    rows = [
        (heading, _rows(models, columns, notes, bool(average)))
        for heading, models in groups
        if models
    ]
    return ReportTable(title, caption, head, rows, is_averaged=bool(average), **options)


def _rows(
    models: Sequence[ModelScores], columns, notes: Footnotes, is_averaged: bool
) -> list[TableRow]:
    best = {}
    for column in columns:
        means = [m.scores[column].mean for m in models if column in m.scores]
        if len(means) > 1:
            best[column] = max(means)
    rows = []
    for model in models:
        cells = [
            _cell(model.scores.get(column), best.get(column), notes)
            for column in columns
        ]
        if is_averaged:
            cells.append(text.plus_minus(model.average))
        rows.append(TableRow(model.model, cells, model.source is not None))
    return rows


def _cell(
    score: scores.Score | None, best: float | None, notes: Footnotes
) -> Cell | str:
    if score is None:
        return text.ABSENT
    interval = "" if score.ci95 is None else text.plus_minus(score.ci95)
    if score.result is None:
        return Cell(text.plus_minus(score.mean), interval)
    return Cell(
        text.plus_minus(score.mean),
        interval,
        notes.of(score.result),
        best is not None and score.mean >= best,
    )


def _titles(collection: Collection, tasks) -> dict[str, str]:
    return {task: collection.titles[task] for task in collection.tasks if task in tasks}


def _results(collection: Collection, notes: Footnotes) -> ReportTable | None:
    tasks = scores.accuracy_tasks(collection)
    if not tasks:
        return None
    average = scores.average_of(collection)
    caption = (
        "A linear classifier on the frozen embedding: accuracy on clips that it has "
        "not seen, in percent, with a 95\u00a0% interval over the seeds of the "
        "classifier. The best of each column is bold."
    )
    if average:
        caption += (
            f" The last column is the {average.heading}; a model without all of them "
            "has none."
        )
    models = scores.measured(collection, average, tasks)
    return _scores(
        "Results",
        caption,
        _titles(collection, tasks),
        [("", models)],
        notes,
        average.heading if average else "",
    )


def _beside_published(collection: Collection, notes: Footnotes) -> ReportTable:
    nine = list(published.NINE_TASKS)
    models = scores.measured(collection, scores.Average("", nine), nine)
    later = {}
    for row in scores.of_published(published.later()):
        later.setdefault(row.source, []).append(row)
    return _scores(
        "Beside the published results",
        "The nine accuracy tasks of the paper, whose plain mean is its average. Rows "
        "in italics are published numbers, copied from the sources named above them; "
        "nobody measured them here.",
        published.NINE_TASKS,
        [
            ("Measured", models),
            (f"Published: {published.PAPER}", scores.of_published(published.main())),
            *((f"Published later: {source}", rows) for source, rows in later.items()),
        ],
        notes,
        "average",
        is_background=not models,
    )


def _fsd50k(collection: Collection, notes: Footnotes) -> ReportTable:
    models = scores.fsd50k(collection)
    rows = scores.of_published(published.fsd50k())
    return _scores(
        "FSD50K",
        "Several labels a clip, so it stands apart from the average: mean average "
        "precision, macro AUC, and the mAP of the classes with a single source, a "
        "sequence of sounds, or a scene; in percent. Rows in italics are published.",
        published.FSD50K_METRICS,
        [("Measured", models), (f"Published: {published.FSD50K_PAPER}", rows)],
        notes,
        note=published.FSD50K_NOTE,
        is_background=not models,
    )


def _several_labels(collection: Collection, notes: Footnotes) -> ReportTable | None:
    """Tasks other than FSD50K with several labels a clip."""
    tasks = [task for task in scores.other_tasks(collection) if task != "fsd50k"]
    if not tasks:
        return None
    return _scores(
        "Several labels a clip",
        "Mean average precision in percent, with a 95\u00a0% interval over the seeds "
        "of the classifier. No average takes these tasks in.",
        _titles(collection, tasks),
        [("", scores.measured(collection, tasks=tasks))],
        notes,
    )


def _other_modes(collection: Collection, notes: Footnotes) -> ReportTable | None:
    groups = [
        ("Nearest neighbours", scores.measured(collection, mode="knn")),
        *(
            (f"{text.count(count, 'example')} a class", models)
            for count, models in scores.few_shot(collection).items()
        ),
        (
            "Fine-tuned, encoder and classifier",
            scores.measured(collection, mode="finetune"),
        ),
    ]
    shown = {task for _, models in groups for model in models for task in model.scores}
    if not shown:
        return None
    return _scores(
        "Judged otherwise",
        "The same clips and embeddings with another classifier, in percent.",
        _titles(collection, shown),
        groups,
        notes,
    )


def _robustness(title: str, results: Sequence[Result]) -> ReportTable:
    metric = results[0].data.get("metric") or "accuracy"
    head, rows = ["perturbation"], {("none", ""): []}
    for result in results:
        head += [f"{result.model}: cosine", f"{metric}, %", "change"]
        for row in result.data["rows"]:
            rows.setdefault((row["kind"], row["setting"]), [])
    for result in results:
        clean = result.data["clean"]
        found = {("none", ""): ["1.000", text.score(clean), ""]}
        for row in result.data["rows"]:
            change = text.percent(row["mean"] - clean["mean"], sign="+")
            cells = [f"{row['cosine']:.3f}", text.score(row), change]
            found.setdefault((row["kind"], row["setting"]), cells)
        for key, cells in rows.items():
            cells += found.get(key, [text.ABSENT] * 3)
    clips = max(result.data.get("num_clips") or 0 for result in results)
    partial = any(result.data.get("partial") for result in results)
    others = ", ".join(
        f"{result.data['other_clips_cosine']:.3f} ({result.model})"
        for result in results
        if result.data.get("other_clips_cosine") is not None
    )
    return ReportTable(
        title,
        f"{clips} test clips, perturbed; the classifiers are trained on clean ones."
        + " An incomplete copy of the data set." * partial
        + f" Two different clean clips have a cosine of {others}." * bool(others),
        head,
        [
            (
                "",
                [
                    TableRow(f"{kind} {setting}".strip(), cells)
                    for (kind, setting), cells in rows.items()
                ],
            )
        ],
    )
