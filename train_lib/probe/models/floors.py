"""Embedders that have learnt nothing: what a trained one has to beat."""

import keras
import numpy as np

from byola_tf.config import Config
from byola_tf.embedder import Embedder
from byola_tf.frontend import log_mel_spectrogram
from byola_tf.networks.encoder import Encoder
from byola_tf.normalize import Statistics, normalize
from train_lib.probe.models.audio_model import AudioModel, fingerprint_of


class LogMelFloor(AudioModel):
    """Mean and standard deviation over time of the normalised log-mel.

    Attributes:
        config: `Config` whose `frontend` is used.
        statistics: `Statistics` it normalises with.
        sample_rate: Hz.
        embedding_size: 2 * mel bins.
        name: "logmel".
        fingerprint: of the front end.
    """

    name = "logmel"

    def __init__(self, config: Config | None = None):
        self.config = config or Config()
        self.statistics = Statistics(0.0, 1.0)
        self.sample_rate = self.config.frontend.sample_rate
        self.embedding_size = 2 * self.config.frontend.n_mels
        self.fingerprint = fingerprint_of([], "logmel", repr(self.config.frontend))

    def with_statistics(self, mean: float, std: float) -> "LogMelFloor":
        """Normalises with these statistics from now on; returns itself."""
        self.statistics = Statistics(mean, std)
        return self

    def embed(self, waveform) -> np.ndarray:
        """Embeds float32 [batch, samples] to [batch, embedding_size]."""
        log_mel = normalize(
            log_mel_spectrogram(waveform, self.config.frontend), self.statistics
        ).numpy()
        return np.concatenate([log_mel.mean(axis=1), log_mel.std(axis=1)], axis=1)


def random_encoder(seed: int, config: Config | None = None) -> Embedder:
    """An untrained encoder; the v2 model of the paper by default.

    Args:
        seed: of the initial weights. Sets the global seeds of Python, NumPy
            and TensorFlow.
        config: `Config` of another encoder.
    """
    config = config or Config()
    encoder = random_weights(seed, config)
    provenance = {"model": "random", "seed": seed}
    return Embedder.from_encoder(encoder, config, Statistics(0.0, 1.0), provenance)


def random_weights(seed: int, config: Config) -> Encoder:
    """The encoder of `random_encoder`, without a front end."""
    keras.utils.set_random_seed(seed)
    return Encoder(config.encoder)
