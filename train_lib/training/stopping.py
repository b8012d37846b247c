"""Why a run stops: the one place that decides."""

import signal
import time

import tensorflow as tf

from byola_tf.config import Config
from train_lib.training import distribution
from train_lib.training.interruption import Interrupted, StopRequest
from train_lib.training.online_probe import OnlineProbe

STEPS, SECONDS, PROBE = "steps", "seconds", "probe"


class Stopping:
    """Decides before and after each step whether the run goes on.

    In a multi-worker job all workers decide together.

    Args:
        config: `Config`; `train.seconds` is the time budget from now on.
        strategy: whose workers decide.
        last_step: the run's last step.
        probe: stops the run when its patience is used up.
        request: what a signal asked for.

    Attributes:
        reason: `STEPS`, `SECONDS` or `PROBE`, once the run stops; None before.
    """

    def __init__(
        self,
        config: Config,
        strategy: tf.distribute.Strategy,
        last_step: int,
        probe: OnlineProbe,
        request: StopRequest,
    ):
        seconds = config.train.seconds
        self._deadline = time.perf_counter() + seconds if seconds else None
        self._strategy, self._last_step = strategy, last_step
        self._probe, self._request = probe, request
        self.reason = None

    def before(self, step: int) -> bool:
        """Whether nothing is left to do after `step` steps.

        A run that its probe has stopped stays so when it is started again.
        """
        if self._probe.exhausted:
            self.reason = PROBE
        elif step >= self._last_step:
            self.reason = STEPS
        return self.reason is not None

    def after(self, step: int) -> bool:
        """Whether the step just done is the last one."""
        spent = self._deadline and time.perf_counter() >= self._deadline
        spent, signalled = distribution.any_worker(
            self._strategy, (bool(spent), self._request.signal is not None)
        )
        if signalled and self._request.signal is None:
            self._request.signal = signal.SIGTERM  # another worker's
        if self._probe.exhausted:
            self.reason = PROBE
        elif spent:
            self.reason = SECONDS
        elif step >= self._last_step:
            self.reason = STEPS
        return signalled or self.reason is not None

    def raise_if_asked(self, step: int, total_steps: int) -> None:
        """Raises `Interrupted` where a signal has ended the run."""
        number = self._request.signal
        if number:
            raise Interrupted(
                number,
                f"{signal.Signals(number).name}: stopped at step {step} of "
                f"{total_steps} with a checkpoint. Run the same command to go on.",
            )
