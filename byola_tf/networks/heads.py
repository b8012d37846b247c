"""Projector and predictor (TASLP section III-A)."""

import keras
import tensorflow as tf

from byola_tf.networks.layers import BatchNormalization, dense


class Head(keras.Model):
    """Projector or predictor: dense, batch normalisation, ReLU, dense.

    Args:
        hidden_units: width between the two dense
        output_units: width of the output.
        input_units: width of the input.
        dtype: Keras dtype policy.
        **kwargs: of `keras.Model`.
    """

    def __init__(
        self, hidden_units, output_units, input_units, dtype="float32", **kwargs
    ):
        super().__init__(dtype=dtype, **kwargs)
        policy = self.dtype_policy
        self.hidden = dense(hidden_units, input_units, name="hidden", dtype=policy)
        self.normalization = BatchNormalization(name="normalization", dtype=policy)
        self.output_layer = dense(
            output_units, hidden_units, name="output", dtype=policy
        )
        self.build((None, input_units))

    def build(self, input_shape):
        """Creates the weights for `[batch, input_units]`."""
        hidden_shape = (None, self.hidden.units)
        self.hidden.build(input_shape)
        self.normalization.build(hidden_shape)
        self.output_layer.build(hidden_shape)
        self.built = True

    def call(self, inputs, training=False):
        """Maps [batch, input_units] to float32 [batch, output_units]."""
        hidden = self.normalization(self.hidden(inputs), training=training)
        return tf.cast(self.output_layer(keras.ops.relu(hidden)), tf.float32)
