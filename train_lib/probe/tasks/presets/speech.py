"""Speech: Speech Commands V2, VoxCeleb1, VoxForge, CREMA-D, Free Spoken Digit."""

import os

from byola_tf.errors import UserError
from train_lib.probe.tasks.presets import own_data
from train_lib.probe.tasks.presets.preset import (
    ListedClip,
    Listing,
    Preset,
    audio_below,
    checked_part,
    draw_split,
    locate,
    read_lines,
    read_table,
)

# Speakers of the published split; train has the others of 1001..1091.
_CREMAD_TEST = (
    "1001 1004 1017 1019 1020 1025 1026 1029 1033 1035 1042 1044 1050 1053 1056 1058 "
    "1060 1069 1083"
).split()
_CREMAD_VALID = "1009 1011 1022 1034 1039 1047 1066 1070 1082".split()
# Recordings that the evaluation leaves out.
_CREMAD_UNUSED = "1040_ITH_SAD_XX 1006_TIE_NEU_XX 1013_WSI_DIS_XX 1017_IWW_FEA_XX"
_LANGUAGES = ("de", "en", "es", "fr", "it", "ru")
_FSDD_SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")


def _spcv2(source: str, split: str | None) -> Listing:
    """A folder a word; the lists name the validation and test files."""
    root = locate(source, "validation_list.txt", title="Speech Commands V2")
    listed = [
        (path, part)
        for name, part in (("validation", "valid"), ("testing", "test"))
        for path in read_lines(os.path.join(root, f"{name}_list.txt"))
    ]
    words = [
        entry.name
        for entry in os.scandir(root)
        if entry.is_dir() and "a" <= entry.name[0] <= "z"  # no _background_noise_
    ]
    others = set(audio_below(root, *words)) - {path for path, _ in listed}
    listed += [(path, "train") for path in others]
    clips = [
        ListedClip(path, path.partition("/")[0], part) for path, part in sorted(listed)
    ]
    return Listing(root, "split", clips, "the published split")


def _vc1(source: str, split: str | None) -> Listing:
    """`wav/` of the dev and test archives; the identification list says the rest."""
    root = locate(source, "wav", title="VoxCeleb1")
    path = split or os.path.join(
        locate(source, "iden_split.txt", title="VoxCeleb1"), "iden_split.txt"
    )
    parts = {"1": "train", "2": "valid", "3": "test"}
    clips = []
    for line in read_lines(path):
        number, _, file = line.partition(" ")
        if number not in parts or "/" not in file:
            raise UserError(
                "A line of the identification list must be 1, 2 or 3 and a path. "
                f"Received: {line!r} in {path!r}. Use the original iden_split.txt."
            )
        clips.append(ListedClip(f"wav/{file}", file.partition("/")[0], parts[number]))
    return Listing(root, "split", clips, "the published identification split")


def _voxforge(source: str, split: str | None) -> Listing:
    """Archives of recordings, each unpacked to `<archive>/wav/*.wav`.

    The language is that of the archive's URL, or of a folder de, en, es, fr,
    it, ru around the archive.
    """
    if split:
        rows = read_table(split, ("file_name", "label", "split"))
        clips = [
            ListedClip(
                row["file_name"], row["label"], checked_part(row["split"], split)
            )
            for row in rows
            if row["split"]
        ]
        name = os.path.basename(split)
        return Listing(source, "split", clips, f"as in {name}")
    paths = [path for path in audio_below(source) if "/wav/" in f"/{path}"]
    urls = os.path.join(source, "voxforge_urls.txt")
    if os.path.exists(urls):
        languages = dict(map(_archive_and_language, read_lines(urls)))
    else:
        languages = {
            _archive(path): language
            for path in paths
            for language in path.split("/")[:-3][-1:]
            if language in _LANGUAGES
        }
    if not languages:
        raise UserError(
            "The languages of VoxForge's archives must be known: from "
            f"voxforge_urls.txt in the folder, or from folders {', '.join(_LANGUAGES)} "
            f"around the archives. Received: {source!r} with neither. Add the list of "
            "the archives' URLs, or pass --split=FILE with the columns file_name, "
            "label, split."
        )
    count = len(languages)
    parts = draw_split(languages, int(0.7 * count), int(0.15 * count))
    clips = [
        ListedClip(path, languages[_archive(path)], parts[_archive(path)])
        for path in paths
        if _archive(path) in languages
    ]
    note = "archives seeded 70/15/15, seed 0 (not the published split)"
    return Listing(source, "split", clips, note, published=False)


