"""Files and folders: replaced as a whole or not at all; recognised when unchanged."""

import contextlib
import hashlib
import os
import re
import shutil
import socket
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator

import psutil

from byola_tf.errors import UserError

_ABANDONED_SECONDS = 3 * 24 * 3600
_TEMPORARY = re.compile(r"\.([^.]+)~(\d+)~[0-9a-f]{8}\.(tmp|old)$")


def write_text(path: str, text: str) -> None:
    """Replaces the file at `path` with `text`, or leaves it as it was."""
    _write(path, text, "w")


def write_bytes(path: str, content: bytes) -> None:
    """Replaces the file at `path` with `content`, or leaves it as it was."""
    _write(path, content, "wb")


def _write(path: str, content: str | bytes, mode: str) -> None:
    if "://" not in path:
        # texts have the same bytes on every system
        encoding, newline = ("utf-8", "") if mode == "w" else (None, None)
        with replacing(path) as temporary:
            with open(temporary, mode, encoding=encoding, newline=newline) as file:
                file.write(content)
        return
    # imported late: what writes local files alone starts without TensorFlow
    import tensorflow as tf

    temporary = _suffixed(path, "tmp")
    try:
        with tf.io.gfile.GFile(temporary, mode) as file:
            file.write(content)
        tf.io.gfile.rename(temporary, path, overwrite=True)
    finally:
        if tf.io.gfile.exists(temporary):
            tf.io.gfile.remove(temporary)


@contextlib.contextmanager
def replacing(path: str) -> Iterator[str]:
    """Yields the name of a temporary file that takes the place of `path` on success.

    After an exception the file at `path` is untouched and the temporary one gone.

    Args:
        path: a local file, existing or not, in an existing folder.
    """
    recover(path)
    temporary = _suffixed(path, "tmp")
    try:
        yield temporary
        _flush_file(temporary)
        os.replace(temporary, path)
    finally:
        if os.path.lexists(temporary):
            os.remove(temporary)


