"""Watches a run for collapse and lost numbers, and says so in plain words."""

import math

from byola_tf.config import Config
from byola_tf.errors import Stopped

# Spread (about 1 when healthy) and rank below which every clip looks the same.
# A healthy v2 run passes through a spread of about 0.2 in its first steps.
_LOW_SPREAD = 0.02
_LOW_RANK = 1.5
_PATIENCE = 5  # observations in a row


class Unhealthy(Stopped):
    """The run cannot go on; the message is the diagnosis."""

    status = 3
    heading = "stopped: "


class Guard:
    """Judges the logs of steps.

    Args:
        config: `Config`; `train.stop_on_collapse` and what the diagnosis names.
    """

    def __init__(self, config: Config):
        self._config = config
        self._low = 0

    def observe(self, step: int, logs: dict) -> None:
        """Takes one step's scalars, as `BYOL.train_step` returns them.

        Raises:
            Unhealthy: the loss or the gradients are not finite, or the
                embedding has collapsed for several observations in a row.
        """
        for name in ("loss", "gradient_norm"):
            # loss scaling provokes and skips overflowing gradients on purpose
            scaled = self._config.train.precision == "mixed_float16"
            if math.isfinite(logs[name]) or (name == "gradient_norm" and scaled):
                continue
            raise Unhealthy(
                f"The {name.replace('_', ' ')} became {logs[name]} at step {step}. "
                f"{self._advice()}"
            )
        collapsed = (
            logs["projection_std"] < _LOW_SPREAD or logs["effective_rank"] < _LOW_RANK
        )
        self._low = self._low + 1 if collapsed else 0
        if self._low >= _PATIENCE and self._config.train.stop_on_collapse:
            raise Unhealthy(
                f"The embedding has collapsed at step {step}: all clips look nearly "
                f"the same (spread of the projections {logs['projection_std']:.3f}, "
                f"healthy is 0.2 to 1; effective rank {logs['effective_rank']:.1f}; "
                f"{logs['dead_units']:.0%} of the units are dead). {self._advice()}"
            )

    def _advice(self) -> str:
        """The likeliest causes, given the configuration."""
        config, causes = self._config, []
        if not config.byol.predictor:
            causes.append("there is no predictor (--config.byol.predictor=True)")
        if config.byol.ema_decay < 0.5:
            causes.append(
                f"the target is almost the online network (ema_decay "
                f"{config.byol.ema_decay:g}; published 0.99)"
            )
        if config.train.learning_rate > 1e-3:
            causes.append(
                f"the learning rate {config.train.learning_rate:g} is LARS-scale, "
                "Adam wants about 1e-4"
            )
        if config.train.batch_size < 32:
            causes.append(
                f"the batch of {config.train.batch_size} is small for batch "
                "normalisation (at least 64)"
            )
        if config.train.precision == "mixed_float16":
            causes.append("float16 overflows easily (mixed_bfloat16 does not)")
        if not causes:
            causes.append("the corpus may hold mostly silence or copies of one sound")
        return f"Likely: {'; '.join(causes)}."
