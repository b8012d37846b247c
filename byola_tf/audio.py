"""Bytes to waveforms: find, decode, mix down, resample, crop or pad.

The only place that knows about file formats and resamplers, so that training,
evaluation and serving hear the same thing.
"""

import io
import os
import re
import struct

import numpy as np
import soundfile
import soxr
import tensorflow as tf

from byola_tf.errors import UserError

EXTENSIONS = (".wav", ".flac", ".ogg", ".mp3")


class AudioError(UserError):
    """A file that cannot be used; the message names it and says why."""


def find_files(pattern: str) -> list[str]:
    """Lists the audio files of a folder or glob, sorted by path.

    Args:
        pattern: a file, a folder (searched recursively), or a glob in which
            `*` and `?` stay within a path component and `**` stands for any
            number of folders. Any path that `tf.io.gfile` reads. Names that
            start with a dot are ignored.

    Raises:
        UserError: nothing matches; the message says what is there instead.
    """
    if not pattern:
        raise UserError(
            "A folder or glob of audio files must be given. Received: ''. "
            "Pass e.g. --config.data.pattern='sounds/**/*'."
        )
    if tf.io.gfile.exists(pattern) and not tf.io.gfile.isdir(pattern):
        return [pattern]
    root, matches = _glob(pattern)
    if not tf.io.gfile.isdir(root):
        raise UserError(
            f"`pattern` must lead to audio files. Received: {pattern!r}, but "
            f"{root!r} is not a folder. Check the path and quote the glob."
        )
    found, others = [], []
    for folder, _, names in tf.io.gfile.walk(root):
        for name in names:
            path = os.path.join(folder, name)
            if name.startswith(".") or not matches(path):
                continue
            audio = name.lower().endswith(EXTENSIONS)
            (found if audio else others).append(path)
    if not found:
        there = f"{len(others)} other files" if others else "no file"
        example = f" (such as {min(others)!r})" if others else ""
        raise UserError(
            f"`pattern` must match at least one audio file "
            f"({', '.join(EXTENSIONS)}). Received: {pattern!r}, which matches "
            f"{there}{example}. Use e.g. {os.path.join(root, '**/*')!r}."
        )
    return sorted(found)


def _glob(pattern: str):
    """Splits a glob into the folder to walk and a test of full paths."""
    if not re.search(r"[*?\[]", pattern):
        return pattern, lambda path: True
    literal = re.split(r"[*?\[]", pattern, maxsplit=1)[0]
    root = os.path.dirname(literal) or "."
    if os.path.dirname(literal) == "":
        pattern = os.path.join(".", pattern)
    tokens = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]*\])", pattern)
    special = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    expression = "".join(
        special.get(token, token if token.startswith("[") else re.escape(token))
        for token in tokens
    )
    return root, re.compile(expression + r"\Z").match


def load(path: str, sample_rate: int) -> np.ndarray:
    """Reads one file as mono audio at `sample_rate`.

    Args:
        path: WAV, FLAC, Ogg Vorbis or MP3 file, any rate and channel count.
        sample_rate: wanted rate, Hz.

    Returns:
        float32 [samples]; integer formats are scaled by their type to [-1, 1),
        channels are averaged.

    Raises:
        AudioError: unreadable, truncated, empty, or holds non-finite samples.
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
    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            content = file.read()
    except (tf.errors.OpError, OSError) as error:
        raise AudioError(_unusable(path, f"it cannot be read ({error})")) from error
    return decode_bytes(content, path)


def decode_bytes(content: bytes, name: str) -> tuple[np.ndarray, int]:
    """Decodes the bytes of one audio file; `name` is for messages.

    Returns:
        float32 [samples] (mono) and the sampling rate in Hz.

    Raises:
        AudioError: see `load`.
    """
    if not content:
        raise AudioError(_unusable(name, "the file is empty"))
    missing = missing_wav_bytes(content)
    if missing:
        raise AudioError(
            _unusable(name, f"it is truncated: {missing} bytes of samples are missing")
        )
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            expected, rate = file.frames, file.samplerate
            samples = file.read(dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, RuntimeError) as error:
        raise AudioError(_unusable(name, f"it does not decode ({error})")) from error
    if 0 < len(samples) < expected < 2**60:
        raise AudioError(
            _unusable(name, f"it is truncated: {len(samples)} of {expected} samples")
        )
    if not len(samples):
        raise AudioError(_unusable(name, "it has no samples"))
    waveform = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)
    if not np.isfinite(waveform).all():
        raise AudioError(_unusable(name, "it has NaN or infinite samples"))
    return np.ascontiguousarray(waveform), rate


def _unusable(path: str, reason: str) -> str:
    return f"{path!r} must be a readable audio file, but {reason}."


def missing_wav_bytes(content: bytes) -> int:
    """How many bytes a RIFF file's data chunk promises beyond the file's end."""
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        return 0
    position = 12
    while position + 8 <= len(content):
        chunk, size = struct.unpack_from("<4sI", content, position)
        position += 8
        if chunk == b"data":
            # 0 and 0xFFFFFFFF: written by recorders that stream
            streamed = size in (0, 0xFFFFFFFF)
            return 0 if streamed else max(0, size - (len(content) - position))
        position += size + size % 2
    return 0


def resample(waveform: np.ndarray, source_rate: int, target_rate: int) -> np.ndarray:
    """Resamples at soxr "HQ" quality.

    Args:
        waveform: float32 [samples] or [samples, channels] at `source_rate`.
        source_rate: Hz.
        target_rate: Hz.

    Returns:
        float32 at `target_rate`, at least one sample.
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
