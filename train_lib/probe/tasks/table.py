"""The table of a task: a metadata CSV and its checks.

A CSV has the columns `file_name` (relative to the audio folder), `label`, and
either `fold` (each value is held out as test once) or `split` (train, valid,
test). Other columns are ignored. A comma in any label makes the task a
multi-label one. Beside a CSV that `byola tasks prepare` wrote lie facts
about it, NAME.task.json.
"""

import logging
import os
from collections.abc import Iterable

from byola_tf.corpus import metadata_table
from byola_tf.corpus.file_names import comparable
from byola_tf.corpus.metadata_table import MetadataTable, few
from byola_tf.errors import UserError

FACTS_SUFFIX = ".task.json"
FACTS_FORMAT = "byola-tf task 1"
_FACT_TYPES = {
    **dict.fromkeys(("task", "title", "metric", "split"), (str, None)),
    **dict.fromkeys(("unit_seconds", "learning_rate"), (float, None)),
    **dict.fromkeys(("counts", "expected_counts", "absent_classes"), (dict, None)),
    "notes": (list, None),
    "partial": (bool, None),
    "sample_rate": (int, None),
}

logger = logging.getLogger(__name__)


def read_rows(metadata: str) -> tuple[MetadataTable, str]:
    """Reads the rows of a metadata CSV and checks its values.

    Args:
        metadata: path of the CSV; see the module's docstring.

    Returns:
        the rows that have a part, and the column that says which: "fold" or
        "split".

    Raises:
        UserError: the CSV cannot be read, or makes no task.
    """
    found = metadata_table.read(metadata, ("file_name", "label"), ("fold", "split"))
    total = len(found.rows)
    found, column = metadata_table.divided(found)
    if len(found.rows) < total:
        logger.info(
            "%s: %d of %d rows have no `%s` and are left out.",
            metadata,
            total - len(found.rows),
            total,
            column,
        )
    metadata_table.check_named(found)
    keys = [comparable(row["file_name"]) for row in found.rows]
    metadata_table.check_unique(found, keys)
    _check_labels(found)
    if column == "fold":
        _check_several_folds(found)
    return found, column


def read_facts(metadata: str) -> dict:
    """What `byola tasks prepare` wrote beside a CSV; empty without it.

    Raises:
        UserError: a field has another type than that command writes.
    """
    from byola_tf import foreign  # here: commands start without TensorFlow

    path, what = facts_path(metadata), "The facts about a task"
    try:
        facts = foreign.read_json(path, what)
    except UserError:  # absent, or somebody else's file
        return {}
    if not isinstance(facts, dict) or facts.get("format") != FACTS_FORMAT:
        return {}
    return foreign.fields(facts, _FACT_TYPES, path, what)


def of_prepared(task: str, audio: str) -> str:
    """Path of the CSV of a task in the folder that was prepared for it.

    Raises:
        UserError: the folder has none of that name.
    """
    path = os.path.join(audio, f"{task}.csv")
    if not os.path.isfile(path):
        raise UserError(
            f"`audio` must be the folder of a prepared task. Received: {audio!r}, "
            f"without {task}.csv. Prepare it first: byola tasks prepare "
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


def _check_labels(found: MetadataTable) -> None:
    """Raises UserError unless every row has a label and there are two classes."""
    lines = found.where(lambda row: not split_label(row["label"]))
    if lines:
        rows = [row for row in found.rows if not split_label(row["label"])]
        raise UserError(
            "`label` must not be empty. Received: no label for "
            f"{few(row['file_name'] for row in rows)} on {lines} of {found.path!r}. "
            "Label or remove the rows."
        )
    classes = {name for row in found.rows for name in split_label(row["label"])}
    if len(set(map(comparable, classes))) < 2:
        raise UserError(
            f"A task must have at least two classes. Received: {few(classes)} in the "
            f"`label` column of {found.path!r}. Add files of another class."
        )


def _check_several_folds(found: MetadataTable) -> None:
    folds = {row["fold"] for row in found.rows}
    if len(folds) < 2:
        raise UserError(
            f"`fold` must have at least two values. Received: {few(folds)} in "
            f"{found.path!r}. Divide the rows into folds, or use a `split` column."
        )


def sorted_names(names: Iterable[str]) -> list[str]:
    """Sorts as numbers if all names are integers, otherwise as text."""
    names = sorted(names)  # "07" and "7" are the same number, and two names
    try:
        return sorted(names, key=int)
    except ValueError:
        return names
