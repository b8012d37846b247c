"""Corpus statistics (pre-normalisation) and post-normalisation of views."""

import dataclasses
import json
import math
import numbers
import os

import numpy as np
import tensorflow as tf

from byola_tf import files
from byola_tf.config import EPSILON
from byola_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class Statistics:
    """Scalar mean and standard deviation of a corpus's log-mels.

    Attributes:
        mean: over every bin of every frame.
        std: population standard deviation over the same.
        num_crops: number of unit crops they were computed from.
    """

    mean: float
    std: float
    num_crops: int = 0

    def save(self, path: str) -> None:
        """Writes JSON, atomically."""
        text = json.dumps(dataclasses.asdict(self), indent=2) + "\n"
        files.write_text(os.fspath(path), text)

    @classmethod
    def load(cls, path: str) -> "Statistics":
        """Reads what `save` wrote.

        Raises:
            UserError: the file is absent or holds something else.
        """
        try:
            with tf.io.gfile.GFile(os.fspath(path)) as file:
                return cls.from_dict(json.loads(file.read()))
        except (tf.errors.OpError, ValueError, RecursionError) as error:
            raise UserError(
                f"{path!r} must be a statistics file with `mean` and `std`. {error}"
            ) from error

    @classmethod
    def from_dict(cls, values: dict) -> "Statistics":
        """Takes the values that a file holds.

        Raises:
            UserError: other names, or see `checked_statistics`.
        """
        names = {field.name for field in dataclasses.fields(cls)}
        if not (isinstance(values, dict) and {"mean", "std"} <= set(values) <= names):
            raise UserError(
                f"Statistics must hold `mean`, `std` and `num_crops`. Received: "
                f"{values!r:.100}."
            )
        num_crops = values.get("num_crops", 0)
        if isinstance(num_crops, bool) or not isinstance(num_crops, int):
            raise UserError(f"`num_crops` must be a number. Received: {num_crops!r}.")
        checked = checked_statistics(values["mean"], values["std"])
        return dataclasses.replace(checked, num_crops=num_crops)


def checked_statistics(mean: float, std: float) -> Statistics:
    """Statistics that somebody typed in.

    Raises:
        UserError: not finite, or `std` not positive.
    """
    are_numbers = isinstance(mean, numbers.Real) and isinstance(std, numbers.Real)
    finite = are_numbers and math.isfinite(mean) and math.isfinite(std)
    if not (finite and std > 0):
        raise UserError(
            "`mean` and `std` must be finite, and `std` positive. Received: mean "
            f"{mean}, std {std}. Give the mean and standard deviation of log-mels, "
            "about -7 and 4."
        )
    return Statistics(float(mean), float(std))


def optional_statistics(mean: float | None, std: float | None) -> Statistics | None:
    """Statistics of two options; None when neither is given.

    Raises:
        UserError: one is given, or see `checked_statistics`.
    """
    if mean is None and std is None:
        return None
    if mean is None or std is None:
        raise UserError(
            "`mean` and `std` must be given together. "
            f"Received: mean {mean}, std {std}. Give both or neither."
        )
    return checked_statistics(mean, std)


class StatisticsAccumulator:
    """Mean and variance of a stream in float64, by Chan's parallel update.

    Stable for streams of any length: batches contribute their own mean and
    sum of squared deviations, never a raw sum of squares.
    """

    def __init__(self):
        self._count = 0
        self._mean = 0.0
        self._squares = 0.0  # sum of squared deviations from the mean
        self._num_crops = 0

    def update(self, log_mel) -> None:
        """Adds a batch.

        Args:
            log_mel: float [batch, time, mel].
        """
        values = np.asarray(log_mel, np.float64)
        count, mean = values.size, values.mean()
        squares = np.square(values - mean).sum()
        total = self._count + count
        delta = mean - self._mean
        self._squares += squares + delta**2 * self._count * count / total
        self._mean += delta * count / total
        self._count = total
        self._num_crops += len(values)

    def result(self) -> Statistics:
        """The statistics of everything added.

        Raises:
            UserError: nothing was added, or everything was one value.
        """
        std = math.sqrt(self._squares / self._count) if self._count else 0.0
        if not (std > 0 and math.isfinite(std)):
            raise UserError(
                "The corpus must have varied, finite sound to compute its mean "
                f"and standard deviation. Received: {self._num_crops} crops with "
                f"standard deviation {std}. Is everything digital silence?"
            )
        return Statistics(self._mean, std, self._num_crops)


def normalize(log_mel, statistics: Statistics):
    """Pre-normalisation: (log_mel - mean) / std, any shape."""
    return (log_mel - statistics.mean) / statistics.std


def post_normalize(views):
    """Normalises views to zero mean and unit variance, all of them together.

    Statistical differences between augmented views and plain inputs vanish
    (TASLP section III-C). The standard deviation is the unbiased one.

    Args:
        views: float32, any shape, e.g. [2 * batch, time, mel].

    Returns:
        float32 of the same shape.
    """
    views = tf.convert_to_tensor(views)
    mean = tf.reduce_mean(views)
    count = tf.cast(tf.size(views), views.dtype)
    centred = views - mean
    variance = tf.reduce_sum(tf.square(centred)) / tf.maximum(count - 1, 1)
    return centred / tf.maximum(tf.sqrt(variance), EPSILON)
