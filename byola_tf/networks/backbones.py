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

A file never names code: what a checkpoint or a model calls MODULE:FUNCTION is
imported only where the user gave the same name in this process, in a
configuration, by `register` or by `allow`.
"""

from collections.abc import Callable

import keras

from byola_tf import user_code
from byola_tf.config import EncoderConfig
from byola_tf.config_json import NameInFile
from byola_tf.errors import UserError
from byola_tf.networks import layers, resnet

PUBLISHED = "convolutional"
RESIDUAL = tuple(resnet.DEPTHS)


class ConvolutionBlocks(keras.layers.Layer):
    """Convolution, batch normalisation, ReLU and 2 x 2 max pooling, repeated.

    TASLP figure 3; two blocks in v2, three in v1.

    Args:
        encoder_config: `EncoderConfig`: `num_blocks`, `channels` and
            `last_block_halves_mel` are used.
    """

    supports_padding = True

    def __init__(self, encoder_config: EncoderConfig, dtype="float32", **kwargs):
        # not autocast: what is computed from variables here is float32
        super().__init__(name="backbone", autocast=False, dtype=dtype, **kwargs)
        self.config = config = encoder_config
        policy = self.dtype_policy
        self.convolutions, self.normalizations, self.pools = [], [], []
        for block in range(config.num_blocks):
            fan_in = 9 * (config.channels if block else 1)
            name = f"convolution_{block}"
            self.convolutions.append(
                layers.convolution(config.channels, fan_in, name=name, dtype=policy)
            )
            self.normalizations.append(
                layers.BatchNormalization(name=f"normalization_{block}", dtype=policy)
            )
            is_last = block == config.num_blocks - 1
            halves_mel = config.last_block_halves_mel or not is_last
            self.pools.append(
                keras.layers.MaxPooling2D(
                    (2, 2 if halves_mel else 1),
                    data_format="channels_last",
                    dtype=policy,
                )
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
                features = layers.mask_time(features, num_frames // 2**block)
            if training:
                features = layers.on_clips(convolution, features)
                features = normalization(features, training=True)
            else:
                features = layers.normalized_convolution(
                    features, convolution, normalization
                )
            features = keras.ops.relu(features)
            features = layers.on_clips(pool, features) if training else pool(features)
            outputs.append(features)
        return outputs

    def _blocks(self):
        return zip(self.convolutions, self.normalizations, self.pools, strict=True)


def make(encoder_config: EncoderConfig, dtype="float32") -> keras.layers.Layer:
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
    if name in RESIDUAL:
        return resnet.ResNet(encoder_config, dtype=dtype)
    return factory(name)(encoder_config)


def register(name: str, make_layer: Callable) -> None:
    """Names a network of the user's, for `config.encoder.architecture`.

    Args:
        name: its name; may not be one of ours.
        make_layer: `EncoderConfig` → Keras layer; see this module.

    Raises:
        UserError: the name is taken by one of ours.
    """
    if name in (PUBLISHED, *RESIDUAL) or ":" in name:
        raise UserError(
            "The name of an architecture must be a new one, without a colon. "
            f"Received: {name!r}."
        )
    _REGISTERED[name] = make_layer


_REGISTERED: dict[str, Callable] = {}
_GIVEN: set[str] = set()  # MODULE:FUNCTION that the user named in this process


def allow(*names: str) -> None:
    """Lets files name these networks: their modules are trusted and imported.

    Commands offer it as `--allow_code=MODULE:FUNCTION`.

    Args:
        *names: MODULE:FUNCTION each.

    Raises:
        UserError: a name of another form.
    """
    for name in names:
        module, _, function = name.partition(":")
        if not (module and function):
            raise UserError(
                "`--allow_code` must name networks as MODULE:FUNCTION. "
                f"Received: {name!r}."
            )
    _GIVEN.update(map(str, names))


def require_allowed(name: str) -> None:
    """Refuses a network that only a file names.

    Args:
        name: `EncoderConfig.architecture`.

    Raises:
        UserError: it is MODULE:FUNCTION, read from a file, and the user gave it
            nowhere in this process.
    """
    if isinstance(name, NameInFile) and name not in _GIVEN:
        raise UserError(
            f"A file may not name code to run. Received: the network {str(name)!r} as "
            "`encoder.architecture`. If you trust that module, call "
            f"byola_tf.backbones.allow({str(name)!r}) first, or pass "
            f"--allow_code={name}."
        )


def factory(name: str) -> Callable:
    """The function that makes a network which was plugged in.

    Args:
        name: given to `register`, or MODULE:FUNCTION.

    Returns:
        `EncoderConfig` → Keras layer.

    Raises:
        UserError: nothing of that name was registered or can be imported, or
            see `require_allowed`.
    """
    if name in _REGISTERED:
        return _REGISTERED[name]
    require_allowed(name)
    module, colon, attribute = name.partition(":")
    try:
        if colon:
            found = getattr(user_code.import_module(module), attribute)
            _GIVEN.add(str(name))
            return found
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(
            "`config.encoder.architecture` names a function MODULE:FUNCTION that "
            f"can be imported. Received: {name!r}: {error}."
        ) from error
    known = ", ".join([PUBLISHED, *RESIDUAL, *sorted(_REGISTERED)])
    raise UserError(
        f"`config.encoder.architecture` must be one of {known}, or MODULE:FUNCTION. "
        f"Received: {name!r}. Call byola_tf.backbones.register first, or write where "
        "the function is."
    )
