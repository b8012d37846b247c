"""The audio files of a folder with their labels."""

import dataclasses
import logging
import os

import tensorflow as tf

from byola_tf import audio, files
from byola_tf.corpus import exclusion, metadata_table
from byola_tf.corpus.file_names import FileNames

logger = logging.getLogger(__name__)


@dataclasses.dataclass
class Recordings:
    """Audio files below one folder.

    Attributes:
        root: folder that the paths are relative to.
        paths: sorted.
        labels: path -> label, of any of the paths.
        left_out: a sentence about files of other endings, or "".
    """

    root: str
    paths: list[str]
    labels: dict[str, str] = dataclasses.field(default_factory=dict)
    left_out: str = ""

    def locations(self) -> list[str]:
        """Where the files lie."""
        return [os.path.join(self.root, path) for path in self.paths]


def find(pattern: str, exclude: str = "") -> Recordings:
    """Lists the audio files of a folder or glob, in the order of training.

    Args:
        pattern: see `audio.find`.
        exclude: list of paths to leave out; see `exclusion.kept`.

    Raises:
        UserError: there is none.
    """
    listed = audio.find(pattern)
    found = [files.canonical(path) for path in listed.paths]
    found = [found[index] for index in exclusion.kept(found, exclude)]
    if tf.io.gfile.isdir(pattern):
        root = files.canonical(pattern)
    else:
        root = os.path.dirname(os.path.commonprefix(found))
    root = root.rstrip("/") or "/"
    paths = [path[len(root) :].lstrip("/") for path in found]
    return Recordings(root, paths, left_out=listed.left_out)


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
        UserError: it cannot be read, lacks a column, or two rows are of the
            same file.
    """
    table = metadata_table.read(metadata, ("file_name", "label"))
    metadata_table.check_named(table)
    known = FileNames(recordings.paths)
    found = [known.find(row["file_name"]) for row in table.rows]
    names = [row["file_name"] for row in table.rows]
    metadata_table.check_unique(
        table, [path or name for path, name in zip(found, names, strict=True)]
    )
    labels = {
        path: row["label"].strip()
        for path, row in zip(found, table.rows, strict=True)
        if path is not None
    }
    unlabelled = set(recordings.paths) - set(labels)
    unmatched = {n for n, path in zip(names, found, strict=True) if path is None}
    if unlabelled or unmatched:
        logger.warning(
            "%s: %d files have no row (e.g. %s), %d rows have no file (e.g. %s).",
            metadata,
            len(unlabelled),
            min(unlabelled, default="-"),
            len(unmatched),
            min(unmatched, default="-"),
        )
    return labels
