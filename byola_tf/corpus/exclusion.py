"""The list of recordings that a corpus leaves out."""

import codecs
import logging
import os

import numpy as np
import tensorflow as tf

from byola_tf import files
from byola_tf.errors import UserError

_LISTED = 5

logger = logging.getLogger(__name__)


def kept(paths: list[str], exclude: str) -> np.ndarray:
    """Finds the recordings that a list does not name.

    Args:
        paths: the recordings.
        exclude: text file with one path per line, as in `paths` or absolute;
            lines that start with # are comments; "" for none.

    Returns:
        int64 [≤ len(paths)], ascending indices into `paths`.

    Raises:
        UserError: `exclude` is not a readable text file.
    """
    if not exclude:
        return np.arange(len(paths))
    excluded = {files.canonical(line): line for line in _lines(exclude)}
    indices = [i for i, p in enumerate(paths) if files.canonical(p) not in excluded]
    unmatched = set(excluded) - {files.canonical(path) for path in paths}
    logger.info("%s leaves out %d files.", exclude, len(paths) - len(indices))
    if unmatched:
        examples = sorted(excluded[path] for path in unmatched)[:_LISTED]
        logger.warning(
            "%d of its entries match no file: %s.", len(unmatched), ", ".join(examples)
        )
    return np.array(indices, np.int64)


def _lines(path: str) -> list[str]:
    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            # names of files need not be UTF-8
            lines = os.fsdecode(file.read().removeprefix(codecs.BOM_UTF8)).split("\n")
    except (tf.errors.OpError, UnicodeError) as error:
        raise UserError(
            "`--config.data.exclude` must be a text file with one path per line. "
            f"Received: {path!r}, which cannot be read ({error})."
        ) from error
    lines = [line.removesuffix("\r") for line in lines]
    return [line for line in lines if line.strip() and not line.startswith("#")]
