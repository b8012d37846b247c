"""Bytes to waveforms: find, decode, mix down, resample.

The only place that knows about decoders and resamplers, so that training,
evaluation and serving hear the same thing.
"""

import functools
import io
import os
import stat
import warnings
from collections.abc import Callable

import numpy as np
import soxr
import tensorflow as tf

from byola_tf import audio_blocks, audio_files, audio_headers
from byola_tf.errors import UserError

EXTENSIONS = audio_files.EXTENSIONS
find_files = audio_files.find_files
missing_wav_bytes = audio_headers.missing_wav_bytes

_ONE_SAMPLE_WAV = (
    b"RIFF&\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0@\x1f\0\0\x80>\0\0\2\0\x10\0data\2\0\0\0\0\0"
)


class AudioError(UserError):
    """A file that cannot be used; the message names it and says why."""


def load(path: str, sample_rate: int) -> np.ndarray:
    """Reads one file as mono audio at `sample_rate`.

    Args:
        path: WAV, FLAC, Ogg Vorbis or MP3 file, any rate and channel count.
        sample_rate: wanted rate, Hz.

    Returns:
        float32 [samples]; integer formats are scaled by their type to [-1, 1),
        channels are averaged.

    Raises:
        AudioError: unreadable, truncated, damaged, empty, or holds non-finite
            samples.
    """
    waveform, source_rate = decode(path)
    return resample(waveform, source_rate, sample_rate)


def decode(path: str) -> tuple[np.ndarray, int]:
    """Reads one file as mono audio at its own rate.

    Returns:
        float32 [samples] and the sampling rate in Hz.

    Raises:
        AudioError: see `load`.
    """
    path = os.fspath(path)
    try:
        # opening a pipe waits for its writer, for ever
        if "://" not in path and not stat.S_ISREG(os.stat(path).st_mode):
            raise AudioError(unusable(path, "it is not a regular file"))
        with tf.io.gfile.GFile(path, "rb") as file:
            content = file.read()
    except (tf.errors.OpError, OSError) as error:
        raise AudioError(unusable(path, f"it cannot be read ({error})")) from error
    return decode_bytes(content, path)


def decode_bytes(content: bytes, name: str) -> tuple[np.ndarray, int]:
    """Decodes the bytes of one audio file; `name` is for messages.

    The decoder is libsndfile on every stack; `decode_op` has the reasons.

    Returns:
        float32 [samples] (mono) and the sampling rate in Hz.

    Raises:
        AudioError: see `load`.
    """
    try:
        header = audio_headers.read_header(content)
        rate, *blocks = audio_blocks.mono_blocks(
            io.BytesIO(header.stream), header.encoding
        )
    except audio_headers.BrokenAudio as error:
        raise AudioError(unusable(name, str(error))) from error
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks), rate


def unusable(path: str, reason: str) -> str:
    """The message of an `AudioError`; the reason reads "it ..."."""
    return f"{path!r} must be a readable audio file, but {reason}."


