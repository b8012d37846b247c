"""The encoder: backbone, MLP, concatenation, temporal pooling.

TASLP section III-D and figure 3 (v2); IJCNN section III-C (v1); the variants of
TASLP section V-E and appendix A by configuration. Inside, shapes are
[batch, time, mel, channel]: flattening the last two gives mel-major,
channel-minor frame features, as in published checkpoints.
"""

import json

import keras
import tensorflow as tf

from byola_tf import validation
from byola_tf.config import Config, EncoderConfig
from byola_tf.networks import backbones, geometry, layers, pooling


@keras.saving.register_keras_serializable("byola_tf")
class Encoder(keras.Model):
    """Maps normalised log-mels of any length to embeddings.

    Args:
        encoder_config: `EncoderConfig`.
        dtype: Keras dtype policy, e.g. "mixed_bfloat16" to train or "bfloat16"
            to embed; frames and embeddings are float32 in any case.
        **kwargs: of `keras.Model`, e.g. `name`.

    Raises:
        UserError: see `backbones.make`.
    """

    def __init__(self, encoder_config: EncoderConfig, dtype="float32", **kwargs):
        # not autocast: what is computed from variables here is float32
        super().__init__(autocast=False, dtype=dtype, **kwargs)
        self.config = config = encoder_config
        self.geometry = geometry.of(config)
        policy = self.dtype_policy
        self.backbone = backbones.make(config, policy)
        if config.mlp:
            self.hidden = layers.dense(
                config.hidden_units, config.local_units, name="hidden", dtype=policy
            )
            self.output_layer = layers.dense(
                config.output_units, config.hidden_units, name="output", dtype=policy
            )
        if config.pooling == "attention":
            self.attention = pooling.Attention(
                config.frame_embedding_size, name="attention"
            )
        self.build((None, None, config.n_mels))

    def build(self, input_shape):
        """Creates the weights for log-mels `[batch, time, mel]`."""
        if self.built:
            return
        if not self.backbone.built:
            self.backbone.build((None, None, self.config.n_mels, 1))
        if self.config.mlp:
            self.hidden.build((None, None, self.config.local_units))
            self.output_layer.build((None, None, self.config.hidden_units))
        self.built = True

    def get_config(self) -> dict:
        """The constructor's arguments, JSON-ready, for Keras's files."""
        tree = Config(encoder=self.config).to_json()
        return super().get_config() | {"encoder_config": json.loads(tree)["encoder"]}

    @classmethod
    def from_config(cls, config: dict, custom_objects=None) -> "Encoder":
        """Makes an encoder of what `get_config` returned; its weights are new.

        Raises:
            UserError: the configuration breaks a rule, or see
                `backbones.require_allowed`.
        """
        config = dict(config)
        tree = {"encoder": config.pop("encoder_config")}
        encoder_config = Config.from_json(json.dumps(tree)).encoder
        backbones.require_allowed(encoder_config.architecture)
        validation.validate_section(encoder_config, "encoder")
        return cls(encoder_config, **config)

    @property
    def inert_biases(self) -> list:
        """Biases that feed a batch normalisation, so that they change nothing."""
        convolutions = getattr(self.backbone, "convolutions", [])
        return [convolution.bias for convolution in convolutions]

    def call(self, log_mel, training=False, dropout_seed=None):
        """Embeds clips.

        Args:
            log_mel: float32 [batch, time, mel], normalised, with at least
                `config.time_stride` frames.
            training: batch statistics and dropout (True) or neither.
            dropout_seed: int32 [2]; the mask is a function of it. None draws
                from TensorFlow's global generator.

        Returns:
            float32 [batch, embedding_size].
        """
        return self._pool(self.frames(log_mel, training, dropout_seed))

    def embed_padded(self, log_mel, num_frames):
        """Embeds clips of unequal length as each would be alone.

        Args:
            log_mel: float32 [batch, time, mel], normalised.
            num_frames: int32 [batch], frames that count, at least
                `config.time_stride`; the others may hold anything finite.

        Returns:
            float32 [batch, embedding_size].
        """
        local = self.local_features(log_mel, num_frames=num_frames)
        return self._pool(
            self._append_global(local), self.geometry.num_frames(num_frames)
        )

    def frames(self, log_mel, training=False, dropout_seed=None, num_frames=None):
        """Embeds every frame; see `call`.

        Args:
            log_mel: see `call`.
            training: see `call`.
            dropout_seed: see `call`.
            num_frames: see `embed_padded`; only without `training`.

        Returns:
            float32 [batch, time', frame_embedding_size], one frame every
            `config.time_stride`; zero after the frames that count.
        """
        local = self.local_features(log_mel, training, num_frames)
        features = self._append_global(local, training, dropout_seed)
        if num_frames is not None:
            num_frames = self.geometry.num_frames(num_frames)
            features = layers.mask_time(features, num_frames)
        return features

    def local_features(self, log_mel, training=False, num_frames=None):
        """The backbone's features of every frame, one vector each; see `frames`.

        Returns:
            [batch, time', local_units] in the compute dtype.
        """
        log_mel = tf.convert_to_tensor(log_mel)
        if log_mel.shape.rank != 3 or log_mel.shape[-1] != self.config.n_mels:
            raise ValueError(
                "`log_mel` must have shape [batch, time, mel] with "
                f"{self.config.n_mels} mel bins. Received: {log_mel.shape}."
            )
        inputs = tf.expand_dims(
            tf.cast(log_mel, self.compute_dtype), -1
        )  # [batch, time, mel, 1]
        batch = tf.shape(inputs)[0]
        unsure = not (training or inputs.shape[0])  # whether there is a clip
        if unsure:
            inputs = layers.at_least_one_clip(inputs)
            if num_frames is not None:
                missing = tf.shape(inputs)[0] - batch
                length = tf.shape(inputs)[1]
                num_frames = tf.pad(num_frames, [[0, missing]], constant_values=length)
        if num_frames is None:
            features = self.backbone(inputs, training=training)
        elif getattr(self.backbone, "supports_padding", False):
            features = self.backbone(inputs, num_frames=num_frames)
        else:
            features = self._one_by_one(inputs, num_frames)
        if features.shape.rank == 3:  # a plugged-in backbone without a mel axis
            features = features[:, :, None]
        if unsure:
            features = features[:batch]
        local = pooling.flatten_local(features, self.config.local_features)
        return tf.cast(local, self.compute_dtype)

    def _one_by_one(self, inputs, num_frames):
        """Runs a backbone that knows no padding on each clip alone."""
        longest = self.geometry.num_frames(tf.shape(inputs)[1])

        def embed(clip_and_length):
            clip, length = clip_and_length
            features = self.backbone(clip[None, :length], training=False)[0]
            missing = [[0, longest - tf.shape(features)[0]]]
            return tf.pad(features, missing + [[0, 0]] * (features.shape.rank - 1))

        features = tf.map_fn(
            embed, (inputs, num_frames), fn_output_signature=self.compute_dtype
        )
        shape = [self.geometry.mel_bins, self.geometry.channels]
        return tf.reshape(features, [tf.shape(inputs)[0], longest, *shape])

    def _append_global(self, local, training=False, dropout_seed=None):
        """The MLP's features after, or in place of, those that it is fed with."""
        if not self.config.mlp:
            return tf.cast(local, tf.float32)
        # in training Keras's own, whose rounding of bfloat16 runs have had
        apply = (lambda dense, rows: dense(rows)) if training else _each_frame
        hidden = keras.ops.relu(apply(self.hidden, local))
        if training and self.config.dropout:
            hidden = _dropout(hidden, self.config.dropout, dropout_seed)
        features = keras.ops.relu(apply(self.output_layer, hidden))
        if self.config.concatenate_local:
            features = tf.concat([local, features], axis=-1)
        return tf.cast(features, tf.float32)

    def _pool(self, frame_embeddings, num_frames=None):
        how = self.config.pooling
        if how == "attention":
            return self.attention(frame_embeddings, num_frames=num_frames)
        if how == "flatten":
            size = self.config.flatten_frames
            return pooling.concatenate_time(frame_embeddings, size, num_frames)
        return pooling.pool_time(frame_embeddings, how, num_frames)


def _each_frame(dense, features):
    """Applies a dense layer to [batch, time, units].

    By a reshape of our own, to a shape that is constant but for the number of rows:
    the one that Keras makes is computed from the shape, and TensorFlow 2.17's TFLite
    interpreter (XNNPACK) then gets all rows but the first few wrong under 8-bit
    weights.
    """
    shape = tf.shape(features)
    rows = dense(tf.reshape(features, [-1, features.shape[-1]]))
    return tf.reshape(rows, [shape[0], shape[1], rows.shape[-1]])


def _dropout(features, rate: float, seed):
    """Zeroes a share of the features and scales the others up.

    In float32 inside: a uniform bfloat16 has 128 values, which makes another
    rate of 0.3, and a mask should be the same in every precision.
    """
    shape = tf.shape(features)
    if seed is None:
        noise = tf.random.uniform(shape)
    else:
        noise = tf.random.stateless_uniform(shape, seed, alg="philox")
    scale = tf.where(noise >= rate, 1.0 / (1.0 - rate), 0.0)
    return tf.cast(tf.cast(features, tf.float32) * scale, features.dtype)
