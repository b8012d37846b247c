"""Mixed precision: what stays float32, loss scaling, the same learning."""

import os

import numpy as np
import pytest

import byola_tf
from byola_tf.config import AugmentConfig, BYOLConfig, Config, EncoderConfig, TrainConfig
from train_lib import trainer, workdir
from train_lib.probe import linear

STEPS = 200
WINDOW = 50


def real_run(shared, precision, path):
    """Trains a small v2 on ESC-10; returns losses and the probe's result."""
    data = shared / "data" / "esc10"
    config = Config(
        augment=AugmentConfig(bank_size=512),
        encoder=EncoderConfig(channels=32, hidden_units=256, output_units=256),
        byol=BYOLConfig(hidden_units=512, projection_units=64),
        train=TrainConfig(
            batch_size=32,
            steps=STEPS,
            learning_rate=3e-4,
            precision=precision,
            log_every_steps=1,
            checkpoint_every_steps=STEPS,
        ),
    )
    config.data.pattern = str(data / "audio")
    config.data.cache_dir = os.path.join(os.path.dirname(path), "cache")
    trainer.pretrain(config, path)
    losses = [entry["loss"] for entry in workdir.read_log(path)]
    probe = linear.linear_probe(
        byola_tf.load(path),
        str(data / "esc10.csv"),
        str(data),
        1.0,
        learning_rate=1e-3,
        seeds=(42,),
    )
    return np.array(losses), probe.result
