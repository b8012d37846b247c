"""Waveform to log-mel spectrogram (TASLP section III-B; method: front end)."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from byola_tf.config import EPSILON, FrontendConfig


def log_mel_spectrogram(
    waveform,
    frontend_config: FrontendConfig,
    constant: Callable = tf.convert_to_tensor,
    power: Callable | None = None,
):
    """Computes log-mel energies of mono audio.

    Frames are centred (reflected at both ends), Hann windowed and turned into
    mel-weighted power; its natural logarithm is taken. Clips shorter than the
    reflection needs are zero-padded at their end.

    Args:
        waveform: float32 [batch, samples], range [-1, 1], at
            `frontend_config.sample_rate` Hz.
        frontend_config: `FrontendConfig`.
        constant: makes a tensor of the window and of the mel filters, for
            converters that would round constants.
        power: `power_spectrum`, or the same of other operators.

    Returns:
        float32 [batch, time, mel], natural log of mel power,
        time = 1 + samples // hop_length.

    Raises:
        ValueError: `waveform` is not rank 2.
    """
    waveform = _require_batch(waveform)
    config = frontend_config
    waveform = pad_to_length(waveform, minimum_samples(config, time_stride=1))
    half = config.n_fft // 2
    # not tf.pad's REFLECT, which refuses a batch without clips
    start = tf.reverse(waveform[:, 1 : half + 1], [1])
    end = tf.reverse(waveform[:, -half - 1 : -1], [1])
    padded = tf.concat([start, waveform, end], axis=1)
    return _log_mel_of_frames(padded, config, constant, power or power_spectrum)


def padded_log_mel_spectrogram(
    waveform,
    num_samples,
    frontend_config: FrontendConfig,
    time_stride: int = 1,
    constant: Callable = tf.convert_to_tensor,
):
    """Computes log-mel energies of clips of unequal length in one batch.

    Each clip's frames are those that it has alone: it is zero-padded to the
    minimum and reflected at its own end.

    Args:
        waveform: float32 [batch, samples]; whatever follows the samples that
            count has no influence.
        num_samples: int32 [batch], samples that count, at most `samples`.
        frontend_config: `FrontendConfig`.
        time_stride: see `minimum_samples`.
        constant: see `log_mel_spectrogram`.

    Returns:
        float32 [batch, time, mel] and int32 [batch], the number of frames of
        each clip; frames beyond it are finite and mean nothing.
    """
    waveform = _require_batch(waveform)
    config = frontend_config
    minimum = minimum_samples(config, time_stride)
    is_sound = tf.sequence_mask(num_samples, tf.shape(waveform)[1])
    waveform = pad_to_length(tf.where(is_sound, waveform, 0.0), minimum)
    length = tf.maximum(num_samples, minimum)
    padded = _reflect_ends(waveform, length, config.n_fft // 2)
    log_mel = _log_mel_of_frames(padded, config, constant)
    return log_mel, 1 + length // config.hop_length


def _require_batch(waveform):
    waveform = tf.convert_to_tensor(waveform)
    if waveform.dtype != tf.float32:
        raise ValueError(
            "`waveform` must be float32 in [-1, 1]. "
            f"Received: {waveform.dtype.name}. Divide int16 samples by 32768."
        )
    if waveform.shape.rank != 2:
        raise ValueError(
            "`waveform` must have shape [batch, samples]. "
            f"Received: {waveform.shape}. Add a batch axis to a single clip."
        )
    return waveform


def _reflect_ends(waveform, length, margin: int):
    """Reflects `margin` samples at the start and at each clip's own end.

    Args:
        waveform: float32 [batch, samples].
        length: int32 [batch], more than `margin`.
        margin: samples.

    Returns:
        float32 [batch, margin + samples + margin].
    """
    positions = tf.range(-margin, tf.shape(waveform)[1] + margin)
    last = length[:, None] - 1
    source = last - tf.abs(last - tf.abs(positions)[None])
    # negative beyond the reflection, where nothing is asked for
    return tf.gather(waveform, tf.maximum(source, 0), batch_dims=1)


def power_spectrum(windowed):
    """Power of the Fourier transform of every frame.

    Args:
        windowed: float32 [batch, time, n_fft].

    Returns:
        float32 [batch, time, n_fft // 2 + 1].
    """
    spectrum = tf.signal.rfft(windowed)
    return tf.square(tf.math.real(spectrum)) + tf.square(tf.math.imag(spectrum))


def _log_mel_of_frames(padded, config: FrontendConfig, constant, power=power_spectrum):
    """Log-mels of waveforms that already have their margins."""
    frames = tf.signal.frame(padded, config.n_fft, config.hop_length)
    windowed = frames * constant(_window(config))
    # [batch, time, mel]
    mel = tf.matmul(power(windowed), constant(mel_filters(config)))
    return tf.math.log(mel + EPSILON)


def minimum_samples(frontend_config: FrontendConfig, time_stride: int) -> int:
    """Length to which shorter clips are padded, samples.

    Long enough for the reflection, and for one output frame of an encoder
    that turns `time_stride` log-mel frames into one.
    """
    return max(
        frontend_config.n_fft // 2 + 1,
        (time_stride - 1) * frontend_config.hop_length,
    )


def pad_to_length(waveform, num_samples: int):
    """Appends zeros to [batch, samples] up to at least `num_samples`."""
    missing = tf.maximum(num_samples - tf.shape(waveform)[1], 0)
    return tf.pad(waveform, [[0, 0], [0, missing]])


def fingerprint(frontend_config: FrontendConfig, mean: float, std: float) -> str:
    """Names what an encoder sees of a waveform: equal texts, equal log-mels.

    The same on every machine and in every version of this package, so a field
    that is added to `FrontendConfig` has to be left out where it has its
    default.

    Args:
        frontend_config: `FrontendConfig`.
        mean: of the statistics that log-mels are normalised with.
        std: of the same.

    Returns:
        16 hexadecimal digits of the SHA-256 of sorted JSON, numbers as float32.
    """
    values = {**dataclasses.asdict(frontend_config), "mean": mean, "std": std}
    for name, value in values.items():
        if not isinstance(value, str):
            values[name] = float(np.float32(value))
    text = json.dumps(values, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _window(config: FrontendConfig) -> np.ndarray:
    """Periodic Hann window, centred in the transform, float32 [n_fft]."""
    positions = np.arange(config.win_length) / config.win_length
    window = 0.5 - 0.5 * np.cos(2 * np.pi * positions)
    before = (config.n_fft - config.win_length) // 2
    after = config.n_fft - config.win_length - before
    return np.pad(window, (before, after)).astype(np.float32)


def mel_filters(frontend_config: FrontendConfig) -> np.ndarray:
    """Triangular mel filters.

    Slaney's scale with area normalisation equals `librosa.filters.mel`'s
    defaults; "htk" has peaks of one, as torchaudio's defaults.

    Args:
        frontend_config: `FrontendConfig`.

    Returns:
        float32 [n_fft // 2 + 1, n_mels], read-only.
    """
    config = frontend_config
    return _mel_filters(
        config.sample_rate,
        config.n_fft,
        config.n_mels,
        config.f_min,
        config.f_max,
        config.mel_scale,
    )


@functools.lru_cache
def _mel_filters(sample_rate, n_fft, n_mels, f_min, f_max, mel_scale):
    to_mel, to_hz = _SCALES[mel_scale]
    bins = np.linspace(0, sample_rate / 2, n_fft // 2 + 1)
    edges = to_hz(np.linspace(to_mel(f_min), to_mel(f_max), n_mels + 2))
    lower, centre, upper = edges[:-2], edges[1:-1], edges[2:]  # [mel]
    rising = (bins[:, None] - lower) / (centre - lower)
    falling = (upper - bins[:, None]) / (upper - centre)
    filters = np.maximum(0, np.minimum(rising, falling))  # [bin, mel]
    if mel_scale == "slaney":
        filters *= 2 / (upper - lower)
    filters = filters.astype(np.float32)
    filters.flags.writeable = False  # the cache hands out this very array
    return filters


_LINEAR_HZ_PER_MEL = 200 / 3
_LOG_START_HZ = 1000.0
_LOG_START_MEL = _LOG_START_HZ / _LINEAR_HZ_PER_MEL
_LOG_STEP = np.log(6.4) / 27


def _slaney_to_mel(hertz):
    """Linear below 1 kHz, logarithmic above (Slaney's Auditory Toolbox)."""
    hertz = np.asarray(hertz, np.float64)
    logarithmic = np.log(np.maximum(hertz, _LOG_START_HZ) / _LOG_START_HZ)
    return np.where(
        hertz < _LOG_START_HZ,
        hertz / _LINEAR_HZ_PER_MEL,
        _LOG_START_MEL + logarithmic / _LOG_STEP,
    )


def _slaney_to_hz(mel):
    logarithmic = np.exp(_LOG_STEP * (np.maximum(mel, _LOG_START_MEL) - _LOG_START_MEL))
    return np.where(
        mel < _LOG_START_MEL, mel * _LINEAR_HZ_PER_MEL, _LOG_START_HZ * logarithmic
    )


def _htk_to_mel(hertz):
    return 2595 * np.log10(1 + np.asarray(hertz, np.float64) / 700)


def _htk_to_hz(mel):
    return 700 * (10 ** (mel / 2595) - 1)


_SCALES = {
    "slaney": (_slaney_to_mel, _slaney_to_hz),
    "htk": (_htk_to_mel, _htk_to_hz),
}
