"""What the evaluation asks of a model, and what adapters share."""

import hashlib
import os
from collections.abc import Callable, Iterable

import numpy as np

from byola_tf.errors import UserError
from byola_tf.networks.pooling import pool_time

POOLINGS = ("mean+max", "mean", "max")
DEFAULT_RATE = 16000


class AudioModel:
    """What the evaluation asks of a model; adapters implement it.

    A model that is to be normalised with the statistics of the task has two
    things more: `config`, whose `frontend` makes its log-mels, and
    `with_statistics(mean, std)`, which sets them and returns the model.

    Attributes:
        name: in results.
        sample_rate: of the waveforms that it takes, Hz.
        fingerprint: differs between weights, code and options, but not between
            statistics: the key of a cache. None where nothing is known about
            the weights and nothing may be cached.
    """

    name: str
    sample_rate: int
    fingerprint: str | None = None

    def embed(self, waveform: np.ndarray) -> np.ndarray:
        """Embeds clips.

        Args:
            waveform: float32 [batch, samples] in [-1, 1] at `sample_rate`.

        Returns:
            float32 [batch, d].
        """
        raise NotImplementedError

    def __call__(self, waveform: np.ndarray) -> np.ndarray:
        """The same as `embed`."""
        return self.embed(waveform)


class FunctionModel(AudioModel):
    """A function in memory, e.g. an object with its own `sample_rate`.

    Args:
        function: float32 [batch, samples] to [batch, d], or to frames
            [batch, time, d], which are pooled.
        sample_rate: Hz.
        name: in results.
        pooling: of frames; mean+max when None.
        fingerprint: see `AudioModel`.
    """

    def __init__(
        self,
        function: Callable,
        sample_rate: int,
        name: str,
        pooling: str | None = None,
        fingerprint: str | None = None,
    ):
        self._function = function
        self._pooling = pooling
        self.sample_rate = sample_rate
        self.name = name
        self.fingerprint = fingerprint

    def embed(self, waveform: np.ndarray) -> np.ndarray:
        """See `AudioModel.embed`."""
        return pooled(self._function(waveform), len(waveform), self._pooling, self.name)


def pooled(
    output, batch: int, pooling: str | None, name: str, default: str = "mean+max"
) -> np.ndarray:
    """Turns what a model returned into one vector a clip.

    Args:
        output: float [batch, d], or frames [batch, time, d].
        batch: number of clips.
        pooling: of frames; `default` when None.
        name: of the model, for messages.
        default: see `pooling`.

    Raises:
        UserError: the shape is neither, or there are no frames to pool.
    """
    array = np.asarray(output, np.float32)
    if array.ndim == 3 and not array.shape[1]:
        raise UserError(
            f"{name!r} must get clips of at least one of its frames. Received: clips "
            "that give none. Use a longer --unit_seconds."
        )
    if array.ndim not in (2, 3) or len(array) != batch or 0 in array.shape:
        raise UserError(
            "A model must return [batch, d] or [batch, time, d]. Received: shape "
            f"{array.shape} for {batch} clips from {name!r}. Wrap it in a function of "
            "yours: --model=python:MODULE:FUNCTION."
        )
    if array.ndim == 2:
        if pooling is not None:
            raise UserError(
                "`pooling` must be left out for a model that returns one vector a "
                f"clip. Received: {pooling!r} for {name!r}."
            )
        return array
    return pool_time(array, pooling or default).numpy()


def fingerprint_of(paths: Iterable[str], *settings) -> str:
    """A text that differs when a file's content or a setting does.

    Args:
        paths: files, and folders with everything below them.
        *settings: numbers and texts.
    """
    digest = hashlib.sha256(repr(settings).encode())
    for path in paths:
        for name in _files(path):
            digest.update(os.path.relpath(name, os.path.dirname(path)).encode())
            with open(name, "rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def _files(path: str) -> list[str]:
    if not os.path.isdir(path):
        return [path]
    return sorted(
        os.path.join(parent, name)
        for parent, _, names in os.walk(path)
        for name in names
    )
