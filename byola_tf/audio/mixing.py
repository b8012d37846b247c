"""Channels to one, and which samples are no sound."""

import numpy as np

from byola_tf.audio.content import BrokenAudio

_LOSSY = ("mp3", "vorbis", "other")


class NotFiniteAudio(BrokenAudio):
    """Samples that are not a number, or infinite."""


def max_peak(encoding: str) -> float:
    """The largest sample that a whole file may have.

    Args:
        encoding: see `Header`.
    """
    # what a damaged MP3 decodes to has no bounds; a file of floating-point
    # numbers may have the range of 32-bit integers
    return 100.0 if encoding in _LOSSY else 2.0**32


def mono_of(samples: np.ndarray, encoding: str) -> np.ndarray:
    """Averages channels, and refuses what is no sound.

    Args:
        samples: float32 [samples, channels], at least one.
        encoding: see `Header`.

    Returns:
        float32 [samples].

    Raises:
        BrokenAudio: a sample is not finite, or larger than `max_peak`.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        mono = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)
    peak = max(mono.max(), -mono.min())
    if not np.isfinite(peak):
        raise NotFiniteAudio("it has NaN or infinite samples")
    if peak > max_peak(encoding):
        raise BrokenAudio(f"its samples reach {peak:.3g} times full scale")
    return np.ascontiguousarray(mono)


def with_channels(samples: np.ndarray, num_channels: int) -> np.ndarray:
    """Changes the number of channels and keeps their mean, for joined recordings.

    Args:
        samples: float32 [samples, channels].
        num_channels: wanted number.

    Returns:
        float32 [samples, num_channels].
    """
    if samples.shape[1] == num_channels:
        return samples
    return np.repeat(samples.mean(axis=1, keepdims=True), num_channels, axis=1)
