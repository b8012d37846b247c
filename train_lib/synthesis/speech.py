"""Speech-like sounds: a voice source through moving formants.

The classes come in pairs that share voices, vowels and tempo and differ in
the direction of time: pitch up or down, mouth opening or closing, syllables
that begin or end abruptly. Signatures as in `environmental.py`.
"""

import numpy as np

from train_lib.synthesis import signals

# First three formants of an adult, Hz (after Peterson and Barney, 1952).
VOWELS = {
    "a": (730, 1090, 2440),
    "e": (530, 1840, 2480),
    "i": (270, 2290, 3010),
    "o": (570, 840, 2410),
    "u": (300, 870, 2240),
}


def question(rng, num_samples, sample_rate):
    """Syllables whose pitch rises."""
    return _intonation(rng, num_samples, sample_rate, rising=True)


def statement(rng, num_samples, sample_rate):
    """Syllables whose pitch falls."""
    return _intonation(rng, num_samples, sample_rate, rising=False)


def opening_vowels(rng, num_samples, sample_rate):
    """Every syllable glides from a closed vowel to an open one: ia, ua."""
    return _glides(rng, num_samples, sample_rate, opening=True)


def closing_vowels(rng, num_samples, sample_rate):
    """Every syllable glides from an open vowel to a closed one: ai, au."""
    return _glides(rng, num_samples, sample_rate, opening=False)


def abrupt_onsets(rng, num_samples, sample_rate):
    """Syllables that begin abruptly and fade: ba, ta."""
    return _syllables(rng, num_samples, sample_rate, abrupt_onset=True)


def abrupt_endings(rng, num_samples, sample_rate):
    """Syllables that swell and end abruptly: ab, at."""
    return _syllables(rng, num_samples, sample_rate, abrupt_onset=False)


def _intonation(rng, num_samples, sample_rate, rising):
    index, since, length = _rhythm(rng, num_samples, sample_rate)
    phase = np.clip(since / length, 0, 1)
    bend = signals.log_uniform(rng, 1.6, 2.4) ** (phase - 0.5)
    middle = _pitch(rng, num_samples, sample_rate)
    vowels = _random_vowels(rng, index)
    voice = _voice(rng, middle * (bend if rising else 1 / bend), sample_rate)
    spoken = _through_formants(voice, sample_rate, vowels)
    return spoken * signals.gate(since, length, edge=0.03)


def _glides(rng, num_samples, sample_rate, opening):
    index, since, length = _rhythm(rng, num_samples, sample_rate)
    count = index.max() + 1
    closed = np.array([VOWELS["i"], VOWELS["u"]])[rng.integers(0, 2, count)]
    opened = np.array([VOWELS["a"]] * count)
    scale = signals.log_uniform(rng, 0.9, 1.25)
    phase = np.clip(since / length, 0, 1)[:, None]
    weight = phase if opening else 1 - phase
    formants = scale * closed[index] ** (1 - weight) * opened[index] ** weight
    voice = _voice(rng, _pitch(rng, num_samples, sample_rate), sample_rate)
    spoken = _through_formants(voice, sample_rate, formants)
    return spoken * signals.gate(since, length, edge=0.03)


def _syllables(rng, num_samples, sample_rate, abrupt_onset):
    index, since, length = _rhythm(rng, num_samples, sample_rate)
    fade = rng.uniform(0.2, 0.4) * length
    if abrupt_onset:
        envelope = signals.attack_decay(since, 0.008, fade)
        envelope = envelope * (since >= 0) * (since < length)
    else:
        envelope = signals.swell_stop(since, length, fade)
    voice = _voice(rng, _pitch(rng, num_samples, sample_rate), sample_rate)
    vowels = _random_vowels(rng, index)
    return _through_formants(voice, sample_rate, vowels) * envelope


def _rhythm(rng, num_samples, sample_rate):
    """Syllable of every sample, seconds since its onset, its length."""
    interval = signals.log_uniform(rng, 0.16, 0.32)
    onsets = signals.regular_onsets(rng, num_samples / sample_rate, interval, 0.15)
    index, since = signals.since_onset(onsets, num_samples, sample_rate)
    length = interval * rng.uniform(0.6, 0.8, len(onsets))
    return index, since, length[index]


def _pitch(rng, num_samples, sample_rate):
    wander = signals.slow_noise(rng, num_samples, sample_rate, 3.0)
    return signals.log_uniform(rng, 100, 240) * 2 ** (0.06 * wander)


def _voice(rng, pitch, sample_rate):
    """Vocal folds and breath."""
    folds = signals.harmonic_tone(pitch, sample_rate, 1500.0)
    breath = rng.standard_normal(len(pitch))
    return folds + signals.log_uniform(rng, 0.02, 0.3) * breath


def _random_vowels(rng, index):
    """Formants of one random vowel a syllable, [samples, 3]."""
    table = np.array(list(VOWELS.values()))
    drawn = table[rng.integers(0, len(table), index.max() + 1)]
    return signals.log_uniform(rng, 0.9, 1.25) * drawn[index]


def _through_formants(voice, sample_rate, formants):
    widths = np.array([110.0, 150.0, 220.0])
    gains = np.array([1.0, 0.6, 0.35])

    def response(time, frequency):
        position = (time[:, 0] * sample_rate).astype(int)
        centres = formants[np.clip(position, 0, len(formants) - 1)]
        peaks = signals.resonance(frequency[..., None], centres[:, None], widths)
        return 0.01 + peaks @ gains  # [frames, bins]

    return signals.filter_moving(voice, sample_rate, response)


CLASSES = {
    "question": question,
    "statement": statement,
    "opening_vowels": opening_vowels,
    "closing_vowels": closing_vowels,
    "abrupt_onsets": abrupt_onsets,
    "abrupt_endings": abrupt_endings,
}
