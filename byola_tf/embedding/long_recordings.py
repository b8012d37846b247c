"""Recordings of any length in memory that does not grow with them.

A frame embedding sees a short piece of audio only. A recording is cut into
windows that overlap by that piece; rows near a window's own edges are dropped,
so that what remains equals what the whole recording gives.
"""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import tensorflow as tf

from byola_tf.config import Config
from byola_tf.networks import geometry


def is_possible(config: Config) -> bool:
    """Whether an encoder's receptive field and pooling allow windows."""
    pools = config.encoder.pooling in ("mean+max", "mean", "max")
    return pools and geometry.receptive_field(config) is not None


def frame_blocks(
    frames: Callable, blocks: Iterable[np.ndarray], window_samples: int, config: Config
) -> Iterator[tf.Tensor]:
    """Embeds every frame of one recording, window by window.

    Args:
        frames: float32 [1, samples] → float32 [1, time, units].
        blocks: the recording in pieces of any length, float32 [samples].
        window_samples: audio that is embedded at a time, samples; at least
            three times what the edges see.
        config: `Config` of a model that windows are possible for.

    Yields:
        float32 [time, units]: together, the rows of the recording.
    """
    seen = geometry.receptive_field(config)
    edge, row_samples = max(seen.edge_frames, seen.end_frames), seen.hop
    rows = max(window_samples // row_samples, 3 * edge)
    waiting = np.zeros(0, np.float32)
    first = 0
    for block in blocks:
        waiting = np.concatenate([waiting, block])
        start = 0
        while len(waiting) - start >= rows * row_samples:
            window = waiting[start : start + rows * row_samples]
            yield frames(window[None])[0, first : rows - edge]
            start += (rows - 2 * edge) * row_samples
            first = edge
        waiting = waiting[start:]
    yield frames(waiting[None])[0, first:]


def pool(blocks: Iterable[tf.Tensor], pooling: str) -> np.ndarray:
    """Pools the rows of `frame_blocks` over time; see `pooling.pool_time`.

    Returns:
        float32 [embedding_size].
    """
    total, largest, count = 0.0, None, 0
    for block in blocks:
        total += tf.reduce_sum(tf.cast(block, tf.float64), axis=0).numpy()
        peak = tf.reduce_max(block, axis=0).numpy()
        largest = peak if largest is None else np.maximum(largest, peak)
        count += len(block)
    pooled = total / count if "mean" in pooling else 0.0
    return np.float32(pooled + largest if "max" in pooling else pooled)
