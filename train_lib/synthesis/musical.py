"""Sounds of instruments.

Several classes share pitches and spectra and differ in how these follow each
other: struck or swelling, ladders of notes up or down, a loudness that
trembles or a pitch that does. Signatures as in `environmental.py`.
"""

import numpy as np

from train_lib.synthesis import signals

SCALE = np.array([0, 2, 4, 7, 9, 12, 14, 16, 19, 21, 24])  # pentatonic, semitones


def plucked_string(rng, num_samples, sample_rate):
    """Notes that begin at once and die away."""
    since, interval, tone = _melody(rng, num_samples, sample_rate)
    decay = rng.uniform(0.2, 0.4) * interval
    return tone * signals.attack_decay(since, 0.005, decay) * (since >= 0)


def swelled_string(rng, num_samples, sample_rate):
    """Notes that grow and are damped: a plucked string played backwards."""
    since, interval, tone = _melody(rng, num_samples, sample_rate)
    rise = rng.uniform(0.2, 0.4) * interval
    return tone * signals.swell_stop(since, 0.95 * interval, rise, stop=0.005)


def bell(rng, num_samples, sample_rate):
    """Struck metal: partials that are no harmonics, the high ones short."""
    seconds = num_samples / sample_rate
    interval = signals.log_uniform(rng, 0.5, 0.9)
    onsets = signals.regular_onsets(rng, seconds, interval, jitter=0.1)
    ratios = np.array([0.5, 1, 1.19, 1.5, 2, 2.51, 2.66, 3.01, 4.1, 5.4, 6.8])
    ratios = ratios * rng.uniform(0.97, 1.03, len(ratios))
    time = signals.seconds_axis(int(1.2 * sample_rate), sample_rate)
    decays = signals.log_uniform(rng, 0.15, 0.4) / np.sqrt(ratios)
    pitch = signals.log_uniform(rng, 400, 900)
    partials = np.exp(-time / decays[:, None]) * np.sin(
        2 * np.pi * pitch * ratios[:, None] * time
    )
    weights = rng.uniform(0.3, 1, len(ratios))
    levels = rng.uniform(0.6, 1, len(onsets))
    return signals.strikes(onsets, levels, weights @ partials, num_samples, sample_rate)


def organ_chord(rng, num_samples, sample_rate):
    """Three or four pipes held together, each slightly out of tune."""
    steps = np.array([0, rng.choice([3, 4]), 7, 12])[: rng.integers(3, 5)]
    root = signals.log_uniform(rng, 110, 330)
    detune = 1 + rng.normal(0, 0.002, len(steps))
    steady = np.ones(num_samples)
    brightness = signals.log_uniform(rng, 400, 1200)
    pipes = [
        signals.harmonic_tone(pitch * steady, sample_rate, brightness)
        for pitch in root * 2 ** (steps / 12) * detune
    ]
    return sum(pipes) * _held(rng, num_samples, sample_rate)


def flute(rng, num_samples, sample_rate):
    """A held breathy tone whose pitch trembles."""
    tremble = _tremble(rng, num_samples, sample_rate)
    tone = _wind_tone(rng, sample_rate, 2 ** (0.08 * tremble))
    return tone * _held(rng, num_samples, sample_rate)


def tremolo(rng, num_samples, sample_rate):
    """A held breathy tone whose loudness trembles."""
    tremble = _tremble(rng, num_samples, sample_rate)
    tone = _wind_tone(rng, sample_rate, np.ones(num_samples))
    loudness = 1 + rng.uniform(0.5, 0.8) * tremble
    return tone * loudness * _held(rng, num_samples, sample_rate)


def arpeggio_up(rng, num_samples, sample_rate):
    """Quick notes that climb, again and again."""
    return _arpeggio(rng, num_samples, sample_rate, direction=1)


def arpeggio_down(rng, num_samples, sample_rate):
    """Quick notes that descend, again and again."""
    return _arpeggio(rng, num_samples, sample_rate, direction=-1)


def _melody(rng, num_samples, sample_rate):
    """Random notes of a scale: (seconds since onset, interval, tone)."""
    seconds = num_samples / sample_rate
    interval = signals.log_uniform(rng, 0.18, 0.45)
    onsets = signals.regular_onsets(rng, seconds, interval)
    index, since = signals.since_onset(onsets, num_samples, sample_rate)
    notes = rng.choice(SCALE[:6], len(onsets))[index]
    pitch = signals.log_uniform(rng, 150, 400) * 2 ** (notes / 12)
    brightness = signals.log_uniform(rng, 500, 1500)
    return since, interval, signals.harmonic_tone(pitch, sample_rate, brightness)


def _arpeggio(rng, num_samples, sample_rate, direction):
    seconds = num_samples / sample_rate
    interval = signals.log_uniform(rng, 0.04, 0.08)
    onsets = signals.regular_onsets(rng, seconds, interval)
    index, since = signals.since_onset(onsets, num_samples, sample_rate)
    run = rng.integers(6, len(SCALE) + 1)
    order = (np.arange(len(onsets)) + rng.integers(0, run)) % run
    notes = SCALE[order if direction > 0 else run - 1 - order][index]
    pitch = signals.log_uniform(rng, 200, 450) * 2 ** (notes / 12)
    brightness = signals.log_uniform(rng, 500, 1500)
    tone = signals.harmonic_tone(pitch, sample_rate, brightness)
    return tone * signals.attack_decay(since, 0.004, 1.5 * interval) * (since >= 0)


def _tremble(rng, num_samples, sample_rate):
    rate = signals.log_uniform(rng, 6, 10)
    seconds = signals.seconds_axis(num_samples, sample_rate)
    return np.sin(2 * np.pi * (rate * seconds + rng.uniform()))


def _wind_tone(rng, sample_rate, bend):
    """A pipe with breath, its pitch multiplied by `bend` [samples]."""
    pitch = signals.log_uniform(rng, 250, 800)
    tone = signals.harmonic_tone(
        pitch * bend, sample_rate, signals.log_uniform(rng, 400, 1500)
    )
    breath = signals.filter_steady(
        rng.standard_normal(len(bend)),
        sample_rate,
        lambda f: signals.resonance(f, 2 * pitch, 3 * pitch),
    )
    return tone + signals.log_uniform(rng, 0.02, 0.3) * breath


def _held(rng, num_samples, sample_rate):
    """Envelope of a tone that begins somewhere and lasts to the end."""
    seconds = signals.seconds_axis(num_samples, sample_rate)
    begin = rng.uniform(-0.1, 0.25) * num_samples / sample_rate
    return signals.gate(seconds - begin, 1e9, edge=rng.uniform(0.02, 0.08))


CLASSES = {
    "plucked_string": plucked_string,
    "swelled_string": swelled_string,
    "bell": bell,
    "organ_chord": organ_chord,
    "flute": flute,
    "tremolo": tremolo,
    "arpeggio_up": arpeggio_up,
    "arpeggio_down": arpeggio_down,
}
