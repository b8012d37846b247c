"""Atomic files and folders: a temporary name first, then a rename."""

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator

import tensorflow as tf


def write_text(path: str, text: str) -> None:
    """Replaces the file at `path` with `text`, or leaves it as it was."""
    temporary = f"{path}.{uuid.uuid4().hex[:8]}.tmp"
    try:
        with tf.io.gfile.GFile(temporary, "w") as file:
            file.write(text)
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
        if os.path.lexists(path):
            os.rename(path, old)
        os.rename(temporary, path)
    finally:
        if os.path.lexists(old) and not os.path.lexists(path):
            os.rename(old, path)
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
