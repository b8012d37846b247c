"""Sound files block by block: decoded as they are read, in bounded memory.

`open_blocks` is how every part of the project reads a file, so that all of them
hear the same and refuse the same.
"""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import soundfile
import soxr

from byola_tf.audio import headers, mixing
from byola_tf.audio.content import (
    AudioError,
    BrokenAudio,
    Content,
    Piece,
    Sequential,
    doubtful,
    log_once,
    open_content,
    open_pieces,
    unusable,
)

MAX_HOURS = 100.0  # of a file that is read in blocks
_BLOCK_FRAMES = 1 << 19
_BLOCK_NUMBERS = 1 << 21  # of all channels
_PLAUSIBLE_SAMPLES_PER_BYTE = 1_000
_SIZED = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU")  # their length is their size
_UNKNOWN_FRAMES = 2**60  # libsndfile's "unknown" is 2**63 - 1


class BlockReader:
    """One sound file, decoded as it is read; each iterator begins at its start.

    Made by `open_blocks`.

    Args:
        content: the bytes; closed by `close`.
        name: of the file, for messages.
        max_hours: how long it may be.
        on_doubt: is called with a message for each doubt.

    Attributes:
        sample_rate: Hz.
        num_channels: of its first samples.
        num_samples: how many samples a channel it claims at most; at least 2**60
            where it does not say.
        container: libsndfile's name, "WAV", "FLAC", "OGG", "MP3", ...
        subtype: libsndfile's name, "PCM_16", "FLOAT", "VORBIS", ...
    """

    def __init__(
        self,
        content: Content,
        name: str,
        max_hours: float = MAX_HOURS,
        on_doubt: Callable[[str], None] = log_once,
    ):
        self._content, self._name = content, name
        self._max_hours, self._on_doubt = max_hours, on_doubt
        self._told = set()
        with self._named():
            self._header = headers.read_header(content)
            first, *others = self._header.streams
            file = self._opened = self._open(first)
            headers.check_rate(file.samplerate)
            self.sample_rate, self.num_channels = file.samplerate, file.channels
            self.container, self.subtype = file.format, file.subtype
            self.num_samples = file.frames
            for stream in others:
                with self._open(stream) as file:
                    self.num_samples += file.frames
        for reason in self._header.doubts:
            self._doubt(reason)

    def __enter__(self) -> "BlockReader":
        return self

    def __exit__(self, *error) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file."""
        if self._opened is not None:
            self._opened.close()
        self._content.close()

    def count_samples(self) -> int:
        """Samples a channel: as claimed, counted where the claim is implausible.

        Raises:
            AudioError: see `mono`; where they had to be counted.
        """
        if self.num_samples <= _PLAUSIBLE_SAMPLES_PER_BYTE * len(self._content):
            return self.num_samples
        return sum(len(mono) for mono in self.mono())

    def check_length(self) -> None:
        """Refuses a file that is too long before any of it is held.

        Raises:
            AudioError: it is longer than `max_hours`, or see `mono`.
        """
        if self.num_samples <= self.max_samples:
            return
        with self._named():
            if self.container in _SIZED:
                raise self._too_long()
        for _ in self.mono():  # the header may lie, so this counts
            pass

    @property
    def max_samples(self) -> int:
        """Samples in `max_hours`."""
        return int(min(self._max_hours, 1e9) * 3600 * self.sample_rate)

    def mono(self) -> Iterator[np.ndarray]:
        """Yields float32 [samples], channels averaged.

        Raises:
            AudioError: damaged, changed, too long, or not a number.
        """
        return (mono for mono, _ in self.mono_and_channels(_BLOCK_FRAMES))

    def resampled(self, sample_rate: int) -> Iterator[np.ndarray]:
        """Yields float32 [samples] at another rate, channels averaged.

        Args:
            sample_rate: wanted rate, Hz.

        Raises:
            AudioError: see `mono`.
        """
        length, first = 0, np.zeros(0, np.float32)

        def blocks():
            nonlocal first
            for block in self.mono():
                first = first if len(first) else block[:1]
                yield block

        for block in resample_blocks(blocks(), self.sample_rate, sample_rate):
            length += len(block)
            yield block
        if not length:  # as `resample`: one sample at least
            yield first

    def mono_and_channels(
        self, block_samples: int = _BLOCK_FRAMES
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields float32 [samples] and [samples, channels] of each block.

        Args:
            block_samples: length of a block, unless there are many channels.

        Raises:
            AudioError: see `mono`.
        """
        total = 0
        with self._named():
            for stream in self._header.streams:
                for samples in self._blocks(stream, block_samples):
                    total += len(samples)
                    if total > self.max_samples:
                        raise self._too_long()
                    mono = mixing.mono_of(samples, self._header.encoding)
                    yield mono, mixing.with_channels(samples, self.num_channels)
            self._content.check_unchanged()
            if not total:
                raise BrokenAudio("it has no samples")

    def _blocks(self, stream: list[Piece], block_samples: int) -> Iterator[np.ndarray]:
        """Decodes one stream: float32 [samples, channels]."""
        total = 0
        file = self._open(stream) if self._opened is None else self._opened
        self._opened = None
        with file, _in_words(file.source):
            expected = file.frames
            # in pieces: no memory for samples that only the header promises
            most = max(1, min(block_samples, _BLOCK_NUMBERS // file.channels))
            size = max(1, min(expected, most))
            while not total or total < expected:
                samples = file.read(size, "float32", always_2d=True)
                total += len(samples)
                if len(samples):
                    yield samples
                if len(samples) < size:
                    break
        if total < expected < _UNKNOWN_FRAMES:
            self._content.check_unchanged()
            self._judge_missing(total, expected)

    def _too_long(self) -> BrokenAudio:
        return BrokenAudio(
            f"it is longer than max_hours ({self._max_hours:g} h): cut it into "
            "shorter files, or raise the limit"
        )

    def _judge_missing(self, total: int, expected: int) -> None:
        """What fewer samples than the decoder promised mean."""
        reason = f"{total} of {expected} samples"
        # its end is known by its last frames
        if self._header.encoding == "flac":
            raise BrokenAudio(f"it is damaged: it decodes to {reason}")
        self._doubt(f"it may be truncated: {reason}")

    def _doubt(self, reason: str) -> None:
        if reason not in self._told:
            self._told.add(reason)
            self._on_doubt(doubtful(self._name, reason))

    def _open(self, stream: list[Piece]) -> Sequential:
        """Opens a stream with libsndfile."""
        source = open_pieces(stream)
        with _in_words(source):
            return Sequential(source)

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """Names the file where reading fails."""
        try:
            yield
        except BrokenAudio as error:
            raise AudioError(unusable(self._name, str(error))) from error
        except OSError as error:
            reason = f"it cannot be read ({error})"
            raise AudioError(unusable(self._name, reason)) from error


@contextlib.contextmanager
def _in_words(source) -> Iterator[None]:
    """Says in words why libsndfile fails on a file, or on reading it."""
    try:
        yield
    except (soundfile.SoundFileError, RuntimeError) as error:
        reason = str(error).rpartition(">: ")[2]
        raise getattr(source, "fault", None) or BrokenAudio(
            f"it does not decode ({reason})"
        ) from error
    if getattr(source, "fault", None):
        raise source.fault


def open_blocks(
    path: str,
    max_hours: float = MAX_HOURS,
    on_doubt: Callable[[str], None] = log_once,
) -> BlockReader:
    """Opens one file for reading in blocks: no pipe, no device, no folder.

    Args:
        path: see `audio.load`.
        max_hours: a longer file is refused when that becomes known.
        on_doubt: is called with a message for each doubt, see `audio.load`.

    Returns:
        a reader; close it, or use it in a `with` statement.

    Raises:
        AudioError: it cannot be opened, or is no sound.
    """
    path = os.fspath(path)
    try:
        content = open_content(path)
    except BrokenAudio as error:
        raise AudioError(unusable(path, str(error))) from error
    try:
        return BlockReader(content, path, max_hours, on_doubt)
    except BaseException:
        content.close()
        raise


def resample_blocks(
    blocks: Iterable[np.ndarray], source_rate: int, target_rate: int
) -> Iterator[np.ndarray]:
    """Resamples what comes in blocks as `audio.resample` does the whole.

    Args:
        blocks: float32 [samples].
        source_rate: Hz.
        target_rate: Hz.

    Yields:
        float32 [samples] at `target_rate`.
    """
    if source_rate == target_rate:
        yield from blocks
        return
    resampler = soxr.ResampleStream(
        source_rate, target_rate, 1, dtype="float32", quality="HQ"
    )
    for block in blocks:
        yield resampler.resample_chunk(block)
    yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)
