"""Audio files as the tables need them: whole if they are short, else in blocks."""

import dataclasses
import os
import stat
from collections.abc import Iterable, Iterator

import numpy as np

from byola_tf import audio
from byola_tf.audio import blocks as audio_blocks
from byola_tf.audio import headers
from byola_tf.errors import UserError

_PIECE_SAMPLES = 1 << 19


@dataclasses.dataclass
class Recording:
    """A file after the first look at it.

    Attributes:
        path: where it is.
        waveform: float32 [samples] at the model's rate; None where the file is
            too long to be held, or unusable.
        error: why it is unusable, or "".
    """

    path: str
    waveform: np.ndarray | None = None
    error: str = ""


def read(path: str, sample_rate: int, limit_seconds: float) -> Recording:
    """Reads a file unless it is longer than a limit.

    Args:
        path: see `audio.load`.
        sample_rate: wanted rate, Hz.
        limit_seconds: how much of it is held.

    Returns:
        `Recording`; what is wrong with the file stands in its `error`.
    """
    try:
        if "://" in path:
            waveform = audio.load(path, sample_rate)
            is_long = len(waveform) > limit_seconds * sample_rate
            return Recording(path, None if is_long else waveform)
        source_rate, blocks = _open(path)
        pieces, held = [], 0
        for block in _told(path, blocks):
            pieces.append(block)
            held += len(block)
            if held > limit_seconds * source_rate:
                blocks.close()
                return Recording(path)
        waveform = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
        return Recording(path, audio.resample(waveform, source_rate, sample_rate))
    except UserError as error:
        return Recording(path, error=str(error))


def blocks(path: str, sample_rate: int) -> Iterator[np.ndarray]:
    """Reads a file in pieces, float32 [samples] at `sample_rate`.

    Only a local one takes no more memory than its pieces.

    Raises:
        AudioError: see `audio.load`; at the damaged place.
    """
    if "://" in path:
        waveform = audio.load(path, sample_rate)
        yield from np.array_split(waveform, 1 + len(waveform) // _PIECE_SAMPLES)
        return
    source_rate, source = _open(path)
    yield from audio_blocks.resample_blocks(
        _told(path, source), source_rate, sample_rate
    )


def _open(path: str):
    try:
        # opening a pipe waits for its writer, for ever
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise audio.AudioError(audio.unusable(path, "it is not a regular file"))
        return audio_blocks.open_mono(path)
    except OSError as error:
        reason = f"it cannot be read ({error})"
        raise audio.AudioError(audio.unusable(path, reason)) from error
    except headers.BrokenAudio as error:
        raise audio.AudioError(audio.unusable(path, str(error))) from error


def _told(path: str, source: Iterable) -> Iterator[np.ndarray]:
    """Names the file where decoding fails."""
    try:
        yield from source
    except headers.BrokenAudio as error:
        raise audio.AudioError(audio.unusable(path, str(error))) from error
