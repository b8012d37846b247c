"""Layers as the published model initialises them; projector and predictor."""

import keras
import tensorflow as tf


def dense(units: int, fan_in: int, **kwargs) -> keras.layers.Dense:
    """A dense layer whose kernel and bias start uniform in ±1/√fan_in."""
    return keras.layers.Dense(units, **_uniform(fan_in), **kwargs)


def convolution(filters: int, fan_in: int, **kwargs) -> keras.layers.Conv2D:
    """A 3 x 3 "same" convolution, kernel and bias uniform in ±1/√fan_in."""
    return keras.layers.Conv2D(filters, 3, padding="same", **_uniform(fan_in), **kwargs)


class BatchNormalization(keras.layers.BatchNormalization):
    """Batch normalisation with PyTorch's constants, shared by all replicas.

    Moments are synchronised when the layer is made under a strategy of several
    replicas. On one, feature maps go through TensorFlow's fused kernel, which
    Keras does not use: a third of a training step's time otherwise.
    """

    def __init__(self, **kwargs):
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        kwargs = {"momentum": 0.9, "epsilon": 1e-5, **kwargs}
        super().__init__(synchronized=replicas > 1, **kwargs)

    def call(self, inputs, training=False):
        """Normalises [batch, time, mel, channel] or [batch, units]."""
        if not training or self.synchronized or inputs.shape.rank != 4:
            return super().call(inputs, training=training)
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
            moving.assign(moving.value * self.momentum + batch * (1 - self.momentum))
        return outputs


def _uniform(fan_in: int) -> dict:
    # PyTorch's defaults for Linear and Conv2d, which the published model used
    limit = fan_in**-0.5
    return {
        "kernel_initializer": keras.initializers.RandomUniform(-limit, limit),
        "bias_initializer": keras.initializers.RandomUniform(-limit, limit),
    }


class Head(keras.Model):
    """Projector or predictor: dense, batch normalisation, ReLU, dense.

    Args:
        hidden_units: width between the two dense layers.
        output_units: width of the output.
        input_units: width of the input.
    """

    def __init__(self, hidden_units, output_units, input_units, **kwargs):
        super().__init__(**kwargs)
        self.hidden = dense(hidden_units, input_units, name="hidden")
        self.normalization = BatchNormalization(name="normalization")
        self.output_layer = dense(output_units, hidden_units, name="output")
        self.build((None, input_units))

    def build(self, input_shape):
        """Creates the weights for `[batch, input_units]`."""
        hidden_shape = (None, self.hidden.units)
        self.hidden.build(input_shape)
        self.normalization.build(hidden_shape)
        self.output_layer.build(hidden_shape)
        self.built = True

    def call(self, inputs, training=False):
        """Maps [batch, input_units] to [batch, output_units]."""
        hidden = self.normalization(self.hidden(inputs), training=training)
        return self.output_layer(keras.ops.relu(hidden))
