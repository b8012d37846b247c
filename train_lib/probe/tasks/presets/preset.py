"""What a preset says about a published task, and what it finds in a folder."""

import collections
import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from byola_tf.corpus import metadata_table
from byola_tf.corpus.metadata_table import SPLITS
from byola_tf.errors import UserError

SPLIT_SEED = 0


@dataclasses.dataclass(frozen=True)
class ListedClip:
    """One row of a task.

    Attributes:
        path: file, relative to the listing's root, with `/`.
        label: class; several are separated by commas.
        part: value of the listing's column.
    """

    path: str
    label: str
    part: str


@dataclasses.dataclass(frozen=True)
class Listing:
    """The rows that a data set should have, whether or not the files are there.

    Attributes:
        root: folder that the clips' paths are relative to.
        column: "split" or "fold".
        clips: rows.
        split: where the division into parts comes from, for results.
        published: whether that is the published division.
        notes: what else a reader of the results should know.
    """

    root: str
    column: str
    clips: Sequence[ListedClip]
    split: str
    published: bool = True
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Preset:
    """A task by name.

    Attributes:
        name: of its CSV.
        title: of the data set, and what the classes are.
        read: (source folder, `--split` or None) to `Listing`.
        counts: clips by part, or {"total": clips}; empty where the published
            number is that of the files that happened to be on disk.
        num_classes: number of classes; 0 where it is not known beforehand.
        unit_seconds: length of the crop that stands for a clip; the median
            duration when None.
        learning_rate: published for BYOL-A v2; None where there is none.
        metric: "accuracy", or "mAP" for several labels a clip.
        takes_split: whether `--split` means something.
        subsets: classes by name of a subset whose mean score is reported.
        absent: classes by the part that lacks them in the complete data set.
    """

    name: str
    title: str
    read: Callable[[str, str | None], Listing]
    counts: Mapping[str, int]
    num_classes: int
    unit_seconds: float | None
    learning_rate: float | None = None
    metric: str = "accuracy"
    takes_split: bool = False
    subsets: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    absent: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)


def locate(source: str, *markers: str, title: str) -> str:
    """Finds the root of an unpacked data set: `source` or a sub-folder of it.

    Args:
        source: what the user gave.
        *markers: relative paths, one of which the root has.
        title: of the data set, for the message.

    Raises:
        UserError: neither has any.
    """
    folders = [source, *_sub_folders(source)]
    for folder in folders:
        if any(os.path.exists(os.path.join(folder, marker)) for marker in markers):
            return folder
    names = sorted(os.listdir(source))
    there = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    raise UserError(
        f"`source` must be the unpacked folder of {title}, with "
        f"{' or '.join(map(repr, markers))}. Received: {source!r}, which holds "
        f"{there or 'nothing'}. Check the path and the download."
    )


def _sub_folders(folder: str) -> list[str]:
    return sorted(entry.path for entry in os.scandir(folder) if entry.is_dir())


def read_table(path: str, columns: Sequence[str]) -> list[dict[str, str]]:
    """Reads a CSV file with a header that has at least `columns`.

    Args:
        path: the file.
        columns: the first holds file names.

    Raises:
        UserError: it cannot be read, a column is missing, a row has too few or
            too many fields, or `fold` holds no folds.
    """
    found = metadata_table.read(path, columns, names=columns[:1])
    if "fold" in columns:
        metadata_table.check_folds(found)
    return list(found.rows)


def read_lines(path: str) -> list[str]:
    """Lines of a text file, stripped, without empty ones.

    Raises:
        UserError: it cannot be read.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            lines = [line.strip() for line in file]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"A list of the data set must be a readable text file. Received: {path!r} "
            f"({error}). Download it again."
        ) from error
    return [line for line in lines if line]


def audio_below(root: str, *folders: str) -> list[str]:
    """Audio files below folders of `root`: relative paths with `/`, sorted."""
    from byola_tf import audio

    found = []
    for folder in folders or ("",):
        try:
            found += audio.find_files(os.path.join(root, folder).rstrip(os.sep))
        except UserError:  # none; the counts will say so
            continue
    return [os.path.relpath(path, root).replace(os.sep, "/") for path in found]


def check_each_once(title: str, clips: Sequence[ListedClip]) -> None:
    """Raises UserError if a data set's lists name a clip twice.

    Args:
        title: of the data set, for the message.
        clips: all of them.
    """
    counts = collections.Counter(os.path.normpath(clip.path) for clip in clips)
    if twice := [path for path, count in counts.items() if count > 1]:
        raise UserError(
            f"The lists of {title} must put each clip into one part, once. Received: "
            f"{metadata_table.few(twice)} more than once. Download them again, or "
            "correct the --split file."
        )


def draw_split(names: Iterable[str], num_train: int, num_valid: int) -> dict[str, str]:
    """Divides names at random with seed 0: the first permuted ones are train.

    Args:
        names: what is divided, in any order.
        num_train: how many are train.
        num_valid: how many are valid; the others are test.
    """
    names = sorted(names)
    order = np.random.default_rng(SPLIT_SEED).permutation(len(names))
    return {
        names[index]: "train"
        if place < num_train
        else "valid"
        if place < num_train + num_valid
        else "test"
        for place, index in enumerate(order)
    }


def checked_part(part: str, path: str) -> str:
    """A value of a split file's `split` column as ours.

    Raises:
        UserError: it is none.
    """
    part = {"val": "valid", "validation": "valid"}.get(part, part)
    if part not in SPLITS:
        raise UserError(
            f"`split` must be one of {', '.join(SPLITS)}. Received: {part!r} in "
            f"{path!r}. Mend the file."
        )
    return part
