"""From the untouched folder of a data set to a task that the probe reads.

OUTPUT gets NAME.csv (file_name, label, split or fold), NAME.task.json with the
facts about it, and the audio: links to the originals, or copies at another
sampling rate.
"""

import collections
import dataclasses
import json
import os
import shutil
import wave
from collections.abc import Sequence

from byola_tf import audio, files, parallel
from byola_tf.corpus import recording
from byola_tf.corpus.metadata_table import SPLITS
from byola_tf.errors import UserError
from byola_tf.progress import Progress, no_progress
from train_lib.pages import text
from train_lib.probe.tasks import presets
from train_lib.probe.tasks import table as task_table
from train_lib.probe.tasks.presets import own_data
from train_lib.probe.tasks.presets.preset import (
    ListedClip,
    Listing,
    Preset,
    check_each_once,
)


def prepare(
    task: str,
    source: str,
    output: str,
    *,
    partial: bool = False,
    split: str | None = None,
    sample_rate: int | None = None,
    num_workers: int | None = None,
    progress: Progress = no_progress,
) -> dict:
    """Makes a task's folder; replaces one that an earlier call made.

    Args:
        task: see `presets.find`.
        source: the data set's folder.
        output: folder to write, absent, empty or of an earlier call.
        partial: whether an incomplete copy of the data set will do.
        split: file (for GTZAN: folder) with the division into parts, where
            that is somebody's own.
        sample_rate: of copies to make, Hz; links to the originals when None.
        num_workers: threads that make copies; the number of cores when None.
        progress: see `byola_tf.progress`.

    Returns:
        the facts, as in NAME.task.json.

    Raises:
        UserError: the folder is not that of the data set, or not complete.
    """
    if not os.path.isdir(source):
        raise UserError(
            "`source` must be the folder of the data set. Received: "
            f"{source!r}, which is not a folder. Check the path."
        )
    _check_output(output, source)
    preset = presets.find(task, source)
    if split and not preset.takes_split:
        raise UserError(
            f"`split` must be left out for {preset.name}, whose division comes with "
            f"the data set. Received: {split!r}."
        )
    listing = preset.read(source, split)
    check_each_once(preset.title, listing.clips)
    found = Inventory.of(preset, listing)
    _check_complete(preset, listing, found, partial)
    present = dataclasses.replace(listing, clips=found.present)
    facts = _facts(preset, listing, found) | {
        "source": os.path.abspath(source),
        "unit_seconds": preset.unit_seconds or own_data.median_seconds(present),
        "learning_rate": preset.learning_rate,
        "sample_rate": sample_rate,
    }
    with files.replacing_folder(output) as folder:
        names = _place(present, folder, sample_rate, num_workers, progress)
        _write_table(os.path.join(folder, f"{preset.name}.csv"), present, names)
        with open(
            os.path.join(folder, preset.name + task_table.FACTS_SUFFIX), "w"
        ) as file:
            json.dump(facts, file, indent=2)
            file.write("\n")
    return facts


def _check_output(output: str, source: str) -> None:
    """Raises UserError if writing to `output` could destroy anything."""
    inner, outer = os.path.realpath(output), os.path.realpath(source)
    if os.path.commonpath([inner, outer]) in (inner, outer):
        raise UserError(
            "`output` must lie outside of the source folder, and not around it. "
            f"Received: {output!r} for {source!r}. Choose another folder."
        )
    try:
        names = os.listdir(output)
    except FileNotFoundError:
        return
    except OSError as error:
        raise UserError(
            f"`output` must be a folder. Received: {output!r} ({error}). Choose "
            "another."
        ) from error
    tables = [name for name in names if name.endswith(".csv")]
    if names and not any(
        task_table.read_facts(os.path.join(output, table)) for table in tables
    ):
        raise UserError(
            "`output` must be a new or empty folder, or one that this command made: "
            f"it is replaced. Received: {output!r}, with {min(names)!r} in it. "
            "Choose another."
        )


@dataclasses.dataclass(frozen=True)
class Inventory:
    """Which clips of a listing are there.

    Attributes:
        present: clips with a file.
        absent: paths of the others, sorted.
        counts: number of present clips by part.
        expected: number that there should be, by part or {"total": clips};
            empty where it is not known.
    """

    present: list[ListedClip]
    absent: list[str]
    counts: dict[str, int]
    expected: dict[str, int]

    @classmethod
    def of(cls, preset: Preset, listing: Listing) -> "Inventory":
        """Looks for the files of a listing."""
        is_there = {
            clip.path: os.path.isfile(os.path.join(listing.root, clip.path))
            for clip in listing.clips
        }
        present = [clip for clip in listing.clips if is_there[clip.path]]
        counts = collections.Counter(clip.part for clip in present)
        expected = dict(preset.counts)
        if expected and not listing.published:  # the parts are others
            expected = {"total": sum(expected.values())}
        return cls(
            present=present,
            absent=sorted(path for path, found in is_there.items() if not found),
            counts={part: counts[part] for part in _in_order(counts)},
            expected=expected,
        )

    @property
    def shortages(self) -> list[str]:
        """What is not complete, e.g. "8,730 of 8,732"; empty where all is there."""
        found = {**self.counts, "total": len(self.present)}
        wrong = [
            f"{found.get(part, 0):,} of {number:,} {part}".removesuffix(" total")
            for part, number in self.expected.items()
            if found.get(part, 0) != number
        ]
        if self.absent and not wrong:
            total = len(self.present) + len(self.absent)
            wrong = [f"{len(self.present):,} of {total:,}"]
        return wrong

    @property
    def missing(self) -> str:
        """The end of a sentence that names the first absent files; or ""."""
        if not self.absent:
            return ""
        named = ", ".join(map(repr, self.absent[:3]))
        return f"; {len(self.absent):,} listed files are missing, such as {named}"


