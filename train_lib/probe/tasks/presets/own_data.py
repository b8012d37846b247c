"""Tasks of the user's own: a metadata CSV, or a folder with a sub-folder a class."""

import functools
import os

from byola_tf.corpus import metadata_table
from byola_tf.corpus.file_names import FilesBelow
from byola_tf.errors import UserError
from train_lib.probe.tasks import table
from train_lib.probe.tasks.presets.preset import ListedClip, Listing, Preset


def from_metadata(path: str) -> Preset:
    """The task of a metadata CSV, whose file names are relative to the source."""

    def read(source: str, split: str | None) -> Listing:
        return read_metadata(path, source)

    return _preset(os.path.splitext(os.path.basename(path))[0], "a CSV", path, read)


def from_folder(name: str, source: str) -> Preset:
    """The task of a folder, whose sub-folders are the classes."""
    return _preset(name, "a folder with a sub-folder a class", source, _read_folder)


def _preset(name, kind, path, read) -> Preset:
    return Preset(
        name=name,
        title=f"{kind}: {path}",
        read=read,
        counts={},
        num_classes=0,
        unit_seconds=None,
    )


def read_metadata(path: str, source: str) -> Listing:
    """The rows of a metadata CSV, named as on disk; see `table.read_rows`.

    Args:
        path: the CSV.
        source: folder that its file names are relative to.

    Raises:
        UserError: the CSV cannot be read or makes no task, or a file lies outside
            of `source`.
    """
    found, column = table.read_rows(path)
    below = FilesBelow(source)
    clips = []
    for row in found.rows:
        name = row["file_name"]
        if os.path.isabs(name) or ".." in name.replace(os.sep, "/").split("/"):
            raise UserError(
                "`file_name` must lie below the source folder. Received: "
                f"{name!r} in {path!r}. Use the folder above as --source."
            )
        name = os.path.normpath(below.find(name) or name).replace(os.sep, "/")
        clips.append(ListedClip(name, row["label"].strip(), row[column]))
    metadata_table.check_unique(found, [clip.path for clip in clips])
    return Listing(source, column, clips, f"as in {os.path.basename(path)}")


def _read_folder(source: str, split: str | None) -> Listing:
    from train_lib.probe.tasks import labelled_folder

    found = labelled_folder.read(source, flag="source")
    column, rows = labelled_folder.divide(found)
    clips = [ListedClip(name.replace(os.sep, "/"), *rest) for name, *rest in rows]
    if column == "fold":
        note = "5 stratified folds, seed 0"
    else:
        note = "stratified 60/15/25, seed 0"
    return Listing(source, column, clips, note, notes=found.notes)


def median_seconds(listing: Listing) -> float:
    """Median duration of a listing's clips, within 0.25 to 10 s."""
    from train_lib.probe.tasks import labelled_folder

    join = functools.partial(os.path.join, listing.root)
    paths = [join(clip.path) for clip in listing.clips]
    return labelled_folder.median_seconds(paths, "source")
