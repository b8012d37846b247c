"""The optimiser, and what changes over a run: learning rate and EMA decay."""

import contextlib

import keras
import tensorflow as tf

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
        "learning_rate": learning_rate(config, total_steps),
        "epsilon": train.adam_epsilon,
        "global_clipnorm": train.clip_norm / replicas or None,
        "name": "optimizer",  # part of the names in a checkpoint
    }
    with _float32_by_default():  # of the variable that holds the learning rate
        if train.weight_decay:
            decay = train.weight_decay
            optimizer = keras.optimizers.AdamW(weight_decay=decay, **options)
            optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        else:
            optimizer = keras.optimizers.Adam(**options)
    if train.precision == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, name="loss_scale")
    return optimizer


def ema_decay(step, config: Config, total_steps: int | None):
    """Share of the old target weights that a step keeps.

    Constant as published, or ramped to 1 along half a cosine (Grill et al.
    2020, section 3.2).

    Args:
        step: int scalar, steps done before this one.
        config: `Config`; `byol.ema_decay` and `byol.ema_schedule` are used.
        total_steps: length of the run; needed by the ramp.

    Returns:
        float32 scalar.
    """
    base = config.byol.ema_decay
    if config.byol.ema_schedule == "constant":
        return tf.constant(base, tf.float32)
    return 1.0 - (1.0 - base) * _half_cosine(step, total_steps)


def learning_rate(config: Config, total_steps: int | None):
    """The learning rate, as an optimiser takes it.

    Args:
        config: `Config`; `train` is used.
        total_steps: length of the run; needed by the cosine.

    Returns:
        `WarmupThenDecay`, or a float where the rate is constant.

    Raises:
        ValueError: a cosine of unknown length.
    """
    train = config.train
    if train.schedule == "constant" and not train.warmup_steps:
        return train.learning_rate
    decay_steps = None
    if train.schedule == "cosine":
        require_length("train.schedule", total_steps)
        decay_steps = max(total_steps - train.warmup_steps, 1)
    return WarmupThenDecay(train.learning_rate, train.warmup_steps, decay_steps)


def values(config: Config, total_steps: int, step: int) -> tuple[float, float]:
    """Learning rate and EMA decay of one step.

    Args:
        config: `Config`.
        total_steps: length of the run.
        step: steps done before this one.

    Returns:
        two numbers.
    """
    rate = learning_rate(config, total_steps)
    rate = float(rate(step)) if callable(rate) else rate
    return rate, float(ema_decay(step, config, total_steps))


def require_length(name: str, total_steps: int | None) -> None:
    """Refuses the cosine of `config.<name>` without a length to span.

    Raises:
        ValueError: the length is unknown.
    """
    if total_steps is None:
        raise ValueError(
            f"`config.{name}` 'cosine' needs the length of the run. Received: None. "
            "Set `config.train.steps`, or pass `total_steps`."
        )


@keras.saving.register_keras_serializable("byola_tf")
class WarmupThenDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up, then constant or half a cosine to zero.

    Args:
        learning_rate: the highest rate.
        warmup_steps: steps from zero up to it.
        decay_steps: steps from there to zero; None stays constant.
    """

    def __init__(self, learning_rate, warmup_steps, decay_steps):
        self.learning_rate = learning_rate
        self.warmup_steps = warmup_steps
        self.decay_steps = decay_steps

    def __call__(self, step):
        """The rate of a step, float32 scalar."""
        step = tf.cast(step, tf.float32)
        rate = tf.constant(self.learning_rate, tf.float32)
        if self.warmup_steps:
            rate *= tf.minimum((step + 1.0) / self.warmup_steps, 1.0)
        if self.decay_steps:
            rate *= _half_cosine(step - self.warmup_steps, self.decay_steps)
        return rate

    def get_config(self):
        """The constructor's arguments."""
        return {
            "learning_rate": self.learning_rate,
            "warmup_steps": self.warmup_steps,
            "decay_steps": self.decay_steps,
        }


@contextlib.contextmanager
def _float32_by_default():
    """Keras's `floatx`, which a program may have changed, for a moment float32."""
    floatx = keras.config.floatx()
    keras.config.set_floatx("float32")
    try:
        yield
    finally:
        keras.config.set_floatx(floatx)


def _half_cosine(step, total_steps):
    """1 at the first step, 0 from `total_steps` on."""
    progress = tf.cast(step, tf.float32) / tf.cast(max(total_steps, 1), tf.float32)
    return 0.5 + 0.5 * tf.cos(3.14159265 * tf.clip_by_value(progress, 0.0, 1.0))
