"""Residual networks as backbones (TASLP section V-E and appendix A).

He et al. 2016, ResNet-18 and ResNet-50 without their classifier, on one input
channel. Of the five stages that halve time and mel (stem, pooling, and three of
the four residual stages), "narrow receptive field" leaves mel and time whole in the
stem and mel whole in the last one.
"""

import keras
import tensorflow as tf

from byola_tf.config import EncoderConfig
from byola_tf.networks import heads

_DEPTHS = {"resnet18": (2, 2, 2, 2), "resnet50": (3, 4, 6, 3)}
_WIDTHS = (64, 128, 256, 512)
_EXPANSION = {"resnet18": 1, "resnet50": 4}

# (time, mel) strides of stem, pooling and the four residual stages
_PLAIN = ((2, 2), (2, 2), (1, 1), (2, 2), (2, 2), (2, 2))
_NARROW = ((1, 1), (2, 2), (1, 1), (2, 2), (2, 2), (2, 1))


def geometry(encoder_config: EncoderConfig):
    """Shape of the features; see `backbones.Geometry`."""
    from byola_tf.networks.backbones import Geometry

    name = encoder_config.architecture
    # how far the kernels of stem, pooling and stages reach, in inputs of their stage
    # before and after the stride
    num_wide = 2 if name == "resnet18" else 1  # 3 x 3 convolutions of a block
    reach = [(3, 0), (1, 0)] + [(1, num_wide * depth - 1) for depth in _DEPTHS[name]]
    time_stride, mel_bins, radius = 1, encoder_config.n_mels, 0
    strides = _strides(encoder_config)
    for (along_time, along_mel), (before, after) in zip(strides, reach, strict=True):
        radius += before * time_stride
        time_stride *= along_time
        radius += after * time_stride
        mel_bins = -(-mel_bins // along_mel)
    channels = _WIDTHS[-1] * _EXPANSION[name]
    # symmetric padding: output t is centred on input stride * t
    return Geometry(time_stride, mel_bins, channels, -radius, radius, rounds_up=True)


class ResNet(keras.layers.Layer):
    """A residual network over [batch, time, mel, 1].

    Args:
        encoder_config: `EncoderConfig`: `architecture` "resnet18" or "resnet50"
            and `narrow_receptive_field` are used.
    """

    supports_padding = False

    def __init__(self, encoder_config: EncoderConfig, **kwargs):
        super().__init__(name="backbone", **kwargs)
        name = encoder_config.architecture
        stem, pool, *stages = _strides(encoder_config)
        policy = self.dtype_policy
        self.stem = Convolution(64, 7, stem, relu=True, name="stem", dtype=policy)
        self.pool_strides = pool
        block = Bottleneck if name == "resnet50" else BasicBlock
        self.blocks = []
        for stage, strides in enumerate(stages):
            for index in range(_DEPTHS[name][stage]):
                self.blocks.append(
                    block(
                        _WIDTHS[stage],
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
        features = tf.nn.max_pool2d(padded, 3, self.pool_strides, "VALID")
        for block in self.blocks:
            features = block(features, training=training)
        return features


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
            kernel_initializer=keras.initializers.VarianceScaling(
                2.0, "fan_out", "untruncated_normal"
            ),
            name="convolution",
            dtype=self.dtype_policy,
        )
        self.normalization = heads.BatchNormalization(
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
        features = self.normalization(self.convolution(features), training=training)
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
        wide = width * _EXPANSION["resnet50"]
        projection = None
        if projects:
            projection = Convolution(wide, 1, strides, name="projection", dtype=dtype)
        branch = [
            Convolution(width, 1, relu=True, name="first", dtype=dtype),
            Convolution(width, 3, strides, relu=True, name="second", dtype=dtype),
            Convolution(wide, 1, name="third", dtype=dtype),
        ]
        super().__init__(branch, projection, dtype=dtype, **kwargs)


def _strides(config: EncoderConfig):
    return _NARROW if config.narrow_receptive_field else _PLAIN
