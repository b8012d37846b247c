"""The page's tables of scores as HTML."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from train_lib.pages import html
from train_lib.probe.report.notes import Footnotes
from train_lib.probe.report.scoreboard import Line, Score

STYLE = """
main { max-width: 1180px; }
.scroll { overflow-x: auto; }
.scores { font-size: 14px; width: auto; min-width: 50%; }
.scores b { font-weight: 650; }
.scores th, .scores td { padding: 5px 0 5px 12px; text-align: right;
  white-space: nowrap; overflow-wrap: normal; font-variant-numeric: tabular-nums; }
.scores th:first-child, .scores td:first-child { text-align: left; padding-left: 0;
  padding-right: 8px; position: sticky; left: 0; background: #fff; max-width: 300px;
  white-space: normal; min-width: 120px; overflow-wrap: anywhere; }
.scores small { display: inline; color: #66737f; font-size: 12px; }
.scores sup { font-size: 10px; line-height: 0; color: #66737f; }
.scores tr.group td { font-size: 12.5px; font-weight: 600; color: #66737f;
  padding-top: 16px; white-space: normal; text-align: left; }
.scores tr.group span { position: sticky; left: 0; }
.scores tr.published td { color: #66737f; font-style: italic; }
.scores tr.published small { font-style: italic; }
.scores.averaged th:last-child { white-space: normal; max-width: 120px; }
.heat td { min-width: 46px; }
.heat td i { display: block; font-style: normal; text-align: center; padding: 1px 4px;
  border-radius: 4px; }
.heat th { max-width: 92px; white-space: normal; vertical-align: bottom; }
.grid > div { min-width: 0; }
.meter { display: inline-block; width: 84px; height: 9px; border-radius: 3px;
  background: #e4e8ec; margin-left: 8px; }
.meter i { display: block; height: 9px; border-radius: 3px; background: #2563a8; }
.notes { font-size: 14px; color: #66737f; margin: 12px 0 0; padding-left: 22px; }
.notes li { overflow-wrap: anywhere; }
h3 { font-size: 16px; margin: 20px 0 4px; }
@media screen and (prefers-color-scheme: dark) {
  .scores th:first-child, .scores td:first-child { background: #1c232b; }
  .scores small, .scores sup, .scores tr.group td, .scores tr.published td,
  .notes { color: #95a3b0; }
  .meter { background: #323c47; } .meter i { background: #5b97db; } }
"""
_BLUE, _WARM = "37, 99, 168", "201, 96, 32"


def scores(
    columns: Mapping[str, str],
    groups: Iterable[tuple[str, Sequence[Line]]],
    notes: Footnotes,
    average: str = "",
) -> str:
    """Lines of scores by column, the best measured one of a group in bold.

    Args:
        columns: heading by column.
        groups: heading (none where empty) and lines.
        notes: whose marks stand beside measured scores.
        average: heading of the last column; none where empty.
    """
    headings = [*columns.values(), *([average] if average else [])]
    rows = [
        f"<tr><th>model</th>{''.join(f'<th>{html.escape(h)}</th>' for h in headings)}"
        "</tr>"
    ]
    for heading, lines in groups:
        best = _best(columns, lines)
        if heading:
            rows.append(
                f'<tr class="group"><td colspan="{len(headings) + 1}">'
                f"<span>{html.escape(heading)}</span></td></tr>"
            )
        for line in lines:
            cells = [
                _score(line.scores.get(column), best.get(column), notes)
                for column in columns
            ]
            if average:
                text = "–" if line.average is None else f"<b>{line.average:.1f}</b>"
                cells.append(f"<td>{text}</td>")
            kind = ' class="published"' if line.source else ""
            rows.append(
                f"<tr{kind}><td>{html.escape(line.model)}</td>{''.join(cells)}</tr>"
            )
    return scrolling("".join(rows), "scores averaged" if average else "scores")


def grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of text, the first column to the left, the others to the right."""
    lines = ["<tr>" + "".join(f"<th>{html.escape(text)}</th>" for text in head)]
    lines += [
        "<tr>" + "".join(f"<td>{html.escape(text)}</td>" for text in row)
        for row in rows
    ]
    return scrolling("".join(f"{line}</tr>" for line in lines))


def meters(rows: Iterable[tuple[str, Sequence[float | None]]], head) -> str:
    """A bar and a number a cell: a name, then percents (None without any)."""

    def cell(value):
        if value is None:
            return "<td>–</td>"
        width = min(max(value, 0), 100)
        return (
            f'<td>{value:.1f}<span class="meter"><i style="width:{width:.1f}%"></i>'
            "</span></td>"
        )

    lines = ["<tr>" + "".join(f"<th>{html.escape(text)}</th>" for text in head)]
    lines += [
        f"<tr><td>{html.escape(name)}</td>{''.join(map(cell, values))}"
        for name, values in rows
    ]
    return scrolling("".join(f"{line}</tr>" for line in lines))


def heat(lines: Sequence[Line], values: np.ndarray) -> str:
    """A square table of values in [-1, 1], coloured; NaN is a dash.

    Args:
        lines: whose names head rows and columns, published ones in italics.
        values: [lines, lines].
    """
    names = [
        f"<em>{html.escape(line.model)}</em>"
        if line.source
        else html.escape(line.model)
        for line in lines
    ]

    def cell(value):
        if np.isnan(value):
            return "<td><i>–</i></td>"
        colour = _BLUE if value >= 0 else _WARM
        return (
            f'<td><i style="background:rgba({colour},{0.6 * abs(value) ** 2:.2f})">'
            f"{value:.2f}</i></td>"
        )

    rows = ["<tr><th></th>" + "".join(f"<th>{name}</th>" for name in names)]
    rows += [
        f"<tr><td>{name}</td>{''.join(map(cell, row))}"
        for name, row in zip(names, values, strict=True)
    ]
    return scrolling("".join(f"{row}</tr>" for row in rows), "scores heat")


def numbered(texts: Sequence[str]) -> str:
    """Footnotes; nothing without any."""
    if not texts:
        return ""
    items = "".join(f"<li>{html.escape(text)}</li>" for text in texts)
    return f'<ol class="notes">{items}</ol>'


def scrolling(rows: str, kind: str = "scores") -> str:
    """Rows as a table that scrolls by itself where the window is too narrow."""
    return f'<div class="scroll"><table class="{kind}">{rows}</table></div>'


def _best(columns: Iterable[str], lines: Sequence[Line]) -> dict[str, float]:
    """The highest measured score of every column with more than one."""
    best = {}
    for column in columns:
        found = [
            line.scores[column].mean
            for line in lines
            if not line.source and column in line.scores
        ]
        if len(found) > 1:
            best[column] = max(found)
    return best


def _score(score: Score | None, best: float | None, notes: Footnotes) -> str:
    if score is None:
        return "<td>–</td>"
    text = f"{score.mean:.1f}"
    measured = score.result is not None
    if measured and best is not None and score.mean >= best:
        text = f"<b>{text}</b>"
    if score.ci95 is not None:
        text += f" <small>± {score.ci95:.1f}</small>"
    if measured and notes.of(score.result):
        text += f"<sup>{notes.of(score.result)}</sup>"
    return f"<td>{text}</td>"
