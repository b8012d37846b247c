"""The report as Markdown, and every number as CSV."""

import json
from collections.abc import Iterable

import numpy as np

from train_lib.pages import text
from train_lib.probe.report import published, scores, tables
from train_lib.probe.report.collection import Collection, Result
from train_lib.probe.report.notes import Footnotes
from train_lib.probe.report.tables import Cell, ReportTable, TableRow

CSV_COLUMNS = (
    "model",
    "task",
    "mode",
    "metric",
    "mean",
    "std",
    "ci95",
    "clips_low",
    "clips_high",
    "num_clips",
    "unit_seconds",
    "learning_rate",
    "embedding_size",
    "partial",
    "split",
    "notes",
    "source",
)


def markdown(collection: Collection, notes: Footnotes, title: str) -> str:
    """The tables of the page with their footnotes."""
    parts = [f"# {text.markdown(title)}"]
    for path, reason in collection.left_out.items():
        parts.append(f"Left out: {text.code(path)}: {text.markdown(reason)}")
    shown = [t for t in tables.of_scores(collection, notes) if not t.is_background]
    for number, table in enumerate(shown):
        parts += _table(table)
        if number == 0 and notes.texts:
            numbered = enumerate(map(text.markdown, notes.texts), 1)
            parts.append("\n".join(f"{index}. {note}" for index, note in numbered))
    for table in tables.of_robustness(collection):
        parts += _table(table, "Robustness: ")
    models = scores.profiles(collection)
    values = scores.correlation(models)
    if scores.comparable(values):
        names = [
            text.markdown(model.model) + " (published)" * bool(model.source)
            for model in models
        ]
        rows = [
            (name, *(text.plus_minus(_or_none(value), digits=2) for value in row))
            for name, row in zip(names, values, strict=True)
        ]
        parts += [
            "## Correlation between models",
            f"Pearson, over at least {scores.MIN_COMMON_TASKS} common tasks.",
            text.markdown_table(("", *names), rows),
        ]
    return "\n\n".join(parts) + "\n"


def numbers(collection: Collection) -> str:
    """A CSV row a result and metric, then the published ones: fractions, not
    percent."""
    rows = [row for result in collection.results for row in _measured(result)]
    rows += _published((*published.main(), *published.later()))
    rows += _published(published.fsd50k(), task="fsd50k")
    return text.csv_text(CSV_COLUMNS, rows)


def _measured(result: Result) -> Iterable[dict]:
    data = result.data
    rate = data.get("learning_rate")
    shared = {
        **{name: data.get(name) for name in CSV_COLUMNS},
        "model": result.model,
        "task": result.task,
        "mode": result.mode,
        "learning_rate": json.dumps(rate) if isinstance(rate, list) else rate,
        "notes": " ".join(data.get("notes") or ()),
        "source": f"measured: {result.path}",
    }
    shared |= dict.fromkeys(("mean", "std", "ci95"))
    metric = data.get("metric") or "accuracy"
    if result.mode == "robustness":
        clean = {**data["clean"], "kind": "clean", "setting": "", "cosine": 1.0}
        for row in (clean, *data["rows"]):
            name = f"{row['kind']} {row['setting']}".strip()
            yield {**shared, "metric": f"{metric}, {name}", **_summary(row)}
            yield {**shared, "metric": f"cosine, {name}", "mean": row["cosine"]}
        return
    low, high = data.get("bootstrap95") or (None, None)
    bounds = {"clips_low": low, "clips_high": high}
    yield {**shared, "metric": metric, **_summary(data), **bounds}
    others = {
        name: summary
        for name, summary in (data.get("metrics") or {}).items()
        if name != metric
    }
    for count, summary in (data.get("few_shot") or {}).items():
        others[f"{metric}, {count}-shot"] = summary
    for name, summary in others.items():
        yield {**shared, "metric": name, **_summary(summary)}


def _published(rows: Iterable[published.PublishedRow], task: str = "") -> list[dict]:
    """Rows by task, or by metric of the one that is given."""
    return [
        {
            "model": row.model,
            "task": task or column,
            "mode": "linear",
            "metric": column if task else "accuracy",
            "mean": round(mean / 100, 5),
            "ci95": None if ci95 is None else round(ci95 / 100, 5),
            "source": f"published: {row.source}",
        }
        for row in rows
        for column, (mean, ci95) in row.scores.items()
    ]


def _summary(data) -> dict:
    return {name: data.get(name) for name in ("mean", "std", "ci95")}


def _table(table: ReportTable, prefix: str = "") -> list[str]:
    """Heading, text, table and note."""
    rows = []
    for heading, members in table.groups:
        if heading:
            rows.append(
                [f"**{text.markdown(heading)}**", *[""] * (len(table.head) - 1)]
            )
        rows += map(_row, members)
    caption = text.markdown(table.text).replace("in italics", "in *italics*")
    parts = [
        f"## {prefix}{text.markdown(table.title)}",
        caption,
        text.markdown_table([text.markdown(name) for name in table.head], rows),
        text.markdown(table.note),
    ]
    return [part for part in parts if part]


def _row(row: TableRow) -> list[str]:
    name = text.markdown(row.name)
    return [f"*{name}*" if row.is_published else name, *map(_cell, row.cells)]


def _cell(cell: Cell | str) -> str:
    if isinstance(cell, str):
        return text.markdown(cell)
    interval = f" ± {cell.interval}" if cell.interval else ""
    return cell.mean + interval + (f"<sup>{cell.marks}</sup>" if cell.marks else "")


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else value
