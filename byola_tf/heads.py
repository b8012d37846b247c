"""Layers as the published model initialises them; projector and predictor."""

import keras
import tensorflow as tf


def dense(units: int, fan_in: int, **kwargs) -> keras.layers.Dense:
    """A dense layer whose kernel and bias start uniform in ±1/√fan_in."""
    return keras.layers.Dense(units, **_uniform(fan_in), **kwargs)


def convolution(filters: int, fan_in: int, **kwargs) -> keras.layers.Conv2D:
    """A 3 x 3 "same" convolution, kernel and bias uniform in ±1/√fan_in."""
    return keras.layers.Conv2D(filters, 3, padding="same", **_uniform(fan_in), **kwargs)


def batch_normalization(**kwargs) -> keras.layers.BatchNormalization:
    """Batch normalisation with PyTorch's constants, shared by all replicas.

    Synchronised when it is made under a strategy of several replicas; elsewhere
    the collective operations would only cost time.
    """
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    return keras.layers.BatchNormalization(
        momentum=0.9, epsilon=1e-5, synchronized=replicas > 1, **kwargs
    )


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
        self.normalization = batch_normalization(name="normalization")
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
