"""The layers that every network here is made of, initialised as published."""

import keras
import tensorflow as tf


def dense(units: int, fan_in: int, **kwargs) -> keras.layers.Dense:
    """A dense layer whose kernel and bias start uniform in ±1/√fan_in."""
    kwargs = {"dtype": "float32", **kwargs}
    return keras.layers.Dense(units, **_uniform(fan_in), **kwargs)


def convolution(filters: int, fan_in: int, **kwargs) -> keras.layers.Conv2D:
    """A 3 x 3 "same" convolution, kernel and bias uniform in ±1/√fan_in."""
    kwargs = {"dtype": "float32", **_uniform(fan_in), **kwargs}
    return keras.layers.Conv2D(
        filters, 3, padding="same", data_format="channels_last", **kwargs
    )


def on_clips(layer, inputs):
    """Convolves or pools, also the share of a replica without clips.

    TensorFlow's kernels for CPUs give such a share the channels of the input, or
    end the process: it goes through as a clip of zeros, which is left out again.

    Args:
        layer: function of [batch, time, mel, channel], clip by clip.
        inputs: [batch, time, mel, channel].

    Returns:
        what `layer` returns, of as many clips.
    """
    if inputs.shape[0]:
        return layer(inputs)
    return layer(at_least_one_clip(inputs))[: tf.shape(inputs)[0]]


def at_least_one_clip(features):
    """Adds a clip of zeros to [batch, time, mel, channel] without clips."""
    shape = tf.shape(features)
    missing = tf.maximum(1 - shape[0], 0)
    sizes = [
        shape[axis] if size is None else size
        for axis, size in enumerate(features.shape[1:], 1)
    ]
    zeros = tf.zeros([missing, *sizes], features.dtype)
    # not tf.pad, behind which TFLite's converter knows neither mel nor channel
    return tf.concat([features, zeros], axis=0)


class BatchNormalization(keras.layers.BatchNormalization):
    """Batch normalisation with PyTorch's constants, shared by all replicas.

    Moments are synchronised when the layer is made under a strategy of several
    replicas. Without a strategy, feature maps go through TensorFlow's fused
    kernel, which Keras does not use: a third of a training step's time otherwise.
    Moving variances are unbiased, as PyTorch's and the fused kernel's. Replicas
    count by their share of the batch, one without clips not at all.
    """

    def __init__(self, **kwargs):
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        kwargs = {"momentum": 0.9, "epsilon": 1e-5, "dtype": "float32", **kwargs}
        super().__init__(synchronized=replicas > 1, **kwargs)
        self._fused = not tf.distribute.has_strategy()

    def add_weight(self, *args, **kwargs):
        """Makes a weight that is float32 in every precision."""
        kwargs |= {"autocast": False, "dtype": "float32"}
        return super().add_weight(*args, **kwargs)

    def call(self, inputs, training=False):
        """Normalises [batch, time, mel, channel] or [batch, units]."""
        if not training:
            return super().call(inputs, training=False)
        if not self._fused or inputs.shape.rank != 4:
            outputs, mean, variance, count = self._normalize(inputs)
        else:
            count = tf.size(inputs)
            outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
                inputs,
                tf.cast(self.gamma.value, tf.float32),
                tf.cast(self.beta.value, tf.float32),
                epsilon=self.epsilon,
                is_training=True,
            )
        for moving, batch in (
            (self.moving_mean, mean),
            (self.moving_variance, variance),
        ):
            updated = moving.value * self.momentum + batch * (1 - self.momentum)
            # the moments of no clips are NaN
            moving.assign(tf.where(count > 0, updated, moving.value))
        return outputs

    def _normalize(self, inputs):
        """Outputs, mean and unbiased variance of the global batch, and its size."""
        wide = tf.cast(inputs, tf.float32)
        axes = list(range(inputs.shape.rank - 1))
        count = tf.cast(tf.reduce_prod(tf.shape(inputs)[:-1]), tf.float32)
        total, share = count, tf.minimum(count, 1.0)
        if self.synchronized:
            context = tf.distribute.get_replica_context()
            total = context.all_reduce(tf.distribute.ReduceOp.SUM, count)
            # exactly one where replicas have equal parts
            share = count * context.num_replicas_in_sync / tf.maximum(total, 1.0)

        def average(moment):
            moment = tf.math.multiply_no_nan(moment, share)
            if self.synchronized:
                return context.all_reduce(tf.distribute.ReduceOp.MEAN, moment)
            return moment

        # two passes: the difference of squares would lose digits
        mean = average(tf.reduce_mean(wide, axes))
        variance = average(tf.reduce_mean(tf.square(wide - mean), axes))
        outputs = tf.nn.batch_normalization(
            wide,
            mean,
            variance,
            tf.cast(self.beta.value, tf.float32),
            tf.cast(self.gamma.value, tf.float32),
            self.epsilon,
        )
        unbiased = variance * total / tf.maximum(total - 1, 1)
        return tf.cast(outputs, inputs.dtype), mean, unbiased, total


def normalized_convolution(inputs, convolution, normalization):
    """Convolution, then normalisation with the moving statistics, in one pass.

    Scale and shift of the normalisation go into kernel and bias, which spares
    two passes over the feature maps.

    Args:
        inputs: [batch, time, mel, channel] in the compute dtype.
        convolution: layer made by `convolution`.
        normalization: `BatchNormalization`.

    Returns:
        [batch, time, mel, filters] in the compute dtype.
    """
    scale = normalization.gamma.value * tf.math.rsqrt(
        normalization.moving_variance.value + normalization.epsilon
    )
    kernel = tf.cast(convolution.kernel.value, tf.float32) * scale
    bias = tf.cast(convolution.bias.value, tf.float32)
    bias = (bias - normalization.moving_mean.value) * scale + normalization.beta.value
    outputs = tf.nn.conv2d(inputs, tf.cast(kernel, inputs.dtype), 1, "SAME")
    return tf.nn.bias_add(outputs, tf.cast(bias, inputs.dtype))


def mask_time(features, num_frames, value=0.0):
    """Replaces what lies beyond the end of each clip.

    Args:
        features: [batch, time, ...], any dtype.
        num_frames: int32 [batch], frames of each clip that stay.
        value: scalar, put in place of the others.

    Returns:
        [batch, time, ...], dtype and shape of `features`.
    """
    counts = tf.sequence_mask(num_frames, tf.shape(features)[1])
    while counts.shape.rank < features.shape.rank:
        counts = counts[..., None]
    return tf.where(counts, features, tf.cast(value, features.dtype))


def _uniform(fan_in: int) -> dict:
    """Initialisers of kernel and bias."""
    # PyTorch's defaults for Linear and Conv2d, which the published model used
    limit = fan_in**-0.5
    return {
        "kernel_initializer": keras.initializers.RandomUniform(-limit, limit),
        "bias_initializer": keras.initializers.RandomUniform(-limit, limit),
    }
