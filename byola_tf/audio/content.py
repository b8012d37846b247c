"""The bytes of a sound file: opened safely, read in bounded memory.

A large file is seen through a window. Nothing is mapped into memory: a map of a
file that somebody else cuts short ends the process (SIGBUS), and some mounts
(FUSE with direct_io) have none.
"""

import functools
import io
import itertools
import logging
import os
import stat
from bisect import bisect_right

import soundfile
import tensorflow as tf

from byola_tf.errors import UserError

logger = logging.getLogger(__name__)

WHOLE_BYTES = 32 * 2**20  # smaller files are read at once
_WINDOW_BYTES = 2**20


class AudioError(UserError):
    """A file that cannot be used; the message names it and says why."""


class BrokenAudio(ValueError):
    """Bytes that cannot be used; the message is a reason: "it ..."."""


def unusable(path: str, reason: str) -> str:
    """The message of an `AudioError`.

    Args:
        path: name of the file.
        reason: reads "it ...".
    """
    return f"{path!r} must be a readable audio file, but {reason}."


def doubtful(path: str, reason: str) -> str:
    """The message about a file that is read in spite of a doubt.

    Args:
        path: name of the file.
        reason: reads "it ...".
    """
    return f"{path!r} is read as far as it decodes, but {reason}."


@functools.lru_cache(10_000)
def log_once(message: str) -> None:
    """Logs a warning about files the first time that it is said.

    Args:
        message: what is said.
    """
    logger.warning("%s", message)


class Content:
    """Bytes that are sliced like `bytes`, and held a window at a time.

    Args:
        file: binary file that seeks; closed by `close`.
        size: its length, bytes.
        status: tells what changes when somebody writes to the file.
    """

    def __init__(self, file, size: int, status=None):
        self._file = file
        self._size = size
        self._status = status
        self._opened_as = status() if status else None
        self._start, self._window = 0, b""
        if size <= WHOLE_BYTES:
            self._fill(0, size)

    @classmethod
    def of_bytes(cls, content: bytes) -> "Content":
        """Bytes that are in memory already.

        Args:
            content: all of them.
        """
        made = cls(None, 0)
        made._size, made._window = len(content), content
        return made

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, span: slice) -> bytes:
        start, stop, _ = span.indices(self._size)
        if start >= stop:
            return b""
        if not self._start <= start <= stop <= self._start + len(self._window):
            self._fill(start, max(stop, min(start + _WINDOW_BYTES, self._size)))
        return self._window[start - self._start : stop - self._start]

    @property
    def is_held(self) -> bool:
        """Whether all of it is in memory."""
        return len(self._window) == self._size

    def find(self, wanted: bytes, start: int, stop: int) -> int:
        """Searches bytes.

        Args:
            wanted: what to look for.
            start: where to begin.
            stop: where to end.

        Returns:
            the first position in [start, stop), -1 where it is not.
        """
        stop = min(stop, self._size)
        while start < stop:
            end = min(start + _WINDOW_BYTES, stop)
            position = self[start:end].find(wanted)
            if position >= 0:
                return start + position
            if end == stop:
                break
            start = end - len(wanted) + 1
        return -1

    def skip_zeros(self, position: int) -> int:
        """The first position from another one on that holds no zero byte.

        Args:
            position: where to begin.
        """
        while block := self[position : position + 4096]:
            rest = block.lstrip(b"\0")
            position += len(block) - len(rest)
            if rest:
                break
        return position

    def check_unchanged(self) -> None:
        """Refuses what was written to while it was read.

        Raises:
            BrokenAudio: the file's length or time of modification changed.
        """
        if self._status and self._status() != self._opened_as:
            raise BrokenAudio(
                "it was written to while it was read: read it again when it is complete"
            )

    def close(self) -> None:
        """Closes the file."""
        if self._file is not None:
            self._file.close()

    def _fill(self, start: int, stop: int) -> None:
        if self._file is None:
            return
        try:
            self._file.seek(start)
            window = self._file.read(stop - start)
        except (OSError, tf.errors.OpError) as error:
            raise _unreadable(error) from error
        self._start, self._window = start, window
        if len(window) < stop - start:
            raise BrokenAudio("it became shorter while it was read")


