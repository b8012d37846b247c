"""The audio files of a folder with their labels."""

import csv
import dataclasses
import logging
import os

import tensorflow as tf

from byola_tf import audio, files
from byola_tf.corpus import exclusion
from byola_tf.errors import UserError

logger = logging.getLogger(__name__)


@dataclasses.dataclass
class Recordings:
    """Audio files below one folder.

    Attributes:
        root: folder that the paths are relative to.
        paths: sorted.
        labels: path -> label, of any of the paths.
    """

    root: str
    paths: list[str]
    labels: dict[str, str] = dataclasses.field(default_factory=dict)

    def locations(self) -> list[str]:
        """Where the files lie."""
        return [os.path.join(self.root, path) for path in self.paths]


def find(pattern: str, exclude: str = "") -> Recordings:
    """Lists the audio files of a folder or glob, in the order of training.

    Args:
        pattern: see `audio.find_files`.
        exclude: list of paths to leave out; see `exclusion.kept`.

    Raises:
        UserError: there is none.
    """
    found = [files.canonical(path) for path in audio.find_files(pattern)]
    found = [found[index] for index in exclusion.kept(found, exclude)]
    if tf.io.gfile.isdir(pattern):
        root = files.canonical(pattern)
    else:
        root = os.path.dirname(os.path.commonprefix(found))
    root = root.rstrip("/") or "/"
    return Recordings(root, [path[len(root) :].lstrip("/") for path in found])


def folder_labels(recordings: Recordings) -> dict[str, str]:
    """Labels each file with the name of the folder that it lies in."""
    folders = {path: os.path.dirname(path) for path in recordings.paths}
    return {path: os.path.basename(folder) for path, folder in folders.items()}


def table_labels(recordings: Recordings, metadata: str) -> dict[str, str]:
    """Reads labels from a table.

    Args:
        recordings: `Recordings`.
        metadata: CSV with the columns `file_name` (relative to the audio folder)
            and `label`.

    Raises:
        UserError: it cannot be read or lacks a column.
    """
    try:
        with tf.io.gfile.GFile(metadata) as file:
            reader = csv.DictReader(file.read().splitlines())
        missing = {"file_name", "label"} - set(reader.fieldnames or ())
        if missing:
            raise KeyError(min(missing))
        labels = {row["file_name"]: row["label"] or "" for row in reader}
    except (tf.errors.OpError, UnicodeDecodeError, csv.Error, KeyError) as error:
        raise UserError(
            "`--metadata` must be a CSV file with the columns `file_name` and "
            f"`label`. Received: {metadata!r} ({error!r})."
        ) from error
    paths = set(recordings.paths)
    unlabelled, unmatched = paths - set(labels), set(labels) - paths
    if unlabelled or unmatched:
        logger.warning(
            "%s: %d files have no row (e.g. %s), %d rows have no file (e.g. %s).",
            metadata,
            len(unlabelled),
            min(unlabelled, default="-"),
            len(unmatched),
            min(unmatched, default="-"),
        )
    return {path: labels[path] for path in recordings.paths if path in labels}
