"""One file's measurements, taken in one pass."""

import contextlib
import dataclasses
import hashlib

import numpy as np

from byola_tf import audio
from byola_tf.audio import blocks, content, mixing
from train_lib.doctor import instruments

SILENCE_DB = -60.0
_HASHED_BYTES = 2**20  # at a time


@dataclasses.dataclass(slots=True)
class Measurement:
    """What is known of a file after it was decoded once.

    Attributes:
        path: the file.
        fault: "" when training can use it, else "broken" or "non_finite".
        reason: why it cannot be used, in words.
        doubt: what may be missing of it, in words.
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
    doubt: str = ""
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


def measure(path: str, max_hours: float = audio.MAX_HOURS) -> Measurement:
    """Measures one file; a file that cannot be used is no error.

    Args:
        path: the file.
        max_hours: a longer file counts as broken.

    Returns:
        measurements by the reader that training uses, in bounded memory.
    """
    result, doubts = Measurement(path), []
    try:
        with contextlib.closing(content.open_content(path)) as opened:
            result.bytes, result.file_hash = len(opened), _hash(opened)
            reader = blocks.BlockReader(opened, path, max_hours, doubts.append)
            meter = _Meter(result, reader)
            for mono, channels in reader.mono_and_channels(meter.piece):
                meter.update(mono, channels)
        meter.finish()
    except (audio.AudioError, content.BrokenAudio) as error:
        is_number = not isinstance(error.__cause__, mixing.NotFiniteAudio)
        result.fault = "broken" if is_number else "non_finite"
        result.reason = _reason(str(error), path)
    result.doubt = "; ".join(_reason(doubt, path) for doubt in doubts)
    return result


def _hash(opened: content.Content) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for start in range(0, len(opened), _HASHED_BYTES):
        digest.update(opened[start : start + _HASHED_BYTES])
    return digest.hexdigest()


class _Meter:
    """All instruments on one file.

    Attributes:
        piece: samples an update, the last one excepted.
        samples: number of samples seen.
    """

    def __init__(self, result: Measurement, reader: audio.BlockReader):
        result.container, result.subtype = reader.container, reader.subtype
        result.sample_rate, result.channels = reader.sample_rate, reader.num_channels
        self._result = result
        self._level = instruments.Level(reader.sample_rate, SILENCE_DB)
        self._channels = instruments.Channels(reader.subtype)
        self._spectrum = instruments.Spectrum(reader.sample_rate, reader.subtype)
        self._hash = hashlib.blake2b(f"{reader.sample_rate}".encode(), digest_size=16)
        self.piece = instruments.piece_length(reader.sample_rate)
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


def _reason(message: str, path: str) -> str:
    """The part of the reader's message that says why."""
    for beginning in (audio.unusable(path, ""), audio.doubtful(path, "")):
        message = message.removeprefix(beginning.rstrip("."))
    return message.rstrip(".")
