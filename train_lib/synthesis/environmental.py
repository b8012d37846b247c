"""Sounds of nature, animals and machines.

Every function maps (rng, num_samples, sample_rate) to a dry waveform
[samples] of any level; pitch, tempo and colour are drawn anew for each call.
"""

import numpy as np

from train_lib.synthesis import signals


def rain(rng, num_samples, sample_rate):
    """Very many faint drops over a hiss."""
    seconds = num_samples / sample_rate
    drops = rng.poisson(signals.log_uniform(rng, 150, 500) * seconds)
    pattern = signals.strikes(
        rng.uniform(0, seconds, drops),
        rng.gamma(2.0, 1.0, drops),
        _crackle_kernel(rng, sample_rate),
        num_samples,
        sample_rate,
    )
    return _over_bed(rng, pattern, sample_rate, signals.log_uniform(rng, 1000, 6000))


def fire_crackle(rng, num_samples, sample_rate):
    """Few crackles of very different strength over a breath of flames."""
    seconds = num_samples / sample_rate
    cracks = 3 + rng.poisson(signals.log_uniform(rng, 15, 50) * seconds)
    pattern = signals.strikes(
        rng.uniform(0, seconds, cracks),
        rng.pareto(1.5, cracks) + 0.2,
        _crackle_kernel(rng, sample_rate),
        num_samples,
        sample_rate,
    )
    return _over_bed(rng, pattern, sample_rate, signals.log_uniform(rng, 300, 6000))


def clock_tick(rng, num_samples, sample_rate):
    """A resonant click at a steady rate, every second one a little lower."""
    seconds = num_samples / sample_rate
    onsets = signals.regular_onsets(rng, seconds, signals.log_uniform(rng, 0.15, 0.4))
    levels = np.where(np.arange(len(onsets)) % 2, rng.uniform(0.5, 1), 1.0)
    pattern = signals.strikes(
        onsets,
        levels,
        _crackle_kernel(rng, sample_rate),
        num_samples,
        sample_rate,
    )
    return _over_bed(rng, pattern, sample_rate, signals.log_uniform(rng, 300, 6000))


def wind(rng, num_samples, sample_rate):
    """Noise through a resonance that wanders up and down."""
    wander = signals.slow_noise(rng, num_samples, sample_rate, 4.0)
    centre = signals.log_uniform(rng, 400, 1500) * 2 ** (0.6 * wander)
    gust = np.exp(0.4 * signals.slow_noise(rng, num_samples, sample_rate, 3.0))
    width = rng.uniform(0.3, 0.6)

    def response(time, frequency):
        position = np.clip((time * sample_rate).astype(int), 0, num_samples - 1)
        middle = centre[position]
        return signals.resonance(frequency, middle, width * middle) + 0.02

    noise = rng.standard_normal(num_samples)
    return gust * signals.filter_moving(noise, sample_rate, response)


def sea_waves(rng, num_samples, sample_rate):
    """Noise that swells, brightens, breaks and draws back."""
    seconds = num_samples / sample_rate
    period = signals.log_uniform(rng, 0.8, 1.6)
    onsets = np.arange(-1, int(seconds / period) + 2) * period
    onsets = onsets + rng.uniform(0, period)
    _, since = signals.since_onset(onsets, num_samples, sample_rate)
    phase = np.clip(since / period, 0, 1)
    peak = rng.uniform(0.5, 0.75)
    swell = np.where(phase < peak, (phase / peak) ** 2, (1 - phase) / (1 - peak))
    cutoff = signals.log_uniform(rng, 500, 1500)

    def response(time, frequency):
        position = np.clip((time * sample_rate).astype(int), 0, num_samples - 1)
        return signals.low_pass(frequency, cutoff * (1 + 3 * swell[position]), 1.0)

    noise = rng.standard_normal(num_samples)
    return (0.1 + swell) * signals.filter_moving(noise, sample_rate, response)


