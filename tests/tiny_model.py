"""A small exported model, and sounds of two kinds to train on."""

import os

import numpy as np

from byola_tf import Encoder, checkpoint
from byola_tf.config import Config, EncoderConfig
from byola_tf.embedding import exported_model
from byola_tf.normalize import Statistics

EMBEDDING_SIZE = 16 * 8 + 16


def write(folder) -> str:
    """Exports a random encoder into `folder`; returns it as text."""
    config = Config(encoder=EncoderConfig(channels=8, hidden_units=24, output_units=16))
    opened = checkpoint.Checkpoint(
        Encoder(config.encoder), config, Statistics(-7.0, 4.5, 10), {}
    )
    exported_model.save(opened, str(folder))
    return str(folder)


def two_classes(count=16, num_samples=8000):
    """Noise (0) and noise with a tone (1): waveforms and labels."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 2
    waveform = rng.normal(0, 0.1, (count, num_samples))
    waveform += labels[:, None] * np.sin(0.3 * np.arange(num_samples))
    return waveform.astype(np.float32), labels


def write_checkpoint(folder, seed=0) -> str:
    """Saves an encoder whose weights follow from `seed`; returns `folder` as text."""
    config = Config(encoder=EncoderConfig(channels=4, hidden_units=8, output_units=8))
    encoder = Encoder(config.encoder)
    rng = np.random.default_rng(seed)
    encoder.set_weights([w + rng.normal(0, 0.01) for w in encoder.get_weights()])
    opened = checkpoint.Checkpoint(encoder, config, Statistics(-7.0, 4.0), {})
    os.makedirs(folder, exist_ok=True)
    checkpoint.save(str(folder), opened)
    return str(folder)
