"""Shares of a batch: replicas and parts that hold more, fewer or no clips.

A replica's mean counts by its `weight`: then the mean over replicas is the mean
over clips, and a share without clips, whose own mean is NaN, contributes nothing.
"""

import tensorflow as tf


def num_replicas() -> int:
    """Replicas that train together."""
    return tf.distribute.get_replica_context().num_replicas_in_sync


def count(batch):
    """Clips of [batch, ...] on this replica, float32 scalar."""
    return tf.cast(tf.shape(batch)[0], tf.float32)


def count_everywhere(batch):
    """Clips of [batch, ...] on all replicas, float32 scalar, at least one."""
    context, total = tf.distribute.get_replica_context(), count(batch)
    if context.num_replicas_in_sync > 1:
        total = context.all_reduce(tf.distribute.ReduceOp.SUM, total)
    return tf.maximum(total, 1.0)


def weight(part, total, num_parts: int = 1):
    """What the mean over a part counts in the mean over all parts and replicas.

    Args:
        part: [batch, ...], a part of this replica's clips.
        total: see `count_everywhere`, of the whole batch.
        num_parts: parts on each replica.

    Returns:
        float32 scalar; exactly one where all have equally many clips.
    """
    return count(part) * num_parts * num_replicas() / total


def mean(values, weight):
    """The mean of float32 [batch], times its weight; zero without clips."""
    return tf.math.multiply_no_nan(tf.reduce_mean(values), weight)


def split(batch, num_parts: int) -> list:
    """Parts of [batch, ...], the first ones a clip longer if it does not divide."""
    size = tf.shape(batch)[0]
    sizes = [(size + num_parts - 1 - part) // num_parts for part in range(num_parts)]
    return tf.split(batch, tf.stack(sizes), axis=0, num=num_parts)
