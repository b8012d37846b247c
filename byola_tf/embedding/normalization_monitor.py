"""Notices audio that a model's statistics do not fit."""

import math
import sys
import warnings
from collections.abc import Callable

import numpy as np

from byola_tf.config import EPSILON, FrontendConfig
from byola_tf.normalize import Statistics

_SOUND_SECONDS = 5.0
_SECONDS_A_CALL = 10.0
_MEAN_RANGE = (-1.75, 2.25)
_STD_RANGE = (0.05, 2.0)
_CALLS_BETWEEN = 10
_FLOOR = math.log(EPSILON)


class NormalizationWarning(UserWarning):
    """Normalised log-mels are far from zero mean and unit variance."""


class NormalizationMonitor:
    """Warns, once, when normalised log-mels are far from N(0, 1).

    Judged are five seconds of sound, collected over as many calls as that takes;
    frames of digital silence, whose every bin lies at the logarithm's floor, do
    not count. Far is a mean outside -1.75 ... 2.25 or a standard deviation outside
    0.05 ... 2. Under the statistics of AudioSet, FSD50K, ESC-10 and FSDD alike, none
    of the 3,400 clips of ESC-10 and FSDD leaves these ranges even alone (extremes:
    means -1.50 and 1.95, deviations 0.12 and 1.63). Samples that were not scaled to
    [-1, 1] and statistics of another front end do.

    The first call is measured, then every tenth, and after each good judgement
    half as often, so that the cost vanishes.

    Args:
        log_mel: float32 [batch, samples] → normalised log-mel
            [batch, time, mel], or a tensor of it.
        frontend_config: `FrontendConfig`.
        statistics: what `log_mel` normalises with.
    """

    def __init__(
        self, log_mel: Callable, frontend_config: FrontendConfig, statistics: Statistics
    ):
        self._log_mel = log_mel
        self._config = frontend_config
        self._statistics = statistics
        self._until_next, self._interval = 0, _CALLS_BETWEEN
        self._active = True
        self._reset()

    def __call__(self, waveform: np.ndarray, num_samples: int | None = None) -> None:
        """Measures a batch if it is time to.

        Args:
            waveform: float32 [batch, samples].
            num_samples: samples of every row that are sound; all when None.
        """
        if not self._active:
            return
        self._until_next -= 1
        if self._until_next > 0:
            return
        self._until_next = self._interval
        enough = int(_SECONDS_A_CALL * self._config.sample_rate)
        piece = np.asarray(waveform)[:, : min(num_samples or enough, enough)]
        rows = -(-enough // max(piece.shape[1], 1))
        self._add(np.asarray(self._log_mel(piece[:rows]), np.float64))
        frames_wanted = _SOUND_SECONDS * self._config.sample_rate
        if self._frames * self._config.hop_length >= frames_wanted:
            self._judge()

    def _add(self, log_mel: np.ndarray) -> None:
        floor = (_FLOOR - self._statistics.mean) / self._statistics.std
        margin = 1.0 / self._statistics.std
        sound = log_mel[log_mel.max(axis=-1) > floor + margin]  # [frames, mel]
        self._frames += len(sound)
        self._values += sound.size
        self._sum += sound.sum()
        self._squares += np.square(sound).sum()

    def _judge(self) -> None:
        mean = self._sum / self._values
        std = math.sqrt(max(self._squares / self._values - mean**2, 0.0))
        good = (
            _MEAN_RANGE[0] <= mean <= _MEAN_RANGE[1]
            and _STD_RANGE[0] <= std <= _STD_RANGE[1]
        )
        self._reset()
        self._interval *= 2
        if good:
            return
        self._active = False
        own_mean = self._statistics.mean + mean * self._statistics.std
        own_std = std * self._statistics.std
        warnings.warn(
            f"Normalised log-mels have mean {mean:.2f} and standard deviation "
            f"{std:.2f}; the encoder learnt on about 0 and 1. Are the samples in "
            "[-1, 1], and is `sample_rate` theirs? If so, the model's statistics "
            f"(mean {self._statistics.mean:.2f}, std {self._statistics.std:.2f}) are "
            "not this audio's: set those of its corpus, here about "
            f"byola_tf.load(path, mean={own_mean:.2f}, std={own_std:.2f}), or at "
            "export with --mean and --std.",
            NormalizationWarning,
            stacklevel=_stacklevel(),
        )

    def _reset(self) -> None:
        self._frames, self._values, self._sum, self._squares = 0, 0, 0.0, 0.0


def _stacklevel() -> int:
    """How far up the caller is: the roads to here differ in length."""
    frame, level = sys._getframe(1), 1
    own = __name__.partition(".")[0]
    while frame.f_back and frame.f_globals.get("__name__", "").startswith(f"{own}."):
        frame, level = frame.f_back, level + 1
    return level
