"""From one audio file to rows: (start, end, embedding), whatever its length."""

import dataclasses
import os
import stat
from collections.abc import Iterable, Iterator

import numpy as np
import tensorflow as tf

from byola_tf import audio
from byola_tf.audio import blocks as audio_blocks
from byola_tf.audio import headers
from byola_tf.embedding import long_recordings
from byola_tf.errors import UserError
from byola_tf.networks import geometry
from hub_export import length_batches

_PIECE_SAMPLES = 1 << 19


@dataclasses.dataclass
class Recording:
    """A file after the first look at it.

    Attributes:
        path: where it is.
        waveform: float32 [samples] at the model's rate; None where the file is
            too long to be held, or unusable.
        error: why it is unusable, or "".
    """

    path: str
    waveform: np.ndarray | None = None
    error: str = ""


Rows = tuple[np.ndarray, np.ndarray, np.ndarray]  # starts, ends, embeddings


def read(path: str, sample_rate: int, limit_seconds: float) -> Recording:
    """Reads a file unless it is longer than a limit.

    Args:
        path: see `audio.load`.
        sample_rate: wanted rate, Hz.
        limit_seconds: how much of it is held.
    """
    try:
        if "://" in path:
            waveform = audio.load(path, sample_rate)
            is_long = len(waveform) > limit_seconds * sample_rate
            return Recording(path, None if is_long else waveform)
        source_rate, blocks = _open(path)
        pieces, held = [], 0
        for block in _told(path, blocks):
            pieces.append(block)
            held += len(block)
            if held > limit_seconds * source_rate:
                blocks.close()
                return Recording(path)
        waveform = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
        return Recording(path, audio.resample(waveform, source_rate, sample_rate))
    except UserError as error:
        return Recording(path, error=str(error))


def blocks(path: str, sample_rate: int) -> Iterator[np.ndarray]:
    """Reads a file in pieces, float32 [samples] at `sample_rate`.

    Only a local one takes no more memory than its pieces.

    Raises:
        AudioError: see `audio.load`; at the damaged place.
    """
    if "://" in path:
        waveform = audio.load(path, sample_rate)
        yield from np.array_split(waveform, 1 + len(waveform) // _PIECE_SAMPLES)
        return
    source_rate, source = _open(path)
    yield from audio_blocks.resample_blocks(
        _told(path, source), source_rate, sample_rate
    )


class RowMaker:
    """Makes the rows of clips, segments or frames.

    Args:
        embedder: `byola_tf.Embedder`.
        frames: a row a frame.
        segment_seconds: a row for each piece of this length, the last one
            shorter; None for a row a file.
        batch_seconds: audio that is embedded at a time.

    Attributes:
        sample_rate: of the model, Hz.
        batch_samples: audio that is embedded at a time, samples.
    """

    def __init__(self, embedder, frames, segment_seconds, batch_seconds):
        self._embedder = embedder
        self._frames = frames
        self.sample_rate = embedder.sample_rate
        self.batch_samples = round(batch_seconds * self.sample_rate)
        self._segment = segment_seconds and round(segment_seconds * self.sample_rate)
        config = embedder.config
        hop = config.frontend.hop_length / config.frontend.sample_rate
        shape = geometry.of(config.encoder)
        self._row_seconds = shape.time_stride * hop
        # a frame's centre is its place in time
        self._first_start = shape.first_centre * hop - self._row_seconds / 2

    def of_waveforms(self, waveforms: list[np.ndarray]) -> Iterator[Rows]:
        """Yields the rows of each of some recordings that are in memory."""
        clips, owners = [], []
        for owner, waveform in enumerate(waveforms):
            pieces = self._pieces(waveform)
            clips += pieces
            owners += [owner] * len(pieces)
        embeddings = length_batches.embed(
            self._embedder, clips, self.batch_samples, self._frames
        )
        position = 0
        for owner, waveform in enumerate(waveforms):
            count = owners.count(owner)
            own = embeddings[position : position + count]
            position += count
            yield self._timed(np.concatenate(own), 0, len(waveform) / self.sample_rate)

    def of_blocks(self, pieces: Iterable[np.ndarray]) -> Iterator[tuple[Rows, float]]:
        """Yields rows of one long recording, and the seconds read so far."""
        read_samples = 0

        def counted():
            nonlocal read_samples
            for piece in pieces:
                read_samples += len(piece)
                yield piece

        if self._segment:
            makers = self._segment_blocks(counted())
        else:
            makers = self._long_blocks(counted())
        first = 0
        for embeddings in makers:
            seconds = read_samples / self.sample_rate
            yield self._timed(embeddings, first, seconds), seconds
            first += len(embeddings)

    def _pieces(self, waveform):
        if not self._segment:
            return [waveform]
        starts = range(0, len(waveform), self._segment)
        return [waveform[start : start + self._segment] for start in starts]

    def _long_blocks(self, pieces):
        def embed_frames(waveform):
            return self._embedder.model.frames(tf.constant(waveform))[
                "frame_embeddings"
            ]

        config = self._embedder.config
        if not long_recordings.is_possible(config):
            whole = np.concatenate(list(pieces))
            yield from length_batches.embed(
                self._embedder, [whole], len(whole), self._frames
            )
            return
        rows = long_recordings.frame_blocks(
            embed_frames, pieces, self.batch_samples, config
        )
        if self._frames:
            for block in rows:
                yield block.numpy()
        else:
            yield long_recordings.pool(rows, config.encoder.pooling)[None]

    def _segment_blocks(self, pieces):
        window = max(1, self.batch_samples // self._segment) * self._segment
        waiting = np.zeros(0, np.float32)
        for piece in pieces:
            waiting = np.concatenate([waiting, piece])
            while len(waiting) > window:
                yield self._embed_segments(waiting[:window])
                waiting = waiting[window:]
        if len(waiting):
            yield self._embed_segments(waiting)

    def _embed_segments(self, waveform):
        pieces = self._pieces(waveform)
        return np.concatenate(
            length_batches.embed(self._embedder, pieces, self.batch_samples, False)
        )

    def _timed(self, embeddings, first: int, seconds: float) -> Rows:
        """Adds start and end in seconds to the rows from number `first` on."""
        numbers = first + np.arange(len(embeddings), dtype=np.float64)
        if self._frames:
            starts = numbers * self._row_seconds + self._first_start
            ends = starts + self._row_seconds
        elif self._segment:
            starts = numbers * self._segment / self.sample_rate
            ends = starts + self._segment / self.sample_rate
        else:
            starts, ends = np.zeros(1), np.full(1, seconds)
        return np.maximum(starts, 0), np.minimum(ends, seconds), embeddings


def _open(path: str):
    try:
        # opening a pipe waits for its writer, for ever
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise audio.AudioError(audio.unusable(path, "it is not a regular file"))
        return audio_blocks.open_mono(path)
    except OSError as error:
        reason = f"it cannot be read ({error})"
        raise audio.AudioError(audio.unusable(path, reason)) from error
    except headers.BrokenAudio as error:
        raise audio.AudioError(audio.unusable(path, str(error))) from error


def _told(path: str, source: Iterable) -> Iterator[np.ndarray]:
    """Names the file where decoding fails."""
    try:
        yield from source
    except headers.BrokenAudio as error:
        raise audio.AudioError(audio.unusable(path, str(error))) from error
