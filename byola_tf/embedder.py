"""From waveforms to embeddings: one object over a checkpoint or a SavedModel."""

import json
import os

import numpy as np
import tensorflow as tf

from byola_tf import audio, checkpoint
from byola_tf.config import Config
from byola_tf.encoder import Encoder
from byola_tf.errors import UserError
from byola_tf.normalize import Statistics
from byola_tf.waveform_encoder import WaveformEncoder


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
