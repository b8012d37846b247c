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

_POLICIES = {"float32": "float32", "bfloat16": "bfloat16"}


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

    def embed_padded(self, waveform, num_samples):
        """Embeds clips of unequal length, padded to one, as each would be alone.

        Args:
            waveform: float32 [batch, samples] in [-1, 1], at the model's rate.
            num_samples: int32 [batch], length of each clip, 1 to `samples`;
                what follows has no influence.

        Returns:
            float32 [batch, embedding_size].
        """
        return self.model.embed_padded(waveform, num_samples)

    def frames_padded(self, waveform, num_samples) -> dict:
        """Embeds every frame of padded clips; arguments as in `embed_padded`.

        Returns:
            what `frames` returns, and `num_frames` int32 [batch], the rows
            that a clip has; later ones are zero.
        """
        return self.model.frames_padded(waveform, num_samples)

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


def load(path: str, precision: str = "float32") -> Embedder:
    """Opens an exported model, a checkpoint or a work directory.

    Args:
        path: a local folder.
        precision: "float32", or "bfloat16": the encoder computes in bfloat16,
            faster where the hardware does; the log-mel, its normalisation, the
            pooling over time and what comes out are float32.

    Returns:
        `Embedder`: (waveform, sample_rate=None) → [batch, embedding_size].

    Raises:
        UserError: `path` is none of these, or there is no such precision.
    """
    path = os.fspath(path)
    if precision not in _POLICIES:
        raise UserError(
            f"`precision` must be one of {', '.join(_POLICIES)}. "
            f"Received: {precision!r}."
        )
    if checkpoint.is_exported(path) and precision == "float32":
        return Embedder(checkpoint.open_exported(path))
    try:
        opened = checkpoint.load(path)
    except UserError as error:
        raise UserError(
            "A model must be an exported SavedModel folder (saved_model.pb) or a "
            f"checkpoint. Received: {path!r}. {error}"
        ) from error
    encoder = opened.encoder
    if precision != "float32":
        policy = _POLICIES[precision]
        encoder = Encoder(opened.config.encoder, name="encoder", dtype=policy)
        encoder.set_weights(opened.encoder.get_weights())
    return Embedder.from_encoder(
        encoder, opened.config, opened.statistics, opened.provenance
    )
