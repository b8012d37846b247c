"""Whatever holds samples → mono clips of float32, read when they are needed."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import soxr
import tensorflow as tf

from byola_tf import audio
from byola_tf.errors import UserError

_MAX_CHANNELS = 32
_MANY_CLIPS = 256
_RATES = (1_000, 1_000_000)
_BLOCK_SAMPLES = 1 << 19
_READING = "Read files with byola_tf.audio.load(path, embedder.sample_rate)."


@dataclasses.dataclass
class Clip:
    """One recording as it was given; `read` and `blocks` make audio of it.

    Attributes:
        samples: int16 or floating [samples] or [samples, channels].
        source_rate: its rate, Hz.
        target_rate: the rate it is read at, Hz.
        name: which one it is, for messages.
    """

    samples: np.ndarray
    source_rate: int
    target_rate: int
    name: str

    @property
    def num_samples(self) -> int:
        """Length at `target_rate`, to within one sample."""
        return max(1, round(len(self.samples) * self.target_rate / self.source_rate))

    def read(self) -> np.ndarray:
        """The whole clip, float32 [samples], mono at `target_rate`."""
        mono = self._mono(0, len(self.samples))
        return audio.resample(mono, self.source_rate, self.target_rate)

    def blocks(self) -> Iterator[np.ndarray]:
        """What `read` returns in pieces, so that one at a time is in memory."""
        total = len(self.samples)
        resampler = None
        if self.source_rate != self.target_rate:
            resampler = soxr.ResampleStream(
                self.source_rate, self.target_rate, 1, dtype="float32", quality="HQ"
            )
        for start in range(0, total, _BLOCK_SAMPLES):
            stop = min(start + _BLOCK_SAMPLES, total)
            block = self._mono(start, stop)
            if resampler is not None:
                block = resampler.resample_chunk(block, last=stop == total)
            yield block

    def _mono(self, start: int, stop: int) -> np.ndarray:
        samples = self.samples[start:stop]
        if samples.dtype == np.int16:
            samples = audio.from_pcm16(samples)
        with np.errstate(over="ignore", invalid="ignore"):
            samples = samples.astype(np.float32, copy=False)
            if samples.ndim == 2:
                samples = samples.mean(axis=1)
            # the sum is a fast test; it overflows for huge samples too
            plausible = np.isfinite(samples.sum())
        if not plausible and not np.isfinite(samples).all():
            position = int(np.argmin(np.isfinite(samples)))
            raise UserError(
                f"Samples must be finite. Received: {samples[position]} at sample "
                f"{start + position} of {self.name}. Repair it or leave it out."
            )
        return samples


def as_clips(
    waveform,
    sample_rate: int | Sequence[int] | None,
    target_rate: int,
    channels: str | None = None,
) -> list[Clip]:
    """Takes apart what an embedder is given.

    Args:
        waveform: NumPy array or tensor, int16 or floating: [samples], or
            [batch, samples]; with `channels`, one clip of several channels. Or a
            list of clips of any lengths: [samples], or several channels, "last"
            unless `channels` says so.
        sample_rate: Hz, for all or one a clip; `target_rate` when None.
        target_rate: rate at which the clips will be read, Hz.
        channels: "last", [samples, channels]; "first", [channels, samples]; or
            None, no channels outside lists.

    Returns:
        a `Clip` a recording, in the order given.

    Raises:
        UserError: anything else.
    """
    if channels not in (None, "first", "last"):
        raise UserError(
            f'`channels` must be "first", "last" or None. Received: {channels!r}.'
        )
    arrays, names = _take_apart(waveform, channels)
    rates = _rates(sample_rate, len(arrays), target_rate)
    for array, name in zip(arrays, names, strict=True):
        _check_clip(array, name)
    return [
        Clip(array, rate, target_rate, name)
        for array, rate, name in zip(arrays, rates, names, strict=True)
    ]


def as_clip(samples, sample_rate: int | None, target_rate: int, name: str) -> Clip:
    """Checks one recording.

    Args:
        samples: int16 or floating [samples] or [samples, channels].
        sample_rate: Hz; `target_rate` when None.
        target_rate: rate at which it will be read, Hz.
        name: which one it is, for messages.

    Raises:
        UserError: anything else.
    """
    array = _as_array(samples, name)
    _check_clip(array, name)
    (rate,) = _rates(sample_rate, 1, target_rate)
    return Clip(array, rate, target_rate, name)


def as_batch(waveform, name: str) -> np.ndarray:
    """A batch that is padded already, scaled as clips are.

    Args:
        waveform: NumPy array or tensor, int16 or floating [batch, samples]. What
            follows a clip's end may be anything.
        name: which one it is, for messages.

    Returns:
        float32 [batch, samples]; int16 is scaled to [-1, 1).

    Raises:
        UserError: another type, another shape, or no sample.
    """
    array = _as_array(waveform, name)
    if array.ndim != 2:
        raise UserError(
            f"{name} must have shape [batch, samples]. Received: {array.shape}. Put a "
            "single clip into a batch: waveform[None]."
        )
    if array.dtype == np.int16:
        return audio.from_pcm16(array)
    return array.astype(np.float32, copy=False)


def _take_apart(waveform, channels):
    """Arrays [samples] or [samples, channels], and their names."""
    if isinstance(waveform, tf.RaggedTensor):
        waveform = list(waveform)
    if isinstance(waveform, np.ndarray) and waveform.dtype == object:
        waveform = list(waveform)
    if isinstance(waveform, list | tuple) and waveform and np.ndim(waveform[0]):
        names = [f"clip {index}" for index in range(len(waveform))]
        arrays = []
        for clip, name in zip(waveform, names, strict=True):
            array = _as_array(clip, name)
            if array.ndim == 2 and channels == "first":
                array = array.T
            arrays.append(array)
        return arrays, names
    array = _as_array(waveform, "`waveform`")
    if array.ndim == 2 and channels is None:
        _refuse_channels(array)
        return list(array), [f"clip {index}" for index in range(len(array))]
    if array.ndim == 2 and channels == "first":
        array = array.T
    return [array], ["`waveform`"]


def _as_array(waveform, name: str) -> np.ndarray:
    if isinstance(waveform, str | bytes):
        raise UserError(
            f"{name} must hold samples. Received: {type(waveform).__name__}. {_READING}"
        )
    if tf.is_tensor(waveform) and not hasattr(waveform, "numpy"):
        raise UserError(
            f"{name} must have values. Received: a symbolic tensor. Inside a "
            "tf.function or a Keras model, call `embedder.model`."
        )
    try:
        array = np.asarray(waveform)
    except ValueError as error:
        raise UserError(
            f"{name} must be an array or a list of clips. Received: {error}."
        ) from error
    if array.dtype != np.int16 and not np.issubdtype(array.dtype, np.floating):
        raise UserError(
            f"{name} must be float in [-1, 1] or int16. Received: {array.dtype}. "
            + _WAYS_OUT.get(array.dtype.name, _READING)
        )
    if array.ndim not in (1, 2) or not array.size:
        raise UserError(
            f"{name} must have shape [samples] or [batch, samples], or [samples, "
            'channels] with channels="last", and at least one sample. '
            f"Received: {array.shape}. Pass several clips of several channels as a "
            "list."
        )
    return array


def _refuse_channels(array: np.ndarray) -> None:
    if len(array) >= _MANY_CLIPS and array.shape[1] <= _MAX_CHANNELS:
        raise UserError(
            "`waveform` of two axes must be [batch, samples]. "
            f"Received: {array.shape}, which looks like [samples, channels]. Pass "
            'channels="last", or a list if these are clips.'
        )


def _check_clip(array: np.ndarray, name: str) -> None:
    if array.ndim == 1 or array.shape[1] <= _MAX_CHANNELS:
        return
    if array.shape[0] <= _MAX_CHANNELS:
        raise UserError(
            f"{name} must be [samples] or [samples, channels]. "
            f"Received: {array.shape}, which looks like [channels, samples]. "
            'Pass channels="first", or an array [batch, samples] if these are clips.'
        )
    raise UserError(
        f"{name} must have at most {_MAX_CHANNELS} channels. "
        f"Received: {array.shape}. Pass an array [batch, samples] without "
        "`channels` if these are clips."
    )


def _rates(sample_rate, num_clips: int, target_rate: int) -> list[int]:
    if sample_rate is None:
        return [target_rate] * num_clips
    if np.ndim(sample_rate) == 0:
        return [_whole_rate(sample_rate)] * num_clips
    if len(sample_rate) != num_clips:
        raise UserError(
            "`sample_rate` must be one number, or one a clip. Received: "
            f"{len(sample_rate)} for {num_clips} clips."
        )
    return [_whole_rate(rate) for rate in sample_rate]


def _whole_rate(rate) -> int:
    try:
        whole = int(rate)
        good = whole == rate and _RATES[0] <= whole <= _RATES[1]
    except (TypeError, ValueError, OverflowError):
        good = False
    if not good:
        raise UserError(
            f"`sample_rate` must be a whole number of Hz, {_RATES[0]} to {_RATES[1]}. "
            f"Received: {rate!r}. Give the rate of the audio itself."
        )
    return whole


_WAYS_OUT = {
    "uint8": "Scale 8-bit samples: (x.astype('float32') - 128) / 128.",
    "int8": "Scale 8-bit samples: x / 128.",
    "int32": "Scale 32-bit samples: x / 2**31 (24 bit in 32: x / 2**23).",
    "int64": "Scale integers by their full scale: 16 bit by x / 32768.",
    "bfloat16": "Cast it: tf.cast(x, tf.float32).",
}
