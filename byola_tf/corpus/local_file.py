"""Local files that are read by offset, by several threads, few of them open.

They are not mapped into memory: a map of a file that another process cuts short ends
this one without a word (SIGBUS), and some mounts have no shared maps.
"""

import contextlib
import errno
import functools
import os
import threading
from collections.abc import Callable

_MOST_OPEN = 256
_LEAST_OPEN = 4


class LocalFile:
    """A file open for reading; closed with its last reference.

    Args:
        path: the file.

    Attributes:
        size: its length when it was opened, bytes.
    """

    def __init__(self, path: str):
        self._descriptor = -1
        self._descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self.size = os.fstat(self._descriptor).st_size
        self._position = threading.Lock()

    def read_into(self, buffer, offset: int) -> None:
        """Fills a buffer with the bytes from `offset` on.

        Args:
            buffer: contiguous and writable, e.g. an array.
            offset: in the file, bytes.

        Raises:
            OSError: the file ends before, or cannot be read.
        """
        view = memoryview(buffer).cast("B")
        while view:
            count = self._read_some(view, offset)
            if not count:
                raise OSError(f"it ends before byte {offset + len(view)}")
            view, offset = view[count:], offset + count

    def _read_some(self, view: memoryview, offset: int) -> int:
        if hasattr(os, "preadv"):
            return os.preadv(self._descriptor, [view], offset)
        with self._position:
            os.lseek(self._descriptor, offset, os.SEEK_SET)
            content = os.read(self._descriptor, len(view))
        view[: len(content)] = content
        return len(content)

    def will_need(self, offset: int, count: int) -> None:
        """Starts to read a span into the page cache, where the system can."""
        if hasattr(os, "posix_fadvise"):
            with contextlib.suppress(OSError):  # advice alone
                os.posix_fadvise(
                    self._descriptor, offset, count, os.POSIX_FADV_WILLNEED
                )

    def __del__(self):
        if self._descriptor >= 0:
            os.close(self._descriptor)


def keep_open(open_file: Callable) -> Callable:
    """Keeps what a function opens, as many files as the process may have open.

    Args:
        open_file: function of hashable arguments that returns an open file, which
            closes with its last reference.
    """
    kept = functools.lru_cache(_most_open())(open_file)

    def opened(*arguments):
        try:
            return kept(*arguments)
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
        kept.cache_clear()  # others than this cache hold many too
        return kept(*arguments)

    return opened


def _most_open() -> int:
    """A quarter of what the system allows: TensorFlow and threads hold some too."""
    try:
        import resource
    except ImportError:  # Windows
        return _MOST_OPEN
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed == resource.RLIM_INFINITY:
        return _MOST_OPEN
    return min(_MOST_OPEN, max(_LEAST_OPEN, allowed // 4))