def thunder(rng, num_samples, sample_rate):
    """A crack and the rumble that rolls after it."""
    seconds = num_samples / sample_rate
    peals = rng.integers(2, 6)
    onsets = np.sort(rng.uniform(0, 0.8 * seconds, peals))
    levels = rng.gamma(2.0, 1.0, peals)
    index, since = signals.since_onset(onsets, num_samples, sample_rate)
    decay = signals.log_uniform(rng, 0.15, 0.5)
    envelope = levels[index] * signals.attack_decay(since, 0.005, decay)
    rumble = signals.filter_steady(
        rng.standard_normal(num_samples),
        sample_rate,
        lambda frequency: signals.low_pass(
            frequency, signals.log_uniform(rng, 150, 700), 1.0
        ),
    )
    return (envelope + 0.1) * rumble


def engine(rng, num_samples, sample_rate):
    """Slow pulses with uneven firing, heard through a body of metal."""
    speed = 1 + 0.08 * signals.slow_noise(rng, num_samples, sample_rate, 3.0)
    firing = signals.log_uniform(rng, 18, 32) * speed
    pulses = signals.harmonic_tone(firing, sample_rate, 900.0)
    breath = rng.standard_normal(num_samples) * np.maximum(pulses, 0)
    centres = signals.log_uniform(rng, 150, 2500, 3)

    def response(frequency):
        body = [signals.resonance(frequency, c, 0.5 * c + 60) for c in centres]
        return 0.05 + sum(body)

    return signals.filter_steady(
        pulses + rng.uniform(0.3, 0.8) * breath, sample_rate, response
    )


def dog_bark(rng, num_samples, sample_rate):
    """Short harsh calls whose pitch jumps up and falls."""
    seconds = num_samples / sample_rate
    onsets = signals.regular_onsets(
        rng, seconds, signals.log_uniform(rng, 0.25, 0.6), jitter=0.2
    )
    index, since = signals.since_onset(onsets, num_samples, sample_rate)
    duration = rng.uniform(0.09, 0.18, len(onsets))[index]
    phase = np.clip(since / duration, 0, 1)
    arch = 1 + 0.5 * np.sin(np.pi * phase**0.6)
    pitch = signals.log_uniform(rng, 250, 600) * arch
    voice = signals.harmonic_tone(pitch, sample_rate, 900.0)
    harsh = voice * (1 + 0.5 * rng.standard_normal(num_samples))
    throat = signals.log_uniform(rng, 600, 1500)
    barked = signals.filter_steady(
        harsh,
        sample_rate,
        lambda f: 0.1 + signals.resonance(f, throat, 600),
    )
    return barked * np.sin(np.pi * phase) ** 0.7 * (since >= 0)


def _crackle_kernel(rng, sample_rate):
    """One crackle, drop or click: a resonance that rings for milliseconds."""
    seconds = np.arange(int(0.03 * sample_rate)) / sample_rate
    ring = signals.log_uniform(rng, 1200, 5000)
    decay = signals.log_uniform(rng, 0.0015, 0.005)
    colour = np.cos(2 * np.pi * ring * seconds)
    colour = colour + rng.standard_normal(len(seconds))
    return colour * np.exp(-seconds / decay)


def _over_bed(rng, pattern, sample_rate, cutoff):
    """Lays a pattern over low-passed noise of comparable power."""
    bed = signals.filter_steady(
        rng.standard_normal(len(pattern)),
        sample_rate,
        lambda frequency: signals.low_pass(frequency, cutoff, 0.5),
    )
    share = signals.log_uniform(rng, 0.1, 0.6)
    return pattern / (pattern.std() + 1e-9) + share * bed / bed.std()


CLASSES = {
    "rain": rain,
    "fire_crackle": fire_crackle,
    "clock_tick": clock_tick,
    "wind": wind,
    "sea_waves": sea_waves,
    "thunder": thunder,
    "engine": engine,
    "dog_bark": dog_bark,
}
