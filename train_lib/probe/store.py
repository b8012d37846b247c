"""Embeddings on disk: written as a stream, read as a memory map.

float32, as the model gave them: a task of 300,000 clips in 3,072 dimensions is a
file of 3.7 GB of which only the batches in use are in the memory of the process.
In float16 it would be half of that, but models whose features exceed 65,504
exist, and a result should not depend on whether it came from a cache.
"""

import dataclasses
import json
import mmap
import os
import zipfile

import numpy as np
import platformdirs

from byola_tf import normalize
from train_lib.probe.tasks.tasks import Fold

EMBEDDINGS = "embeddings.npy"
_CROPS = "crops.npz"
_KEPT_MAP_BYTES = 512 * 2**20


@dataclasses.dataclass
class TaskEmbeddings:
    """Embeddings of the crops of a task.

    Attributes:
        features: float32 [crops, d], a memory map.
        rows: int [crops], the task's row of each crop.
        training: int [task rows], the crop used to train and validate; -1
            where there is none.
        testing: int [task rows], the crop used to test; likewise.
        statistics: of the task's log-mels; None if the model brings its own
            normalisation.
        skipped: reason by row, of the files that could not be used.
        folder: where they are cached; empty if they are not.
        owner: what has to live as long as the memory map.
    """

    features: np.ndarray
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
        features = np.load(os.path.join(folder, EMBEDDINGS), mmap_mode="r")
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


def take(features: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Copies rows; those of a large memory map leave the process's memory again.

    The system keeps what it read from the file in memory that is free, but a
    process whose mapped pages add up to the whole file seems to need it.

    Args:
        features: [clips, d], in memory or mapped.
        rows: int.
    """
    block = features[rows]
    mapped = features.base
    if isinstance(mapped, mmap.mmap) and features.nbytes > _KEPT_MAP_BYTES:
        if hasattr(mmap, "MADV_DONTNEED"):  # not on Windows
            mapped.madvise(mmap.MADV_DONTNEED)
    return block


def default_folder() -> str:
    """Where embeddings are cached: below $BYOLA_CACHE, or the system's cache."""
    folder = os.environ.get("BYOLA_CACHE") or platformdirs.user_cache_dir("byola-tf")
    return os.path.join(os.path.expanduser(folder), "embeddings")
