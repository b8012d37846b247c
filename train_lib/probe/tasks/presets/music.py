"""Music: GTZAN genres, NSynth instrument families, Surge pitches."""

import json
import os

from byola_tf.corpus import metadata_table
from byola_tf.corpus.metadata_table import SPLITS
from byola_tf.errors import UserError
from train_lib.probe.tasks.presets.preset import (
    ListedClip,
    Listing,
    Preset,
    audio_below,
    checked_part,
    draw_split,
    locate,
    read_lines,
)

_TONE_SUFFIX = "-velocity64"


def _gtzan(source: str, split: str | None) -> Listing:
    """`genres/<genre>/*.wav` (or genres_original) and the fault-filtered lists."""
    root = locate(source, "genres", "genres_original", title="GTZAN")
    genres = next(
        name
        for name in ("genres", "genres_original")
        if os.path.isdir(os.path.join(root, name))
    )
    lists = _gtzan_lists(source, split)
    clips = []
    for part in SPLITS:
        for line in read_lines(os.path.join(lists, f"{part}_filtered.txt")):
            clips.append(ListedClip(f"{genres}/{line}", line.partition("/")[0], part))
    return Listing(root, "split", clips, "the published fault-filtered split")


def _gtzan_lists(source: str, split: str | None) -> str:
    """The folder of the lists: `--split`, or one below the source."""
    if split:
        candidates = [split, os.path.dirname(split)]
    else:
        candidates = [folder for folder, _, _ in os.walk(source)]
    for folder in candidates:
        if os.path.exists(os.path.join(folder, "train_filtered.txt")):
            return folder
    raise UserError(
        "GTZAN's fault-filtered split must be given as the lists train_filtered.txt, "
        f"valid_filtered.txt and test_filtered.txt. Received: {split or source!r} "
        "without them. They are in GTZAN_split of the GitHub repository "
        "jongpillee/music_dataset_split: put that folder beside `genres`, or pass "
        "--split=FOLDER."
    )


def _nsynth(source: str, split: str | None) -> Listing:
    """`nsynth-<part>/examples.json` and `nsynth-<part>/audio/<note>.wav`."""
    root = locate(source, *(f"nsynth-{part}" for part in SPLITS), title="NSynth")
    clips = []
    for part in SPLITS:
        path = os.path.join(root, f"nsynth-{part}", "examples.json")
        try:
            with open(path, encoding="utf-8") as file:
                notes = json.load(file)
            families = {
                note: facts["instrument_family_str"] for note, facts in notes.items()
            }
        except FileNotFoundError:
            continue  # the counts will say so
        except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
            raise UserError(
                "NSynth's examples.json must give an instrument_family_str a note. "
                f"Received: {path!r} ({error!r}). Download it again."
            ) from error
        clips += [
            ListedClip(f"nsynth-{part}/audio/{note}.wav", family, part)
            for note, family in families.items()
        ]
    return Listing(root, "split", clips, "the published split")


def _surge(source: str, split: str | None) -> Listing:
    """`<tone>-velocity64/<pitch>.ogg`, divided by tone."""
    paths = [
        path
        for path in audio_below(source)
        if path.count("/") and path.split("/")[-2].endswith(_TONE_SUFFIX)
    ]
    tones = {path: _tone(path.split("/")[-2]) for path in paths}
    if split:
        parts = _parts_of_tones(split)
        note = f"as in {os.path.basename(split)}"
    else:
        names = set(tones.values())
        num_train = round(len(names) * 1692 / 2084)
        num_valid = round(len(names) * 195 / 2084)
        parts = draw_split(names, num_train, num_valid)
        note = "tones seeded 1692/195/197, seed 0 (not the published split)"
    clips = [
        ListedClip(
            path, os.path.splitext(os.path.basename(path))[0], parts[tones[path]]
        )
        for path in paths
        if tones[path] in parts
    ]
    return Listing(source, "split", clips, note, published=bool(split))


def _parts_of_tones(path: str) -> dict[str, str]:
    """The division of a split file with the column `tone`, or `file_name`.

    Raises:
        UserError: it cannot be read, or puts a tone into two parts.
    """
    keys = ("tone", "file_name")
    table = metadata_table.read(path, ("split",), keys, names=keys)
    key = next(name for name in keys if name in table.columns)
    parts, first, odd = {}, {}, {}
    for line, row in zip(table.lines, table.rows, strict=True):
        tone = _tone(row[key] if key == "tone" else os.path.dirname(row[key]))
        part = checked_part(row["split"], path)
        first.setdefault(tone, line)
        if parts.setdefault(tone, part) != part:
            odd.setdefault(tone, line)
    if odd:
        tone, line = next(iter(odd.items()))
        raise UserError(
            f"A tone must lie in one part. Received: {tone!r} in several on "
            f"{metadata_table.few_lines([first[tone], line])} of {path!r}"
            f"{f', and {len(odd) - 1} more tones' if len(odd) > 1 else ''}. "
            "Correct the rows."
        )
    return parts


def _tone(folder: str) -> str:
    return os.path.basename(folder).removesuffix(_TONE_SUFFIX)


GTZAN = Preset(
    "gtzan",
    "GTZAN, genres",
    _gtzan,
    {"train": 443, "valid": 197, "test": 290},
    10,
    unit_seconds=30.0,
    learning_rate=1e-3,
    takes_split=True,
)
NSYNTH = Preset(
    "nsynth",
    "NSynth, instrument families",
    _nsynth,
    {"train": 289205, "valid": 12678, "test": 4096},
    11,
    unit_seconds=4.0,
    learning_rate=1e-3,
    absent={"valid": ("synth_lead",), "test": ("synth_lead",)},
)
SURGE = Preset(
    "surge",
    "Surge synthesizer, pitches",
    _surge,
    {"train": 148896, "valid": 17160, "test": 17336},
    88,
    unit_seconds=4.0,
    learning_rate=3e-5,
    takes_split=True,
)
PRESETS = (GTZAN, NSYNTH, SURGE)
