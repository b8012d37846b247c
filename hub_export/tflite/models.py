"""The exported model rewritten for the TFLite converter.

A SavedModel of one clip with the signatures `embed`, `frames` and `log_mel`. The
converter numbers signatures alphabetically, so that `embed` becomes the default
subgraph, which interpreters run when no signature is named.

The front end must stay exact whatever is done to the encoder's weights: log-mels
span twelve orders of magnitude in power, and one product with 8-bit mel filters
leaves a cosine of 0.7 on real recordings; see `exact_constants`.
"""

import math

import tensorflow as tf

from byola_tf import frontend
from byola_tf.checkpoint import Checkpoint
from byola_tf.config import Config
from byola_tf.embedding import exact_constants
from byola_tf.embedding.waveform_encoder import timestamps
from byola_tf.errors import UserError
from byola_tf.networks import geometry


class WaveformModel(tf.Module):
    """Waveform → log-mel → normalise → encoder, for one clip.

    Args:
        checkpoint: `Checkpoint`.
        num_samples: length of the clip; None for any length.
    """

    def __init__(self, checkpoint: Checkpoint, num_samples: int | None):
        super().__init__(name="waveform_model")
        self._checkpoint = checkpoint
        self._embedding_size = checkpoint.config.encoder.embedding_size
        self._frame_size = checkpoint.config.encoder.frame_embedding_size
        self._centres = timestamps(2, checkpoint.config).numpy()
        # without the raw variables conversion gives wrong numbers, silently
        self._variables = [v.value for v in checkpoint.encoder.weights]
        waveform = [tf.TensorSpec([1, num_samples], tf.float32, name="waveform")]
        self.embed = tf.function(self._embed, input_signature=waveform)
        self.frames = tf.function(self._frames, input_signature=waveform)
        self.log_mel = tf.function(
            lambda waveform: {"log_mel": self._log_mel(waveform)},
            input_signature=waveform,
        )

    def signatures(self, names=("embed", "frames", "log_mel")) -> dict:
        """The traced calls by name."""
        return {name: getattr(self, name) for name in names}

    def _embed(self, waveform):
        embedding = self._checkpoint.encoder(self._log_mel(waveform))
        return {"embedding": tf.reshape(embedding, [1, self._embedding_size])}

    def _frames(self, waveform):
        embeddings = self._checkpoint.encoder.frames(self._log_mel(waveform))
        positions = tf.cast(tf.range(tf.shape(embeddings)[1]), tf.float32)
        first, second = map(exact_constants.maker(waveform), self._centres)
        centres = first + positions * (second - first)
        return {
            "frame_embeddings": tf.reshape(embeddings, [1, -1, self._frame_size]),
            "timestamps": tf.expand_dims(centres, 0),
        }

    def _log_mel(self, waveform):
        config, statistics = self._checkpoint.config, self._checkpoint.statistics
        stride = config.encoder.time_stride
        waveform = frontend.pad_to_length(
            waveform, frontend.minimum_samples(config.frontend, stride)
        )
        constant = exact_constants.maker(waveform)
        log_mel = frontend.log_mel_spectrogram(waveform, config.frontend, constant)
        return (log_mel - constant(statistics.mean)) / constant(statistics.std)


class EncoderModel(tf.Module):
    """Normalised log-mel → embedding, for one window.

    Args:
        checkpoint: `Checkpoint`.
        num_frames: frames of the window.
    """

    def __init__(self, checkpoint: Checkpoint, num_frames: int):
        super().__init__(name="encoder_model")
        self._variables = [v.value for v in checkpoint.encoder.weights]
        shape = [1, num_frames, checkpoint.config.frontend.n_mels]
        self.embed = tf.function(
            lambda log_mel: {"embedding": checkpoint.encoder(log_mel)},
            input_signature=[tf.TensorSpec(shape, tf.float32, name="log_mel")],
        )


def window_samples(config: Config, seconds: float) -> int:
    """The length of a fixed window.

    Raises:
        UserError: it is no number, or too short for one frame embedding.
    """
    rate = config.frontend.sample_rate
    seen = geometry.receptive_field(config)
    least = seen.num_samples_seen if seen else config.frontend.n_fft
    if not math.isfinite(seconds) or round(seconds * rate) < least:
        raise UserError(
            "`--seconds` must be at least the receptive field of a frame embedding, "
            f"{least} samples or {least / rate:g} s. Received: {seconds:g} s. "
            "Use e.g. --seconds=1.0; shorter clips are padded with zeros."
        )
    return round(seconds * rate)
