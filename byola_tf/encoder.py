"""The encoder: convolution blocks, MLP, concatenation, temporal pooling.

TASLP section III-D and figure 3 (v2); IJCNN section III-C (v1). Inside, shapes
are [batch, time, mel, channel]: flattening the last two gives mel-major,
channel-minor frame features, as in published checkpoints.
"""

import functools

import keras
import tensorflow as tf

from byola_tf import heads
from byola_tf.config import EncoderConfig


class Encoder(keras.Model):
    """Maps normalised log-mels of any length to embeddings.

    Args:
        encoder_config: `EncoderConfig`.
        dtype: Keras dtype policy, e.g. "mixed_bfloat16" to train or "bfloat16"
            to embed; frames and embeddings are float32 in any case.
    """

    def __init__(self, encoder_config: EncoderConfig, **kwargs):
        # not autocast: what is computed from variables here is float32
        super().__init__(autocast=False, **kwargs)
        config = encoder_config
        self.config = config
        self.convolutions, self.normalizations = [], []
        for block in range(config.num_blocks):
            fan_in = 9 * (config.channels if block else 1)
            self.convolutions.append(
                heads.convolution(
                    config.channels,
                    fan_in,
                    name=f"convolution_{block}",
                    dtype=self.dtype_policy,
                )
            )
            self.normalizations.append(
                heads.BatchNormalization(
                    name=f"normalization_{block}", dtype=self.dtype_policy
                )
            )
        policy = self.dtype_policy
        self.pool = keras.layers.MaxPooling2D(2, name="pool", dtype=policy)
        self.hidden = heads.dense(
            config.hidden_units, config.local_units, name="hidden", dtype=policy
        )
        self.output_layer = heads.dense(
            config.output_units, config.hidden_units, name="output", dtype=policy
        )
        self.build((None, None, config.n_mels))

    def build(self, input_shape):
        """Creates the weights for log-mels `[batch, time, mel]`."""
        channels = 1
        for convolution, normalization in self._blocks():
            convolution.build((None, None, None, channels))
            channels = self.config.channels
            normalization.build((None, None, None, channels))
        self.hidden.build((None, None, self.config.local_units))
        self.output_layer.build((None, None, self.config.hidden_units))
        self.built = True

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
        return pool_time(
            self.frames(log_mel, training, dropout_seed), self.config.pooling
        )

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
        return pool_time(
            self._append_global(local),
            self.config.pooling,
            num_frames // self.config.time_stride,
        )

    def frames(self, log_mel, training=False, dropout_seed=None, num_frames=None):
        """Embeds every frame; see `call`.

        Args:
            log_mel: see `call`.
            training: see `call`.
            dropout_seed: see `call`.
            num_frames: see `embed_padded`; only without `training`.

        Returns:
            float32 [batch, time // time_stride, embedding_size]; zero after
            the first num_frames // time_stride.
        """
        local = self.local_features(log_mel, training, num_frames)
        features = self._append_global(local, training, dropout_seed)
        if num_frames is not None:
            features = _mask(features, num_frames // self.config.time_stride)
        return features

    def _append_global(self, local, training=False, dropout_seed=None):
        """The MLP's features after, or in place of, those that it is fed with."""
        hidden = keras.ops.relu(self.hidden(local))
        if training and self.config.dropout:
            hidden = _dropout(hidden, self.config.dropout, dropout_seed)
        features = keras.ops.relu(self.output_layer(hidden))
        if self.config.concatenate_local:
            features = tf.concat([local, features], axis=-1)
        return tf.cast(features, tf.float32)

    def local_features(self, log_mel, training=False, num_frames=None):
        """The flattened convolution features of every frame; see `frames`.

        Returns:
            [batch, time // time_stride, local_units] in the compute dtype.
        """
        log_mel = tf.convert_to_tensor(log_mel)
        if log_mel.shape.rank != 3 or log_mel.shape[-1] != self.config.n_mels:
            raise ValueError(
                "`log_mel` must have shape [batch, time, mel] with "
                f"{self.config.n_mels} mel bins. Received: {log_mel.shape}."
            )
        features = tf.expand_dims(
            tf.cast(log_mel, self.compute_dtype), -1
        )  # [batch, time, mel, 1]
        for block, (convolution, normalization) in enumerate(self._blocks()):
            if num_frames is not None:
                # zero, as the convolution's own padding at the end of a clip
                features = _mask(features, num_frames // 2**block)
            if training:
                features = normalization(convolution(features), training=True)
            else:
                features = heads.normalized_convolution(
                    features, convolution, normalization
                )
            features = self.pool(keras.ops.relu(features))
        shape = tf.shape(features)
        return tf.reshape(features, [shape[0], shape[1], self.config.local_units])

    def _blocks(self):
        return zip(self.convolutions, self.normalizations, strict=True)


def pool_time(frame_embeddings, pooling: str = "mean+max", num_frames=None):
    """Pools frames to one vector a clip.

    Args:
        frame_embeddings: float32 [batch, time, units].
        pooling: "mean+max" (their element-wise sum, as published), "mean" or
            "max".
        num_frames: int32 [batch]: only so many frames of each clip count, at
            least one; the others must be finite. All when None.

    Returns:
        float32 [batch, units].
    """
    pooled = []
    if "mean" in pooling:
        pooled.append(_mean_over_time(frame_embeddings, num_frames))
    if "max" in pooling:
        if num_frames is not None:
            frame_embeddings = _mask(
                frame_embeddings, num_frames, frame_embeddings.dtype.min
            )
        pooled.append(tf.reduce_max(frame_embeddings, axis=1))
    # not add_n, of which TFLite has no integer version
    return functools.reduce(tf.add, pooled)


def _mean_over_time(frame_embeddings, num_frames):
    if num_frames is None:
        return tf.reduce_mean(frame_embeddings, axis=1)
    total = tf.reduce_sum(_mask(frame_embeddings, num_frames), axis=1)
    return total / tf.cast(num_frames, total.dtype)[:, None]


def _mask(features, num_frames, value=0.0):
    """Replaces [batch, time, ...] from `num_frames` int32 [batch] on by `value`."""
    counts = tf.sequence_mask(num_frames, tf.shape(features)[1])
    while counts.shape.rank < features.shape.rank:
        counts = counts[..., None]
    return tf.where(counts, features, tf.cast(value, features.dtype))


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
