"""What a run tells: its log file, TensorBoard and the progress bar.

Telling is not the work. A full disk or a closed terminal ends what is told, with one
warning, and training goes on.
"""

import functools
import logging
import os
import time

import tensorflow as tf

from byola_tf import frontend, normalize, pipeline, schedules
from byola_tf.config import Config
from byola_tf.normalize import Statistics
from train_lib.cli import progress
from train_lib.training import monitor, workdir

logger = logging.getLogger(__name__)


def _told(tell):
    """Makes a method of `Recorder` harmless: on the chief alone, faults said once."""

    @functools.wraps(tell)
    def guarded(self, *arguments):
        if not self.tells:
            return
        try:
            tell(self, *arguments)
        except (OSError, tf.errors.OpError) as error:
            if not self.has_failed:
                self.has_failed = True
                logger.warning(
                    "The log of the run cannot be written (%s). Training goes on.",
                    str(error).splitlines()[0],
                )

    return guarded


class Recorder:
    """Tells how a run goes; on other workers than the chief it says nothing.

    Args:
        config: `Config`.
        statistics: of the corpus.
        work_directory: where log and TensorBoard files go.
        is_chief: whether this process tells.
        step: the run continues after this step.
        total_steps: that the schedules span.
        steps_per_epoch: steps in one pass over the corpus.

    Attributes:
        tells: whether it says anything.
        has_failed: whether something could not be written.
    """

    def __init__(
        self,
        config: Config,
        statistics: Statistics,
        work_directory: str,
        is_chief: bool,
        step: int,
        total_steps: int,
        steps_per_epoch: int,
    ):
        self._config, self._statistics = config, statistics
        self._is_chief = is_chief
        self._steps_per_epoch = steps_per_epoch
        self._rate = schedules.learning_rate(config, total_steps)
        self._last = (time.perf_counter(), step)
        self._work_directory = work_directory
        self.tells, self.has_failed = is_chief, False
        self._open(step)
        self.tells = is_chief and not self.has_failed

    @_told
    def _open(self, step: int) -> None:
        folder = os.path.join(self._work_directory, "tensorboard")
        self._monitor = monitor.Monitor(folder)
        self._log = workdir.TrainLog(self._work_directory, step)

    def bar(self, step: int, last_step: int):
        """The progress bar; one without an end where time is the limit."""
        total = None if self._config.train.seconds else last_step
        return progress.bar(
            None,
            total,
            "training",
            initial=step,
            unit="step",
            disable=not self._is_chief,
        )

    @_told
    def step(self, step: int, logs: dict, views, moments, bar) -> None:
        """Tells of a logged step.

        Args:
            step: number of steps done.
            logs: name → number, of `BYOL.train_step`.
            views: (view_1, view_2), each float32 [batch, time, mel].
            moments: mean and standard deviation of the views before
                post-normalisation.
            bar: of `bar`.
        """
        now = time.perf_counter()
        before, step_before = self._last
        self._last = (now, step)
        steps_per_s = (step - step_before) / (now - before)
        samples_per_s = steps_per_s * self._config.train.batch_size
        epoch = step / self._steps_per_epoch
        bar.set_postfix_str(
            f"epoch {epoch:.1f}, loss {logs['loss']:.4f}, "
            f"spread {logs['projection_std']:.2f}, rank {logs['effective_rank']:.0f}, "
            f"{samples_per_s:.0f} samples/s",
            refresh=False,
        )
        self._log.write(step=step, epoch=epoch, time=time.time(), **logs)
        after = tf.concat(views, axis=0)
        # of the step just done
        rate = self._rate(step - 1) if callable(self._rate) else self._rate
        scalars = {
            "loss": logs["loss"],
            **{f"health/{name}": logs[name] for name in logs if name != "loss"},
            "views/mean_before": moments[0],
            "views/std_before": moments[1],
            "views/mean_after": tf.reduce_mean(after),
            "views/std_after": tf.math.reduce_std(after),
            "learning_rate": rate,
            "samples_per_s": samples_per_s,
        }
        self._monitor.scalars(step, scalars)

    @_told
    def epoch(self, step: int, model, crop, views) -> None:
        """Draws the pictures of an epoch, and the projector's where it is due.

        Args:
            step: number of steps done.
            model: `BYOL`.
            crop: function that returns int16 [1, samples], the first clip of the
                step.
            views: (view_1, view_2), each float32 [batch, time, mel].
        """
        log_mel = frontend.log_mel_spectrogram(
            pipeline.to_float(tf.constant(crop())), self._config.frontend
        )
        log_mel = normalize.normalize(log_mel, self._statistics)[0]
        self._monitor.epoch(step, model, log_mel, views)
        every = self._config.train.projector_every_epochs
        if every and step // self._steps_per_epoch % every == 0:
            self._monitor.projector(step, model, views[0])

    @_told
    def probe(self, step: int, accuracy: float) -> None:
        """Tells of an online probe; `accuracy` lies in [0, 1]."""
        epoch = step // self._steps_per_epoch
        logger.info("Probe after epoch %d: %.1f %%.", epoch, 100 * accuracy)
        self._monitor.scalars(step, {"probe/accuracy": accuracy})

    @_told
    def close(self) -> None:
        """Closes the files."""
        try:
            self._log.close()
        finally:
            self._monitor.close()
