"""Features of the encoder's inner layers, for linear evaluation.

Early convolution blocks keep what later ones drop, and a concatenation of both
often beats either (evaluation of fused layers: EUSIPCO 2022). Each layer is
pooled over its own time axis, then they are concatenated.
"""

from collections.abc import Sequence

import keras
import tensorflow as tf

from byola_tf.errors import UserError
from byola_tf.networks import pooling as time_pooling
from byola_tf.networks.backbones import ConvolutionBlocks
from byola_tf.networks.encoder import Encoder
from train_lib.probe.models.audio_model import POOLINGS


def layer_names(encoder: Encoder) -> tuple[str, ...]:
    """`conv1`, `conv2`, ..., `mlp1`, `mlp2`, from the input on.

    Another backbone than the published one is a single layer, `backbone`.
    """
    names = ["backbone"]
    if isinstance(encoder.backbone, ConvolutionBlocks):
        blocks = range(1, encoder.config.num_blocks + 1)
        names = [f"conv{block}" for block in blocks]
    return (*names, "mlp1", "mlp2") if encoder.config.mlp else tuple(names)


def layer_features(encoder: Encoder, log_mel) -> dict[str, tf.Tensor]:
    """The output of every layer, after its activation.

    Args:
        encoder: `Encoder`.
        log_mel: float32 [batch, time, mel], normalised.

    Returns:
        By name of `layer_names`, float32 [batch, time', units]; those of the
        backbone with mel and channel flattened, mel-major, as in the embedding.
    """
    inputs = tf.expand_dims(log_mel, -1)
    if isinstance(encoder.backbone, ConvolutionBlocks):
        outputs = encoder.backbone.outputs_of_blocks(inputs)
    else:
        outputs = [encoder.backbone(inputs, training=False)]
    if outputs[-1].shape.rank == 3:  # a plugged-in backbone without a mel axis
        outputs = [outputs[-1][:, :, None]]
    layers = [time_pooling.flatten_local(output) for output in outputs]
    if encoder.config.mlp:
        how = encoder.config.local_features
        local = time_pooling.flatten_local(outputs[-1], how)
        layers.append(keras.ops.relu(encoder.hidden(local)))
        layers.append(keras.ops.relu(encoder.output_layer(layers[-1])))
    return dict(zip(layer_names(encoder), layers, strict=True))


def make_embed(model, encoder: Encoder, names: Sequence[str], pooling: str | None):
    """Makes a function from waveforms to the pooled, concatenated layers.

    Args:
        model: `byola_tf.embedder.WaveformEncoder` around `encoder`.
        encoder: `Encoder`.
        names: of `layer_names`, or "all".
        pooling: when None, the encoder's own where that is a mean, a maximum or
            their sum; otherwise mean+max.

    Raises:
        UserError: there is no such layer.
    """
    chosen = _checked(names, layer_names(encoder))
    if pooling is None:
        own = encoder.config.pooling
        pooling = own if own in POOLINGS else "mean+max"

    @tf.function(reduce_retracing=True)
    def embed(waveform):
        layers = layer_features(encoder, model.log_mel(waveform))
        return tf.concat(
            [time_pooling.pool_time(layers[name], pooling) for name in chosen], 1
        )

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
