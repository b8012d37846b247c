"""The table of a task: a metadata CSV and its checks.

A CSV has the columns `file_name` (relative to the audio folder), `label`, and
either `fold` (each value is held out as test once) or `split` (train, valid,
test). Other columns are ignored. A comma in any label makes the task a
multi-label one. Beside a CSV that `train_lib.tasks prepare` wrote lie facts
about it, NAME.task.json.
"""

import collections
import csv
import json
import os
from collections.abc import Iterable, Sequence

from byola_tf.errors import UserError

SPLITS = ("train", "valid", "test")
FACTS_SUFFIX = ".task.json"
FACTS_FORMAT = "byola-tf task 1"


def read_rows(metadata: str) -> tuple[list[dict[str, str]], str]:
    """Reads the rows of a metadata CSV and checks its values.

    Args:
        metadata: path of the CSV; see the module's docstring.

    Returns:
        the rows that have a part, and the column that says which: "fold" or
        "split".

    Raises:
        UserError: the CSV cannot be read, or makes no task.
    """
    rows = _read_rows(metadata)
    columns = list(rows[0])
    column = next((name for name in ("fold", "split") if name in columns), "")
    missing = [name for name in ("file_name", "label") if name not in columns]
    if missing or not column:
        raise UserError(
            "A metadata CSV must have the columns `file_name`, `label` and either "
            f"`fold` or `split`. Received: {', '.join(map(str, columns))} in "
            f"{metadata!r}. Rename or add the columns."
        )
    # the published tables leave the split of unused files empty
    rows = [row for row in rows if row[column]]
    _check_rows(rows, column, metadata)
    return rows, column


def read_facts(metadata: str) -> dict:
    """What `train_lib.tasks prepare` wrote beside a CSV; empty without it."""
    try:
        with open(facts_path(metadata), encoding="utf-8") as file:
            facts = json.load(file)
    except (OSError, ValueError):
        return {}
    return facts if facts.get("format") == FACTS_FORMAT else {}


def of_prepared(task: str, audio: str) -> str:
    """Path of the CSV of a task in the folder that was prepared for it.

    Raises:
        UserError: the folder has none of that name.
    """
    path = os.path.join(audio, f"{task}.csv")
    if not os.path.isfile(path):
        raise UserError(
            f"`audio` must be the folder of a prepared task. Received: {audio!r}, "
            f"without {task}.csv. Prepare it first: python -m train_lib.tasks prepare "
            f"--task={task} --source=DIR --output={audio}"
        )
    return path


def facts_path(metadata: str) -> str:
    """Where the facts about a CSV lie."""
    return os.path.splitext(metadata)[0] + FACTS_SUFFIX


def is_multi_label(labels: Iterable[str]) -> bool:
    """Whether any of the labels is a list."""
    return any("," in label for label in labels)


def split_label(label: str) -> list[str]:
    """The classes of a comma-separated label."""
    return [name for name in map(str.strip, label.split(",")) if name]


def _read_rows(metadata: str) -> list[dict[str, str]]:
    try:
        with open(metadata, newline="", encoding="utf-8-sig") as file:
            rows = [
                {key: (value or "").strip() for key, value in row.items() if key}
                for row in csv.DictReader(file)
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            f"`metadata` must be a readable CSV file. Received: {metadata!r} ({error})."
            " Check the path."
        ) from error
    if not rows:
        raise UserError(
            f"A metadata CSV must have a header and rows. Received: {metadata!r} "
            "without rows. Write one row a file."
        )
    return rows


def _check_rows(rows: list[dict[str, str]], column: str, metadata: str) -> None:
    """Raises UserError for the first thing wrong with the table's values."""
    if not rows:
        raise UserError(
            f"`{column}` must say which part a row belongs to. Received: no value in "
            f"any row of {metadata!r}. Fill the column."
        )
    names = [row["file_name"] for row in rows]
    if len(set(names)) < len(names):
        twice = collections.Counter(names).most_common(1)[0][0]
        raise UserError(
            f"`file_name` must name each file once. Received: {twice!r} in several "
            f"rows of {metadata!r}. Keep one of them."
        )
    unlabelled = [row["file_name"] for row in rows if not split_label(row["label"])]
    if unlabelled:
        raise UserError(
            f"`label` must not be empty. Received: no label for {few(unlabelled)} in "
            f"{metadata!r}. Label or remove the rows."
        )
    classes = {name for row in rows for name in split_label(row["label"])}
    if len(classes) < 2:
        raise UserError(
            f"A task must have at least two classes. Received: {few(classes)} in the "
            f"`label` column of {metadata!r}. Add files of another class."
        )
    parts = {row[column] for row in rows}
    if column == "split" and parts - set(SPLITS):
        raise UserError(
            f"`split` must be one of {', '.join(SPLITS)}. Received: "
            f"{few(parts - set(SPLITS))} in {metadata!r}. Rename it."
        )
    if column == "fold" and len(parts) < 2:
        raise UserError(
            f"`fold` must have at least two values. Received: {few(parts)} in "
            f"{metadata!r}. Divide the rows into folds, or use a `split` column."
        )


def sorted_names(names: Iterable[str]) -> list[str]:
    """Sorts as numbers if all names are integers, otherwise as text."""
    names = list(names)
    try:
        return sorted(names, key=int)
    except ValueError:
        return sorted(names)


def few(names: Sequence[str] | set[str], limit: int = 3) -> str:
    """Quotes the first names and counts the rest."""
    names = sorted(names)
    text = ", ".join(repr(name) for name in names[:limit])
    return text if len(names) <= limit else f"{text} and {len(names) - limit} more"
