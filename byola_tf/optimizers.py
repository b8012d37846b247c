"""The optimiser of a configuration."""

import keras
import tensorflow as tf

from byola_tf import schedules
from byola_tf.config import Config


def make_optimizer(
    config: Config, total_steps: int | None = None
) -> keras.optimizers.Optimizer:
    """Adam as published, or with the options of `TrainConfig`.

    Args:
        config: `Config`.
        total_steps: length of the run; needed by the cosine schedule.

    Returns:
        Adam; AdamW when `weight_decay` is set (without biases and batch
        normalisation); wrapped in loss scaling for mixed_float16.
    """
    train = config.train
    # replicas hand over equal parts of the whole gradient; see BYOL.train_step
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    options = {
        "learning_rate": schedules.learning_rate(config, total_steps),
        "epsilon": train.adam_epsilon,
        "global_clipnorm": train.clip_norm / replicas or None,
        "name": "optimizer",  # part of the names in a checkpoint
    }
    if train.weight_decay:
        optimizer = keras.optimizers.AdamW(weight_decay=train.weight_decay, **options)
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    else:
        optimizer = keras.optimizers.Adam(**options)
    if train.precision == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, name="loss_scale")
    return optimizer
