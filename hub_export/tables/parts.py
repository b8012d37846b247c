"""Finished parts of a table on disk, so that an interrupted run goes on.

A part is two files: KEY.rows, records of `row_dtype` one after the other, and
KEY.json, which lists the recordings and is written last.
"""

import dataclasses
import json
import os
from collections.abc import Iterator

import numpy as np

from byola_tf import files

_READ_ROWS = 2048


def row_dtype(embedding_size: int) -> np.dtype:
    """One row: start and end in seconds, and the vector."""
    return np.dtype(
        [
            ("start_s", "<f8"),
            ("end_s", "<f8"),
            ("embedding", "<f4", (embedding_size,)),
        ]
    )


@dataclasses.dataclass
class FileRows:
    """What a part knows of one recording.

    Attributes:
        path: where it is.
        num_rows: rows it has in the table.
        seconds: its length.
        error: why it has none, or "".
    """

    path: str
    num_rows: int = 0
    seconds: float = 0.0
    error: str = ""


class Part:
    """A part that may be finished or not.

    Args:
        folder: where the parts of a table are.
        key: changes with everything that the rows depend on.
        dtype: `row_dtype`.
    """

    def __init__(self, folder: str, key: str, dtype: np.dtype):
        self._rows_path = os.path.join(folder, f"{key}.rows")
        self._list_path = os.path.join(folder, f"{key}.json")
        self._dtype = dtype

    def finished(self) -> list[FileRows] | None:
        """The recordings of a finished part; None when it has to be made."""
        try:
            with open(self._list_path) as file:
                listed = [FileRows(**entry) for entry in json.load(file)]
            size = os.path.getsize(self._rows_path)
        except (OSError, ValueError, TypeError):
            return None
        num_rows = sum(entry.num_rows for entry in listed)
        return listed if size == num_rows * self._dtype.itemsize else None

    def rows(self) -> Iterator[np.ndarray]:
        """The rows of a finished part, some thousands at a time."""
        with open(self._rows_path, "rb") as file:
            while len(rows := np.fromfile(file, self._dtype, _READ_ROWS)):
                yield rows

    def writer(self) -> "PartWriter":
        """Begins the part anew."""
        return PartWriter(self._rows_path, self._list_path, self._dtype)


class PartWriter:
    """Writes a part, recording by recording; a context manager."""

    def __init__(self, rows_path: str, list_path: str, dtype: np.dtype):
        self._file = open(rows_path, "wb")
        self._list_path = list_path
        self._dtype = dtype
        self._listed: list[FileRows] = []
        self._start = 0

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self._file.flush()
            os.fsync(self._file.fileno())
        self._file.close()
        if kind is None:
            listed = [dataclasses.asdict(entry) for entry in self._listed]
            files.write_text(self._list_path, json.dumps(listed))

    def add(self, starts, ends, embeddings) -> None:
        """Appends rows of the recording that is being written."""
        rows = np.empty(len(embeddings), self._dtype)
        rows["start_s"], rows["end_s"], rows["embedding"] = starts, ends, embeddings
        rows.tofile(self._file)

    def finish(self, path: str, seconds: float) -> None:
        """Ends a recording."""
        end = self._file.tell()
        num_rows = (end - self._start) // self._dtype.itemsize
        self._listed.append(FileRows(path, num_rows, seconds))
        self._start = end

    def fail(self, path: str, reason: str) -> None:
        """Takes back the rows of a recording that turned out to be unusable."""
        self._file.seek(self._start)
        self._file.truncate()
        self._listed.append(FileRows(path, error=reason))

    @property
    def listed(self) -> list[FileRows]:
        """The recordings so far."""
        return self._listed
