"""Finished parts of a table on disk, so that an interrupted run goes on.

A part is two files: KEY.rows, records of `row_dtype` one after the other, and
KEY.json, which lists the recordings and the checksum of the rows. It is written last.
"""

import contextlib
import dataclasses
import json
import os
import zlib
from collections.abc import Iterable, Iterator

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
        doubt: why rows may be missing, or "".
    """

    path: str
    num_rows: int = 0
    seconds: float = 0.0
    error: str = ""
    doubt: str = ""


class Part:
    """A part that is finished or has to be made.

    Args:
        folder: where the parts of a table are.
        key: changes with everything that the rows depend on.
        dtype: `row_dtype`.
        paths: its recordings.

    Attributes:
        dtype: see above.
        paths: see above.
        files: the `FileRows` of its recordings; None until it is finished.
    """

    def __init__(self, folder: str, key: str, dtype: np.dtype, paths: list[str]):
        self._rows_path = os.path.join(folder, f"{key}.rows")
        self._list_path = os.path.join(folder, f"{key}.json")
        self.dtype = dtype
        self.paths = paths
        self.files = self._read_list()

    def rows(self) -> Iterator[np.ndarray]:
        """The rows of a finished part, some thousands at a time."""
        with open(self._rows_path, "rb") as file:
            while len(rows := np.fromfile(file, self.dtype, _READ_ROWS)):
                yield rows

    @contextlib.contextmanager
    def writer(self) -> Iterator["PartWriter"]:
        """Makes the part anew; it is finished where no exception leaves the block."""
        with open(self._rows_path, "wb") as file:
            writer = PartWriter(file, self.dtype)
            yield writer
            file.flush()
            os.fsync(file.fileno())
        listed = [dataclasses.asdict(entry) for entry in writer.files]
        text = json.dumps({"crc32": writer.checksum, "files": listed})
        files.write_text(self._list_path, text)
        self.files = writer.files

    def _read_list(self) -> list[FileRows] | None:
        """The recordings of a finished part whose rows are all there."""
        try:
            with open(self._list_path, encoding="utf-8") as file:
                content = json.load(file)
            listed = [FileRows(**entry) for entry in content["files"]]
            expected = content["crc32"]
            size = sum(entry.num_rows for entry in listed) * self.dtype.itemsize
            if [entry.path for entry in listed] != self.paths:
                return None
            if os.path.getsize(self._rows_path) != size:
                return None
            checksum = 0
            for rows in self.rows():
                checksum = zlib.crc32(rows, checksum)
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None
        return listed if checksum == expected else None


class PartWriter:
    """Writes the rows of a part, recording by recording.

    Args:
        file: open for writing, binary, empty.
        dtype: `row_dtype`.

    Attributes:
        files: the `FileRows` so far.
        checksum: CRC-32 of the rows so far.
    """

    def __init__(self, file, dtype: np.dtype):
        self._file = file
        self._dtype = dtype
        self._start = 0  # where the rows of the present recording begin
        self._checksum_at_start = 0
        self.files: list[FileRows] = []
        self.checksum = 0

    def add(self, starts, ends, embeddings) -> None:
        """Appends rows of the present recording.

        Args:
            starts: float64 [rows], seconds.
            ends: float64 [rows], seconds.
            embeddings: float32 [rows, units].
        """
        rows = np.empty(len(embeddings), self._dtype)
        rows["start_s"], rows["end_s"], rows["embedding"] = starts, ends, embeddings
        content = rows.tobytes()
        self._file.write(content)
        self.checksum = zlib.crc32(content, self.checksum)

    def finish(self, path: str, seconds: float, doubts: Iterable[str]) -> FileRows:
        """Ends the present recording; returns what is known of it."""
        num_rows = (self._file.tell() - self._start) // self._dtype.itemsize
        return self._end(FileRows(path, num_rows, seconds, doubt=" ".join(doubts)))

    def fail(self, path: str, reason: str) -> FileRows:
        """Takes back the rows of a recording that turned out to be unusable."""
        self._file.seek(self._start)
        self._file.truncate()
        self.checksum = self._checksum_at_start
        return self._end(FileRows(path, error=reason))

    def _end(self, entry: FileRows) -> FileRows:
        self.files.append(entry)
        self._start, self._checksum_at_start = self._file.tell(), self.checksum
        return entry
