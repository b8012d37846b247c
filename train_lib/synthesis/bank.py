"""A labelled bank of generated sounds, so that the demo downloads nothing.

The classes belong to three families. Many of them share their spectrum with
another class and differ from it only in how sound evolves within a tenth of a
second, and every clip is recorded through its own room, distance and
background noise: averages over time do not tell the classes apart, local
structure does.
"""

import csv
import os
import pathlib

import numpy as np

from byola_tf import files
from train_lib.synthesis import environmental, musical, signals, speech

FAMILIES = {
    "environmental": environmental.CLASSES,
    "speech": speech.CLASSES,
    "musical": musical.CLASSES,
}
CLASSES = {name: family for family, names in FAMILIES.items() for name in names}
METADATA = "bank.csv"
NUM_FOLDS = 5


def generate(
    class_name: str,
    rng: np.random.Generator,
    seconds: float = 2.0,
    sample_rate: int = 16_000,
) -> np.ndarray:
    """Makes one clip of a class.

    Args:
        class_name: a key of `CLASSES`.
        rng: source of every random choice; the same state gives the same clip.
        seconds: length of the clip.
        sample_rate: samples per second.

    Returns:
        float32 [samples] in [-1, 1].

    Raises:
        ValueError: there is no such class, or the clip would be too short.
    """
    if class_name not in CLASSES:
        raise ValueError(
            f"`class_name` must be one of {', '.join(CLASSES)}. "
            f"Received: {class_name!r}."
        )
    num_samples = int(round(seconds * sample_rate))
    if num_samples < sample_rate // 4:
        raise ValueError(f"`seconds` must be at least 0.25. Received: {seconds}.")
    sound = FAMILIES[CLASSES[class_name]][class_name]
    return _record(sound(rng, num_samples, sample_rate), rng, sample_rate)


def write_bank(
    folder: str | os.PathLike,
    clips_per_class: int = 40,
    seed: int = 0,
    seconds: float = 2.0,
    sample_rate: int = 16_000,
) -> pathlib.Path:
    """Writes `CLASS/CLASS_000.wav` ... and the metadata `bank.csv`.

    The bank appears under its name only when it is complete, and replaces an
    earlier bank. Every clip depends on the seed, its class and its number
    alone.

    Args:
        folder: where the bank goes; absent, empty or an earlier bank.
        clips_per_class: number of clips of every class.
        seed: seed of all clips.
        seconds: length of a clip.
        sample_rate: samples per second.

    Returns:
        Path of the metadata, with the columns `file_name` (relative to the
        folder), `label` and `fold` (1 to 5).

    Raises:
        UserError: the folder holds something that is not a bank.
    """
    import soundfile

    folder = pathlib.Path(folder)
    files.require_replaceable(str(folder), METADATA, "folder")
    with files.replacing_folder(str(folder)) as temporary:
        temporary = pathlib.Path(temporary)
        rows = []
        for class_index, label in enumerate(CLASSES):
            (temporary / label).mkdir()
            for clip in range(clips_per_class):
                rng = np.random.default_rng([seed, class_index, clip])
                waveform = generate(label, rng, seconds, sample_rate)
                name = f"{label}/{label}_{clip:03d}.wav"
                soundfile.write(temporary / name, waveform, sample_rate, "PCM_16")
                rows.append((name, label, 1 + clip % NUM_FOLDS))
        with open(temporary / METADATA, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("file_name", "label", "fold"))
            writer.writerows(rows)
    return folder / METADATA


def _record(dry: np.ndarray, rng: np.random.Generator, sample_rate: int) -> np.ndarray:
    """Puts a sound at a random place, distance and level, float32 [samples]."""
    late = int(rng.uniform(0, 0.15) * len(dry))
    onset = np.concatenate([np.zeros(late), dry[: len(dry) - late]])
    coloured = signals.filter_steady(onset, sample_rate, _room_colour(rng))
    noise = signals.filter_steady(
        rng.standard_normal(len(dry)), sample_rate, _room_colour(rng)
    )
    signal_to_noise_db = rng.uniform(10, 30)
    noise *= coloured.std() / noise.std() * 10 ** (-signal_to_noise_db / 20)
    mixed = coloured + noise
    peak = signals.log_uniform(rng, 0.05, 0.9)
    return (peak * mixed / np.abs(mixed).max()).astype(np.float32)


def _room_colour(rng: np.random.Generator):
    """A random smooth response: tilt and bumps over the octaves."""
    octaves = np.arange(-4, 5)  # around 1 kHz
    gain_db = rng.uniform(-1.5, 1.5) * octaves + rng.normal(0, 2, len(octaves))

    def response(frequency):
        octave = np.log2(np.maximum(frequency, 30) / 1000)
        return 10 ** (np.interp(octave, octaves, gain_db) / 20)

    return response
