"""Recordings of any length in memory that does not grow with them.

A frame embedding sees a bounded piece of audio only (`geometry.receptive_field`). So a
recording goes through the encoder window by window: each window starts on the
recording's own grid of frames, and the rows that see its edges are dropped. What
remains equals what the whole recording gives. The recording's own edges are the
model's: its start is the start of the first window, its end that of the last one.
"""

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from byola_tf import audio, frontend
from byola_tf.config import Config
from byola_tf.errors import UserError
from byola_tf.networks import geometry


def is_possible(config: Config) -> bool:
    """Whether an encoder's receptive field and pooling allow windows."""
    pools = config.encoder.pooling in ("mean+max", "mean", "max")
    return pools and geometry.receptive_field(config) is not None


class Windows:
    """Frame embeddings of one recording that arrives in pieces.

    Args:
        frames: float32 [1, samples] → float32 [1, time, units].
        config: `Config` of a model that windows are possible for.
        window_frames: frame embeddings that one window may yield.
        step_frames: frame embeddings that are computed together; all that a window
            may yield when None.
        input_samples: length of the input if the model takes one length only;
            `window_frames` then follows from it.

    Attributes:
        seen: `geometry.ReceptiveField` of the model.
        num_samples: samples taken so far.
        num_frames: frame embeddings returned so far.

    Raises:
        UserError: `input_samples` is too short for a frame embedding, or
            `step_frames` is more than a window yields.
    """

    def __init__(
        self,
        frames: Callable,
        config: Config,
        window_frames: int,
        step_frames: int | None = None,
        input_samples: int | None = None,
    ):
        self.seen = geometry.receptive_field(config)
        self._frames, self._config = frames, config
        self._input_samples = input_samples
        edge = self.seen.edge_frames
        capacity = input_samples or self.seen.num_samples(edge + window_frames)
        window_frames = self.seen.num_final(capacity) - edge
        if window_frames < 1:
            raise UserError(
                "The model's window must hold the receptive field of a frame, "
                f"{self.seen.num_samples(edge + 1)} samples. Received: "
                f"{input_samples}. Convert it with more --seconds."
            )
        self._step_frames = window_frames if step_frames is None else step_frames
        if not 1 <= self._step_frames <= window_frames:
            raise UserError(
                f"`step_frames` must lie in 1 ... {window_frames} for this model. "
                f"Received: {step_frames}."
            )
        self._buffer = np.zeros(capacity, np.float32)
        self.reset()

    def reset(self) -> None:
        """Forgets everything: the next sample is the first of a recording."""
        self.num_samples = self.num_frames = 0
        self._first = 0  # frame at whose start the buffer starts
        self._filled = 0  # samples in the buffer

    def push(self, samples: np.ndarray) -> list[np.ndarray]:
        """Takes the next samples.

        Args:
            samples: floating [samples] in [-1, 1], or int16; any number.

        Returns:
            what has become final, in order: float32 [time, units] each.
        """
        rows = []
        while len(samples):
            taken, samples = np.split(samples, [len(self._buffer) - self._filled])
            if taken.dtype == np.int16:
                taken = audio.from_pcm16(taken)
            self._buffer[self._filled : self._filled + len(taken)] = taken
            self._filled += len(taken)
            self.num_samples += len(taken)
            ready = self.seen.num_final(self.num_samples) - self.num_frames
            if ready >= self._step_frames:
                rows.append(self._advance())
        return rows

    def flush(self) -> list[np.ndarray]:
        """Ends the recording; returns the remaining rows as `push` does.

        With a model that takes one length only, the recording ends in silence
        instead: the last rows are those of the recording with zeros after it.
        """
        if not self.num_samples:
            return []
        total = self._num_offline()
        if self._input_samples is None:
            return [self._rows(self._buffer[: self._filled], total)]
        silence = self.seen.num_samples(total) - self.num_samples
        rows = self.push(np.zeros(max(silence, 0), np.float32))
        return [*rows, self._advance()] if total > self.num_frames else rows

    def _advance(self) -> np.ndarray:
        """Computes what is final and drops samples that nothing needs."""
        final = self.seen.num_final(self.num_samples)
        if self._input_samples is None:
            # no more than needed: a steady stream has windows of one shape
            window = self._buffer[: self.seen.num_samples(final - self._first)]
        else:
            # rows that see what lies behind the last sample are not final
            window = self._buffer
            window[self._filled :] = 0
        rows = self._rows(window, final)
        first = max(0, final - self.seen.edge_frames)
        dropped = (first - self._first) * self.seen.hop
        kept = self._buffer[dropped : self._filled].copy()
        self._buffer[: len(kept)] = kept
        self._first, self._filled = first, len(kept)
        return rows

    def _rows(self, window: np.ndarray, end: int) -> np.ndarray:
        """Frame embeddings `num_frames` to `end` from a window's samples."""
        rows = np.asarray(self._frames(window[None]))[0]
        rows = rows[self.num_frames - self._first : end - self._first]
        self.num_frames = end
        return rows

    def _num_offline(self) -> int:
        """Frame embeddings of the recording as it stands."""
        front, encoder = self._config.frontend, self._config.encoder
        shortest = frontend.minimum_samples(front, geometry.of(encoder).time_stride)
        log_mel_frames = front.num_frames(max(self.num_samples, shortest))
        return geometry.of(encoder).num_frames(log_mel_frames)


def frame_blocks(
    frames: Callable, blocks: Iterable[np.ndarray], window_samples: int, config: Config
) -> Iterator[np.ndarray]:
    """Embeds every frame of one recording, window by window.

    Args:
        frames: float32 [1, samples] → float32 [1, time, units].
        blocks: the recording in pieces of any length, float32 [samples].
        window_samples: audio that is embedded at a time, samples; more where most
            of a window would be edges.
        config: `Config` of a model that windows are possible for.

    Yields:
        float32 [time, units]: together, the rows of the recording.
    """
    seen = geometry.receptive_field(config)
    fitting = seen.num_final(window_samples) - seen.edge_frames
    windows = Windows(frames, config, max(fitting, seen.edge_frames, 1))
    for block in blocks:
        yield from windows.push(block)
    yield from windows.flush()


def pool(blocks: Iterable[np.ndarray], pooling: str) -> np.ndarray:
    """Pools the rows of `frame_blocks` over time; see `pooling.pool_time`.

    Args:
        blocks: float32 [time, units] each.
        pooling: "mean", "max" or "mean+max", their sum.

    Returns:
        float32 [units].
    """
    total, largest, count = 0.0, -np.inf, 0
    for block in blocks:
        total = total + block.sum(axis=0, dtype=np.float64)
        largest = np.maximum(largest, block.max(axis=0))
        count += len(block)
    pooled = total / count if "mean" in pooling else 0.0
    return np.float32(pooled + largest if "max" in pooling else pooled)
