"""From local features to frames, and from frames to one vector a clip.

The published encoder flattens mel and channel and adds mean and maximum over
time; the others are the alternatives that TASLP tables VIII and IX compare, and
those of the works that it cites.
"""

import functools

import keras
import tensorflow as tf

from byola_tf.networks.layers import mask_time

LOCAL_FEATURES = ("flatten", "frequency_mean", "frequency_max", "channel_mean")
POOLINGS = ("mean+max", "mean", "max", "attention", "flatten")


def flatten_local(features, how: str = "flatten"):
    """Makes one vector a frame of a backbone's output.

    Args:
        features: [batch, time, mel, channel].
        how: "flatten", mel-major and channel-minor, as published;
            "frequency_mean" (PANNs, COLA) and "frequency_max" (TRILL) over mel;
            or "channel_mean".

    Returns:
        [batch, time, mel * channel], [batch, time, channel] or
        [batch, time, mel].
    """
    if how == "frequency_mean":
        return tf.reduce_mean(features, axis=2)
    if how == "frequency_max":
        return tf.reduce_max(features, axis=2)
    if how == "channel_mean":
        return tf.reduce_mean(features, axis=3)
    shape = tf.shape(features)
    units = features.shape[2] * features.shape[3]
    return tf.reshape(features, [shape[0], shape[1], units])


def pool_time(frame_embeddings, pooling: str = "mean+max", num_frames=None):
    """Pools frames to one vector a clip.

    Args:
        frame_embeddings: float32 [batch, time, units].
        pooling: "mean+max" (their element-wise sum, as published), "mean" or
            "max".
        num_frames: int32 [batch]: only so many frames of each clip count, at
            least one; the others must be finite. All when None.

    Returns:
        float32 [batch, units].
    """
    pooled = []
    if "mean" in pooling:
        pooled.append(_mean_over_time(frame_embeddings, num_frames))
    if "max" in pooling:
        if num_frames is not None:
            frame_embeddings = mask_time(
                frame_embeddings, num_frames, frame_embeddings.dtype.min
            )
        pooled.append(tf.reduce_max(frame_embeddings, axis=1))
    # not add_n, of which TFLite has no integer version
    return functools.reduce(tf.add, pooled)


def concatenate_time(frame_embeddings, size: int, num_frames=None):
    """Joins the frames of a clip to one vector (VGGish, OpenL3, COALA).

    A clip is cut into parts of `size` frames, the last one zero-padded, and the
    parts' vectors are averaged: clips of one part are simply flattened.

    Args:
        frame_embeddings: float32 [batch, time, units].
        size: frames in a part.
        num_frames: see `pool_time`.

    Returns:
        float32 [batch, size * units].
    """
    shape = tf.shape(frame_embeddings)
    if num_frames is not None:
        frame_embeddings = mask_time(frame_embeddings, num_frames)
    else:
        num_frames = tf.fill(shape[:1], shape[1])
    padded = tf.pad(frame_embeddings, [[0, 0], [0, -shape[1] % size], [0, 0]])
    units = frame_embeddings.shape[2]
    parts = tf.reshape(padded, [shape[0], -1, size * units])
    num_parts = -(-num_frames // size)
    return tf.reduce_sum(parts, axis=1) / tf.cast(num_parts, tf.float32)[:, None]


class Attention(keras.layers.Layer):
    """A weighted mean over time whose weights are learned (Ford et al. 2019).

    Args:
        units: width of the frame embeddings.
    """

    def __init__(self, units: int, **kwargs):
        super().__init__(dtype="float32", **kwargs)
        self.score = keras.layers.Dense(1, name="score", dtype="float32")
        self.score.build((None, None, units))
        self.built = True

    def call(self, frame_embeddings, num_frames=None):
        """Pools float32 [batch, time, units] to [batch, units]; see `pool_time`."""
        scores = self.score(frame_embeddings)  # [batch, time, 1]
        if num_frames is not None:
            scores = mask_time(scores, num_frames, scores.dtype.min)
        weights = tf.nn.softmax(scores, axis=1)
        return tf.reduce_sum(weights * frame_embeddings, axis=1)


def _mean_over_time(frame_embeddings, num_frames):
    if num_frames is None:
        return tf.reduce_mean(frame_embeddings, axis=1)
    total = tf.reduce_sum(mask_time(frame_embeddings, num_frames), axis=1)
    return total / tf.cast(num_frames, total.dtype)[:, None]
