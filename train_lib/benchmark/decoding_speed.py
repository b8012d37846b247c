"""How fast files of each format become samples, on one thread."""

import os
import tempfile
import time

import numpy as np
import soundfile

from byola_tf import audio

CROP_SECONDS = 0.95
_CLIP_SECONDS = 5.0
_RATE = 44100
_FORMATS = {
    "wav16": ("wav", "PCM_16"),
    "wav24": ("wav", "PCM_24"),
    "wav_float": ("wav", "FLOAT"),
    "flac16": ("flac", "PCM_16"),
    "flac24": ("flac", "PCM_24"),
    "ogg": ("ogg", "VORBIS"),
    "mp3": ("mp3", "MPEG_LAYER_III"),
}


def decode_rates(seconds: float = 1.0, sample_rate: int | None = None):
    """Measures `audio.decode`, or `audio.load` when a rate is given.

    The files are mono clips of 5 s at 44.1 kHz in a temporary folder, read from
    the page cache.

    Args:
        seconds: how long to measure each format.
        sample_rate: rate to resample to, Hz; None: decoding alone.

    Returns:
        dict of format -> crops of 0.95 s a second.
    """
    rates = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, path in _write_clips(folder).items():
            clips = _clips_per_second(path, seconds, sample_rate)
            rates[name] = clips * _CLIP_SECONDS / CROP_SECONDS
    return rates


def _write_clips(folder: str) -> dict[str, str]:
    # noise that falls by 6 dB an octave, as many recordings do: white noise
    # would be the worst case of every encoder
    rng = np.random.default_rng(0)
    noise = rng.normal(size=int(_CLIP_SECONDS * _RATE))
    spectrum = np.fft.rfft(noise)
    spectrum /= np.maximum(np.arange(len(spectrum)), 100)
    sound = np.fft.irfft(spectrum)
    sound *= 0.5 / np.abs(sound).max()
    paths = {}
    for name, (extension, subtype) in _FORMATS.items():
        paths[name] = os.path.join(folder, f"{name}.{extension}")
        soundfile.write(paths[name], sound, _RATE, subtype)
    return paths


def _clips_per_second(path: str, seconds: float, sample_rate: int | None) -> float:
    def decode():
        if sample_rate is None:
            audio.decode(path)
        else:
            audio.load(path, sample_rate)

    decode()
    start, clips = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        decode()
        clips += 1
    return clips / (time.perf_counter() - start)