@contextlib.contextmanager
def replacing_folder(path: str) -> Iterator[str]:
    """Yields a temporary folder that takes the place of `path` on success.

    The old folder stays whole until the new one is complete; after an
    exception it is untouched and the temporary one is gone. What a killed
    process left is put right first, see `recover`.

    Args:
        path: a local folder, existing or not.
    """
    path = os.path.abspath(path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    recover(path)
    temporary, old = _suffixed(path, "tmp"), _suffixed(path, "old")
    os.mkdir(temporary)
    try:
        yield temporary
        _flush(temporary)
        if os.path.lexists(path):
            os.rename(path, old)
        os.rename(temporary, path)
        _flush_folder(os.path.dirname(path))
    finally:
        if os.path.lexists(old) and not os.path.lexists(path):
            os.rename(old, path)
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def recover(path: str, is_owner: bool = False) -> None:
    """Puts right what a killed process left beside `path`.

    A whole folder that was about to be replaced (`.old`) gets its name back where
    nothing took it. Temporary files and folders of processes that live no more go.
    Those of another host count as left after three days.

    Args:
        path: the file or folder that `replacing` or `replacing_folder` writes.
        is_owner: whether nobody else can be writing it (see `ownership`): then
            everything beside it is left over, whoever made it.
    """
    path = os.path.abspath(path)
    parent, name = os.path.split(path)
    try:
        siblings = os.listdir(parent)
    except OSError:
        return
    for sibling in sorted(siblings):
        match = _TEMPORARY.search(sibling)
        if not match or sibling[: match.start()] != name:
            continue
        left = os.path.join(parent, sibling)
        if not (is_owner or _is_abandoned(left, match[1], int(match[2]))):
            continue
        if match[3] == "old" and not os.path.lexists(path):
            os.rename(left, path)
        elif os.path.isdir(left) and not os.path.islink(left):
            shutil.rmtree(left, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                os.remove(left)


def require_replaceable(
    path: str, marker: str | Callable[[str], bool], flag: str
) -> None:
    """Refuses to replace a folder that is not an older one of the same kind.

    Args:
        path: the folder that is to be written.
        marker: name of a file that every folder of the kind has, or a function that
            recognises a folder of the kind.
        flag: the option that named `path`, for the message.

    Raises:
        UserError: `path` is a file, or a folder of other things.
    """
    recover(path)
    if not os.path.lexists(path):
        return
    if os.path.isdir(path):
        if not os.listdir(path):
            return
        if callable(marker):
            is_older = marker(path)
        else:
            is_older = os.path.isfile(os.path.join(path, marker))
        if is_older:
            return
    raise UserError(
        f"`{flag}` must be a new folder or an older one of the same kind. Received: "
        f"{path!r}, which holds something else. Choose another name."
    )


@contextlib.contextmanager
def plain_path(path: str) -> Iterator[str]:
    """Yields a name of a folder that TensorFlow does not take for a pattern.

    TensorFlow opens checkpoints and SavedModels by a pattern: a folder called
    `[v2] first` is not found by its own name.

    Args:
        path: of a folder; a local one may hold any characters.
    """
    if "://" in path or not re.search(r"[*?\[\]{}\\]", os.path.abspath(path)):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        link = os.path.join(folder, "folder")
        os.symlink(os.path.abspath(path), link, target_is_directory=True)
        yield link


def _suffixed(path: str, ending: str) -> str:
    """A name beside `path` that says which process made it."""
    host = re.sub(r"[^A-Za-z0-9_-]", "-", socket.gethostname())
    return f"{path}.{host}~{os.getpid()}~{uuid.uuid4().hex[:8]}.{ending}"


def _is_abandoned(path: str, host: str, pid: int) -> bool:
    """Whether no living process writes a temporary file or folder."""
    if _suffixed("", "tmp").split("~")[0] == f".{host}":
        return not psutil.pid_exists(pid)
    with contextlib.suppress(OSError):
        return time.time() - os.path.getmtime(path) > _ABANDONED_SECONDS
    return False


def _flush(folder: str) -> None:
    """Brings every file of a folder to disk, so that a rename cannot outrun it."""
    for parent, _, names in os.walk(folder):
        for path in (os.path.join(parent, name) for name in names):
            if not os.path.islink(path):  # what it leads to is somebody else's
                _flush_file(path)
        _flush_folder(parent)


def _flush_file(path: str) -> None:
    with open(path, "rb+") as file:  # Windows flushes only what is open for writing
        os.fsync(file.fileno())


def _flush_folder(folder: str) -> None:
    if os.name == "nt":  # folders cannot be opened there
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fingerprint(paths: Iterable[str], *settings) -> str:
    """A text that changes when a file or a setting does.

    Args:
        paths: files that `tf.io.gfile` reads; length and time of modification
            stand for their content.
        *settings: numbers and texts.
    """
    digest = hashlib.sha256(f"1 {settings}\n".encode())
    for path in paths:
        line = f"{path} {_version(path)}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))  # any name of a file
    return digest.hexdigest()[:16]


def _version(path: str) -> str:
    """Changes when a file does."""
    if "://" not in path:
        try:
            status = os.stat(path)
        except (OSError, ValueError):
            return "absent"  # reading it will fail in words
        return f"{status.st_size} {status.st_mtime_ns}"
    import tensorflow as tf

    try:
        status = tf.io.gfile.stat(path)
    except tf.errors.OpError:
        return "absent"
    return f"{status.length} {status.mtime_nsec}"


def names_in(folder: str) -> list[str]:
    """Names of what lies in a folder; those of a local one need not be UTF-8.

    Raises:
        OSError, tf.errors.OpError: it cannot be listed.
    """
    if "://" not in folder:
        return os.listdir(folder)
    import tensorflow as tf

    return tf.io.gfile.listdir(folder)


def require_utf8(path: str, flag: str) -> None:
    """Refuses a path that TensorFlow cannot write.

    Args:
        path: local or remote.
        flag: the option that named it, for the message.

    Raises:
        UserError: the path is not UTF-8.
    """
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"{flag} must be a path in UTF-8, since TensorFlow opens no other. "
            f"Received: {path!r}. Rename it."
        ) from error


def canonical(path: str) -> str:
    """The absolute form of a local path; a path with a scheme as it is."""
    return path if "://" in path else os.path.abspath(path)
