"""Metadata tables: the CSV files that say what the sounds of a folder are.

The one reader of them, for every command; `csv_text` says how they may be
written. Fields keep their text: nothing is parsed as a number.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence

from byola_tf.corpus import csv_text
from byola_tf.errors import UserError

SPLITS = ("train", "valid", "test")
_NO_FOLDS = {"nan", "none", "null", "na", "n/a", "inf", "-inf", "-", "?"}


@dataclasses.dataclass(frozen=True)
class MetadataTable:
    """A table whose structure is checked.

    Attributes:
        path: the CSV.
        columns: their names.
        rows: text by column.
        lines: number of the line on which each row begins, from 1.
    """

    path: str
    columns: tuple[str, ...]
    rows: tuple[dict[str, str], ...]
    lines: tuple[int, ...]

    def where(self, is_meant: Callable[[dict[str, str]], bool]) -> str:
        """The lines of some rows, e.g. "lines 3, 7, 9 and 2 more"; "" for none."""
        rows = zip(self.lines, self.rows, strict=True)
        return few_lines([line for line, row in rows if is_meant(row)])

    def only(self, is_meant: Callable[[dict[str, str]], bool]) -> "MetadataTable":
        """The table with some of its rows."""
        kept = [index for index, row in enumerate(self.rows) if is_meant(row)]
        return dataclasses.replace(
            self,
            rows=tuple(self.rows[index] for index in kept),
            lines=tuple(self.lines[index] for index in kept),
        )


def read(
    path: str,
    columns: Sequence[str] = ("file_name",),
    one_of: Sequence[str] = (),
    names: Sequence[str] = ("file_name",),
) -> MetadataTable:
    """Reads a table and checks its structure.

    Args:
        path: CSV file, local or any that `tf.io.gfile` reads.
        columns: those that it must have; others may be there.
        one_of: columns of which at least one must be there.
        names: columns of file names, which need not be UTF-8: they are bytes.

    Raises:
        UserError: it cannot be read, has no rows, lacks a column, or has rows
            with too few or too many fields.
    """
    header, *records = csv_text.read_records(path, {*columns, *one_of}) or [(1, [])]
    found = tuple(name.strip("\ufeff \t\xa0") for name in header[1])
    _check_columns(found, columns, one_of, path)
    if not records:
        raise UserError(
            f"A metadata CSV must have a header and rows. Received: {path!r} with no "
            "rows. Write one row a file."
        )
    _check_widths(records, len(found), path)
    table = MetadataTable(
        path,
        found,
        tuple(dict(zip(found, fields, strict=False)) for _, fields in records),
        tuple(line for line, _ in records),
    )
    _check_text(table, {*columns, *one_of}, set(names))
    return table


def divided(
    table: MetadataTable, splits: Sequence[str] | None = SPLITS
) -> tuple[MetadataTable, str]:
    """Finds out how a table divides its rows.

    Published tables leave the split of unused files empty: such rows are left
    out.

    Args:
        table: with a column `fold` or `split`.
        splits: the values that `split` may have; any when None.

    Returns:
        the rows that have a part, whose blanks are stripped, and the column
        that says which: "fold" or "split".

    Raises:
        UserError: both columns have values, or neither has, or they are no
            folds or splits.
    """
    filled = [
        name
        for name in ("fold", "split")
        if name in table.columns and any(row[name].strip() for row in table.rows)
    ]
    if len(filled) == 2:
        raise UserError(
            "A metadata CSV must have either `fold` or `split`. Received: both in "
            f"{table.path!r}. Remove or rename the column that is not meant."
        )
    if not filled:
        name = next(name for name in ("fold", "split") if name in table.columns)
        raise UserError(
            f"`{name}` must say which part a row belongs to. Received: no value in "
            f"any row of {table.path!r}. Fill the column."
        )
    (column,) = filled
    rows = tuple({**row, column: row[column].strip()} for row in table.rows)
    table = dataclasses.replace(table, rows=rows).only(lambda row: row[column])
    if column == "fold":
        check_folds(table)
    elif splits is not None:
        _check_splits(table, splits)
    return table, column


def check_folds(table: MetadataTable) -> None:
    """Raises UserError if values of the column `fold` are no names of folds."""
    values = {row["fold"].strip() for row in table.rows}
    odd = {value for value in values if _is_no_fold(value)}
    numbers = {value for value in values - odd if _is_integer(value)}
    if not odd and numbers:
        odd = values - numbers
    if odd:
        raise UserError(
            "`fold` must name the fold of each row: whole numbers, or names alone. "
            f"Received: {few(odd)} on {_rows_with(table, 'fold', odd)} of "
            f"{table.path!r}. Correct the rows."
        )
    if len({int(value) for value in numbers}) < len(numbers):
        raise UserError(
            "A fold must be written in one way. Received: the same number as "
            f"{few(numbers, len(numbers))} in {table.path!r}. Choose one of them."
        )


def check_unique(table: MetadataTable, keys: Sequence[str]) -> None:
    """Raises UserError if two rows are of the same file.

    Args:
        table: with a column `file_name`.
        keys: what stands for a row's file, one a row.
    """
    first, again = {}, []
    for line, row, key in zip(table.lines, table.rows, keys, strict=True):
        if key in first:
            again.append((row["file_name"], first[key], line))
        first.setdefault(key, line)
    if again:
        name = again[0][0]
        lines = sorted({line for _, *pair in again for line in pair})
        raise UserError(
            f"`file_name` must name each file once. Received: {name!r} in several "
            f"rows of {table.path!r}: {few_lines(lines)}. Keep one of them."
        )


def check_named(table: MetadataTable) -> None:
    """Raises UserError if a row has no file name."""
    if lines := table.where(lambda row: not row["file_name"].strip()):
        raise UserError(
            f"`file_name` must not be empty. Received: no name on {lines} of "
            f"{table.path!r}. Fill or remove the rows."
        )


def few(names: Iterable[str], limit: int = 3) -> str:
    """Quotes the first names and counts the rest."""
    names = sorted(names)
    text = ", ".join(repr(name) for name in names[:limit])
    return text if len(names) <= limit else f"{text} and {len(names) - limit} more"


def few_lines(lines: Sequence[int], limit: int = 5) -> str:
    """E.g. "line 3" or "lines 3, 7, 9, 12, 13 and 2 more"; "" for none."""
    if not lines:
        return ""
    text = ", ".join(map(str, lines[:limit]))
    more = f" and {len(lines) - limit} more" if len(lines) > limit else ""
    return f"line{'s' * (len(lines) > 1)} {text}{more}"


def _check_columns(found, columns, one_of, path: str) -> None:
    missing = [f"`{name}`" for name in columns if name not in found]
    if one_of and not set(one_of) & set(found):
        missing.append(" and ".join(f"`{name}`" for name in one_of))
    twice = [name for name in (*columns, *one_of) if found.count(name) > 1]
    if not missing and not twice:
        return
    wanted = " and ".join(f"`{name}`" for name in columns)
    if one_of:
        wanted += ", and either " + " or ".join(f"`{name}`" for name in one_of)
    wrong = f"without {', '.join(missing)}" if missing else f"with {few(twice)} twice"
    shown = ", ".join(_printable(name) for name in found) or "no rows"
    raise UserError(
        f"A metadata table must be a CSV file with the columns {wanted}. Received: "
        f"{shown} in {path!r}, {wrong}. Rename or add the columns."
    )


def _printable(name: str) -> str:
    return name if name.isprintable() and name == name.strip() else repr(name)


def _check_widths(records, width: int, path: str) -> None:
    """Raises UserError for rows that a comma too many, or too few, has shifted."""
    short = [line for line, fields in records if len(fields) < width]
    long = [line for line, fields in records if any(map(str.strip, fields[width:]))]
    for lines, kind in ((long, "more"), (short, "fewer")):
        if lines:
            raise UserError(
                f"A row of a metadata CSV must have as many fields as the header, "
                f"{width}. Received: {kind} on {few_lines(lines)} of {path!r}. Quote "
                "fields that hold a separator, and write empty fields too."
            )


def _check_text(table: MetadataTable, wanted: set[str], names: set[str]) -> None:
    """Raises UserError for text that is not UTF-8; bytes may name a file."""
    for column in sorted(wanted & set(table.columns) - names):
        if lines := table.where(lambda row, column=column: not _is_utf8(row[column])):
            raise csv_text.unreadable(
                table.path,
                f"`{column}` on {lines} is not UTF-8: save the file as UTF-8",
            )


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_splits(table: MetadataTable, splits: Sequence[str]) -> None:
    if odd := {row["split"] for row in table.rows} - set(splits):
        raise UserError(
            f"`split` must be one of {', '.join(splits)}. Received: {few(odd)} on "
            f"{_rows_with(table, 'split', odd)} of {table.path!r}. Rename it."
        )


def _rows_with(table: MetadataTable, column: str, values: set[str]) -> str:
    return table.where(lambda row: row[column].strip() in values)


def _is_no_fold(value: str) -> bool:
    """Whether it stands for a missing value, or is a number with a fraction."""
    if not value or value.lower() in _NO_FOLDS:
        return True
    try:
        number = float(value)
    except ValueError:
        return False
    return not math.isfinite(number) or number != int(number)


def _is_integer(value: str) -> bool:
    try:
        int(value)
    except ValueError:
        return False
    return True
