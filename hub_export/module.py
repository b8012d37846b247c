"""The exported model: a reusable TF-Hub SavedModel.

Input: mono float32 waveform [batch, samples] in [-1, 1] at 16 kHz, any length
from one sample up. A loaded model offers

    model(waveform, training=False)   float32 [batch, d], one vector a clip
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

and the signatures `serving_default` and `frames`. It opens with `hub.load`,
and with `hub.KerasLayer` frozen or trainable.
"""

import tensorflow as tf

from byola_tf.checkpoint import Checkpoint
from byola_tf.embedding.waveform_encoder import WaveformEncoder
from byola_tf.networks.encoder import Encoder


class ExportedModel(WaveformEncoder):
    """`WaveformEncoder` with the attributes of a reusable SavedModel.

    Args:
        checkpoint: `Checkpoint`.
    """

    # plain attributes instead of tf.Module's properties: a SavedModel restores
    # only what was assigned, and hub.KerasLayer trains what it finds here
    variables = ()
    trainable_variables = ()

    def __init__(self, checkpoint: Checkpoint):
        encoder = _copy_for_replicas(checkpoint.encoder)
        super().__init__(
            encoder, checkpoint.config, checkpoint.statistics, checkpoint.provenance
        )
        # Tracked as a Keras model, the encoder would have every weight saved a
        # second time beside the raw variables below.
        del self._encoder
        object.__setattr__(self, "_encoder", encoder)
        self.trainable_variables = [v.value for v in encoder.trainable_variables]
        self.variables = [
            *[v.value for v in encoder.variables],
            self.statistics_mean,
            self.statistics_std,
        ]
        self.regularization_losses = []

    def signatures(self) -> dict:
        """Traces the calls; returns the named signatures."""
        waveform = tf.TensorSpec([None, None], tf.float32, name="waveform")
        for training in (False, True):
            self.__call__.get_concrete_function(waveform, training=training)

        @tf.function(input_signature=[waveform])
        def embed(waveform):
            return {"embedding": self(waveform, training=False)}

        return {
            "serving_default": embed,
            "frames": self.frames.get_concrete_function(),
        }


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
