"""Embeddings on disk: written as a stream, read by rows.

float32, as the model gave them: a task of 300,000 clips in 3,072 dimensions is a
file of 3.7 GB of which only the batches in use are in the memory of the process. It
is not mapped: a map of a file that is cut short ends the process without a word.
In float16 it would be half of that, but models whose features exceed 65,504
exist, and a result should not depend on whether it came from a cache.
"""

import dataclasses
import itertools
import json
import os
import zipfile

import numpy as np
import platformdirs

from byola_tf import normalize
from byola_tf.corpus.local_file import LocalFile
from train_lib.probe.tasks.tasks import Fold

EMBEDDINGS = "embeddings.npy"
_CROPS = "crops.npz"
_HELD_BYTES = 512 * 2**20  # of a file that is read whole


@dataclasses.dataclass
class TaskEmbeddings:
    """Embeddings of the crops of a task.

    Attributes:
        features: float32 [crops, d], in memory or `StoredRows`.
        rows: int [crops], the task's row of each crop.
        training: int [task rows], the crop used to train and validate; -1
            where there is none.
        testing: int [task rows], the crop used to test; likewise.
        statistics: of the task's log-mels; None if the model brings its own
            normalisation.
        skipped: reason by row, of the files that could not be used.
        folder: where they are cached; empty if they are not.
        owner: what has to live as long as `features`.
    """

    features: "np.ndarray | StoredRows"
    rows: np.ndarray
    training: np.ndarray
    testing: np.ndarray
    statistics: normalize.Statistics | None
    skipped: dict[int, str]
    folder: str = ""
    owner: object = None

    def fold(self, fold: Fold) -> Fold:
        """Turns rows of the task into rows of `features`."""
        return Fold(
            fold.name,
            self.training[fold.train],
            None if fold.valid is None else self.training[fold.valid],
            self.testing[fold.test],
        )

    def shown_crops(self) -> np.ndarray:
        """The crop that stands for each usable clip, int [clips].

        From its beginning for clips that are tested, from a random start for
        the others.
        """
        crops = np.where(self.testing >= 0, self.testing, self.training)
        return crops[crops >= 0]


class EmbeddingWriter:
    """Appends batches to an .npy file whose length is not known beforehand.

    Args:
        folder: an existing folder.
    """

    def __init__(self, folder: str):
        self._file = open(os.path.join(folder, EMBEDDINGS), "wb")  # noqa: SIM115
        self._rows, self._size = 0, None

    def append(self, batch: np.ndarray) -> None:
        """Adds float32 [batch, d]."""
        if self._size is None:
            self._size = batch.shape[1]
            self._write_header()
        np.ascontiguousarray(batch, np.float32).tofile(self._file)
        self._rows += len(batch)

    def close(self) -> None:
        """Writes the number of rows; the file is complete then."""
        if self._size is not None:
            self._file.flush()
            self._file.seek(0)
            self._write_header()  # as long as before: NumPy leaves room for digits
        self._file.close()

    def _write_header(self) -> None:
        header = {
            "descr": np.lib.format.dtype_to_descr(np.dtype(np.float32)),
            "fortran_order": False,
            "shape": (self._rows, self._size),
        }
        np.lib.format.write_array_header_1_0(self._file, header)


def write_index(folder: str, rows, training, testing, statistics, skipped) -> None:
    """Writes what `read` needs beside the embeddings; see `TaskEmbeddings`."""
    facts = {
        "statistics": statistics and dataclasses.asdict(statistics),
        "skipped": {int(row): reason for row, reason in skipped.items()},
    }
    np.savez(
        os.path.join(folder, _CROPS),
        rows=rows,
        training=training,
        testing=testing,
        facts=json.dumps(facts),
    )


def read(folder: str) -> TaskEmbeddings | None:
    """Opens written embeddings; None if they are absent or damaged."""
    try:
        path = os.path.join(folder, _CROPS)
        with open(path, "rb") as file, np.load(file) as index:
            rows, training, testing, facts = (
                index[name] for name in ("rows", "training", "testing", "facts")
            )
        facts = json.loads(str(facts))
        features = open_rows(folder)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    if features.ndim != 2 or len(features) != len(rows):
        return None
    statistics = facts["statistics"]
    return TaskEmbeddings(
        features=features,
        rows=rows,
        training=training,
        testing=testing,
        statistics=statistics and normalize.Statistics(**statistics),
        skipped={int(row): reason for row, reason in facts["skipped"].items()},
    )


class StoredRows:
    """Rows of a file, read as they are asked for; indexed like an array.

    Args:
        path: `.npy` file of float32.
        offset: of its first row, bytes.
        shape: [rows, ...].

    Attributes:
        shape: see above.
        dtype: float32.
        ndim: number of axes.

    Raises:
        ValueError: the file is too short.
    """

    dtype = np.dtype(np.float32)

    def __init__(self, path: str, offset: int, shape: tuple[int, ...]):
        self._path, self._offset, self.shape = path, offset, shape
        self.ndim = len(shape)
        self._file = LocalFile(path)
        self._row_bytes = int(np.prod(shape[1:])) * self.dtype.itemsize
        if self._file.size < offset + shape[0] * self._row_bytes:
            raise ValueError(f"{path!r} is too short")

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows) -> np.ndarray:
        """Copies rows into memory.

        Args:
            rows: slice, int [n] or bool [rows].

        Raises:
            OSError: the file has been cut short.
        """
        rows = np.arange(len(self))[rows]
        taken = np.empty((*rows.shape, *self.shape[1:]), self.dtype)
        # neighbours in the file are read at once
        begins = np.flatnonzero(np.diff(rows, prepend=-2) != 1)
        for begin, end in itertools.pairwise([*begins, len(rows)]):
            position = self._offset + int(rows[begin]) * self._row_bytes
            self._file.read_into(taken[begin:end], position)
        return taken

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return self[:] if dtype is None else self[:].astype(dtype)

    def reshape(self, *shape: int) -> "StoredRows":
        """The same rows in another shape; the number of rows stays."""
        units = int(np.prod(self.shape[1:]))
        known = int(np.prod([size for size in shape[1:] if size != -1]))
        row = tuple(units // known if size == -1 else size for size in shape[1:])
        return StoredRows(self._path, self._offset, (len(self), *row))


def open_rows(folder: str) -> np.ndarray | StoredRows:
    """Opens what an `EmbeddingWriter` wrote.

    Args:
        folder: where.

    Returns:
        float32 [rows, d], in memory where it is small.

    Raises:
        OSError, ValueError: it is absent or not whole.
    """
    path = os.path.join(folder, EMBEDDINGS)
    if os.path.getsize(path) <= _HELD_BYTES:
        return np.load(path, allow_pickle=False)
    with open(path, "rb") as file:
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        if dtype != StoredRows.dtype:
            raise ValueError(f"{path!r} does not hold float32")
        return StoredRows(path, file.tell(), shape)


def default_folder() -> str:
    """Where embeddings are cached: below $BYOLA_CACHE, or the system's cache."""
    folder = os.environ.get("BYOLA_CACHE") or platformdirs.user_cache_dir("byola-tf")
    return os.path.join(os.path.expanduser(folder), "embeddings")
