"""Environmental sounds: ESC-50, ESC-10, UrbanSound8K, FSD50K, AudioSet-20K."""

import csv
import os

from byola_tf.errors import UserError
from train_lib.probe.tasks.presets import own_data
from train_lib.probe.tasks.presets.fsd50k_subsets import SUBSETS
from train_lib.probe.tasks.presets.preset import (
    ListedClip,
    Listing,
    Preset,
    audio_below,
    locate,
    read_lines,
    read_table,
)


def _esc(source: str, only_esc10: bool) -> Listing:
    """`audio/` and `meta/esc50.csv`, as in ESC-50-master."""
    root = locate(source, "meta/esc50.csv", title="ESC-50")
    columns = ("filename", "fold", "category", "esc10")
    rows = read_table(os.path.join(root, "meta", "esc50.csv"), columns)
    clips = [
        ListedClip(f"audio/{row['filename']}", row["category"], row["fold"])
        for row in rows
        if not only_esc10 or row["esc10"].lower() == "true"
    ]
    return Listing(root, "fold", clips, "the 5 published folds")


def _esc50(source: str, split: str | None) -> Listing:
    return _esc(source, only_esc10=False)


def _esc10(source: str, split: str | None) -> Listing:
    """A folder with esc10.csv, or the part of ESC-50 that is marked as ESC-10."""
    if os.path.exists(os.path.join(source, "esc10.csv")):
        listing = own_data.read_metadata(os.path.join(source, "esc10.csv"), source)
        return Listing(source, listing.column, listing.clips, "the 5 published folds")
    return _esc(source, only_esc10=True)


def _us8k(source: str, split: str | None) -> Listing:
    root = locate(source, "metadata/UrbanSound8K.csv", title="UrbanSound8K")
    rows = read_table(
        os.path.join(root, "metadata", "UrbanSound8K.csv"),
        ("slice_file_name", "fold", "class"),
    )
    clips = [
        ListedClip(
            f"audio/fold{row['fold']}/{row['slice_file_name']}",
            row["class"],
            row["fold"],
        )
        for row in rows
    ]
    return Listing(root, "fold", clips, "the 10 published folds")


def _fsd50k(source: str, split: str | None) -> Listing:
    """Labels are the published ones, with all parents in the ontology."""
    root = locate(source, "FSD50K.ground_truth/dev.csv", title="FSD50K")
    tables = os.path.join(root, "FSD50K.ground_truth")
    parts = {"train": "train", "val": "valid"}
    clips = [
        ListedClip(
            f"FSD50K.dev_audio/{row['fname']}.wav", row["labels"], parts[row["split"]]
        )
        for row in read_table(
            os.path.join(tables, "dev.csv"), ("fname", "labels", "split")
        )
        if row["split"] in parts
    ]
    clips += [
        ListedClip(f"FSD50K.eval_audio/{row['fname']}.wav", row["labels"], "test")
        for row in read_table(os.path.join(tables, "eval.csv"), ("fname", "labels"))
    ]
    return Listing(root, "split", clips, "the published split")


def _as20k(source: str, split: str | None) -> Listing:
    """The clips on disk that the official lists of segments name."""
    root = locate(source, "balanced_train_segments", title="AudioSet")
    clips, notes = [], []
    for name, part in (("balanced_train", "train"), ("eval", "test")):
        folder = f"{name}_segments"
        tables = (f"{folder}.csv", f"csv/{folder}.csv")
        table = locate(root, *tables, title="AudioSet")
        path = next(
            path
            for path in (os.path.join(table, table_name) for table_name in tables)
            if os.path.exists(path)
        )
        labels = _segment_labels(path)
        paths = audio_below(root, folder)
        known = [(file, labels.get(_video_id(file, labels))) for file in paths]
        clips += [ListedClip(file, label, part) for file, label in known if label]
        strangers = sum(label is None for _, label in known)
        notes.append(
            f"{part}: {len(known) - strangers} clips on disk of {len(labels)} listed"
            + f", {strangers} files that are not listed left out" * bool(strangers)
        )
    return Listing(root, "split", clips, "balanced train and eval", notes=tuple(notes))


def _segment_labels(path: str) -> dict[str, str]:
    """YouTube id to the comma-separated labels of an official list of segments."""
    lines = [line for line in read_lines(path) if not line.startswith("#")]
    rows = list(csv.reader(lines, skipinitialspace=True))
    if odd := [line for line, row in zip(lines, rows, strict=True) if len(row) != 4]:
        raise UserError(
            "A row of AudioSet's lists must have 4 fields: YTID, start_seconds, "
            f"end_seconds, positive_labels. Received: {odd[0]!r} and {len(odd) - 1} "
            f"more that have not, in {path!r}. Download it again."
        )
    return {row[0]: row[3] for row in rows}


def _video_id(path: str, labels: dict[str, str]) -> str:
    """The first 11 characters of the name, or those after a leading Y."""
    stem = os.path.basename(path)
    return stem[1:12] if stem[0] == "Y" and stem[1:12] in labels else stem[:11]


ESC50 = Preset(
    "esc50",
    "ESC-50, environmental sounds",
    _esc50,
    {"total": 2000},
    50,
    unit_seconds=5.0,
    learning_rate=1e-3,
)
ESC10 = Preset(
    "esc10",
    "ESC-10, environmental sounds",
    _esc10,
    {"total": 400},
    10,
    unit_seconds=5.0,
)
US8K = Preset(
    "us8k",
    "UrbanSound8K, urban sounds",
    _us8k,
    {"total": 8732},
    10,
    unit_seconds=4.0,
    learning_rate=3e-5,
)
FSD50K = Preset(
    "fsd50k",
    "FSD50K, sound events",
    _fsd50k,
    {"train": 36796, "valid": 4170, "test": 10231},
    200,
    unit_seconds=7.6358,
    learning_rate=3e-4,
    metric="mAP",
    subsets=SUBSETS,
)
AS20K = Preset(
    "as20k",
    "AudioSet-20K, sound events",
    _as20k,
    {},
    527,
    unit_seconds=10.0,
    metric="mAP",
)
PRESETS = (ESC50, ESC10, US8K, FSD50K, AS20K)
