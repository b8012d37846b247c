"""Waveform to embedding in one graph: what an exported model is made of."""

import tensorflow as tf

from byola_tf import frontend, metadata
from byola_tf.config import Config
from byola_tf.embedding import exact_constants
from byola_tf.networks import geometry
from byola_tf.networks.encoder import Encoder
from byola_tf.normalize import Statistics

WAVEFORM = tf.TensorSpec([None, None], tf.float32, name="waveform")


class WaveformEncoder(tf.Module):
    """Waveform → log-mel → normalise → encoder, as traced functions.

    The interface of an exported model: callable, with `embed`, `frames`, `log_mel`,
    `embed_padded`, `frames_padded` and `metadata`. The statistics are variables,
    so that they can be replaced by those of another corpus.

    Args:
        encoder: `Encoder`.
        config: `Config`; `frontend` and `encoder` are used.
        statistics: `Statistics`.
        provenance: JSON-ready facts about the training.
    """

    def __init__(
        self,
        encoder: Encoder,
        config: Config,
        statistics: Statistics,
        provenance: dict | None = None,
    ):
        super().__init__(name="waveform_encoder")
        self._encoder = encoder
        self._config = config
        self._metadata = metadata.describe(config, statistics, provenance or {})
        self.statistics_mean = _constant_variable(statistics.mean, "mean")
        self.statistics_std = _constant_variable(statistics.std, "std")
        self.embed = tf.function(
            lambda waveform: self.compute(waveform, False), input_signature=[WAVEFORM]
        )
        self.frames = tf.function(self._frames, input_signature=[WAVEFORM])
        self.log_mel = tf.function(
            lambda waveform: self._log_mel(waveform), input_signature=[WAVEFORM]
        )
        padded = [WAVEFORM, tf.TensorSpec([None], tf.int32, name="num_samples")]
        self.embed_padded = tf.function(self._embed_padded, input_signature=padded)
        self.frames_padded = tf.function(self._frames_padded, input_signature=padded)
        self.metadata = tf.function(
            lambda: tf.constant(self._metadata), input_signature=[]
        )

    @tf.function(reduce_retracing=True)
    def __call__(self, waveform, training=False):
        """Embeds clips.

        Args:
            waveform: float32 [batch, samples], range [-1, 1].
            training: Python bool: batch statistics and dropout, or neither.

        Returns:
            float32 [batch, embedding_size].
        """
        return self.compute(waveform, training)

    def compute(self, waveform, training: bool):
        """What a call computes, without a trace of its own; see `__call__`."""
        return self._encoder(self._log_mel(waveform), training=training)

    def compute_for_onnx(self, waveform):
        """The same of operators that ONNX has: equal to 1e-5, not to the bit."""
        constant = exact_constants.float_maker(waveform)
        return self._encoder(self._log_mel(waveform, constant, _power_for_onnx))

    def _log_mel(self, waveform, constant=None, power=None):
        config = self._config.frontend
        least = frontend.minimum_samples(config, self._config.encoder.time_stride)
        waveform = frontend.pad_to_length(waveform, least)
        constant = constant or exact_constants.maker(waveform)
        log_mel = frontend.log_mel_spectrogram(waveform, config, constant, power)
        return self._normalize(log_mel, constant)

    def _normalize(self, log_mel, constant):
        mean, std = constant(self.statistics_mean), constant(self.statistics_std)
        return (log_mel - mean) / std

    def _frames(self, waveform):
        frame_embeddings = self._encoder.frames(self._log_mel(waveform))
        shape = tf.shape(frame_embeddings)
        centres = timestamps(shape[1], self._config)
        return {
            "frame_embeddings": frame_embeddings,
            "timestamps": tf.tile(centres[None], [shape[0], 1]),
        }

    def _embed_padded(self, waveform, num_samples):
        """Embeds clips of unequal length as each would be alone.

        Args:
            waveform: float32 [batch, samples], range [-1, 1].
            num_samples: int32 [batch], length of each clip, 1 to `samples`;
                what follows has no influence.

        Returns:
            float32 [batch, embedding_size].
        """
        log_mel, num_frames = self._padded_log_mel(waveform, num_samples)
        return self._encoder.embed_padded(log_mel, num_frames)

    def _frames_padded(self, waveform, num_samples):
        """Embeds every frame of clips of unequal length; see `_embed_padded`.

        Returns:
            `frame_embeddings` float32 [batch, time, embedding_size],
            `timestamps` float32 [batch, time] and `num_frames` int32 [batch],
            the rows that a clip has; later ones are zero.
        """
        log_mel, num_frames = self._padded_log_mel(waveform, num_samples)
        frame_embeddings = self._encoder.frames(log_mel, num_frames=num_frames)
        num_frames = self._encoder.geometry.num_frames(num_frames)
        shape = tf.shape(frame_embeddings)
        centres = tf.tile(timestamps(shape[1], self._config)[None], [shape[0], 1])
        has_sound = tf.sequence_mask(num_frames, shape[1])
        return {
            "frame_embeddings": frame_embeddings,
            "timestamps": tf.where(has_sound, centres, 0.0),
            "num_frames": num_frames,
        }

    def _padded_log_mel(self, waveform, num_samples):
        longest = tf.shape(waveform)[1]
        constant = exact_constants.maker(waveform)
        in_range = tf.reduce_all((num_samples >= 1) & (num_samples <= longest))
        message = "`num_samples` must be 1 to the width of `waveform`. Received:"
        with tf.control_dependencies(
            [tf.debugging.Assert(in_range, [message, num_samples, longest])]
        ):
            log_mel, num_frames = frontend.padded_log_mel_spectrogram(
                waveform,
                tf.identity(num_samples),
                self._config.frontend,
                self._config.encoder.time_stride,
                constant,
            )
        return self._normalize(log_mel, constant), num_frames


def _power_for_onnx(windowed):
    """`frontend.power_spectrum` of operators that tf2onnx converts."""
    shape, size = tf.shape(windowed), windowed.shape[-1]
    spectrum = tf.signal.rfft(tf.reshape(windowed, [-1, size]))
    power = tf.square(tf.abs(spectrum))
    return tf.reshape(power, [shape[0], shape[1], size // 2 + 1])


def timestamps(num_frames, config: Config):
    """Centres of frame embeddings, float32 [num_frames], seconds.

    Frame embedding t of the published encoder covers the log-mel frames
    stride·t ... stride·t + stride - 1, whose own centres are a hop apart and
    start at zero.
    """
    shape = geometry.of(config.encoder)
    hop_seconds = config.frontend.hop_length / config.frontend.sample_rate
    frames = tf.range(num_frames, dtype=tf.float32) * shape.time_stride
    return (frames + shape.first_centre) * hop_seconds


def _constant_variable(value: float, name: str) -> tf.Variable:
    return tf.Variable(value, trainable=False, dtype=tf.float32, name=name)
