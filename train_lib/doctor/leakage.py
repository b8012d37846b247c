"""Identical audio on both sides of a metadata CSV's splits or folds."""

import collections
import csv
import dataclasses
import io
import os
from collections.abc import Iterable, Sequence

import tensorflow as tf

from byola_tf.errors import UserError
from train_lib.doctor.findings import CHECK, NOTE, Finding
from train_lib.doctor.measurement import Measurement


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of a metadata CSV.

    Attributes:
        file_name: as written.
        part: its split or fold.
        label: "" when the CSV has no such column.
    """

    file_name: str
    part: str
    label: str


@dataclasses.dataclass(frozen=True)
class Table:
    """A metadata CSV.

    Attributes:
        path: the CSV.
        column: "fold" or "split".
        rows: those whose part is not empty.
    """

    path: str
    column: str
    rows: tuple[Row, ...]


def read_table(path: str) -> Table:
    """Reads a CSV with `file_name`, `fold` or `split`, and maybe `label`.

    Raises:
        UserError: it cannot be read, or lacks a column or rows.
    """
    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            text = file.read().decode("utf-8-sig")
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
    except (tf.errors.OpError, OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            f"`--metadata` must be a readable CSV file. Received: {path!r} ({error})."
        ) from error
    columns = [name for name in (rows[0] if rows else {}) if name]
    column = next((name for name in ("fold", "split") if name in columns), "")
    if "file_name" not in columns or not column:
        raise UserError(
            "A metadata CSV must have rows, a column `file_name` and one of `fold` or "
            f"`split`. Received: {', '.join(columns) or 'no rows'} in {path!r}. Rename "
            "or add the columns."
        )
    return Table(
        path,
        column,
        tuple(
            Row(row["file_name"], row[column], row.get("label") or "")
            for row in rows
            if row["file_name"] and row[column]
        ),
    )


def locate(
    table: Table, paths: Iterable[str], folders: Sequence[str]
) -> dict[str, str]:
    """Finds the scanned file of every row.

    Args:
        table: the CSV.
        paths: the scanned files.
        folders: what `file_name` may be relative to; the first that leads to a
            scanned file counts.

    Returns:
        file_name -> path, without the rows that lead nowhere.

    Raises:
        UserError: no row leads to a scanned file.
    """
    scanned = {_key(path): path for path in paths}
    located = {}
    for row in table.rows:
        places = (_key(os.path.join(folder, row.file_name)) for folder in folders)
        place = next((place for place in places if place in scanned), None)
        if place is not None:
            located[row.file_name] = scanned[place]
    if not located:
        example = f", e.g. {table.rows[0].file_name!r}" if table.rows else ""
        raise UserError(
            "`file_name` of a metadata CSV must lead to scanned files from one of "
            f"{', '.join(map(repr, folders))}. Received: {len(table.rows)} rows in "
            f"{table.path!r} that do not{example}. Check --audio and the CSV."
        )
    return located


def find_leaks(
    table: Table, located: dict[str, str], measurements: Sequence[Measurement]
) -> list[Finding]:
    """Compares a table's parts and labels by the audio itself.

    Args:
        table: the CSV.
        located: see `locate`.
        measurements: of all scanned files.
    """
    by_path = {m.path: m for m in measurements}
    seen = collections.defaultdict(list)  # audio -> [(row, path)]
    absent = {}
    for row in table.rows:
        if row.file_name not in located:
            absent[row.file_name] = f"{table.column} {row.part}"
            continue
        found = by_path[located[row.file_name]]
        if not found.fault and not found.is_silent:
            seen[found.audio_hash].append((row, found.path))
    findings = (
        _leaks(table, seen),
        _label_conflicts(table, seen),
        _absent(table, absent),
    )
    return [finding for finding in findings if finding.files]


def _key(path: str) -> str:
    return path if "://" in path else os.path.abspath(path)


def _leaks(table: Table, seen) -> Finding:
    files, groups = {}, 0
    for entries in seen.values():
        parts = sorted({row.part for row, _ in entries})
        if len(parts) < 2:
            continue
        groups += 1
        for row, path in entries:
            others = [o for o, _ in entries if o.part != row.part]
            files[path] = f"{table.column} {row.part}; the same audio is " + _some(
                [f"{o.file_name} in {table.column} {o.part}" for o in others]
            )
    sounds = "1 sound is" if groups == 1 else f"{groups:,} sounds are"
    return Finding(
        "leak",
        CHECK,
        f"Leak between {table.column}s",
        f"{sounds} in more than one {table.column} of "
        f"{os.path.basename(table.path)} ({len(files):,} files with identical "
        f"samples): scores will be too good. Keep each sound in one {table.column}.",
        files,
    )


def _label_conflicts(table: Table, seen) -> Finding:
    files, groups = {}, 0
    for entries in seen.values():
        labels = sorted({row.label for row, _ in entries})
        if len(labels) < 2:
            continue
        groups += 1
        for row, path in entries:
            others = _some([label for label in labels if label != row.label])
            files[path] = f"labelled {row.label!r}, elsewhere {others}"
    sounds = "1 sound has" if groups == 1 else f"{groups:,} sounds have"
    return Finding(
        "label_conflict",
        CHECK,
        "Labels disagree",
        f"{sounds} more than one label in {os.path.basename(table.path)} "
        f"({len(files):,} files with identical samples): correct the labels.",
        files,
    )


def _absent(table: Table, absent: dict[str, str]) -> Finding:
    name = os.path.basename(table.path)
    rows = "1 row" if len(absent) == 1 else f"{len(absent):,} rows"
    return Finding(
        "absent",
        NOTE,
        "Row without a file",
        f"{rows} of {len(table.rows):,} in {name} name no file that was scanned: "
        "check the folder or the rows.",
        absent,
    )


def _some(names: list[str], limit: int = 3) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
