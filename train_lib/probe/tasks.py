"""Classification tasks: a metadata CSV, its checks, and its folds.

A CSV has the columns `file_name` (relative to the audio folder), `label`, and
either `fold` (each value is held out as test once) or `split` (train, valid,
test). Other columns are ignored. A comma in any label makes the task a
multi-label one. Beside a CSV that `train_lib.tasks prepare` wrote lie facts
about it, NAME.task.json.
"""

import collections
import csv
import dataclasses
import json
import math
import os
from collections.abc import Iterable, Sequence

import numpy as np

from byola_tf.errors import UserError

SPLITS = ("train", "valid", "test")
VALIDATION_SHARE = 0.1
VALIDATION_DRAWS = 100
FACTS_SUFFIX = ".task.json"
FACTS_FORMAT = "byola-tf task 1"


@dataclasses.dataclass(frozen=True)
class Fold:
    """Rows of a task by their part in one training and test.

    Attributes:
        name: value of the `fold` column that is held out, or "split".
        train: int rows.
        valid: int rows; None when they are to be drawn from `train`.
        test: int rows.
    """

    name: str
    train: np.ndarray
    valid: np.ndarray | None
    test: np.ndarray


@dataclasses.dataclass(frozen=True)
class Task:
    """Files with their labels, and how they are divided.

    Attributes:
        name: file name of the CSV without its suffix.
        audio: folder that the file names are relative to.
        file_names: one a row.
        labels: int [rows], index into `classes`; of a multi-label task bool
            [rows, classes].
        classes: names, sorted; as numbers if all of them are integers.
        column: "fold" or "split".
        parts: the values of that column, one a row.
        facts: what `train_lib.tasks prepare` knows about the data set; empty
            for any other CSV.
    """

    name: str
    audio: str
    file_names: tuple[str, ...]
    labels: np.ndarray
    classes: tuple[str, ...]
    column: str
    parts: tuple[str, ...]
    facts: dict = dataclasses.field(default_factory=dict)

    @property
    def multi_label(self) -> bool:
        """Whether a clip can have several labels."""
        return self.labels.ndim == 2

    @property
    def partial(self) -> bool:
        """Whether it was prepared from an incomplete copy of its data set."""
        return bool(self.facts.get("partial"))

    def path(self, row: int) -> str:
        """Full path of a row's file."""
        return os.path.join(self.audio, self.file_names[row])

    def targets(self, rows: np.ndarray) -> np.ndarray:
        """Labels as bool [rows, classes]."""
        if self.multi_label:
            return self.labels[rows]
        return self.labels[rows][:, None] == np.arange(len(self.classes))

    def folds(self, without: Iterable[int] = ()) -> list[Fold]:
        """Divides the rows; checks that every part can do its work.

        Args:
            without: rows to leave out (files that turned out to be broken).

        Raises:
            UserError: a part is empty, or a class is absent from training.
        """
        usable = np.ones(len(self.file_names), bool)
        usable[list(without)] = False
        parts = np.array(self.parts)
        if self.column == "split":
            train, valid, test = (
                np.flatnonzero(usable & (parts == split)) for split in SPLITS
            )
            folds = [Fold("split", train, valid if len(valid) else None, test)]
        else:
            folds = [
                Fold(
                    name,
                    np.flatnonzero(usable & (parts != name)),
                    None,
                    np.flatnonzero(usable & (parts == name)),
                )
                for name in _sorted(set(self.parts))
            ]
        for fold in folds:
            self._check(fold)
        return folds

    def counts(self, rows: np.ndarray) -> np.ndarray:
        """Number of clips a class: int [classes]."""
        if self.multi_label:
            return self.labels[rows].sum(axis=0)
        return np.bincount(self.labels[rows], minlength=len(self.classes))

    def absent_classes(self) -> dict[str, list[str]]:
        """Classes without clips, by the split that lacks some."""
        if self.column != "split":
            return {}
        (fold,) = self.folds()
        return {
            part: [self.classes[index] for index in np.flatnonzero(counts == 0)]
            for part, counts in self._held_out(fold)
            if (counts == 0).any()
        }

    def _held_out(self, fold: Fold) -> list[tuple[str, np.ndarray]]:
        """Classes' counts in the parts that are there besides train."""
        parts = [("valid", fold.valid), ("test", fold.test)]
        return [(part, self.counts(rows)) for part, rows in parts if rows is not None]

    def _check(self, fold: Fold) -> None:
        where = (
            "the `split` column"
            if self.column == "split"
            else f"fold {fold.name} as the test fold"
        )
        for part, rows in (("train", fold.train), ("test", fold.test)):
            if not len(rows):
                raise UserError(
                    f"A task must have {part} files. Received: none with {where} in "
                    f"task {self.name!r}. Give some rows to {part}."
                )
        absent = np.flatnonzero(self.counts(fold.train) == 0)
        if len(absent):
            raise UserError(
                f"Every class must have training files. Received: none of "
                f"{_few([self.classes[index] for index in absent])} with {where} in "
                f"task {self.name!r}. Spread its files over the parts, or remove "
                "its rows."
            )
        for part, counts in self._held_out(fold):
            if np.count_nonzero(counts) < 2:
                raise UserError(
                    f"Every part must hold at least two classes. Received: only "
                    f"{_few([self.classes[counts.argmax()]])} in {part} with {where} "
                    f"in task {self.name!r}. Spread the classes over the parts."
                )
            self._check_absent(part, counts, where)

    def _check_absent(self, part: str, counts: np.ndarray, where: str) -> None:
        """Raises UserError for a class that a part lacks without a reason.

        An incomplete copy may lack some, and so do some published splits. In a
        test fold with one label a clip it does no harm.
        """
        expected = self.facts.get("absent_classes", {}).get(part, ())
        absent = [
            self.classes[index]
            for index in np.flatnonzero(counts == 0)
            if self.classes[index] not in expected
        ]
        harmless = self.column == "fold" and not self.multi_label
        if absent and not self.partial and not harmless:
            raise UserError(
                f"Every class must be in every part. Received: none of "
                f"{_few(absent)} in {part} with {where} in task {self.name!r}. Spread "
                "its files over the parts, or remove its rows."
            )


