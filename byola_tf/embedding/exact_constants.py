"""Constants that converters neither recognise nor round.

Log-mels span twelve orders of magnitude in power, so that one product with 8-bit
mel filters leaves a cosine of 0.7 on real recordings. Converters such as TFLite's
quantise what they recognise as a float constant. Here a constant is stored as the
integers that have its bits, and an integer zero is added that depends on the input:
nothing can fold it into a float before the model runs.
"""

import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf


def maker(waveform) -> Callable:
    """Makes exact constants for a graph that computes from a waveform.

    Args:
        waveform: float32 [batch, samples]; only its first sample is looked at.

    Returns:
        a function from a float32 array, number or variable, any shape, to a
        float32 tensor with the same bits.
    """
    # Comparisons with infinity are false, even for NaN. A batch without clips has
    # no first sample, so slice rather than index.
    zero = tf.cast(tf.reduce_any(waveform[:1, :1] > math.inf), tf.int32)

    def constant(value):
        if isinstance(value, tf.Variable):
            bits = tf.bitcast(value, tf.int32)
        else:
            bits = tf.constant(np.asarray(value, np.float32).view(np.int32))
        return tf.bitcast(bits + zero, tf.float32)

    return constant


def float_maker(waveform) -> Callable:
    """The same without operators on bits, which ONNX lacks.

    Converters leave 8-bit integers out of such constants, but not half precision.
    """
    zero = tf.reduce_max(tf.cast(waveform[:1, :1] > math.inf, tf.float32))
    return lambda value: tf.convert_to_tensor(value, tf.float32) + zero
