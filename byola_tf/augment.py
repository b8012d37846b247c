"""The augmentation blocks: batched ops of explicit parameters.

TASLP section III-C. `two_views` draws the parameters and chains the blocks. Shapes are
[batch, time, mel] throughout.
"""

import tensorflow as tf

from byola_tf.config import EPSILON
from byola_tf.normalize import post_normalize

__all__ = [
    "add_gaussian",
    "linear_fade",
    "log_mixup_exp",
    "mixup",
    "post_normalize",
    "resize_crop",
]

_CUBIC = -0.75  # kernel coefficient a


def mixup(log_mel, background, ratio):
    """Mixes log-mels as they are (ordinary mixup, in place of `log_mixup_exp`).

    Args:
        log_mel: float32 [batch, time, mel].
        background: float32, same shape.
        ratio: weight of the background, scalar or [batch], in [0, 1).

    Returns:
        float32 [batch, time, mel].
    """
    ratio = _per_sample(ratio)
    return (1.0 - ratio) * log_mel + ratio * background


def log_mixup_exp(log_mel, background, ratio):
    """Mixes sounds in the linear domain (TASLP equation 3).

    Args:
        log_mel: float32 [batch, time, mel].
        background: float32, same shape.
        ratio: weight of the background, scalar or [batch], in [0, 1).

    Returns:
        float32 [batch, time, mel].
    """
    ratio = _per_sample(ratio)
    mixed = (1.0 - ratio) * tf.exp(log_mel) + ratio * tf.exp(background)
    return tf.math.log(mixed + EPSILON)


def add_gaussian(log_mel, noise, ratio):
    """Adds log-normal noise in the linear domain (ablation of TASLP table VI).

    Args:
        log_mel: float32 [batch, time, mel].
        noise: float32, same shape, standard normal.
        ratio: weight and log-domain spread of the noise, scalar or [batch].

    Returns:
        float32 [batch, time, mel].
    """
    ratio = _per_sample(ratio)
    mixed = (1.0 - ratio) * tf.exp(log_mel) + tf.exp(ratio * noise)
    return tf.math.log(mixed + EPSILON)


def linear_fade(log_mel, head, tail):
    """Adds a line over time from `head` to `tail`, both ends included.

    Args:
        log_mel: float32 [batch, time, mel].
        head: level added to the first frame, scalar or [batch].
        tail: level added to the last frame, scalar or [batch].

    Returns:
        float32 [batch, time, mel].
    """
    log_mel = tf.convert_to_tensor(log_mel)
    ramp = tf.linspace(0.0, 1.0, tf.shape(log_mel)[-2])[:, None]  # [time, 1]
    head, tail = _per_sample(head), _per_sample(tail)
    return log_mel + head + (tail - head) * ramp


def resize_crop(log_mel, boxes, canvas_time):
    """Crops a box from a zero canvas and resizes it to the input's size.

    The input lies centred in time on a canvas of `canvas_time` frames. Bicubic
    interpolation (a = -0.75, aligned corners, the crop's border repeated) is
    separable, so the resize is two batched matrix products.

    Args:
        log_mel: float32 [batch, time, mel].
        boxes: int [batch, 4]: mel start, time start, mel size, time size, on
            the canvas.
        canvas_time: int, length of the canvas, frames.

    Returns:
        float32 [batch, time, mel].
    """
    log_mel = tf.convert_to_tensor(log_mel)
    boxes = tf.cast(boxes, tf.int32)
    num_frames, num_mels = tf.shape(log_mel)[1], tf.shape(log_mel)[2]
    offset = (canvas_time - num_frames) // 2
    along_time = _interpolation(boxes[:, 1] - offset, boxes[:, 3], num_frames)
    along_mel = _interpolation(boxes[:, 0], boxes[:, 2], num_mels)
    resized = tf.matmul(along_time, log_mel)  # [batch, time, mel]
    return tf.matmul(resized, along_mel, transpose_b=True)


def _interpolation(start, size, length):
    """Bicubic weights that stretch [start, start + size) over `length` points.

    Args:
        start: int32 [batch]; may be negative: positions outside of
            [0, length) read zeros.
        size: int32 [batch].
        length: number of points of input and output.

    Returns:
        float32 [batch, length, length], output by input.
    """
    batch = tf.shape(start)[0]
    span = tf.cast(size - 1, tf.float32) / tf.cast(
        tf.maximum(length - 1, 1), tf.float32
    )
    position = span[:, None] * tf.range(length, dtype=tf.float32)  # [batch, length]
    floor = tf.floor(position)
    weights = _cubic_weights(position - floor)  # [batch, length, 4]
    taps = tf.cast(floor, tf.int32)[..., None] + tf.range(-1, 3)
    taps = tf.clip_by_value(taps, 0, size[:, None, None] - 1)
    taps += start[:, None, None]
    inside = tf.logical_and(taps >= 0, taps < length)
    weights = tf.where(inside, weights, 0.0)
    rows = tf.reshape(tf.range(batch * length) * length, [batch, length, 1])
    cells = rows + tf.where(inside, taps, 0)
    flat = tf.scatter_nd(
        tf.reshape(cells, [-1, 1]),
        tf.reshape(weights, [-1]),
        [batch * length * length],
    )
    return tf.reshape(flat, [batch, length, length])


def _cubic_weights(fraction):
    """Weights of the four taps around a point (Keys 1981, a = -0.75)."""
    a = _CUBIC
    near = tf.stack([fraction, 1.0 - fraction], axis=-1)  # distances below 1
    inner = ((a + 2) * near - (a + 3)) * near * near + 1
    far = near + 1.0  # distances of 1 to 2
    outer = ((a * far - 5 * a) * far + 8 * a) * far - 4 * a
    return tf.stack(
        [outer[..., 0], inner[..., 0], inner[..., 1], outer[..., 1]], axis=-1
    )


def _per_sample(parameter):
    """Shapes a scalar or [batch] parameter to act on [batch, time, mel]."""
    return tf.convert_to_tensor(parameter, tf.float32)[..., None, None]
