"""Recordings → rows of the table: start, end and vector of a file, segment or frame."""

import itertools
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from byola_tf.audio.clips import Clip
from byola_tf.networks import geometry

_WHOLE_FILE = 1 << 60  # samples of a row that no file fills


class Rows(NamedTuple):
    """Some rows of one recording.

    Attributes:
        starts: float64 [rows], seconds.
        ends: float64 [rows], seconds.
        embeddings: float32 [rows, units].
    """

    starts: np.ndarray
    ends: np.ndarray
    embeddings: np.ndarray


class RowMaker:
    """Makes the rows of recordings: one a file, one a segment or one a frame.

    Args:
        embedder: `byola_tf.Embedder`.
        frames: a row a frame.
        segment_seconds: a row for each piece of this length, the last one of a
            recording shorter; None for a row a file.
        batch_seconds: audio that is embedded at a time.

    Attributes:
        sample_rate: of the model, Hz.
        batch_samples: audio that is embedded at a time, samples.
    """

    def __init__(self, embedder, frames, segment_seconds, batch_seconds):
        self._inference = embedder.inference
        self._frames = frames
        self.sample_rate = embedder.sample_rate
        self.batch_samples = round(batch_seconds * self.sample_rate)
        self._segment = segment_seconds and round(segment_seconds * self.sample_rate)
        # row n starts at self._start + n self._step, samples
        self._start, self._step = 0, self._segment or _WHOLE_FILE
        if frames:
            shape = geometry.of(embedder.config.encoder)
            hop = embedder.config.frontend.hop_length
            self._step = shape.time_stride * hop
            # a frame's centre is its place in time
            self._start = shape.first_centre * hop - self._step / 2

    def of_waveforms(self, waveforms: list[np.ndarray]) -> Iterator[Rows]:
        """Makes the rows of recordings that are in memory, embedded together.

        Args:
            waveforms: float32 [samples] each.

        Yields:
            the `Rows` of each.
        """
        pieces = [self._pieces(waveform) for waveform in waveforms]
        embeddings = iter(self._embed(itertools.chain.from_iterable(pieces)))
        for waveform, own in zip(waveforms, pieces, strict=True):
            parts = list(itertools.islice(embeddings, len(own)))
            seconds = len(waveform) / self.sample_rate
            yield self._timed(np.concatenate(parts), 0, seconds)

    def of_blocks(self, blocks: Iterable[np.ndarray]) -> Iterator[tuple[Rows, float]]:
        """Makes the rows of one long recording while it is read.

        Args:
            blocks: the recording in pieces of any length, float32 [samples].

        Yields:
            the next `Rows`, and the seconds read so far.
        """
        counter = _Counter()
        if self._segment:
            made = self._segments_of_blocks(counter.count(blocks))
        else:
            made = self._inference.rows_of_blocks(
                counter.count(blocks), self.batch_samples, self._frames
            )
        first = 0
        for embeddings in made:
            seconds = counter.num_samples / self.sample_rate
            yield self._timed(embeddings, first, seconds), seconds
            first += len(embeddings)

    def _segments_of_blocks(self, blocks) -> Iterator[np.ndarray]:
        at_a_time = max(1, self.batch_samples // self._segment) * self._segment
        for waveform in _cut(blocks, at_a_time):
            yield np.concatenate(self._embed(self._pieces(waveform)))

    def _pieces(self, waveform: np.ndarray) -> list[np.ndarray]:
        """What becomes a row each, or the whole for rows of frames."""
        if not self._segment:
            return [waveform]
        starts = range(0, len(waveform), self._segment)
        return [waveform[start : start + self._segment] for start in starts]

    def _embed(self, pieces: Iterable[np.ndarray]) -> list[np.ndarray]:
        rate = self.sample_rate
        clips = [Clip(piece, rate, rate, "a recording") for piece in pieces]
        return self._inference.rows(clips, self.batch_samples, self._frames)

    def _timed(self, embeddings: np.ndarray, first: int, seconds: float) -> Rows:
        """Adds start and end to the rows from number `first` on."""
        numbers = first + np.arange(len(embeddings), dtype=np.float64)
        starts = (self._start + numbers * self._step) / self.sample_rate
        ends = starts + self._step / self.sample_rate
        return Rows(np.maximum(starts, 0), np.minimum(ends, seconds), embeddings)


class _Counter:
    """Counts the samples that go by."""

    num_samples = 0

    def count(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        for block in blocks:
            self.num_samples += len(block)
            yield block


def _cut(blocks: Iterable[np.ndarray], num_samples: int) -> Iterator[np.ndarray]:
    """Cuts a recording anew, into pieces of one length and a last shorter one."""
    waiting = np.zeros(0, np.float32)
    for block in blocks:
        waiting = np.concatenate([waiting, block])
        while len(waiting) >= num_samples:
            yield waiting[:num_samples]
            waiting = waiting[num_samples:]
    if len(waiting):
        yield waiting
