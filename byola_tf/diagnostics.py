"""Signs of collapse: what a batch of vectors says about an encoder's health."""

import tensorflow as tf

from byola_tf.losses import l2_normalize

NAMES = ("embedding_std", "projection_std", "effective_rank", "dead_units")
_DEAD = 1e-6


def health(embeddings, projections) -> tuple:
    """Measures how far a batch of embeddings is from collapse.

    Args:
        embeddings: float32 [batch, units].
        projections: float32 [batch, units].

    Returns:
        float32 scalars in the order of `NAMES`: `spread` of embeddings and of
        projections, `effective_rank` of the projections, `dead_units` of the
        embeddings.
    """
    return (
        spread(embeddings),
        spread(projections),
        effective_rank(projections),
        dead_units(embeddings),
    )


def spread(vectors):
    """Mean standard deviation a dimension of L2-normalised vectors, times √units.

    About 1 for directions spread evenly over the sphere, 0 when all are the
    same (Chen and He 2021, section 4.1).

    Args:
        vectors: float32 [batch, units].

    Returns:
        float32 scalar.
    """
    units = tf.cast(tf.shape(vectors)[1], tf.float32)
    deviation = tf.math.reduce_std(l2_normalize(vectors), axis=0)
    return tf.reduce_mean(deviation) * tf.sqrt(units)


def effective_rank(vectors):
    """Participation ratio of the covariance's eigenvalues, (Σλ)² / Σλ².

    The number of directions that carry the variance: from 1 to the smaller of
    batch - 1 and units. Needs no eigenvalues: both sums are traces.

    Args:
        vectors: float32 [batch, units].

    Returns:
        float32 scalar.
    """
    normal = l2_normalize(vectors)
    centred = normal - tf.reduce_mean(normal, axis=0)
    gram = tf.matmul(centred, centred, transpose_b=True)  # [batch, batch]
    squares = tf.reduce_sum(tf.square(gram))
    return tf.square(tf.linalg.trace(gram)) / tf.maximum(squares, 1e-30)


def dead_units(vectors):
    """Share of dimensions that are the same for the whole batch.

    Args:
        vectors: float32 [batch, units].

    Returns:
        float32 scalar in [0, 1].
    """
    deviation = tf.math.reduce_std(vectors, axis=0)
    return tf.reduce_mean(tf.cast(deviation < _DEAD, tf.float32))
