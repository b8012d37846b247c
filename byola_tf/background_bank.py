"""The bank of past inputs, from which mixup takes its backgrounds.

TASLP section III-C1 keeps the last 2,048 inputs in a first-in first-out queue.
Here it holds references to whole past batches, newest first, as the state of a
`Dataset.scan`: a push copies nothing, and an iterator with it restores exactly.
Entries are counted from the newest input backwards.
"""

import math
from typing import NamedTuple

import tensorflow as tf

from byola_tf.config import AugmentConfig, Config

_MAX_CHUNKS = 64


class Bank(NamedTuple):
    """The last inputs.

    Attributes:
        seen: int64, number of inputs pushed so far.
        chunks: tuple of float32 [rows, time, mel], all of the same size.
    """

    seen: tf.Tensor
    chunks: tuple


def num_batches(config: Config) -> int:
    """Number of past batches that cover the bank."""
    return math.ceil(config.augment.bank_size / config.train.batch_size)


def empty(config: Config) -> Bank:
    """The bank before the first step."""
    count, rows = num_batches(config), config.train.batch_size
    if count > _MAX_CHUNKS:
        # many tiny batches are kept as one tensor: thousands of references
        # are slower than copying a few clips
        count, rows = 1, config.augment.bank_size
    zeros = tf.zeros([rows, config.unit_frames, config.frontend.n_mels])
    return Bank(tf.constant(0, tf.int64), (zeros,) * count)


def push(bank: Bank, log_mel) -> Bank:
    """Adds a batch, float32 [batch, time, mel], and drops the oldest entries."""
    newest = log_mel[::-1]
    seen = bank.seen + tf.shape(log_mel, tf.int64)[0]
    if not bank.chunks:
        return bank
    if newest.shape[0] == bank.chunks[0].shape[0]:
        return Bank(seen, (newest, *bank.chunks[:-1]))
    (chunk,) = bank.chunks
    kept = chunk.shape[0] - newest.shape[0]
    return Bank(seen, (tf.concat([newest, chunk[:kept]], axis=0),))


def num_entries(bank: Bank, augment_config: AugmentConfig):
    """Number of valid entries, int32."""
    size = tf.constant(augment_config.bank_size, tf.int64)
    return tf.cast(tf.minimum(bank.seen, size), tf.int32)


def gather(bank: Bank, indices, fallback):
    """Picks entries.

    Args:
        bank: `Bank`.
        indices: int32 [batch], counted from the newest entry.
        fallback: float32 [batch, time, mel], returned by a bank without room.

    Returns:
        float32 [batch, time, mel].
    """
    if not bank.chunks:
        return fallback
    rows = bank.chunks[0].shape[0]
    chunk_of = indices // rows
    count = len(bank.chunks)
    order = tf.dynamic_partition(tf.range(tf.size(indices)), chunk_of, count)
    inside = tf.dynamic_partition(indices % rows, chunk_of, count)
    picked = [
        tf.gather(chunk, selected)
        for chunk, selected in zip(bank.chunks, inside, strict=True)
    ]
    return tf.ensure_shape(tf.dynamic_stitch(order, picked), fallback.shape)
