"""The same as Markdown, and every number as CSV."""

import csv
import io
import json
from collections.abc import Iterable, Sequence

import numpy as np

from train_lib.probe.report import boards, published, scoreboard
from train_lib.probe.report.collection import Collection
from train_lib.probe.report.notes import Footnotes

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
    parts = [f"# {title}"]
    shown = [board for board in boards.boards(collection) if not board.folded]
    for number, board in enumerate(shown):
        parts += [f"## {board.title}", _plain(board.text), _board(board, notes)]
        if board.note:
            parts.append(_escape(board.note))
        if number == 0 and notes.texts:
            parts.append(
                "\n".join(
                    f"{index}. {_escape(text)}"
                    for index, text in enumerate(notes.texts, 1)
                )
            )
    for grid in boards.robustness(collection):
        parts += [
            f"## Robustness: {_escape(grid.title)}",
            _escape(grid.text),
            _table(grid.head, grid.rows),
        ]
    lines = scoreboard.profiles(collection)
    values = scoreboard.correlation(lines)
    if scoreboard.comparable(values):
        names = [
            f"{line.model} (published)" if line.source else line.model for line in lines
        ]
        rows = [
            (name, *("–" if np.isnan(value) else f"{value:.2f}" for value in row))
            for name, row in zip(names, values, strict=True)
        ]
        parts += [
            "## Correlation between models",
            f"Pearson, over at least {scoreboard.MIN_COMMON_TASKS} common tasks.",
            _table(("", *names), rows),
        ]
    return "\n\n".join(parts) + "\n"


def table(collection: Collection) -> str:
    """A row a result and metric, then the published ones: fractions, not percent."""
    with io.StringIO(newline="") as file:
        writer = csv.DictWriter(file, CSV_COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(_measured(collection))
        rows = (*published.main(), *published.later())
        writer.writerows(_published(rows, lambda task: (task, "accuracy")))
        rows = published.fsd50k()
        writer.writerows(_published(rows, lambda metric: ("fsd50k", metric)))
        return file.getvalue()


def _measured(collection: Collection) -> Iterable[dict]:
    for result in collection.results:
        data = result.data
        shared = {
            "model": result.model,
            "task": result.task,
            "mode": result.mode,
            "num_clips": data.get("num_clips"),
            "unit_seconds": data.get("unit_seconds"),
            "learning_rate": _plain_rate(data.get("learning_rate")),
            "embedding_size": data.get("embedding_size"),
            "partial": data.get("partial"),
            "split": data.get("split"),
            "notes": " ".join(map(str, data.get("notes") or ())),
            "source": f"measured: {result.path}",
        }
        if result.mode == "robustness":
            clean = {**data["clean"], "kind": "clean", "setting": "", "cosine": 1.0}
            for row in (clean, *data["rows"]):
                name = f"{row['kind']} {row['setting']}".strip()
                metric = f"{data.get('metric', 'accuracy')}, {name}"
                yield {**shared, "metric": metric, **_summary(row)}
                yield {**shared, "metric": f"cosine, {name}", "mean": row["cosine"]}
            continue
        low, high = data.get("bootstrap95") or (None, None)
        bounds = {"clips_low": low, "clips_high": high}
        yield {**shared, "metric": data["metric"], **_summary(data), **bounds}
        for metric, summary in (data.get("metrics") or {}).items():
            if metric != data["metric"]:
                yield {**shared, "metric": metric, **_summary(summary)}
        for count, summary in (data.get("few_shot") or {}).items():
            metric = f"{data['metric']}, {count}-shot"
            yield {**shared, "metric": metric, **_summary(summary)}


def _published(rows, columns) -> Iterable[dict]:
    for row in rows:
        for column, (mean, ci95) in row.scores.items():
            task, metric = columns(column)
            yield {
                "model": row.model,
                "task": task,
                "mode": "linear",
                "metric": metric,
                "mean": round(mean / 100, 5),
                "ci95": None if ci95 is None else round(ci95 / 100, 5),
                "source": f"published: {row.source}",
            }


def _summary(data) -> dict:
    return {name: data.get(name) for name in ("mean", "std", "ci95")}


def _board(board: boards.Board, notes: Footnotes) -> str:
    head = ["model", *board.columns.values()]
    if board.average:
        head.append(board.average)
    rows = []
    for heading, lines in board.groups:
        if heading:
            rows.append([f"**{heading}**", *[""] * (len(head) - 1)])
        for line in lines:
            cells = [_cell(line.scores.get(column), notes) for column in board.columns]
            if board.average:
                cells.append("–" if line.average is None else f"{line.average:.1f}")
            name = f"*{line.model}*" if line.source else line.model
            rows.append([name, *cells])
    return _table(head, rows)


def _cell(score: scoreboard.Score | None, notes: Footnotes) -> str:
    if score is None:
        return "–"
    marks = notes.of(score.result) if score.result else ""
    return f"{score}<sup>{marks}</sup>" if marks else str(score)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join(
        "| " + " | ".join(_escape(cell) for cell in line) + " |" for line in lines
    )


def _escape(text: str) -> str:
    return " ".join(str(text).split()).replace("|", "\\|")


def _plain(text: str) -> str:
    return _escape(text.replace("in italics", "in *italics*"))


def _plain_rate(rate):
    return json.dumps(rate) if isinstance(rate, list | tuple) else rate
