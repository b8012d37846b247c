"""Building blocks of synthetic sounds: tones, noise, filters, events.

Everything works on whole arrays: an event such as a note is a row of
parameters that `since_onset` spreads over the samples, never a loop.
"""

from collections.abc import Callable

import numpy as np


def seconds_axis(num_samples: int, sample_rate: int) -> np.ndarray:
    """Time of every sample, [samples] in seconds."""
    return np.arange(num_samples) / sample_rate


def log_uniform(rng: np.random.Generator, low: float, high: float, size=None):
    """Draws uniformly on a logarithmic axis, as pitch and tempo are heard."""
    return np.exp(rng.uniform(np.log(low), np.log(high), size))


def slow_noise(
    rng: np.random.Generator, num_samples: int, sample_rate: int, rate_hz: float
) -> np.ndarray:
    """Smooth random curve of about unit variance, [samples].

    Args:
        rng: source of randomness.
        num_samples: length.
        sample_rate: samples per second.
        rate_hz: independent values per second.
    """
    duration = num_samples / sample_rate
    knots = max(4, int(np.ceil(duration * rate_hz)) + 2)
    values = rng.standard_normal(knots)
    times = (np.arange(knots) - rng.uniform()) / rate_hz
    return np.interp(seconds_axis(num_samples, sample_rate), times, values)


def harmonic_tone(
    frequency: np.ndarray, sample_rate: int, brightness_hz: float | np.ndarray
) -> np.ndarray:
    """A periodic tone whose spectrum falls by e every `brightness_hz`.

    The harmonics' geometric series has a closed form, so that the cost does
    not depend on their number.

    Args:
        frequency: fundamental of every sample, [samples] in Hz.
        sample_rate: samples per second.
        brightness_hz: frequency step over which amplitudes fall by e.
    """
    phase = 2 * np.pi * np.cumsum(frequency) / sample_rate
    ratio = np.exp(-frequency / brightness_hz)
    # sum over k >= 1 of ratio^k sin(k phase)
    tone = ratio * np.sin(phase) / (1 - 2 * ratio * np.cos(phase) + ratio**2)
    return tone * np.sqrt(1 - ratio**2)


def filter_steady(
    signal: np.ndarray, sample_rate: int, response: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Multiplies the spectrum of a signal by `response(frequency in Hz)`."""
    frequency = np.fft.rfftfreq(len(signal), 1 / sample_rate)
    return np.fft.irfft(np.fft.rfft(signal) * response(frequency), len(signal))


def filter_moving(
    signal: np.ndarray,
    sample_rate: int,
    response: Callable[[np.ndarray, np.ndarray], np.ndarray],
    frame_length: int = 512,
) -> np.ndarray:
    """Filters a signal with a response that changes over time.

    Windowed frames are filtered one by one and added where they overlap.

    Args:
        signal: [samples].
        sample_rate: samples per second.
        response: maps (seconds [frames, 1], frequency [1, bins]) to gains
            [frames, bins].
        frame_length: samples per frame; a multiple of 4.

    Returns:
        [samples].
    """
    hop = frame_length // 4
    window = np.sin(np.pi * (np.arange(frame_length) + 0.5) / frame_length)
    frames = -(-len(signal) // hop) + 3
    padded = np.zeros((frames + 3) * hop)
    padded[3 * hop : 3 * hop + len(signal)] = signal
    pieces = np.lib.stride_tricks.sliding_window_view(padded, frame_length)[::hop]
    frequency = np.fft.rfftfreq(frame_length, 1 / sample_rate)
    seconds = (np.arange(len(pieces)) - 1) * hop / sample_rate
    gains = response(seconds[:, None], frequency[None])
    pieces = np.fft.irfft(np.fft.rfft(pieces * window) * gains, frame_length) * window
    quarters = pieces.reshape(len(pieces), 4, hop)
    overlapped = np.zeros((len(pieces) + 3, hop))
    for quarter in range(4):
        overlapped[quarter : quarter + len(pieces)] += quarters[:, quarter]
    # squared sine windows a quarter apart sum to 2
    return overlapped.ravel()[3 * hop : 3 * hop + len(signal)] / 2


def resonance(frequency, centre, bandwidth):
    """Gain of a resonance: 1 at its centre, half at `bandwidth` / 2 aside."""
    return 1 / (1 + (2 * (frequency - centre) / bandwidth) ** 2)


def low_pass(frequency, cutoff, order: float = 2.0):
    """Gain of a smooth low-pass filter: half at `cutoff`, both in Hz."""
    return 1 / (1 + (frequency / cutoff) ** (2 * order))


def since_onset(
    onsets: np.ndarray, num_samples: int, sample_rate: int
) -> tuple[np.ndarray, np.ndarray]:
    """For every sample, the last event begun and the seconds since then.

    Args:
        onsets: start of every event, ascending [events] in seconds.
        num_samples: length.
        sample_rate: samples per second.

    Returns:
        (index [samples], seconds [samples]); before the first onset the index
        is 0 and the seconds are negative.
    """
    seconds = seconds_axis(num_samples, sample_rate)
    index = np.maximum(np.searchsorted(onsets, seconds, side="right") - 1, 0)
    return index, seconds - onsets[index]


def attack_decay(seconds, attack, decay):
    """Envelope of a struck sound: short linear rise, exponential fall."""
    rise = np.clip(seconds / attack, 0, 1)
    return rise * np.exp(-np.maximum(seconds - attack, 0) / decay)


def swell_stop(seconds, duration, rise, stop=0.008):
    """Envelope of a swelling sound: exponential rise, sudden end.

    It is `attack_decay` reversed in time, so that the two have the same
    distribution of levels.
    """
    return attack_decay(duration - seconds, stop, rise) * (seconds >= 0)


def gate(seconds, duration, edge=0.01):
    """Envelope of a held sound: 1 for `duration`, soft edges, else 0."""
    return np.clip(seconds / edge, 0, 1) * np.clip((duration - seconds) / edge, 0, 1)


def strikes(
    onsets: np.ndarray,
    levels: np.ndarray,
    kernel: np.ndarray,
    num_samples: int,
    sample_rate: int,
) -> np.ndarray:
    """Adds the same short sound at many onsets, each at its own level.

    Args:
        onsets: [events] in seconds; those outside the signal are ignored.
        levels: [events].
        kernel: the short sound, [samples].
        num_samples: length of the result.
        sample_rate: samples per second.
    """
    position = np.round(onsets * sample_rate).astype(int)
    inside = (position >= 0) & (position < num_samples)
    impulses = np.bincount(position[inside], levels[inside], minlength=num_samples)
    size = num_samples + len(kernel)
    return np.fft.irfft(np.fft.rfft(impulses, size) * np.fft.rfft(kernel, size), size)[
        :num_samples
    ]


def regular_onsets(
    rng: np.random.Generator, seconds: float, interval: float, jitter: float = 0.0
) -> np.ndarray:
    """Onsets about `interval` seconds apart that begin at random, ascending.

    Args:
        rng: source of randomness.
        seconds: length of the sound.
        interval: seconds between onsets.
        jitter: displacement, as a share of the interval (below 0.5).
    """
    count = max(1, int(np.ceil(seconds / interval)))
    # a short sound must not miss its only event
    first = rng.uniform(0, min(interval, seconds / 2))
    onsets = first + interval * np.arange(count)
    return np.maximum(onsets + interval * rng.uniform(-jitter, jitter, count), 0.0)
