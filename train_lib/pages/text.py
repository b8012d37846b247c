"""Numbers, tables and names as text: one wording for every command and page.

Names come from files and folders, so they may hold anything. `markdown` and
`csv_text` write them so that they are shown as they are: no HTML, link or formula in
a name takes effect.
"""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence

ABSENT = "–"
# What begins a formula in a spreadsheet. Full-width forms count in some locales, and
# a tab or a line break before the sign is skipped by some programs.
_FORMULA = re.compile(r"[\t\r\n]|\s*[=+\-@＝＋－＠]")
# What CommonMark and GitHub read as markup; `$` begins mathematics there. An
# underscore within a word is none.
_MARKDOWN = re.compile(r"[\\`*\[\]|$~]|(?<![^\W_])_|_(?![^\W_])")
_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def plus_minus(
    mean: float | None, half_width: float | None = None, digits: int = 1, sign: str = ""
) -> str:
    """A number and its interval: "83.2 ± 0.6".

    Args:
        mean: the number; `ABSENT` is shown for None.
        half_width: of the interval; left out where None.
        digits: behind the decimal point.
        sign: "+" shows the sign of positive numbers too.
    """
    if mean is None:
        return ABSENT
    text = f"{mean:{sign}.{digits}f}"
    return text if half_width is None else f"{text} ± {half_width:.{digits}f}"


def percent(
    fraction: float | None, half_width: float | None = None, unit: str = "", **options
) -> str:
    """A fraction and its interval in percent: "83.2 ± 0.6".

    Args:
        fraction: 0.832 is 83.2 percent; `ABSENT` is shown for None.
        half_width: of the interval, a fraction too; left out where None.
        unit: put behind, such as " %".
        **options: see `plus_minus`.
    """
    if fraction is None:
        return ABSENT
    width = None if half_width is None else 100 * half_width
    return plus_minus(100 * fraction, width, **options) + unit


def score(summary: Mapping, unit: str = "") -> str:
    """`mean` and `ci95` of a result or a metric in percent."""
    return percent(summary["mean"], summary.get("ci95"), unit)


def count(items, noun: str) -> str:
    """ "1 file" or "12 files"; `items` is a number or has a length."""
    number = items if isinstance(items, int) else len(items)
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def few(names: Sequence, shown: int = 3) -> str:
    """The first names, and how many more there are."""
    listed = ", ".join(map(str, names[:shown]))
    more = len(names) - shown
    return f"{listed} and {more} more" if more > 0 else listed


def aligned(rows: Iterable[tuple[str, str]], width: int = 14) -> str:
    """Names and values as two columns for the terminal."""
    return "\n".join(f"{name:{width}s} {value}" for name, value in rows)


def markdown(text) -> str:
    """A name or a sentence for Markdown, on one line, shown as it is."""
    line = " ".join(_printable(str(text)).split())
    return re.sub("[&<>]", lambda sign: _HTML[sign[0]], _MARKDOWN.sub(r"\\\g<0>", line))


def code(text: str) -> str:
    """A path or a pattern as code of Markdown, between enough backquotes."""
    line = " ".join(_printable(text).split())
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    space = " " if "`" in line else ""
    return f"{fence}{space}{line}{space}{fence}"


def markdown_table(
    head: Sequence[str], rows: Iterable[Sequence[str]], aligned_right: bool = True
) -> str:
    """A table of Markdown.

    Args:
        head: headings, and
        rows: cells, as Markdown: text of others goes through `markdown` first.
        aligned_right: all columns but the first are numbers.
    """
    rule = ["---", *["---:" if aligned_right else "---"] * (len(head) - 1)]
    first, *others = (
        f"|{'|'.join(f' {cell} ' if cell else ' ' for cell in line)}|"
        for line in (head, *rows)
    )
    return "\n".join([first, f"|{'|'.join(rule)}|", *others])


def csv_text(columns: Sequence[str], rows: Iterable[Mapping | Sequence]) -> str:
    """A table for a spreadsheet; see `csv_cell`.

    Args:
        columns: headings.
        rows: cells in that order, or by heading; empty where None or absent.
    """
    lines = [csv_line(map(csv_cell, columns))]
    for row in rows:
        cells = map(row.get, columns) if isinstance(row, Mapping) else row
        lines.append(csv_line(map(csv_cell, cells)))
    return "".join(lines)


def csv_cell(value):
    """A cell that no spreadsheet runs as a formula.

    Text that begins as one gets an apostrophe before it, which spreadsheets take
    for "this is text". Numbers stay numbers, negative ones too.
    """
    if not isinstance(value, str):
        return "" if value is None else value
    value = _printable(value)
    return f"'{value}" if _FORMULA.match(value) and not _is_number(value) else value


def csv_line(cells: Iterable) -> str:
    """A line of a table that programs read: cells as they are."""
    with io.StringIO(newline="") as line:
        # with another line end, Python 3.11 leaves "\r" in a cell unquoted
        csv.writer(line, lineterminator="\r\n").writerow(cells)
        return line.getvalue().removesuffix("\r\n") + "\n"


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text) is not None


def _printable(text: str) -> str:
    """Text that UTF-8 can encode: a file's name may hold other bytes."""
    return text.encode("utf-8", "backslashreplace").decode()
