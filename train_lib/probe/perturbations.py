"""What happens to sound between a source and a model, on batches of waveforms.

All take and return float32 [batch, samples]; nothing is clipped.
"""

from collections.abc import Callable, Sequence

import numpy as np
import soxr
from scipy import signal

NOISE_DB = (20, 10, 0)
GAINS_DB = (-12, -6, 6, 12)
SEMITONES = (-2, -1, 1, 2)
SHIFTS = (0.1, 0.25, 0.5)
_WINDOW_SECONDS = 0.064  # of the phase vocoder


def add_noise(waveform: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """Adds noise at a signal-to-noise ratio.

    Args:
        waveform: float32 [batch, samples].
        noise: of the same shape, any level.
        snr_db: ratio of the mean powers over the clip, dB. Silent clips stay
            silent.
    """
    power, noise_power = (
        np.mean(np.square(array, dtype=np.float64), axis=1, keepdims=True)
        for array in (waveform, noise)
    )
    wanted = power * 10 ** (-snr_db / 10)
    scale = np.sqrt(wanted / np.maximum(noise_power, np.finfo(np.float64).tiny))
    return (waveform + scale * noise).astype(np.float32)


def change_gain(waveform: np.ndarray, gain_db: float) -> np.ndarray:
    """Makes clips louder or softer by `gain_db` decibels."""
    return (waveform * 10 ** (gain_db / 20)).astype(np.float32)


def shift_time(waveform: np.ndarray, fraction: float) -> np.ndarray:
    """Delays clips by a share of their length; their end comes round to the start.

    So nothing of the sound is lost, and what changes is where it is.
    """
    return np.roll(waveform, round(fraction * waveform.shape[1]), axis=1)


def shift_pitch(waveform: np.ndarray, semitones: float, sample_rate: int) -> np.ndarray:
    """Moves the pitch and keeps the tempo: phase vocoder, then resampling.

    Resampling alone would change the tempo too; the vocoder first stretches
    the clip by as much. Moved down, the top of the band is left empty, which
    a log-mel feels more than the shift itself.

    Args:
        waveform: float32 [batch, samples].
        semitones: up, or down when negative.
        sample_rate: Hz.
    """
    num_samples = waveform.shape[1]
    factor = 2 ** (semitones / 12)
    stretched = stretch_time(waveform, factor, sample_rate)
    shifted = soxr.resample(
        stretched.T, sample_rate * factor, sample_rate, quality="HQ"
    ).T
    missing = max(0, num_samples - shifted.shape[1])
    return np.pad(shifted, ((0, 0), (0, missing)))[:, :num_samples].astype(np.float32)


def stretch_time(waveform: np.ndarray, factor: float, sample_rate: int) -> np.ndarray:
    """Makes clips `factor` times as long at the same pitch: a phase vocoder.

    Args:
        waveform: float32 [batch, samples].
        factor: of the length.
        sample_rate: Hz.

    Returns:
        float32 [batch, factor * samples], to within a hop.
    """
    window = 2 ** round(np.log2(_WINDOW_SECONDS * sample_rate))
    hop = window // 4
    missing = max(0, window - waveform.shape[1])
    padded = np.pad(waveform, ((0, 0), (0, missing)))
    _, _, spectrum = signal.stft(padded, nperseg=window, noverlap=window - hop)
    times = np.arange(0, spectrum.shape[-1] - 1, 1 / factor)
    before = times.astype(int)
    share = times - before
    magnitude, phase = np.abs(spectrum), np.angle(spectrum)  # [batch, bin, frame]
    magnitude = (1 - share) * magnitude[..., before] + share * magnitude[
        ..., before + 1
    ]
    # the advance over a hop that each bin's frequency explains, and the rest
    expected = 2 * np.pi * hop * np.arange(spectrum.shape[1])[:, None] / window
    rest = phase[..., before + 1] - phase[..., before] - expected
    advance = expected + rest - 2 * np.pi * np.round(rest / (2 * np.pi))
    total = np.cumsum(advance, axis=-1) - advance + phase[..., :1]
    # around a peak, phases keep the relation that they have in the clip, or its
    # bins would cancel each other (identity phase locking, Laroche and Dolson 1999)
    peak, phase = _nearest_peak(magnitude), phase[..., before]
    total, at_peak = (
        np.take_along_axis(array, peak, axis=-2) for array in (total, phase)
    )
    total += phase - at_peak
    _, stretched = signal.istft(
        magnitude * np.exp(1j * total), nperseg=window, noverlap=window - hop
    )
    num_samples = round(factor * waveform.shape[1])
    missing = max(0, num_samples - stretched.shape[1])
    stretched = np.pad(stretched, ((0, 0), (0, missing)))[:, :num_samples]
    return stretched.astype(np.float32)


def _nearest_peak(magnitude: np.ndarray) -> np.ndarray:
    """The local maximum next to each bin, int [batch, bin, frame]."""
    padded = np.pad(magnitude, ((0, 0), (1, 1), (0, 0)))
    is_peak = (magnitude >= padded[:, :-2]) & (magnitude >= padded[:, 2:])
    bins = np.arange(magnitude.shape[1])[:, None]
    last = magnitude.shape[1] - 1
    below = np.maximum.accumulate(np.where(is_peak, bins, 0), axis=1)
    above = np.where(is_peak, bins, last)[:, ::-1]
    above = np.minimum.accumulate(above, axis=1)[:, ::-1]
    return np.where(bins - below <= above - bins, below, above)


def white_noise(seeds: Sequence, num_samples: int) -> np.ndarray:
    """Gaussian noise, float32 [seeds, num_samples]; a row depends on its seed."""
    rows = [np.random.default_rng(seed).standard_normal(num_samples) for seed in seeds]
    return np.stack(rows).astype(np.float32)


def pink_noise(seeds: Sequence, num_samples: int) -> np.ndarray:
    """Noise with equal power an octave; arguments as of `white_noise`."""
    spectrum = np.fft.rfft(white_noise(seeds, num_samples))
    spectrum /= np.sqrt(np.maximum(np.arange(spectrum.shape[1]), 1))
    return np.fft.irfft(spectrum, num_samples).astype(np.float32)


def conditions(
    noises: dict[str, Callable], sample_rate: int
) -> dict[tuple[str, str], Callable]:
    """Every perturbation of the table.

    Args:
        noises: by name, seeds and number of samples to noise, as `white_noise`.
        sample_rate: Hz.

    Returns:
        By (kind, setting), a function of waveform float32 [batch, samples] and
        seeds, one a clip.
    """
    found = {}
    for name, make in noises.items():
        for snr_db in NOISE_DB:
            found[f"{name} noise", f"{snr_db} dB SNR"] = (
                lambda waveform, seeds, make=make, snr_db=snr_db: add_noise(
                    waveform, make(seeds, waveform.shape[1]), snr_db
                )
            )
    for gain in GAINS_DB:
        found["gain", f"{gain:+d} dB"] = lambda waveform, seeds, gain=gain: change_gain(
            waveform, gain
        )
    for semitones in SEMITONES:
        text = f"{semitones:+d} semitone{'s' * (abs(semitones) > 1)}"
        found["pitch", text] = lambda waveform, seeds, semitones=semitones: shift_pitch(
            waveform, semitones, sample_rate
        )
    for share in SHIFTS:
        found["time shift", f"{share:.0%} of the clip"] = (
            lambda waveform, seeds, share=share: shift_time(waveform, share)
        )
    return found