def _archive(path: str) -> str:
    """The folder above `wav/`."""
    return path.split("/")[-3] if path.count("/") >= 2 else ""


def _archive_and_language(url: str) -> tuple[str, str]:
    """Of .../<language>/Trunk/.../<archive>.tgz."""
    language = url.partition("/Trunk")[0].rpartition("/")[2]
    return url.rpartition("/")[2].removesuffix(".tgz"), language


def _cremad(source: str, split: str | None) -> Listing:
    """`<speaker>_<sentence>_<emotion>_<level>.wav`, divided by speaker."""
    root = source
    if os.path.isdir(os.path.join(source, "AudioWAV")):
        root = os.path.join(source, "AudioWAV")
    clips = []
    for path in audio_below(root):
        fields = os.path.splitext(os.path.basename(path))[0].split("_")
        if len(fields) != 4 or "_".join(fields) in _CREMAD_UNUSED.split():
            continue
        speaker = fields[0]
        part = "test" if speaker in _CREMAD_TEST else "train"
        part = "valid" if speaker in _CREMAD_VALID else part
        clips.append(ListedClip(path, fields[2], part))
    return Listing(root, "split", clips, "the published split by speaker")


def _fsdd(source: str, name: str) -> Listing:
    """`recordings/<digit>_<speaker>_<number>.wav`, or the CSV of that name."""
    if os.path.exists(table := os.path.join(source, f"{name}.csv")):
        listing = own_data.read_metadata(table, source)
        return Listing(source, listing.column, listing.clips, f"as in {name}.csv")
    root = locate(source, "recordings", title="the Free Spoken Digit Dataset")
    clips = []
    for path in audio_below(root, "recordings"):
        fields = os.path.splitext(os.path.basename(path))[0].split("_")
        if len(fields) != 3 or fields[1] not in _FSDD_SPEAKERS:
            continue
        digit, speaker, number = fields
        if name == "fsdd_digit":
            part = ("test", "valid", "train")[min(int(number) // 5, 2)]
        else:
            part = str(1 + _FSDD_SPEAKERS.index(speaker))
        clips.append(ListedClip(path, digit, part))
    if name == "fsdd_digit":
        note = "by number: 0-4 test, 5-9 valid, the others train"
        return Listing(root, "split", clips, note)
    return Listing(root, "fold", clips, "6 folds of unseen speakers")


def _fsdd_digit(source: str, split: str | None) -> Listing:
    return _fsdd(source, "fsdd_digit")


def _fsdd_by_speaker(source: str, split: str | None) -> Listing:
    return _fsdd(source, "fsdd_digit_by_speaker")


SPCV2 = Preset(
    "spcv2",
    "Speech Commands V2, 35 words",
    _spcv2,
    {"train": 84843, "valid": 9981, "test": 11005},
    35,
    unit_seconds=1.0,
    learning_rate=3e-5,
)
VC1 = Preset(
    "vc1",
    "VoxCeleb1, speaker identification",
    _vc1,
    {"train": 138361, "valid": 6904, "test": 8251},
    1251,
    unit_seconds=8.2,
    learning_rate=4e-5,
    takes_split=True,
)
VOXFORGE = Preset(
    "voxforge",
    "VoxForge, languages",
    _voxforge,
    {"train": 121281, "valid": 26684, "test": 28463},
    6,
    unit_seconds=5.8,
    learning_rate=1e-4,
    takes_split=True,
)
CREMAD = Preset(
    "cremad",
    "CREMA-D, emotions",
    _cremad,
    {"train": 5155, "valid": 732, "test": 1551},
    6,
    unit_seconds=2.5,
    learning_rate=3e-4,
)
FSDD = Preset(
    "fsdd",
    "Free Spoken Digit, digits of unseen speakers",
    _fsdd_by_speaker,
    {"total": 3000},
    10,
    unit_seconds=1.0,
)
FSDD_BY_SPEAKER = Preset(
    "fsdd_digit_by_speaker",
    "the same as fsdd",
    _fsdd_by_speaker,
    {"total": 3000},
    10,
    unit_seconds=1.0,
)
FSDD_DIGIT = Preset(
    "fsdd_digit",
    "Free Spoken Digit, digits of known speakers",
    _fsdd_digit,
    {"train": 2400, "valid": 300, "test": 300},
    10,
    unit_seconds=1.0,
)
PRESETS = (SPCV2, VC1, VOXFORGE, CREMAD, FSDD, FSDD_BY_SPEAKER, FSDD_DIGIT)
