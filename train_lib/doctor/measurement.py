"""One file's measurements, taken in one pass."""

import dataclasses
import hashlib
import io
import mmap
import os
import re
import stat

import numpy as np
import soundfile
import tensorflow as tf

from byola_tf import audio
from byola_tf.audio import headers
from train_lib.doctor import instruments

SILENCE_DB = -60.0
_SMALL_FILE = 4 * 2**20  # bytes; smaller files are read whole, unasked
_LARGE_DECODED = 64 * 2**20  # bytes of float32; larger files are read in pieces


@dataclasses.dataclass(slots=True)
class Measurement:
    """What is known of a file after it was decoded once.

    Attributes:
        path: the file.
        fault: "" when training can use it, else "broken" or "non_finite".
        reason: why it cannot be used, in words.
        bytes: size of the file.
        container: "WAV", "FLAC", "OGG", "MP3", ...
        subtype: "PCM_16", "FLOAT", "VORBIS", ...
        sample_rate: Hz.
        channels: number of channels.
        seconds: duration.
        level_db: root mean square of the mono mix without its offset, dBFS.
        loudest_frame_db: level of its loudest 10 ms, dBFS.
        silent_share: share of its 10 ms frames below `SILENCE_DB`.
        peak: largest absolute sample of any channel, 1 is full scale.
        clipped_share: share of samples in runs at full scale.
        offset: mean of the mono mix (DC), 1 is full scale.
        mix_loss_db: how much quieter the mono mix is than its channels.
        spectrum_end_hz: where the spectrum ends abruptly, or half the rate.
        audio_hash: of rate and mono mix in 16 bits; the same for the same
            sound in any lossless container.
        file_hash: of the bytes.
    """

    path: str
    fault: str = ""
    reason: str = ""
    bytes: int = 0
    container: str = ""
    subtype: str = ""
    sample_rate: int = 0
    channels: int = 0
    seconds: float = 0.0
    level_db: float = 0.0
    loudest_frame_db: float = 0.0
    silent_share: float = 0.0
    peak: float = 0.0
    clipped_share: float = 0.0
    offset: float = 0.0
    mix_loss_db: float = 0.0
    spectrum_end_hz: float = 0.0
    audio_hash: str = ""
    file_hash: str = ""

    @property
    def is_silent(self) -> bool:
        """Whether not even the loudest 10 ms reach `SILENCE_DB`."""
        return not self.fault and self.loudest_frame_db < SILENCE_DB


def measure(path: str) -> Measurement:
    """Measures one file; a file that cannot be used is no error.

    Whether it can be used, and the mono mix, come from the decoder that
    training uses. Large local files are read in pieces by the same rules.
    """
    result = Measurement(path)
    try:
        # opening a pipe waits for its writer, for ever
        if "://" not in path and not stat.S_ISREG(os.stat(path).st_mode):
            raise audio.AudioError("it is not a regular file")
        if _is_large(path):
            _measure_in_pieces(result)
        else:
            _measure_whole(result)
    except (tf.errors.OpError, OSError) as error:
        result.fault, result.reason = "broken", f"it cannot be read ({error})"
    except audio.AudioError as error:
        result.fault = result.fault or "broken"
        result.reason = _reason(str(error), path)
    except (soundfile.SoundFileError, RuntimeError) as error:
        result.fault = "broken"
        result.reason = _reason(f"it does not decode ({error})", path)
    return result


def _is_large(path: str) -> bool:
    if not os.path.isfile(path) or os.path.getsize(path) < _SMALL_FILE:
        return False
    try:
        info = soundfile.info(path)
    except (soundfile.SoundFileError, RuntimeError):
        return False
    return info.frames * info.channels * 4 > _LARGE_DECODED


