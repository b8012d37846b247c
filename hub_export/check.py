"""One comparison for every artefact: the same sounds, the same tolerance."""

from collections.abc import Callable

import numpy as np

LENGTHS_S = (0.3, 0.95, 1.0, 10.0)


class ParityError(RuntimeError):
    """An artefact does not compute what the model in memory computes."""


def sounds(sample_rate: int, seconds: float) -> np.ndarray:
    """Silence, white noise, a sine, a click and a rising tone.

    Returns:
        float32 [5, samples].
    """
    num_samples = int(round(sample_rate * seconds))
    time = np.arange(num_samples) / sample_rate
    rng = np.random.default_rng(0)
    click = np.zeros(num_samples)
    click[num_samples // 3] = 0.9
    waves = [
        np.zeros(num_samples),
        rng.normal(0, 0.1, num_samples),
        0.5 * np.sin(2 * np.pi * 440 * time),
        click,
        0.3 * np.sin(2 * np.pi * (200 + 1000 * time / seconds) * time),
    ]
    return np.stack(waves).astype(np.float32)


def assert_same_embeddings(
    model: Callable, reference: Callable, sample_rate: int, tolerance: float = 1e-5
) -> float:
    """Compares two waveform encoders on sounds of several lengths.

    Args:
        model: float32 [batch, samples] → [batch, d].
        reference: the same.
        sample_rate: Hz.
        tolerance: largest allowed error, relative to the largest entry.

    Returns:
        the largest error found.

    Raises:
        ParityError: it exceeds `tolerance`.
    """
    worst = 0.0
    for seconds in LENGTHS_S:
        waveform = sounds(sample_rate, seconds)
        expected = np.asarray(reference(waveform))
        error = np.abs(np.asarray(model(waveform)) - expected).max()
        error = float(error / np.abs(expected).max())
        if not error <= tolerance:
            raise ParityError(
                f"Embeddings must agree to {tolerance:g} of the largest entry. "
                f"Received: {error:g} for clips of {seconds} s."
            )
        worst = max(worst, error)
    return worst
