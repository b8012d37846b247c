"""Classification tasks: files, labels, and their division into folds."""

import dataclasses
import math
import os
from collections.abc import Iterable

import numpy as np

from byola_tf.corpus.file_names import FilesBelow, comparable
from byola_tf.corpus.metadata_table import (
    SPLITS,
    MetadataTable,
    check_unique,
    few,
)
from byola_tf.errors import UserError
from train_lib.probe.tasks import table

VALIDATION_SHARE = 0.1
VALIDATION_DRAWS = 100


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
        facts: what `byola tasks prepare` knows about the data set; empty
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
                A class may then be absent from validation or test.

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
                for name in table.sorted_names(set(self.parts))
            ]
        for fold in folds:
            self._check(fold, usable.all())
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

    def _check(self, fold: Fold, complete: bool) -> None:
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
                f"{few([self.classes[index] for index in absent])} with {where} in "
                f"task {self.name!r}. Spread its files over the parts, or remove "
                "its rows."
            )
        for part, counts in self._held_out(fold):
            if np.count_nonzero(counts) < 2:
                raise UserError(
                    f"Every part must hold at least two classes. Received: only "
                    f"{few([self.classes[counts.argmax()]])} in {part} with {where} "
                    f"in task {self.name!r}. Spread the classes over the parts."
                )
            if complete:
                self._check_absent(part, counts, where)

    def _check_absent(self, part: str, counts: np.ndarray, where: str) -> None:
        """Raises UserError for a class that a part lacks without a reason.

        An incomplete copy may lack some, and so do some published splits. In a
        test fold with one label a clip it does no harm.
        """
        expected = (self.facts.get("absent_classes") or {}).get(part) or ()
        absent = [
            self.classes[index]
            for index in np.flatnonzero(counts == 0)
            if self.classes[index] not in expected
        ]
        harmless = self.column == "fold" and not self.multi_label
        if absent and not self.partial and not harmless:
            raise UserError(
                f"Every class must be in every part. Received: none of "
                f"{few(absent)} in {part} with {where} in task {self.name!r}. Spread "
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
    found, column = table.read_rows(metadata)
    facts = table.read_facts(metadata)
    file_names = _locate(found, audio)
    multi_label = facts.get("metric") == "mAP" or table.is_multi_label(
        row["label"] for row in found.rows
    )
    classes, labels = _number(
        [
            table.split_label(row["label"]) if multi_label else [row["label"].strip()]
            for row in found.rows
        ]
    )
    task = Task(
        name=os.path.splitext(os.path.basename(metadata))[0],
        audio=audio,
        file_names=tuple(file_names),
        labels=labels if multi_label else labels.argmax(axis=1),
        classes=tuple(classes),
        column=column,
        parts=tuple(row[column] for row in found.rows),
        facts=facts,
    )
    task.folds()
    return task


def _locate(found: MetadataTable, audio: str) -> list[str]:
    """The files of a table's rows, as they are named on disk."""
    if not os.path.isdir(audio):
        raise UserError(
            f"`audio` must be the folder that `file_name` is relative to. "
            f"Received: {audio!r}, which is not a folder. Check the path."
        )
    below = FilesBelow(audio)
    names = {row["file_name"]: below.find(row["file_name"]) for row in found.rows}
    if absent := [name for name, file in names.items() if file is None]:
        lines = found.where(lambda row: names[row["file_name"]] is None)
        raise UserError(
            f"Every `file_name` must be a file in `audio`. Received: {len(absent)} of "
            f"{len(found.rows)} missing from {audio!r}: {few(absent)} ({lines} of "
            f"{found.path!r}). Check the folder, or remove the rows."
        )
    files = [names[row["file_name"]] for row in found.rows]
    check_unique(found, [os.path.normpath(file) for file in files])
    return files


def _number(labels: list[list[str]]) -> tuple[list[str], np.ndarray]:
    """Classes, and bool [rows, classes].

    A class is named as where it stands first; the same letters in another
    Unicode form are the same class.
    """
    names = {}
    for name in (name for of_row in labels for name in of_row):
        names.setdefault(comparable(name), name)
    classes = table.sorted_names(names.values())
    index = {comparable(name): number for number, name in enumerate(classes)}
    targets = np.zeros((len(labels), len(classes)), bool)
    for row, of_row in enumerate(labels):
        targets[row, [index[comparable(name)] for name in of_row]] = True
    return classes, targets


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
