r"""The exported model: a reusable TF-Hub SavedModel.

Input: mono float32 waveform [batch, samples] in [-1, 1] at 16 kHz, any length
from one sample up. A loaded model offers

    model(waveform, training=False)   float32 [batch, d], one vector a clip
    model.embed(waveform)             the same in inference mode, unchecked
    model.frames(waveform)            frame_embeddings [batch, time', d] and
                                      timestamps [batch, time'], seconds
    model.log_mel(waveform)           normalised log-mel [batch, time, mel]
    model.embed_padded(waveform, num_samples)
                                      clips of unequal length, int32 [batch]:
                                      each the vector that it has alone
    model.frames_padded(waveform, num_samples)
                                      as `frames`, and num_frames int32 [batch];
                                      rows beyond are zero
    model.metadata()                  JSON text

and the signatures `serving_default`, `frames` and `onnx`. It opens with `hub.load`,
and with `hub.KerasLayer` frozen or trainable. Every call has one trace, whatever
the length of the clips.

The signature `onnx` is `serving_default` of operators that ONNX has, with the same
embeddings to 1e-4 of the largest entry in onnxruntime (pip install 'byola-tf[onnx]'):

    python -m tf2onnx.convert --saved-model MODEL --signature_def onnx \
        --opset 18 --output model.onnx
"""

import tensorflow as tf

from byola_tf.checkpoint import Checkpoint
from byola_tf.embedding.waveform_encoder import WAVEFORM, WaveformEncoder
from byola_tf.networks.encoder import Encoder

_LOUDEST = 100.0  # 40 dB above full scale: no audio in [-1, 1], but 16-bit samples


class ExportedModel(tf.Module):
    """What is saved: the calls of a `WaveformEncoder`, and its raw variables.

    Args:
        checkpoint: `Checkpoint`.

    Attributes:
        variables: the encoder's, in the encoder's order, then the statistics.
        trainable_variables: what `hub.KerasLayer(trainable=True)` trains.
        regularization_losses: none; hub.KerasLayer asks for it.
    """

    # tf.Module has read-only properties of these names; a SavedModel restores
    # what was assigned, so they become plain attributes
    variables = ()
    trainable_variables = ()

    def __init__(self, checkpoint: Checkpoint):
        super().__init__(name="exported_model")
        encoder = _copy_for_replicas(checkpoint.encoder)
        source = WaveformEncoder(
            encoder, checkpoint.config, checkpoint.statistics, checkpoint.provenance
        )
        # In a function, not an attribute: as an attribute, the Keras model would
        # have every weight saved a second time beside the raw variables.
        self._compute = lambda waveform, training: source.compute(waveform, training)
        self._compute_for_onnx = lambda waveform: source.compute_for_onnx(waveform)
        self.embed = source.embed
        self.frames = source.frames
        self.log_mel = source.log_mel
        self.embed_padded = source.embed_padded
        self.frames_padded = source.frames_padded
        self.metadata = source.metadata
        self.statistics_mean = source.statistics_mean
        self.statistics_std = source.statistics_std
        self.trainable_variables = [v.value for v in encoder.trainable_variables]
        self.variables = [
            *[v.value for v in encoder.variables],
            self.statistics_mean,
            self.statistics_std,
        ]
        self.regularization_losses = []

    # `training` is a tensor, since a loaded function of Python values is traced
    # anew for every shape, and keeps all of its traces
    @tf.function(
        input_signature=[WAVEFORM, tf.TensorSpec([], tf.bool, name="training")]
    )
    def __call__(self, waveform, training=False):
        """Embeds clips.

        Args:
            waveform: float32 [batch, samples], range [-1, 1].
            training: bool: batch statistics and dropout, or neither.

        Returns:
            float32 [batch, embedding_size].
        """
        with tf.control_dependencies([_assert_scaled(waveform)]):
            waveform = tf.identity(waveform)
        return tf.cond(
            training,
            lambda: self._compute(waveform, True),
            lambda: self._compute(waveform, False),
        )

    def signatures(self) -> dict:
        """The named signatures."""

        @tf.function(input_signature=[WAVEFORM])
        def embed(waveform):
            return {"embedding": self._compute(waveform, False)}

        @tf.function(input_signature=[WAVEFORM])
        def embed_for_onnx(waveform):
            return {"embedding": self._compute_for_onnx(waveform)}

        return {
            "onnx": embed_for_onnx,
            "serving_default": embed,
            "frames": self.frames.get_concrete_function(),
        }


def _assert_scaled(waveform):
    """Refuses 16-bit samples as they are, which TensorFlow casts without a word."""
    # NaN is none of this check's business: no comparison with it is true
    scaled = tf.reduce_all(tf.logical_not(tf.abs(waveform) > _LOUDEST))
    message = (
        "`waveform` must be float32 [batch, samples] in [-1, 1]: divide 16-bit samples "
        "by 32768. Received samples as large as:"
    )
    return tf.debugging.Assert(scaled, [message, tf.reduce_max(tf.abs(waveform))])


def _copy_for_replicas(encoder: Encoder) -> Encoder:
    """The encoder, with moving statistics that TensorFlow averages over replicas.

    Loaded under a strategy, each replica updates its own, and whoever reads or
    saves them gets the mean, as with the batch normalisation of tf_keras.
    """

    def creator(next_creator, **kwargs):
        if not kwargs["trainable"]:
            kwargs["synchronization"] = tf.VariableSynchronization.ON_READ
            kwargs["aggregation"] = tf.VariableAggregation.MEAN
        return next_creator(**kwargs)

    with tf.variable_creator_scope(creator):
        copy = Encoder(encoder.config, name="encoder")
    copy.set_weights(encoder.get_weights())
    return copy


def save(checkpoint: Checkpoint, folder: str) -> None:
    """Writes the SavedModel of a checkpoint into `folder`."""
    model = ExportedModel(checkpoint)
    tf.saved_model.save(model, folder, signatures=model.signatures())
