"""Standard streams that cannot stop the work.

A run prints to a pipe whose reader may leave (`... | head`), to a log on a disk
that fills up, to a terminal that is closed, or to nothing at all (`2>&-`).
Telling is not part of the work, so a failed write is remembered and no more.
"""

import contextlib
import errno
import os
import sys
from collections.abc import Iterator

# Faults that may pass; a reader that has gone does not come back.
_PASSING = (errno.ENOSPC, errno.EDQUOT, errno.EAGAIN, errno.EINTR)


class Forgiving:
    """A text stream whose writes never raise for faults of the system.

    Everything else (`fileno`, `isatty`, `encoding`, ...) is the wrapped stream's.

    Args:
        stream: text stream to write to.

    Attributes:
        error: the first `OSError` that lost something, or None.
    """

    def __init__(self, stream):
        self._stream = stream
        self.error = None

    def write(self, text: str) -> int:
        """Writes what can be written; returns the length of `text`."""
        self._attempt(self._stream.write, text)
        return len(text)

    def writelines(self, lines) -> None:
        """Writes each of `lines`."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Hands on what is buffered, where that is possible."""
        self._attempt(self._stream.flush)

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def _attempt(self, call, *arguments) -> None:
        try:
            call(*arguments)
        except OSError as error:
            self.error = self.error or error
            if error.errno not in _PASSING:
                _silence(self._stream)
        except ValueError:  # the file was closed
            self.error = self.error or OSError(errno.EBADF, os.strerror(errno.EBADF))


def forgiving(stream) -> Forgiving:
    """`stream` as a `Forgiving`, wrapped once."""
    return stream if isinstance(stream, Forgiving) else Forgiving(stream)


@contextlib.contextmanager
def forgiving_output() -> Iterator[Forgiving]:
    """Makes `sys.stdout` and `sys.stderr` forgiving; yields the former."""
    _open_missing_descriptors()
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (
        forgiving(open(os.devnull, "w") if stream is None else stream)
        for stream in before
    )
    try:
        yield sys.stdout
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            if getattr(stream, "error", None):
                # or the interpreter complains of the rest at its end
                _silence(stream)
        sys.stdout, sys.stderr = before


def _silence(stream) -> None:
    """Leads a stream's descriptor into nothing, for native code too."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        descriptor = stream.fileno()
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, descriptor)
        os.close(nothing)


def _open_missing_descriptors() -> None:
    """Opens descriptors 0 to 2 where the caller closed them.

    Else the next file that is opened gets the number 2, and what native code
    reports to stderr goes into it.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