def read_task(metadata: str, audio: str) -> Task:
    """Reads and checks a metadata CSV.

    Args:
        metadata: path of the CSV; see the module's docstring.
        audio: folder that `file_name` is relative to.

    Raises:
        UserError: the CSV or a file is missing, or the table makes no task.
    """
    rows, column = read_rows(metadata)
    facts = read_facts(metadata)
    if not os.path.isdir(audio):
        raise UserError(
            f"`audio` must be the folder that `file_name` is relative to. "
            f"Received: {audio!r}, which is not a folder. Check the path."
        )
    absent = [
        row["file_name"]
        for row in rows
        if not os.path.isfile(os.path.join(audio, row["file_name"]))
    ]
    if absent:
        raise UserError(
            f"Every `file_name` must be a file in `audio`. Received: {len(absent)} of "
            f"{len(rows)} missing from {audio!r}: {_few(absent)}. Check the folder, or "
            "remove the rows."
        )
    multi_label = facts.get("metric") == "mAP" or is_multi_label(
        row["label"] for row in rows
    )
    labels = [
        split_label(row["label"]) if multi_label else [row["label"]] for row in rows
    ]
    classes = _sorted({name for names in labels for name in names})
    index = {name: number for number, name in enumerate(classes)}
    if multi_label:
        indices = np.zeros((len(rows), len(classes)), bool)
        for row, names in enumerate(labels):
            indices[row, [index[name] for name in names]] = True
    else:
        indices = np.array([index[name] for (name,) in labels])
    task = Task(
        name=os.path.splitext(os.path.basename(metadata))[0],
        audio=audio,
        file_names=tuple(row["file_name"] for row in rows),
        labels=indices,
        classes=tuple(classes),
        column=column,
        parts=tuple(row[column] for row in rows),
        facts=facts,
    )
    task.folds()
    return task


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


def facts_path(metadata: str) -> str:
    """Where the facts about a CSV lie."""
    return os.path.splitext(metadata)[0] + FACTS_SUFFIX


def is_multi_label(labels: Iterable[str]) -> bool:
    """Whether any of the labels is a list."""
    return any("," in label for label in labels)


def split_label(label: str) -> list[str]:
    """The classes of a comma-separated label."""
    return [name for name in map(str.strip, label.split(",")) if name]


def draw_validation(
    targets: np.ndarray, train: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Takes a random tenth of the training rows for validation.

    Drawn again, up to 100 times, until every class is in both parts.

    Args:
        targets: bool [rows, classes].
        train: int, the rows to divide.
        random: source of the draw.

    Returns:
        The rows left for training and those for validation, sorted.

    Raises:
        UserError: no draw had every class.
    """
    num_valid = math.ceil(VALIDATION_SHARE * len(train))
    counts = targets[train].sum(axis=0)
    for _ in range(VALIDATION_DRAWS):
        order = random.permutation(train)
        valid, rest = np.sort(order[:num_valid]), np.sort(order[num_valid:])
        valid_counts = targets[valid].sum(axis=0)
        if (valid_counts > 0).all() and (valid_counts < counts).all():
            return rest, valid
    raise UserError(
        "A random tenth of the training files must hold every class, for "
        f"validation. Received: {len(train)} training files ({num_valid} for "
        f"validation) of {len(counts)} classes, the rarest with {counts.min()}, and "
        f"{VALIDATION_DRAWS} draws without success. Add files, or a `split` column "
        "with rows for `valid`."
    )


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
            f"`label` must not be empty. Received: no label for {_few(unlabelled)} in "
            f"{metadata!r}. Label or remove the rows."
        )
    classes = {name for row in rows for name in split_label(row["label"])}
    if len(classes) < 2:
        raise UserError(
            f"A task must have at least two classes. Received: {_few(classes)} in the "
            f"`label` column of {metadata!r}. Add files of another class."
        )
    parts = {row[column] for row in rows}
    if column == "split" and parts - set(SPLITS):
        raise UserError(
            f"`split` must be one of {', '.join(SPLITS)}. Received: "
            f"{_few(parts - set(SPLITS))} in {metadata!r}. Rename it."
        )
    if column == "fold" and len(parts) < 2:
        raise UserError(
            f"`fold` must have at least two values. Received: {_few(parts)} in "
            f"{metadata!r}. Divide the rows into folds, or use a `split` column."
        )


def _sorted(names: Iterable[str]) -> list[str]:
    """Sorts as numbers if all names are integers, otherwise as text."""
    names = list(names)
    try:
        return sorted(names, key=int)
    except ValueError:
        return sorted(names)


def _few(names: Sequence[str] | set[str], limit: int = 3) -> str:
    """Quotes the first names and counts the rest."""
    names = sorted(names)
    text = ", ".join(repr(name) for name in names[:limit])
    return text if len(names) <= limit else f"{text} and {len(names) - limit} more"
