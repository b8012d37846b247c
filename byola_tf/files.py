"""Files and folders: replaced as a whole or not at all; recognised when unchanged."""

import contextlib
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator

import tensorflow as tf


def write_text(path: str, text: str) -> None:
    """Replaces the file at `path` with `text`, or leaves it as it was."""
    _write(path, text, "w")


def write_bytes(path: str, content: bytes) -> None:
    """Replaces the file at `path` with `content`, or leaves it as it was."""
    _write(path, content, "wb")


def _write(path: str, content: str | bytes, mode: str) -> None:
    temporary = f"{path}.{uuid.uuid4().hex[:8]}.tmp"
    try:
        with tf.io.gfile.GFile(temporary, mode) as file:
            file.write(content)
        tf.io.gfile.rename(temporary, path, overwrite=True)
    finally:
        if tf.io.gfile.exists(temporary):
            tf.io.gfile.remove(temporary)


@contextlib.contextmanager
def replacing_folder(path: str) -> Iterator[str]:
    """Yields a temporary folder that takes the place of `path` on success.

    The old folder stays whole until the new one is complete; after an
    exception it is untouched and the temporary one is gone.

    Args:
        path: a local folder, existing or not.
    """
    path = os.path.abspath(path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    suffix = uuid.uuid4().hex[:8]
    temporary, old = f"{path}.{suffix}.tmp", f"{path}.{suffix}.old"
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


def _flush(folder: str) -> None:
    """Brings every file of a folder to disk, so that a rename cannot outrun it."""
    for parent, _, names in os.walk(folder):
        for path in (os.path.join(parent, name) for name in names):
            if os.path.islink(path):  # what it leads to is somebody else's
                continue
            with open(path, "rb") as file:
                os.fsync(file.fileno())
        _flush_folder(parent)


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
        try:
            status = tf.io.gfile.stat(path)
            version = f"{status.length} {status.mtime_nsec}"
        except tf.errors.OpError:
            version = "absent"  # whoever reads it will say so
        digest.update(f"{path} {version}\n".encode())
    return digest.hexdigest()[:16]


def canonical(path: str) -> str:
    """The absolute form of a local path; a path with a scheme as it is."""
    return path if "://" in path else os.path.abspath(path)
