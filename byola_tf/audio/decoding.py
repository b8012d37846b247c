"""Bytes to waveforms: find, decode, mix down, resample.

The only place that knows about decoders and resamplers, so that training,
evaluation and serving hear the same thing.
"""

import io
import os
import stat

import numpy as np
import soxr
import tensorflow as tf

from byola_tf.audio import blocks, headers
from byola_tf.errors import UserError


class AudioError(UserError):
    """A file that cannot be used; the message names it and says why."""


def load(path: str, sample_rate: int) -> np.ndarray:
    """Reads one file as mono audio at `sample_rate`.

    Args:
        path: WAV, FLAC, Ogg Vorbis or MP3 file, any rate and channel count.
        sample_rate: wanted rate, Hz.

    Returns:
        float32 [samples]; integer formats are scaled by their type to [-1, 1),
        channels are averaged.

    Raises:
        AudioError: unreadable, truncated, damaged, empty, or holds non-finite
            samples.
    """
    waveform, source_rate = decode(path)
    return resample(waveform, source_rate, sample_rate)


def decode(path: str) -> tuple[np.ndarray, int]:
    """Reads one file as mono audio at its own rate.

    Returns:
        float32 [samples] and the sampling rate in Hz.

    Raises:
        AudioError: see `load`.
    """
    path = os.fspath(path)
    try:
        # opening a pipe waits for its writer, for ever
        if "://" not in path and not stat.S_ISREG(os.stat(path).st_mode):
            raise AudioError(unusable(path, "it is not a regular file"))
        with tf.io.gfile.GFile(path, "rb") as file:
            content = file.read()
    except (tf.errors.OpError, OSError) as error:
        raise AudioError(unusable(path, f"it cannot be read ({error})")) from error
    return decode_bytes(content, path)


def decode_bytes(content: bytes, name: str) -> tuple[np.ndarray, int]:
    """Decodes the bytes of one audio file; `name` is for messages.

    The decoder is libsndfile on every stack; `decode_op` has the reasons.

    Returns:
        float32 [samples] (mono) and the sampling rate in Hz.

    Raises:
        AudioError: see `load`.
    """
    try:
        header = headers.read_header(content)
        rate, *parts = blocks.mono_blocks(io.BytesIO(header.stream), header.encoding)
    except headers.BrokenAudio as error:
        raise AudioError(unusable(name, str(error))) from error
    return parts[0] if len(parts) == 1 else np.concatenate(parts), rate


def unusable(path: str, reason: str) -> str:
    """The message of an `AudioError`; the reason reads "it ..."."""
    return f"{path!r} must be a readable audio file, but {reason}."


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
    """Rounds float [-1, 1) to int16, clipping what lies outside."""
    return np.clip(np.rint(waveform * 32768.0), -32768, 32767).astype(np.int16)


def from_pcm16(samples: np.ndarray) -> np.ndarray:
    """Scales int16 to float32 [-1, 1)."""
    return samples.astype(np.float32) / np.float32(32768.0)
