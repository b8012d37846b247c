"""Residual networks as backbones (TASLP section V-E and appendix A).

He et al. 2016, ResNet-18 and ResNet-50 without their classifier, on one input
channel. Of the five stages that halve time and mel (stem, pooling, and three of
the four residual stages), "narrow receptive field" leaves mel and time whole in the
stem and mel whole in the last one.
"""

import keras
import tensorflow as tf

from byola_tf.config import EncoderConfig
from byola_tf.networks import layers

DEPTHS = {"resnet18": (2, 2, 2, 2), "resnet50": (3, 4, 6, 3)}
WIDTHS = (64, 128, 256, 512)
EXPANSION = {"resnet18": 1, "resnet50": 4}

# (time, mel) strides of stem, pooling and the four residual stages
_PLAIN = ((2, 2), (2, 2), (1, 1), (2, 2), (2, 2), (2, 2))
_NARROW = ((1, 1), (2, 2), (1, 1), (2, 2), (2, 2), (2, 1))


def strides_of(encoder_config: EncoderConfig) -> tuple:
    """The (time, mel) strides of stem, pooling and the four residual stages."""
    return _NARROW if encoder_config.narrow_receptive_field else _PLAIN


class ResNet(keras.layers.Layer):
    """A residual network over [batch, time, mel, 1].

    Args:
        encoder_config: `EncoderConfig`: `architecture` "resnet18" or "resnet50"
            and `narrow_receptive_field` are used.
    """

    supports_padding = False

    def __init__(self, encoder_config: EncoderConfig, dtype="float32", **kwargs):
        super().__init__(name="backbone", dtype=dtype, **kwargs)
        name = encoder_config.architecture
        stem, pool, *stages = strides_of(encoder_config)
        policy = self.dtype_policy
        self.stem = Convolution(64, 7, stem, relu=True, name="stem", dtype=policy)
        self.pool_strides = pool
        block = Bottleneck if name == "resnet50" else BasicBlock
        self.blocks = []
        for stage, strides in enumerate(stages):
            for index in range(DEPTHS[name][stage]):
                self.blocks.append(
                    block(
                        WIDTHS[stage],
                        (1, 1) if index else strides,
                        projects=index == 0 and (stage > 0 or block is Bottleneck),
                        name=f"stage_{stage}_block_{index}",
                        dtype=policy,
                    )
                )

    def build(self, input_shape):
        """Creates the weights for [batch, time, mel, 1]."""
        channels = self.stem.build_for(1)
        for block in self.blocks:
            channels = block.build_for(channels)
        self.built = True

    def call(self, features, training=False):
        """Maps [batch, time, mel, 1] to [batch, time', mel', channel]."""
        features = self.stem(features, training=training)
        # zeros are as good as minus infinity: the features are not negative
        padded = tf.pad(features, [[0, 0], [1, 1], [1, 1], [0, 0]])
        features = layers.on_clips(self._pool, padded)
        for block in self.blocks:
            features = block(features, training=training)
        return features

    def _pool(self, padded):
        return tf.nn.max_pool2d(padded, 3, self.pool_strides, "VALID")


class Convolution(keras.layers.Layer):
    """Convolution without bias, batch normalisation and, where asked, ReLU."""

    def __init__(self, filters, size, strides=(1, 1), relu=False, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.size, self.relu = filters, size, relu
        self.convolution = keras.layers.Conv2D(
            filters,
            size,
            strides,
            use_bias=False,
            data_format="channels_last",
            kernel_initializer=keras.initializers.VarianceScaling(
                2.0, "fan_out", "untruncated_normal"
            ),
            name="convolution",
            dtype=self.dtype_policy,
        )
        self.normalization = layers.BatchNormalization(
            name="normalization", dtype=self.dtype_policy
        )

    def build_for(self, channels: int) -> int:
        """Creates the weights for so many input channels; returns the output's."""
        self.convolution.build((None, None, None, channels))
        self.normalization.build((None, None, None, self.filters))
        self.built = True
        return self.filters

    def call(self, features, training=False):
        """Maps [batch, time, mel, channel]; padded symmetrically with zeros."""
        margin = [self.size // 2] * 2
        features = tf.pad(features, [[0, 0], margin, margin, [0, 0]])
        features = layers.on_clips(self.convolution, features)
        features = self.normalization(features, training=training)
        return keras.ops.relu(features) if self.relu else features


class _Residual(keras.layers.Layer):
    """Adds its input, projected where the shape changes, to a branch."""

    def __init__(self, branch, projection, **kwargs):
        super().__init__(**kwargs)
        self.branch, self.projection = branch, projection

    def build_for(self, channels: int) -> int:
        """Creates the weights for so many input channels; returns the output's."""
        if self.projection is not None:
            self.projection.build_for(channels)
        for layer in self.branch:
            channels = layer.build_for(channels)
        self.built = True
        return channels

    def call(self, features, training=False):
        """Maps [batch, time, mel, channel]."""
        shortcut = features
        if self.projection is not None:
            shortcut = self.projection(features, training=training)
        for layer in self.branch:
            features = layer(features, training=training)
        return keras.ops.relu(features + shortcut)


class BasicBlock(_Residual):
    """Two 3 x 3 convolutions (He et al. 2016, figure 5 left)."""

    def __init__(self, width, strides, projects, dtype=None, **kwargs):
        projection = None
        if projects:
            projection = Convolution(width, 1, strides, name="projection", dtype=dtype)
        branch = [
            Convolution(width, 3, strides, relu=True, name="first", dtype=dtype),
            Convolution(width, 3, name="second", dtype=dtype),
        ]
        super().__init__(branch, projection, dtype=dtype, **kwargs)


class Bottleneck(_Residual):
    """1 x 1, 3 x 3 and 1 x 1 convolutions (He et al. 2016, figure 5 right).

    The 3 x 3 convolution carries the stride, as in common implementations.
    """

    def __init__(self, width, strides, projects, dtype=None, **kwargs):
        wide = width * EXPANSION["resnet50"]
        projection = None
        if projects:
            projection = Convolution(wide, 1, strides, name="projection", dtype=dtype)
        branch = [
            Convolution(width, 1, relu=True, name="first", dtype=dtype),
            Convolution(width, 3, strides, relu=True, name="second", dtype=dtype),
            Convolution(wide, 1, name="third", dtype=dtype),
        ]
        super().__init__(branch, projection, dtype=dtype, **kwargs)