def _check_complete(
    preset: Preset, listing: Listing, found: Inventory, partial: bool
) -> None:
    """Raises UserError if clips are missing and may not, or all are."""
    if not found.present:
        raise UserError(
            f"`source` must hold clips of {preset.name}. Received: none in "
            f"{listing.root!r}{found.missing}. Check the path and the download."
        )
    if found.shortages and not partial:
        raise UserError(
            f"{preset.title}: all clips must be there. Received: "
            f"{', '.join(found.shortages)} clips in {listing.root!r}{found.missing}. "
            "Complete the download, or pass --partial to go on with these: every "
            "result will say so."
        )


def _facts(preset: Preset, listing: Listing, found: Inventory) -> dict:
    """What a reader of results has to know about the task."""
    return {
        "format": task_table.FACTS_FORMAT,
        "task": preset.name,
        "title": preset.title,
        "metric": _metric(preset, found.present),
        "split": listing.split,
        "notes": list(listing.notes),
        "partial": bool(found.shortages),
        "counts": found.counts,
        "expected_counts": found.expected,
        "num_classes": len(_classes(preset, found.present)),
        "expected_num_classes": preset.num_classes or None,
        "missing": {"count": len(found.absent), "first": found.absent[:3]},
        "absent_classes": {part: list(names) for part, names in preset.absent.items()},
    }


def _metric(preset: Preset, clips: Sequence[ListedClip]) -> str:
    if task_table.is_multi_label(clip.label for clip in clips):
        return "mAP"
    return preset.metric


def _classes(preset: Preset, clips: Sequence[ListedClip]) -> set[str]:
    if _metric(preset, clips) == "mAP":
        return {name for clip in clips for name in task_table.split_label(clip.label)}
    return {clip.label for clip in clips}


def _in_order(parts) -> list[str]:
    """Splits in their order, folds as numbers."""
    if set(parts) <= set(SPLITS):
        return [part for part in SPLITS if part in parts]
    return sorted(parts, key=lambda part: (len(part), part))


def _place(listing, folder, sample_rate, num_workers, progress) -> list[str]:
    """Links or copies the clips' files; returns their names in `folder`."""
    clips = listing.clips
    names = [clip.path for clip in clips]
    if sample_rate:
        names = _wav_names(names)
    for parent in {os.path.dirname(name) for name in names}:
        os.makedirs(os.path.join(folder, parent), exist_ok=True)
    pairs = [
        (os.path.join(listing.root, clip.path), os.path.join(folder, name))
        for clip, name in zip(clips, names, strict=True)
    ]
    if sample_rate:
        placed = parallel.in_order(
            lambda pair: _copy(*pair, sample_rate), pairs, num_workers or os.cpu_count()
        )
        doing = f"copying at {sample_rate} Hz"
    else:
        placed = (_link(*pair) for pair in pairs)
        doing = "linking"
    for _ in progress(placed, len(pairs), doing):
        pass
    return names


def _wav_names(names: Sequence[str]) -> list[str]:
    """Names of WAV copies; a second file of that stem keeps its own suffix too."""
    taken, renamed = set(), []
    for name in names:
        copy = os.path.splitext(name)[0] + ".wav"
        if copy in taken:
            copy = f"{name}.wav"
        taken.add(copy)
        renamed.append(copy)
    return renamed


def _link(original: str, link: str) -> None:
    """A symbolic link, else a hard link, else a copy."""
    original = os.path.abspath(original)
    for make in (os.symlink, os.link, shutil.copyfile):
        try:
            make(original, link)
            return
        except OSError as error:
            reason = error  # e.g. no right to link, or another file system
    raise UserError(
        f"Files must be linked or copied to the output. Received: {reason} for "
        f"{original!r}. Free some space, or choose another --output."
    ) from reason


def _copy(original: str, copy: str, sample_rate: int) -> None:
    """A 16-bit copy; what does not decode is linked, so that the probe lists it."""
    try:
        # libsndfile takes no name that is not UTF-8, and no full disk
        with open(copy, "wb") as opened, wave.open(opened, "wb") as file:
            file.setparams((1, 2, sample_rate, 0, "NONE", ""))
            for part in recording.samples(original, sample_rate, audio.MAX_HOURS):
                file.writeframes(part.astype("<i2").tobytes())
    except audio.AudioError:
        os.remove(copy)
        _link(original, copy)
    except OSError as error:
        raise UserError(
            f"Copies must fit into the output. Received: {error} for {copy!r}. Free "
            "some space, or choose another --output."
        ) from error


def _write_table(path: str, listing: Listing, names: Sequence[str]) -> None:
    rows = [("file_name", "label", listing.column)]
    rows += [
        (name, clip.label, clip.part)
        for name, clip in zip(names, listing.clips, strict=True)
    ]
    table = "".join(map(text.csv_line, rows))
    # names are bytes, which need not be UTF-8
    files.write_bytes(path, table.encode("utf-8", "surrogateescape"))