def decode_op(content, name="the file") -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes one audio file inside a graph, e.g. in `tf.data.Dataset.map`.

    Returns what `decode_bytes` returns, to 16-bit precision. Where
    tensorflow-io loads and is right, its decoders run; elsewhere libsndfile,
    through `tf.numpy_function`. Measured with tensorflow-io 0.37.1 and
    libsndfile 1.2.2, in seconds of 44.1 kHz mono a second of one core:

    | file | tensorflow-io | its speed | libsndfile's |
    | --- | --- | --- | --- |
    | WAV 8, 16 bit | right | 7000 | 3900 |
    | WAV 24 bit, float | right | 3000, 7400 | 2500, 7600 |
    | WAV 32 bit | wrong: taken for float | | 3900 |
    | WAV float64, A-law, ADPCM | refused | | |
    | WAV with odd or damaged chunks | no samples, hang, SIGFPE | | |
    | FLAC | right, but hangs on a damaged end | 225 | 1400 |
    | FLAC of unknown length | no samples | | |
    | Ogg Vorbis | right | 190 | 950 |
    | Ogg Vorbis, damaged or chained | shorter, or SIGSEGV | | |
    | Ogg Opus | refused | | |
    | MP3 with a LAME header | right | 390 | 1450 |
    | MP3 without, or with a wrong one | other start, other length | | 1450 |

    So tensorflow-io gets the WAV, Ogg and MP3 files whose structure
    `audio_headers` has found whole and plain. `decode_bytes` has libsndfile
    alone: it loses in 8- and 16-bit WAV only, 0.5 ms a clip of 5 s. The op runs
    in the process that made the graph, not on workers of a tf.data service.

    Args:
        content: string scalar, the bytes of the file.
        name: string scalar or str, for messages.

    Returns:
        float32 [samples] (mono) and the sampling rate in Hz, int32 scalar.

    Raises:
        tf.errors.InvalidArgumentError: when run, for what makes `decode_bytes`
            raise `AudioError`.
    """
    content = tf.convert_to_tensor(content, tf.string)
    name = tf.convert_to_tensor(name, tf.string)
    decoders = _tensorflow_io_decoders()

    def by_soundfile():
        return tf.numpy_function(
            _decode_for_graph, [content, name], [tf.float32, tf.int32], stateful=False
        )

    def by_tensorflow_io(decoder, encoding):
        waveform = tf.reduce_mean(decoder(content), axis=1)
        peak = tf.reduce_max(tf.abs(waveform))
        is_sound = (tf.size(waveform) > 0) & (peak <= audio_blocks.max_peak(encoding))
        reason = "it is damaged or has NaN, infinite or no samples"
        message = tf.strings.join(["`", name, f"` must be audio, but {reason}."])
        with tf.control_dependencies([tf.Assert(is_sound, [message])]):
            return [tf.identity(waveform), rate]

    if decoders:
        index, rate = tf.numpy_function(
            functools.partial(_choose_decoder, tuple(decoders)),
            [content, name],
            [tf.int32, tf.int32],
            stateful=False,
        )
        branches = [
            functools.partial(by_tensorflow_io, decoder, encoding)
            for encoding, decoder in decoders.items()
        ]
        # the last branch is also the one for every other index
        waveform, rate = tf.switch_case(index, [*branches, by_soundfile])
    else:
        waveform, rate = by_soundfile()
    return tf.ensure_shape(waveform, [None]), tf.ensure_shape(rate, [])


def _decode_for_graph(content: bytes, name: bytes):
    waveform, rate = decode_bytes(content, name.decode(errors="replace"))
    return waveform, np.int32(rate)


def _choose_decoder(encodings: tuple[str, ...], content: bytes, name: bytes):
    """Index of the decoder for a file, and its rate where that is known."""
    try:
        header = audio_headers.read_header(content)
    except audio_headers.BrokenAudio as error:
        path = name.decode(errors="replace")
        raise AudioError(unusable(path, str(error))) from error
    if header.is_plain and header.encoding in encodings:
        index = encodings.index(header.encoding)
    else:
        index = len(encodings)
    return np.int32(index), np.int32(header.sample_rate or 0)


@functools.cache
def _tensorflow_io_decoders() -> dict[str, Callable]:
    """tensorflow-io's decoders by encoding; empty where it does not load.

    Each takes a string scalar to float32 [samples, channels].
    """
    try:
        with warnings.catch_warnings(), tf.init_scope():
            warnings.simplefilter("ignore")  # of plugins that do not load
            import tensorflow_io

            native = tensorflow_io.audio
            wav = tf.constant(_ONE_SAMPLE_WAV)
            native.decode_wav(wav, dtype=tf.int16)  # loads the native ops
    except (ImportError, NotImplementedError, tf.errors.OpError):
        return {}

    def scaled(decode, dtype, zero, scale):
        # by the type, never by the maximum
        return lambda content: (
            (tf.cast(decode(content, dtype=dtype), tf.float32) - zero) / scale
        )

    return {
        "pcm_u8": scaled(native.decode_wav, tf.uint8, 128.0, 2.0**7),
        "pcm_s16": scaled(native.decode_wav, tf.int16, 0.0, 2.0**15),
        "pcm_s24": scaled(native.decode_wav, tf.int32, 0.0, 2.0**31),
        "float32": scaled(native.decode_wav, tf.float32, 0.0, 1.0),
        "vorbis": native.decode_vorbis,
        "mp3": native.decode_mp3,
    }


def resample(waveform: np.ndarray, source_rate: int, target_rate: int) -> np.ndarray:
    """Resamples at soxr "HQ" quality.

    Args:
        waveform: float32 [samples] or [samples, channels] at `source_rate`.
        source_rate: Hz.
        target_rate: Hz.

    Returns:
        float32 at `target_rate`: round(samples * target_rate / source_rate)
        samples, but at least one (a copy of the first) of what has any.
    """
    if source_rate == target_rate:
        return waveform
    resampled = soxr.resample(waveform, source_rate, target_rate, quality="HQ")
    if not len(resampled):
        return np.ascontiguousarray(waveform[:1])
    return resampled


def to_pcm16(waveform: np.ndarray) -> np.ndarray:
    """Rounds float [-1, 1) to int16, clipping what lies outside."""
    return np.clip(np.rint(waveform * 32768.0), -32768, 32767).astype(np.int16)


def from_pcm16(samples: np.ndarray) -> np.ndarray:
    """Scales int16 to float32 [-1, 1)."""
    return samples.astype(np.float32) / np.float32(32768.0)
