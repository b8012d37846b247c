"""Identical audio on both sides of a metadata CSV's splits or folds."""

import collections
import dataclasses
import os
from collections.abc import Iterable, Sequence

from byola_tf.corpus import metadata_table
from byola_tf.corpus.file_names import FileNames
from byola_tf.errors import UserError
from train_lib.doctor.findings import CHECK, NOTE, Finding
from train_lib.doctor.measurement import Measurement


@dataclasses.dataclass(frozen=True)
class LabelledName:
    """What a metadata CSV says of one file.

    Attributes:
        file_name: as written.
        part: its split or fold.
        label: "" when the CSV has no such column.
    """

    file_name: str
    part: str
    label: str


@dataclasses.dataclass(frozen=True)
class DividedNames:
    """The files of a metadata CSV and their parts.

    Attributes:
        path: the CSV.
        column: "fold" or "split".
        rows: those that have a file name and a part.
    """

    path: str
    column: str
    rows: tuple[LabelledName, ...]


def read_table(path: str) -> DividedNames:
    """Reads a CSV with `file_name`, `fold` or `split`, and maybe `label`.

    Raises:
        UserError: it cannot be read, lacks a column or rows, or has rows with
            too few or too many fields.
    """
    table = metadata_table.read(path, one_of=("fold", "split"))
    table, column = metadata_table.divided(table, splits=None)
    rows = tuple(
        LabelledName(row["file_name"], row[column], row.get("label", "").strip())
        for row in table.rows
        if row["file_name"].strip()
    )
    return DividedNames(path, column, rows)


def locate(
    table: DividedNames, paths: Iterable[str], folders: Sequence[str]
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
    known = FileNames(scanned)
    located = {}
    for row in table.rows:
        places = (
            known.find(_key(os.path.join(folder, row.file_name))) for folder in folders
        )
        place = next((place for place in places if place is not None), None)
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
    table: DividedNames, located: dict[str, str], measurements: Sequence[Measurement]
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


def _leaks(table: DividedNames, seen) -> Finding:
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


def _label_conflicts(table: DividedNames, seen) -> Finding:
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


def _absent(table: DividedNames, absent: dict[str, str]) -> Finding:
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