def open_content(path: str) -> Content:
    """Opens a regular file.

    Args:
        path: local, or anything that `tf.io.gfile` reads.

    Raises:
        BrokenAudio: a folder, pipe or device, or it cannot be opened.
    """
    try:
        if "://" in path:
            file = tf.io.gfile.GFile(path, "rb")
            return Content(file, file.size())
        # opening a pipe waits for its writer, for ever
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise BrokenAudio("it is not a regular file")
        file = open(path, "rb", buffering=0)
    except (tf.errors.OpError, OSError, ValueError) as error:
        raise _unreadable(error) from error

    def status():
        status = os.fstat(file.fileno())
        return status.st_size, status.st_mtime_ns

    try:
        return Content(file, status()[0], status)
    except BaseException:
        file.close()
        raise


def _unreadable(error: Exception) -> BrokenAudio:
    if isinstance(error, BrokenAudio):
        return error
    return BrokenAudio(f"it cannot be read ({error})")


Piece = tuple[Content, int, int]  # content, start, stop


class Joined(io.RawIOBase):
    """Pieces of content, one after the other, as one binary file.

    Args:
        pieces: a `Piece` each.

    Attributes:
        fault: what went wrong in reading. libsndfile reads through callbacks,
            out of which no exception comes.
    """

    def __init__(self, pieces: list[Piece]):
        self.fault = None
        self._pieces = [piece for piece in pieces if piece[1] < piece[2]]
        lengths = [stop - start for _, start, stop in self._pieces]
        self._starts = [0, *itertools.accumulate(lengths)]
        self._position = 0

    def seekable(self) -> bool:
        """Whether it can be read in any order."""
        return True

    def readable(self) -> bool:
        """Whether it can be read."""
        return True

    def tell(self) -> int:
        """Where the next byte comes from."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Moves as files do, but never to before the start.

        Args:
            offset: bytes.
            whence: `io.SEEK_SET`, `io.SEEK_CUR` or `io.SEEK_END`.

        Returns:
            the new position.
        """
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position}.get(
            whence, self._starts[-1]
        )
        self._position = max(0, origin + offset)
        return self._position

    def readinto(self, buffer) -> int:
        """Fills a buffer as far as there are bytes.

        Args:
            buffer: writable.

        Returns:
            number of bytes.
        """
        filled = 0
        try:
            while filled < len(buffer) and self._position < self._starts[-1]:
                number = bisect_right(self._starts, self._position) - 1
                content, start, stop = self._pieces[number]
                start += self._position - self._starts[number]
                block = content[start : min(stop, start + len(buffer) - filled)]
                buffer[filled : filled + len(block)] = block
                filled += len(block)
                self._position += len(block)
        except BrokenAudio as error:
            self.fault = error
        return filled


def open_pieces(pieces: list[Piece]):
    """Pieces as one binary file: in memory where they are held and not large.

    Args:
        pieces: a `Piece` each.
    """
    size = sum(stop - start for _, start, stop in pieces)
    if size > WHOLE_BYTES or not all(content.is_held for content, _, _ in pieces):
        return Joined(pieces)
    return io.BytesIO(b"".join(content[start:stop] for content, start, stop in pieces))


def in_memory(content: bytes) -> Piece:
    """A `Piece` of bytes that are in memory.

    Args:
        content: all of them.
    """
    return Content.of_bytes(content), 0, len(content)


class Sequential(soundfile.SoundFile):
    """A file that is read once from its start.

    soundfile seeks after every read, which fails in a FLAC stream of unknown
    length.

    Args:
        source: binary file; not closed.

    Attributes:
        source: see above.
    """

    def __init__(self, source):
        self.source = source
        super().__init__(source)

    def seekable(self) -> bool:
        """Always False."""
        return False
