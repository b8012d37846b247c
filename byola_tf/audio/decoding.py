"""Files to waveforms: decode, mix down, resample.

The only place that knows about decoders and resamplers, so that training,
evaluation and serving hear the same thing.
"""

from collections.abc import Callable, Iterable

import numpy as np
import soxr

from byola_tf.audio import blocks
from byola_tf.audio.blocks import open_blocks
from byola_tf.audio.content import Content, log_once

MAX_HOURS_IN_MEMORY = 4.0
_AT_ONCE = 1 << 19  # samples; longer recordings are resampled in blocks


def load(
    path: str,
    sample_rate: int,
    *,
    max_hours: float = MAX_HOURS_IN_MEMORY,
    on_doubt: Callable[[str], None] = log_once,
) -> np.ndarray:
    """Reads one file as mono audio at `sample_rate`, decoding it in blocks.

    What decodes is used. Where the end of a recording may be missing, or was
    guessed, there is a doubt; where its middle is, the file is refused.

    Args:
        path: WAV, FLAC, Ogg (Vorbis, Opus, FLAC), MP3, AIFF, CAF, AU or Wave64
            file, any rate and channel count.
        sample_rate: wanted rate, Hz.
        max_hours: a longer file is refused, since the result is held in memory.
            `open_blocks` reads one of any length.
        on_doubt: is called with a message for each doubt; by default they are
            logged.

    Returns:
        float32 [samples]; integer formats are scaled by their type to [-1, 1),
        channels are averaged.

    Raises:
        AudioError: unreadable, damaged, empty, too long, or holds non-finite
            samples.
    """
    with open_blocks(path, max_hours, on_doubt) as reader:
        if reader.num_samples <= _AT_ONCE:
            return resample(*_decode(reader), sample_rate)
        reader.check_length()
        return _hold(reader.resampled(sample_rate))


def decode(
    path: str,
    *,
    max_hours: float = MAX_HOURS_IN_MEMORY,
    on_doubt: Callable[[str], None] = log_once,
) -> tuple[np.ndarray, int]:
    """Reads one file as mono audio at its own rate.

    Args:
        path: see `load`.
        max_hours: see `load`.
        on_doubt: see `load`.

    Returns:
        float32 [samples] and the sampling rate in Hz.

    Raises:
        AudioError: see `load`.
    """
    with open_blocks(path, max_hours, on_doubt) as reader:
        return _decode(reader)


def decode_bytes(
    content: bytes,
    name: str,
    *,
    max_hours: float = MAX_HOURS_IN_MEMORY,
    on_doubt: Callable[[str], None] = log_once,
) -> tuple[np.ndarray, int]:
    """Decodes the bytes of one audio file.

    The decoder is libsndfile on every stack; `decode_op` has the reasons.

    Args:
        content: the whole file.
        name: for messages.
        max_hours: see `load`.
        on_doubt: see `load`.

    Returns:
        float32 [samples] (mono) and the sampling rate in Hz.

    Raises:
        AudioError: see `load`.
    """
    content = Content.of_bytes(content)
    return _decode(blocks.BlockReader(content, name, max_hours, on_doubt))


def duration(path: str, max_hours: float = blocks.MAX_HOURS) -> float:
    """How long a file is, by the reader that training uses.

    Only the file's structure is read, unless its claims are implausible: then
    its samples are counted.

    Args:
        path: see `load`.
        max_hours: see `open_blocks`.

    Returns:
        seconds.

    Raises:
        AudioError: see `load`.
    """
    with open_blocks(path, max_hours, lambda doubt: None) as reader:
        return reader.count_samples() / reader.sample_rate


def _decode(reader: blocks.BlockReader) -> tuple[np.ndarray, int]:
    reader.check_length()
    return _hold(reader.mono()), reader.sample_rate


def _hold(pieces: Iterable[np.ndarray]) -> np.ndarray:
    """One array of all pieces; they are not held beside it."""
    pieces = iter(pieces)
    held, length = next(pieces), None
    for piece in pieces:
        if length is None:
            length, held = len(held), held.copy()
        if length + len(piece) > len(held):
            # moves pages instead of copying them
            held.resize(length + max(len(piece), length // 4), refcheck=False)
        held[length : length + len(piece)] = piece
        length += len(piece)
    if length is not None:
        held.resize(length, refcheck=False)
    return held


def resample(waveform: np.ndarray, source_rate: int, target_rate: int) -> np.ndarray:
    """Resamples at soxr "HQ" quality.

    Args:
        waveform: float32 [samples] or [samples, channels] at `source_rate`.
        source_rate: Hz.
        target_rate: Hz.

    Returns:
        float32 at `target_rate`: round(samples * target_rate / source_rate)
        samples, but at least one (a copy of the first) of what has any.
    """
    if source_rate == target_rate:
        return waveform
    resampled = soxr.resample(waveform, source_rate, target_rate, quality="HQ")
    if not len(resampled):
        return np.ascontiguousarray(waveform[:1])
    return resampled


def to_pcm16(waveform: np.ndarray) -> np.ndarray:
    """Rounds to 16 bits, clipping what lies outside.

    Args:
        waveform: floating, full scale is [-1, 1).

    Returns:
        int16, of the same shape.
    """
    return np.clip(np.rint(waveform * 32768.0), -32768, 32767).astype(np.int16)


def from_pcm16(samples: np.ndarray) -> np.ndarray:
    """Scales 16-bit samples.

    Args:
        samples: int16.

    Returns:
        float32 in [-1, 1), of the same shape.
    """
    return samples.astype(np.float32) / np.float32(32768.0)