def _measure_whole(result: Measurement) -> None:
    with tf.io.gfile.GFile(result.path, "rb") as file:
        content = file.read()
    result.bytes = len(content)
    result.file_hash = hashlib.blake2b(content, digest_size=16).hexdigest()
    try:
        mono, _ = audio.decode_bytes(content, result.path)
    except audio.AudioError:
        if _has_non_finite(content):
            result.fault = "non_finite"
        raise
    stream = headers.read_header(content).stream
    with soundfile.SoundFile(io.BytesIO(stream)) as file:
        meter = _Meter(result, file)
        for start in range(0, len(mono), meter.piece):
            piece = mono[start : start + meter.piece]
            # one channel is its own mix: no need to decode it again
            channels = (
                piece[:, None]
                if file.channels == 1
                else file.read(len(piece), dtype="float32", always_2d=True)
            )
            meter.update(piece, channels)
    meter.finish()


def _measure_in_pieces(result: Measurement) -> None:
    path = result.path
    with open(path, "rb") as file:
        result.bytes = os.path.getsize(path)
        digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16))
        result.file_hash = digest.hexdigest()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            # what is not compressed may be larger than memory: not copied
            is_wav = content[:4] in (b"RIFF", b"RIFX", b"RF64")
            try:
                header = headers.read_header(content if is_wav else content[:])
            except headers.BrokenAudio as error:
                raise audio.AudioError(str(error)) from error
            stream = path if is_wav else io.BytesIO(header.stream)
            del header  # it holds the map
    with soundfile.SoundFile(stream) as file:
        meter = _Meter(result, file)
        for channels in file.blocks(meter.piece, dtype="float32", always_2d=True):
            if not np.isfinite(channels).all():
                result.fault = "non_finite"
                raise audio.AudioError("it has NaN or infinite samples")
            meter.update(channels.mean(axis=1), channels)
        if meter.samples < file.frames < 2**60:
            raise audio.AudioError(
                f"it is truncated: {meter.samples} of {file.frames} samples"
            )
    meter.finish()


class _Meter:
    """All instruments on one file.

    Attributes:
        piece: samples an update, the last one excepted.
        samples: number of samples seen.
    """

    def __init__(self, result: Measurement, file: soundfile.SoundFile):
        result.container, result.subtype = file.format, file.subtype
        result.sample_rate, result.channels = file.samplerate, file.channels
        self._result = result
        self._level = instruments.Level(file.samplerate, SILENCE_DB)
        self._channels = instruments.Channels(file.subtype)
        self._spectrum = instruments.Spectrum(file.samplerate, file.subtype)
        self._hash = hashlib.blake2b(f"{file.samplerate}".encode(), digest_size=16)
        self.piece = instruments.piece_length(file.samplerate)
        self.samples = 0

    def update(self, mono: np.ndarray, channels: np.ndarray) -> None:
        """Adds float32 [samples] and [samples, channels]."""
        self.samples += len(mono)
        self._level.update(mono)
        self._channels.update(channels)
        self._spectrum.update(mono)
        self._hash.update(audio.to_pcm16(mono).tobytes())

    def finish(self) -> None:
        """Writes the results."""
        result, level, channels = self._result, self._level, self._channels
        result.seconds = self.samples / result.sample_rate
        result.level_db = level.level_db
        result.loudest_frame_db = level.loudest_frame_db
        result.silent_share = level.silent_share
        result.offset = float(level.offset)
        result.peak = channels.peak
        result.clipped_share = channels.clipped_share
        loss = instruments.decibels(channels.power) - instruments.decibels(level.power)
        result.mix_loss_db = float(loss)
        result.spectrum_end_hz = self._spectrum.end_hz
        result.audio_hash = self._hash.hexdigest()


def _has_non_finite(content: bytes) -> bool:
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            return any(
                not np.isfinite(block).all()
                for block in file.blocks(2**18, dtype="float32")
            )
    except (soundfile.SoundFileError, RuntimeError):
        return False


def _reason(message: str, path: str) -> str:
    """The part of the decoder's message that says why."""
    message = message.removeprefix(f"{path!r} must be a readable audio file, but ")
    return re.sub(r"Error opening <[^>]*>: ", "", message).rstrip(".")
