"""A short run on tones whose losses and weights are written for comparison.

Started by `train_lib.training.replicas`, in a process of its own: logical devices and
TF_CONFIG act before TensorFlow starts.
"""

import sys

import keras
import numpy as np
import tensorflow as tf

from byola_tf import BYOL, pipeline
from byola_tf.config import (
    AugmentConfig,
    BYOLConfig,
    Config,
    EncoderConfig,
    TrainConfig,
)
from byola_tf.normalize import Statistics
from train_lib.training import distribution


def make_config(strategy: str, steps: int, dropout: float) -> Config:
    """A small v2 model; float32."""
    return Config(
        augment=AugmentConfig(bank_size=64),
        encoder=EncoderConfig(
            channels=8, hidden_units=64, output_units=64, dropout=dropout
        ),
        byol=BYOLConfig(hidden_units=128, projection_units=32),
        # an epsilon above the rounding noise of gradients: Adam would turn that
        # noise into full steps wherever a gradient vanishes
        train=TrainConfig(
            batch_size=64, steps=steps, strategy=strategy, adam_epsilon=1e-5
        ),
    )


def run(strategy_name: str, replicas: int, steps: int, dropout: float, output: str):
    """Trains and writes `output`, an .npz of losses and weights.

    Args:
        strategy_name: "one", "mirrored" or "multi_worker".
        replicas: logical CPU devices to make where there is no accelerator.
        steps: number of steps.
        dropout: rate.
        output: file of the chief; `spread` in it is the largest difference
            between this process's replicas, which must be zero.
    """
    if replicas > 1 and not tf.config.list_physical_devices("GPU"):
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0],
            [tf.config.LogicalDeviceConfiguration()] * replicas,
        )
    config = make_config(strategy_name, steps, dropout)
    strategy = distribution.make_strategy(config)
    if strategy_name == "one":
        # not the default strategy: its fused batch normalisation rounds
        # differently, by 3e-4 of the loss after 20 steps
        device = (tf.config.list_logical_devices("GPU") or [None])[0]
        strategy = tf.distribute.OneDeviceStrategy(device.name if device else "CPU:0")
    keras.utils.set_random_seed(config.seed)
    with strategy.scope():
        model = BYOL(config)
        model.compile()
    train_step = distribution.make_train_step(strategy, model)
    losses = []
    for views in pipeline.make_views_dataset(
        _tones(config, steps), config, Statistics(-7.0, 4.0)
    ):
        logs = train_step(distribution.scatter(strategy, views))
        losses.append(float(logs["loss"]))
    weights, spread = {}, 0.0
    for variable in model.variables:
        copies = [
            copy.numpy() for copy in strategy.experimental_local_results(variable.value)
        ]
        weights[variable.path] = copies[0]
        spread = max(spread, *(np.abs(copy - copies[0]).max() for copy in copies))
    task, _ = distribution.worker(strategy)
    np.savez(
        f"{output}.{task}.npz", losses=losses, spread=np.float64(spread), **weights
    )


def _tones(config: Config, steps: int) -> tf.data.Dataset:
    """Fixed batches of pulsing tones over noise, int16 [batch, samples].

    Different enough from each other that batch normalisation has something
    to divide by: on clips that are all alike it magnifies rounding errors.
    """
    rng = np.random.default_rng(config.seed)
    shape = (steps, config.train.batch_size, 1)
    time = np.arange(config.unit_samples) / config.frontend.sample_rate
    tone = np.sin(2 * np.pi * rng.uniform(100, 6000, shape) * time)
    pulse = 0.5 + 0.5 * np.sin(2 * np.pi * rng.uniform(0.5, 8, shape) * time)
    noise = rng.normal(0, 0.3, tone.shape) * 10 ** rng.uniform(-3, 0, shape)
    crops = 8000 * rng.uniform(0.05, 1, shape) * (tone * pulse + noise)
    return tf.data.Dataset.from_tensor_slices(crops.astype(np.int16))


if __name__ == "__main__":
    run(
        sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), sys.argv[5]
    )
