"""The regression loss of BYOL (Grill et al. 2020, equation 2)."""

import tensorflow as tf


def regression_loss(prediction, projection):
    """Squared distance of L2-normalised vectors, 2 - 2 cos.

    Args:
        prediction: float32 [batch, units], of the online network.
        projection: float32 [batch, units], of the target network.

    Returns:
        float32 [batch], in [0, 4].
    """
    cosine = tf.reduce_sum(l2_normalize(prediction) * l2_normalize(projection), -1)
    return 2.0 - 2.0 * cosine


def l2_normalize(vectors):
    """Scales [batch, units] to unit length; zero vectors stay zero."""
    return tf.math.l2_normalize(tf.cast(vectors, tf.float32), axis=-1, epsilon=1e-24)
