"""From waveforms to embeddings: one object over a checkpoint or a SavedModel."""

import json
import os

import numpy as np
import tensorflow as tf

from byola_tf import audio, checkpoint, frontend
from byola_tf.config import Config
from byola_tf.encoder import Encoder
from byola_tf.errors import UserError
from byola_tf.normalize import Statistics


class WaveformEncoder(tf.Module):
    """Waveform → log-mel → normalise → encoder, as traced functions.

    The interface of an exported model: callable, with `frames`, `log_mel` and
    `metadata`. The statistics are variables, so that they can be replaced by
    those of another corpus.

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
        self._metadata = describe(config, statistics, provenance or {})
        self.statistics_mean = _constant_variable(statistics.mean, "mean")
        self.statistics_std = _constant_variable(statistics.std, "std")
        waveform = tf.TensorSpec([None, None], tf.float32, name="waveform")
        self.frames = tf.function(self._frames, input_signature=[waveform])
        self.log_mel = tf.function(self._log_mel, input_signature=[waveform])
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
        return self._encoder(self._log_mel(waveform), training=training)

    def _log_mel(self, waveform):
        waveform = frontend.pad_to_length(
            waveform,
            frontend.minimum_samples(
                self._config.frontend, self._config.encoder.time_stride
            ),
        )
        log_mel = frontend.log_mel_spectrogram(waveform, self._config.frontend)
        return (log_mel - self.statistics_mean) / self.statistics_std

    def _frames(self, waveform):
        frame_embeddings = self._encoder.frames(self._log_mel(waveform))
        shape = tf.shape(frame_embeddings)
        centres = timestamps(shape[1], self._config)
        return {
            "frame_embeddings": frame_embeddings,
            "timestamps": tf.tile(centres[None], [shape[0], 1]),
        }


def timestamps(num_frames, config: Config):
    """Centres of frame embeddings, float32 [num_frames], seconds.

    Frame embedding t covers the log-mel frames stride·t ... stride·t +
    stride - 1, whose own centres are a hop apart and start at zero.
    """
    stride = config.encoder.time_stride
    hop_seconds = config.frontend.hop_length / config.frontend.sample_rate
    first = (stride - 1) / 2
    return (tf.range(num_frames, dtype=tf.float32) * stride + first) * hop_seconds


def describe(config: Config, statistics: Statistics, provenance: dict) -> str:
    """The metadata of an exported model, as JSON text."""
    import byola_tf

    return json.dumps(
        {
            "format": "byola-tf",
            "version": byola_tf.__version__,
            "sample_rate": config.frontend.sample_rate,
            "embedding_size": config.encoder.embedding_size,
            "frame_hop_seconds": config.encoder.time_stride
            * config.frontend.hop_length
            / config.frontend.sample_rate,
            "statistics": {
                "mean": statistics.mean,
                "std": statistics.std,
                "num_crops": statistics.num_crops,
            },
            "config": json.loads(config.to_json()),
            "provenance": provenance,
        },
        indent=2,
    )


def _constant_variable(value: float, name: str) -> tf.Variable:
    return tf.Variable(value, trainable=False, dtype=tf.float32, name=name)


class Embedder:
    """Embeds audio with an exported model or a checkpoint; see `load`.

    Attributes:
        model: the `WaveformEncoder`, or the SavedModel with its interface.
        config: `Config` the model was trained with.
        statistics: `Statistics` it normalises with.
        provenance: facts about its training.
        sample_rate: rate of the audio it expects, Hz.
        embedding_size: length of an embedding.
    """

    def __init__(self, model):
        self.model = model
        metadata = json.loads(model.metadata().numpy())
        self.config = Config.from_json(json.dumps(metadata["config"]))
        self.statistics = Statistics(**metadata["statistics"])
        self.provenance = metadata["provenance"]
        self.sample_rate = metadata["sample_rate"]
        self.embedding_size = metadata["embedding_size"]

    @classmethod
    def from_encoder(
        cls, encoder: Encoder, config: Config, statistics: Statistics, provenance=None
    ) -> "Embedder":
        """Wraps an encoder that is in memory."""
        return cls(WaveformEncoder(encoder, config, statistics, provenance))

    def with_statistics(self, mean: float, std: float) -> "Embedder":
        """Normalises with another corpus's statistics from now on.

        Downstream statistics differ from the training corpus's; the published
        evaluation uses the downstream ones.

        Returns:
            itself.
        """
        self.statistics = Statistics(float(mean), float(std))
        self.model.statistics_mean.assign(mean)
        self.model.statistics_std.assign(std)
        return self

    def __call__(self, waveform, sample_rate: int | None = None):
        """Embeds clips.

        Args:
            waveform: float [batch, samples] or [samples] in [-1, 1], or int16.
            sample_rate: its rate, Hz, if not the model's: it is resampled.

        Returns:
            float32 [batch, embedding_size].
        """
        return self.model(self._prepare(waveform, sample_rate), training=False)

    def frames(self, waveform, sample_rate: int | None = None) -> dict:
        """Embeds every frame; arguments as in a call.

        Returns:
            `frame_embeddings` float32 [batch, time, embedding_size] and
            `timestamps` float32 [batch, time], centres in seconds.
        """
        return self.model.frames(self._prepare(waveform, sample_rate))

    def log_mel(self, waveform, sample_rate: int | None = None):
        """The normalised log-mel, float32 [batch, time, mel]."""
        return self.model.log_mel(self._prepare(waveform, sample_rate))

    def _prepare(self, waveform, sample_rate):
        array = np.asarray(waveform)
        if array.dtype == np.int16:
            array = audio.from_pcm16(array)
        if not np.issubdtype(array.dtype, np.floating):
            raise UserError(
                "`waveform` must be float in [-1, 1] or int16. "
                f"Received: {array.dtype}."
            )
        array = np.atleast_2d(array.astype(np.float32))
        if array.ndim != 2 or not array.size:
            raise UserError(
                "`waveform` must have shape [samples] or [batch, samples], with at "
                f"least one sample. Received: {array.shape}."
            )
        if sample_rate is not None:
            array = audio.resample(array.T, sample_rate, self.sample_rate).T
        return tf.constant(array)


def load(path: str) -> Embedder:
    """Opens an exported model, a checkpoint or a work directory.

    Args:
        path: a local folder.

    Returns:
        `Embedder`: (waveform, sample_rate=None) → [batch, embedding_size].

    Raises:
        UserError: `path` is none of these.
    """
    path = os.fspath(path)
    if checkpoint.is_exported(path):
        return Embedder(checkpoint.open_exported(path))
    try:
        opened = checkpoint.load(path)
    except UserError as error:
        raise UserError(
            "A model must be an exported SavedModel folder (saved_model.pb) or a "
            f"checkpoint. Received: {path!r}. {error}"
        ) from error
    return Embedder.from_encoder(
        opened.encoder, opened.config, opened.statistics, opened.provenance
    )
