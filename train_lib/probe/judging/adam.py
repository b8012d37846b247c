"""PyTorch's Adam in NumPy, for runs that share their shapes."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class ClassifierSchedule:
    """How one classifier is trained; the defaults are the protocol's.

    Attributes:
        batch_size: clips per step; a smaller training set is one batch, and
            the last, partial batch of an epoch is used too.
        max_epochs: upper bound of the number of epochs.
        patience: training stops after this many epochs in a row that are
            worse than the best on validation. A tie is an improvement.
        beta_1, beta_2, epsilon: Adam's, the epsilon added after bias
            correction as in PyTorch.
        weight_decay: L2 term added to the gradient.
    """

    batch_size: int = 200
    max_epochs: int = 200
    patience: int = 20
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 1e-8


class Adam:
    """PyTorch's Adam with L2 weight decay, one learning rate a run.

    Attributes:
        parameters: [rows, runs, classes], updated in place.
    """

    def __init__(
        self, parameters, learning_rates: Sequence[float], schedule: ClassifierSchedule
    ):
        self.parameters = np.ascontiguousarray(parameters)
        self._rates = np.asarray(learning_rates, self.parameters.dtype)[:, None]
        self._mean = np.zeros_like(self.parameters)
        self._square = np.zeros_like(self.parameters)
        self._schedule = schedule
        self._steps = 0

    def step(self, gradient: np.ndarray) -> None:
        """Applies one update; `gradient` is overwritten."""
        self._steps += 1
        options, parameters = self._schedule, self.parameters
        mean, square = self._mean, self._square
        correction_1 = 1 - options.beta_1**self._steps
        correction_2 = math.sqrt(1 - options.beta_2**self._steps)

        scratch = parameters * options.weight_decay
        gradient += scratch
        mean *= options.beta_1
        np.multiply(gradient, 1 - options.beta_1, out=scratch)
        mean += scratch
        square *= options.beta_2
        gradient *= gradient
        gradient *= 1 - options.beta_2
        square += gradient
        # (mean / c1) / (sqrt(square) / c2 + epsilon), c2 moved to the front
        np.sqrt(square, out=scratch)
        scratch += options.epsilon * correction_2
        np.divide(mean, scratch, out=scratch)
        scratch *= self._rates * (correction_2 / correction_1)
        parameters -= scratch

    def keep(self, runs: Sequence[int]) -> None:
        """Drops all other runs."""
        self.parameters, self._mean, self._square = (
            np.ascontiguousarray(array[:, runs])
            for array in (self.parameters, self._mean, self._square)
        )
        self._rates = self._rates[list(runs)]
