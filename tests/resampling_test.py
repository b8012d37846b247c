"""The resampler by tones and sweeps: flat below 7.2 kHz, no aliases."""

import numpy as np
import pytest

from byola_tf import audio

RATES = (8000, 22050, 44100, 48000, 96000, 192000)
TARGET = 16000


def tone(frequency, rate, seconds=1.0):
    time = np.arange(int(rate * seconds)) / rate
    return np.sin(2 * np.pi * frequency * time).astype("f")


def level_db(waveform):
    """Power of the middle half, relative to a tone of amplitude 1."""
    middle = waveform[len(waveform) // 4 : -len(waveform) // 4].astype("d")
    return 10 * np.log10(2 * np.mean(middle**2) + 1e-30)


def sweep(rate, first, last, seconds=4.0):
    """A linear sweep and its frequency at every sample."""
    time = np.arange(int(rate * seconds)) / rate
    slope = (last - first) / seconds
    phase = 2 * np.pi * (first * time + 0.5 * slope * time**2)
    return np.sin(phase).astype("f"), first + slope * time


@pytest.mark.newest_smoke
@pytest.mark.parametrize("rate", RATES)
def test_passband_is_flat_to_7200_hertz(rate):
    # from 8 kHz up to 90 % of its own band
    last = min(7200, 0.45 * rate)
    for frequency in np.linspace(50, last, 12):
        resampled = audio.resample(tone(frequency, rate), rate, TARGET)
        assert abs(level_db(resampled)) < 0.1, f"{frequency} Hz"


@pytest.mark.newest_smoke
@pytest.mark.parametrize("rate", [rate for rate in RATES if rate > TARGET])
def test_aliases_are_below_90_decibels(rate):
    for frequency in np.linspace(8000, 0.49 * rate, 12):
        resampled = audio.resample(tone(frequency, rate), rate, TARGET)
        assert level_db(resampled) < -90, f"{frequency} Hz"


def test_images_are_below_90_decibels():
    resampled = audio.resample(tone(1000, 8000), 8000, TARGET)
    spectrum = np.abs(np.fft.rfft(resampled[4000:12000] * np.hanning(8000)))
    frequencies = np.fft.rfftfreq(8000, 1 / TARGET)
    assert spectrum[frequencies > 4000].max() < 10**-4.5 * spectrum.max()


@pytest.mark.parametrize("rate", [22050, 44100, 48000])
def test_sweep_keeps_its_envelope_and_then_vanishes(rate):
    waveform, frequency = sweep(rate, 20, 0.49 * rate)
    resampled = audio.resample(waveform, rate, TARGET).astype("d")
    blocks = resampled[: len(resampled) // 400 * 400].reshape(-1, 400)  # of 25 ms
    power_db = 10 * np.log10(2 * np.mean(blocks**2, axis=1) + 1e-30)
    centers = (np.arange(len(blocks)) + 0.5) * 400 / TARGET
    heard = np.interp(centers, np.arange(len(frequency)) / rate, frequency)
    passed = power_db[(heard > 300) & (heard < 7200)]
    assert np.abs(passed).max() < 0.1
    assert power_db[(heard > 8200) & (heard < 0.48 * rate)].max() < -90


def test_top_mel_bins_hear_less_of_resampled_sound():
    # soxr "HQ" ends at 0.913 of the band; the mel bank reaches 7800 Hz
    levels = [
        level_db(audio.resample(tone(frequency, 44100), 44100, TARGET))
        for frequency in (7300, 7500, 7800)
    ]
    np.testing.assert_allclose(levels, [0.0, -0.4, -25.0], atol=0.3)


@pytest.mark.parametrize("rate", [*RATES, 11025, 12345])
@pytest.mark.parametrize("target", [8000, 16000, 48000])
def test_length_is_rounded_and_never_zero(rate, target):
    for length in (1, 2, 3, 5, 17, 100, 1001, 4411):
        resampled = audio.resample(np.ones(length, "f"), rate, target)
        assert resampled.dtype == np.float32
        assert abs(len(resampled) - length * target / rate) <= 0.5 or (
            len(resampled) == 1
        )
        assert np.isfinite(resampled).all()


def test_same_rate_is_the_same_sound():
    waveform = tone(440, 16000)
    assert audio.resample(waveform, 16000, 16000) is waveform


def test_no_delay():
    click = np.zeros(4410, "f")
    click[2205] = 1
    resampled = audio.resample(click, 44100, TARGET)
    assert np.argmax(np.abs(resampled)) == 800


def test_channels_are_resampled_alike():
    stereo = np.stack([tone(440, 44100, 0.2), tone(3000, 44100, 0.2)], axis=1)
    resampled = audio.resample(stereo, 44100, TARGET)
    for channel in range(2):
        alone = audio.resample(np.ascontiguousarray(stereo[:, channel]), 44100, TARGET)
        np.testing.assert_array_equal(resampled[:, channel], alone)
