"""Features of the encoder's inner layers, for linear evaluation.

Early convolution blocks keep what later ones drop, and a concatenation of both
often beats either (evaluation of fused layers: EUSIPCO 2022). Each layer is
pooled over its own time axis, then they are concatenated.
"""

from collections.abc import Sequence

import keras
import tensorflow as tf

from byola_tf.encoder import Encoder
from byola_tf.errors import UserError
from byola_tf.pooling import pool_time


def layer_names(encoder: Encoder) -> tuple[str, ...]:
    """`conv1`, `conv2`, ..., `mlp1`, `mlp2`, from the input on."""
    blocks = range(1, encoder.config.num_blocks + 1)
    return (*(f"conv{block}" for block in blocks), "mlp1", "mlp2")


def layer_features(encoder: Encoder, log_mel) -> dict[str, tf.Tensor]:
    """The output of every layer, after its activation.

    Args:
        encoder: `Encoder`.
        log_mel: float32 [batch, time, mel], normalised.

    Returns:
        By name of `layer_names`, float32 [batch, time', units]; convolution
        blocks with mel and channel flattened, mel-major, as in the embedding.
    """
    features, layers = tf.expand_dims(log_mel, -1), {}
    blocks = zip(encoder.convolutions, encoder.normalizations, strict=True)
    for block, (convolution, normalization) in enumerate(blocks, 1):
        features = normalization(convolution(features), training=False)
        features = encoder.pool(keras.ops.relu(features))
        layers[f"conv{block}"] = _flat(features)
    hidden = keras.ops.relu(encoder.hidden(_flat(features)))
    layers["mlp1"] = hidden
    layers["mlp2"] = keras.ops.relu(encoder.output_layer(hidden))
    return layers


def make_embed(model, encoder: Encoder, names: Sequence[str], pooling: str | None):
    """Makes a function from waveforms to the pooled, concatenated layers.

    Args:
        model: `byola_tf.embedder.WaveformEncoder` around `encoder`.
        encoder: `Encoder`.
        names: of `layer_names`, or "all".
        pooling: the encoder's own when None.

    Raises:
        UserError: there is no such layer.
    """
    chosen = _checked(names, layer_names(encoder))
    pooling = pooling or encoder.config.pooling

    @tf.function(reduce_retracing=True)
    def embed(waveform):
        layers = layer_features(encoder, model.log_mel(waveform))
        return tf.concat([pool_time(layers[name], pooling) for name in chosen], 1)

    return embed


def _checked(names: Sequence[str], known: Sequence[str]) -> list[str]:
    if list(names) == ["all"]:
        return list(known)
    unknown = [name for name in names if name not in known]
    if unknown or len(set(names)) < len(names):
        raise UserError(
            f"`layers` must be different ones of {', '.join(known)}, or all. "
            f"Received: {','.join(names)}."
        )
    return list(names)


def _flat(features) -> tf.Tensor:
    """[batch, time, mel, channel] to [batch, time, mel * channel]."""
    shape = tf.shape(features)
    units = features.shape[2] * features.shape[3]
    return tf.reshape(features, [shape[0], shape[1], units])
