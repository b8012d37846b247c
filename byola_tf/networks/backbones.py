"""What turns a log-mel into local features: convolution blocks, or another network.

A backbone is a Keras layer that maps [batch, time, mel, 1] to local features
[batch, time', mel', channel]; the encoder makes frame embeddings of them. The
published one is `ConvolutionBlocks`; TASLP table VII compares it with residual
networks (`resnet`). A network of your own plugs in by name, with

    byola_tf.backbones.register("mine", make_layer)

or, so that other processes find it too, as `config.encoder.architecture =
"my_package.my_module:make_layer"`. `make_layer` takes the `EncoderConfig` and
returns a layer whose output is [batch, time', mel', channel] or
[batch, time', units].
"""

import dataclasses
import importlib
from collections.abc import Callable

import keras
import tensorflow as tf

from byola_tf.config import EncoderConfig
from byola_tf.errors import UserError
from byola_tf.networks import heads

PUBLISHED = "convolutional"


@dataclasses.dataclass(frozen=True)
class Geometry:
    """Shape of a backbone's output.

    Attributes:
        time_stride: log-mel frames per output frame.
        mel_bins: output bins along mel.
        channels: output channels.
        first_seen: first log-mel frame that output frame 0 sees, of a signal
            without a start; None if that is unknown.
        last_seen: the last one.
        rounds_up: whether a last part shorter than the stride makes a frame.
    """

    time_stride: int
    mel_bins: int
    channels: int
    first_seen: int | None
    last_seen: int | None
    rounds_up: bool = False

    @property
    def first_centre(self) -> float:
        """Where output frame 0 is centred, log-mel frames."""
        if self.first_seen is None:
            return (self.time_stride - 1) / 2
        return (self.first_seen + self.last_seen) / 2

    def num_frames(self, num_log_mel_frames):
        """Output frames of so many log-mel frames, int or int32 tensor."""
        extra = self.time_stride - 1 if self.rounds_up else 0
        return (num_log_mel_frames + extra) // self.time_stride


class ConvolutionBlocks(keras.layers.Layer):
    """Convolution, batch normalisation, ReLU and 2 x 2 max pooling, repeated.

    TASLP figure 3; two blocks in v2, three in v1.

    Args:
        encoder_config: `EncoderConfig`: `num_blocks`, `channels` and
            `last_block_halves_mel` are used.
    """

    supports_padding = True

    def __init__(self, encoder_config: EncoderConfig, **kwargs):
        # not autocast: what is computed from variables here is float32
        super().__init__(name="backbone", autocast=False, **kwargs)
        self.config = config = encoder_config
        policy = self.dtype_policy
        self.convolutions, self.normalizations, self.pools = [], [], []
        for block in range(config.num_blocks):
            fan_in = 9 * (config.channels if block else 1)
            name = f"convolution_{block}"
            self.convolutions.append(
                heads.convolution(config.channels, fan_in, name=name, dtype=policy)
            )
            self.normalizations.append(
                heads.BatchNormalization(name=f"normalization_{block}", dtype=policy)
            )
            is_last = block == config.num_blocks - 1
            halves_mel = config.last_block_halves_mel or not is_last
            self.pools.append(
                keras.layers.MaxPooling2D((2, 2 if halves_mel else 1), dtype=policy)
            )

    def build(self, input_shape):
        """Creates the weights for [batch, time, mel, 1]."""
        channels = 1
        for convolution, normalization, _ in self._blocks():
            convolution.build((None, None, None, channels))
            channels = self.config.channels
            normalization.build((None, None, None, channels))
        self.built = True

    def call(self, features, training=False, num_frames=None):
        """Maps [batch, time, mel, 1] to [batch, time', mel', channel].

        Args:
            features: normalised log-mel, compute dtype.
            training: batch statistics (True) or the moving ones.
            num_frames: int32 [batch]: only so many log-mel frames of each clip
                count; without `training`.
        """
        return self.outputs_of_blocks(features, training, num_frames)[-1]

    def outputs_of_blocks(self, features, training=False, num_frames=None) -> list:
        """The output of every block, from the input on; arguments as in `call`."""
        outputs = []
        for block, (convolution, normalization, pool) in enumerate(self._blocks()):
            if num_frames is not None:
                # zero, as the convolution's own padding at the end of a clip
                features = mask_time(features, num_frames // 2**block)
            if training:
                features = normalization(convolution(features), training=True)
            else:
                features = heads.normalized_convolution(
                    features, convolution, normalization
                )
            features = pool(keras.ops.relu(features))
            outputs.append(features)
        return outputs

    def _blocks(self):
        return zip(self.convolutions, self.normalizations, self.pools, strict=True)


def make(encoder_config: EncoderConfig, dtype=None) -> keras.layers.Layer:
    """Makes the configured backbone; it may have no weights yet.

    Args:
        encoder_config: `EncoderConfig`.
        dtype: Keras dtype policy; a backbone that was plugged in chooses its own.

    Raises:
        UserError: nothing of that name was registered or can be imported.
    """
    name = encoder_config.architecture
    if name == PUBLISHED:
        return ConvolutionBlocks(encoder_config, dtype=dtype)
    if name in ("resnet18", "resnet50"):
        from byola_tf.networks import resnet

        return resnet.ResNet(encoder_config, dtype=dtype)
    return _factory(name)(encoder_config)


def geometry(encoder_config: EncoderConfig) -> Geometry:
    """Shape of the configured backbone's output."""
    config = encoder_config
    if config.architecture == PUBLISHED:
        stride = 2**config.num_blocks
        mel_stride = stride if config.last_block_halves_mel else stride // 2
        mel_bins = config.n_mels // mel_stride
        # beside the stride's own frames, each block's convolution of three sees one
        # of its inputs more on both sides: 1 + 2 + ... + stride / 2
        context = stride - 1
        return Geometry(
            stride, mel_bins, config.channels, -context, stride - 1 + context
        )
    if config.architecture in ("resnet18", "resnet50"):
        from byola_tf.networks import resnet

        return resnet.geometry(config)
    key = (config.architecture, config.n_mels)
    if key not in _MEASURED:
        _MEASURED[key] = _measure(config)
    return _MEASURED[key]


def register(name: str, make_layer: Callable) -> None:
    """Names a network of the user's, for `config.encoder.architecture`.

    Args:
        name: its name; may not be one of ours.
        make_layer: `EncoderConfig` → Keras layer; see this module.

    Raises:
        UserError: the name is taken by one of ours.
    """
    if name in (PUBLISHED, "resnet18", "resnet50") or ":" in name:
        raise UserError(
            "The name of an architecture must be a new one, without a colon. "
            f"Received: {name!r}."
        )
    _REGISTERED[name] = make_layer
    for key in [key for key in _MEASURED if key[0] == name]:
        del _MEASURED[key]


def mask_time(features, num_frames, value=0.0):
    """Replaces [batch, time, ...] from `num_frames` int32 [batch] on by `value`."""
    counts = tf.sequence_mask(num_frames, tf.shape(features)[1])
    while counts.shape.rank < features.shape.rank:
        counts = counts[..., None]
    return tf.where(counts, features, tf.cast(value, features.dtype))


_REGISTERED: dict[str, Callable] = {}
_MEASURED: dict[tuple, Geometry] = {}
_LONG = 4096  # log-mel frames from which a stride is measured


def _factory(name: str) -> Callable:
    if name in _REGISTERED:
        return _REGISTERED[name]
    module, colon, attribute = name.partition(":")
    try:
        if colon:
            return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UserError(
            "`config.encoder.architecture` names a function MODULE:FUNCTION that "
            f"can be imported. Received: {name!r}: {error}."
        ) from error
    known = ", ".join([PUBLISHED, "resnet18", "resnet50", *sorted(_REGISTERED)])
    raise UserError(
        f"`config.encoder.architecture` must be one of {known}, or MODULE:FUNCTION. "
        f"Received: {name!r}. Call byola_tf.backbones.register first, or write where "
        "the function is."
    )


def _measure(config: EncoderConfig) -> Geometry:
    """Reads the geometry of a plugged-in backbone off its output shape."""
    shape = _output_shape(config, _LONG)
    if len(shape) not in (3, 4) or None in shape[1:]:
        raise UserError(
            "The layer of an architecture must map [batch, time, mel, 1] to "
            "[batch, time', mel', channel] or [batch, time', units]. Received: "
            f"{config.architecture!r}, which maps {_LONG} frames to {shape}."
        )
    stride = round(_LONG / shape[1])
    mel_bins = shape[2] if len(shape) == 4 else 1
    rounds_up = stride > 1 and _output_shape(config, 4 * stride + 1)[1] > 4
    measured = Geometry(stride, mel_bins, shape[-1], None, None, rounds_up)
    for num_frames in (_LONG - 1, 6 * stride - 1, 4 * stride + 1, stride):
        count = _output_shape(config, num_frames)[1]
        if count != measured.num_frames(num_frames):
            raise UserError(
                "The layer of an architecture must give a frame for every so many of "
                "its input, rounded down or up, as with padding='same'. Received: "
                f"{config.architecture!r}, which makes {count} of {num_frames} where "
                f"it makes {shape[1]} of {_LONG}."
            )
    return measured


def _output_shape(config: EncoderConfig, num_frames: int) -> tuple:
    spec = keras.KerasTensor((1, num_frames, config.n_mels, 1))
    return make(config).compute_output_spec(spec).shape
