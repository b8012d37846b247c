"""The training loop: steps, checkpoints, and what is told of them."""

import logging
import math
import time

import tensorflow as tf

from byola_tf import BYOL, checkpoint, fetching, pipeline, schedules
from byola_tf.config import Config
from byola_tf.normalize import Statistics
from train_lib.training import (
    checkpoints,
    distribution,
    health,
    interruption,
    online_probe,
    partners,
    recorder,
    stopping,
    workdir,
)

_WATCHED_STEPS = 20  # from the first step on; later the logged ones

logger = logging.getLogger(__name__)


class Run:
    """One process's share of a run.

    Args:
        config: `Config`.
        input_config: of this worker's input; see `distribution.input_share`.
        work_directory: work directory, claimed.
        corpus: `Corpus`.
        statistics: of the corpus.
        strategy: where the model lives.
    """

    def __init__(
        self,
        config: Config,
        input_config: Config,
        work_directory: str,
        corpus,
        statistics: Statistics,
        strategy: tf.distribute.Strategy,
    ):
        self.config, self.input_config = config, input_config
        self.corpus, self.statistics = corpus, statistics
        self.strategy, self.work_directory = strategy, work_directory
        self.is_chief = distribution.is_chief(strategy)
        self.per_epoch = corpus.steps_per_epoch
        self.total_steps = config.train.steps or config.train.epochs * self.per_epoch
        with strategy.scope():
            self.model = BYOL(config, self.total_steps)
            self.model.compile()
        self.checkpoints = checkpoints.Checkpoints(
            work_directory, self.model, config.train.keep_checkpoints
        )
        self.step, state = self.checkpoints.restore()
        self.first_step = self.saved_step = self.step
        self.loss = state.get("loss")
        if self.loss is None:  # no step has been logged yet
            self.loss = float("nan")
        self.probe = online_probe.OnlineProbe(
            config, statistics, state.get("probe_best"), state.get("probe_stale", 0)
        )
        self.probed_step = None
        self.guard = health.Guard(config)
        self.input_seconds = 0.0
        if self.step:
            logger.info("Resuming after step %d of %d.", self.step, self.total_steps)
            self._say_if_schedules_jump(state.get("total_steps", self.total_steps))

    def run(self, until_step: int | None = None) -> workdir.Summary:
        """Trains to the end, the time budget, or a request to stop.

        Args:
            until_step: stops after this step, with a checkpoint; the schedules
                still span the whole run.

        Raises:
            health.Unhealthy: collapse or a lost loss; the last good checkpoint
                is kept.
            interruption.Interrupted: Ctrl-C, SIGTERM or SIGHUP, after a checkpoint.
            partners.PartnerLost: another worker of the job has ended.
        """
        last_step = min(until_step or self.total_steps, self.total_steps)
        telling = recorder.Recorder(
            self.config,
            self.statistics,
            self.work_directory,
            self.is_chief,
            self.step,
            self.total_steps,
            self.per_epoch,
        )
        started = time.perf_counter()
        try:
            with interruption.StopRequest() as request:
                stop = stopping.Stopping(
                    self.config, self.strategy, last_step, self.probe, request
                )
                if not stop.before(self.step):
                    self._loop(stop, request, telling, last_step)
            stop.raise_if_asked(self.step, self.total_steps)
        except health.Unhealthy as error:
            raise health.Unhealthy(f"{error} {self._last_good()}") from error
        except fetching.NoAnswerError:
            self._save()
            raise
        except tf.errors.OpError as error:
            self._save()
            if distribution.worker(self.strategy)[1] > 1:
                partners.end_quietly()
                raise partners.PartnerLost(self.step, error) from error
            raise
        finally:
            telling.close()
        return self._summarize(time.perf_counter() - started, stop.reason)

    def _loop(self, stop, request, telling, last_step: int) -> None:
        train_step = distribution.make_train_step(self.strategy, self.model)
        num_shares = self._num_shares()
        every = self.config.train.checkpoint_every_steps or self.per_epoch
        bar = telling.bar(self.step, last_step)
        with self._open_batches(request) as batches, bar:
            is_last = False
            while not is_last:
                waiting = time.perf_counter()
                views, moments = next(batches, (None, None))
                self.input_seconds += time.perf_counter() - waiting
                if views is None:  # a signal came while the input was waited for
                    self._save()
                    return
                shares = distribution.scatter(self.strategy, views, num_shares)
                logs = train_step(shares)
                self.step += 1
                bar.update()
                is_due = self._due(self.config.train.log_every_steps, last_step)
                if is_due or self.step - self.first_step <= _WATCHED_STEPS:
                    logs = {name: float(value) for name, value in logs.items()}
                    self.guard.observe(self.step, logs)
                if is_due:
                    self.loss = logs["loss"]
                    telling.step(self.step, logs, views, moments, bar)
                if self._due(self.per_epoch, last_step):
                    self._end_epoch(views, telling)
                is_last = stop.after(self.step)
                if is_last or self._due(every, last_step) or self._probe_is_best():
                    self._save()

    def _open_batches(self, request) -> fetching.Fetcher:
        """The views of the steps to come.

        A signal ends a wait for them; but never on one of several workers alone,
        whose partners would wait for its gradients.
        """

        def open_views():
            return pipeline.make_views_dataset(
                self.corpus.batches,
                self.input_config,
                self.statistics,
                self.step,
                with_moments=True,
            )

        is_alone = distribution.worker(self.strategy)[1] == 1
        return fetching.Fetcher(
            open_views,
            self.corpus.describe_source,
            self.corpus.wait_seconds,
            lambda: is_alone and request.signal is not None,
        )

    def _num_shares(self) -> int:
        """Replicas that share this worker's batch."""
        share = self.input_config.train.batch_size
        replicas = self.strategy.num_replicas_in_sync
        return replicas * share // self.config.train.batch_size

    def _due(self, every: int, last_step: int) -> bool:
        return self.step % every == 0 or self.step == last_step

    def _end_epoch(self, views, telling) -> None:
        """Pictures, projector and probe, where they are due."""
        step = self.step
        telling.epoch(
            step, self.model, lambda: self.corpus.crops(step - 1, count=1), views
        )
        epoch = step // self.per_epoch
        if self.probe.enabled and epoch % self.config.train.probe_every_epochs == 0:
            accuracy = self.probe.run(self.model.online_encoder)
            self.probed_step = step
            telling.probe(step, accuracy)

    def _probe_is_best(self) -> bool:
        """Whether the encoder as it is now is the best one probed."""
        return self.probed_step == self.step and not self.probe.stale

    def _say_if_schedules_jump(self, planned_steps: int) -> None:
        """Warns where the run's length, which a cosine spans, has changed."""
        train, byol = self.config.train, self.config.byol
        scheduled = "cosine" in (train.schedule, byol.ema_schedule)
        if planned_steps == self.total_steps or not scheduled:
            return
        old, new = (
            schedules.values(self.config, steps, self.step)
            for steps in (planned_steps, self.total_steps)
        )
        logger.warning(
            "The schedules span %d steps now, %d before: the learning rate jumps from "
            "%.3g to %.3g, the target's decay from %.5g to %.5g. To go on smoothly, "
            "keep --config.train.steps (or epochs) as it was.",
            *(self.total_steps, planned_steps),
            *(old[0], new[0], old[1], new[1]),
        )

    def _save(self) -> None:
        if self.saved_step == self.step or not self.is_chief:
            return
        provenance = {
            "steps": self.step,
            "samples": self.step * self.config.train.batch_size,
            "num_files": len(self.corpus.paths),
            "hours": self.corpus.num_samples / self.config.frontend.sample_rate / 3600,
            "pattern": self.config.data.pattern,
            "loss": self.loss,
        }
        run_state = {
            "loss": self.loss if math.isfinite(self.loss) else None,
            "total_steps": self.total_steps,
            "probe_best": self.probe.best,
            "probe_stale": self.probe.stale,
        }
        self.checkpoints.save(
            self.step,
            checkpoint.Checkpoint(
                self.model.online_encoder, self.config, self.statistics, provenance
            ),
            run_state,
            self.probe.best if self._probe_is_best() else None,
        )
        self.saved_step = self.step

    def _last_good(self) -> str:
        if not self.saved_step:
            return "No checkpoint was written yet."
        return f"The checkpoint of step {self.saved_step} is kept."

    def _summarize(self, seconds: float, stopped_by: str) -> workdir.Summary:
        done = self.step - self.first_step
        samples = self.step * self.config.train.batch_size
        # nothing but a probe tells which one is best: the loss of a network that
        # collapses is the smallest
        best = self.checkpoints.best() or {"step": self.step}
        summary = workdir.Summary(
            steps=self.step,
            epochs=self.step / self.per_epoch,
            samples=samples,
            hours=samples * self.config.data.unit_seconds / 3600,
            loss=self.loss,
            seconds=seconds,
            samples_per_s=done * self.config.train.batch_size / seconds,
            input_wait=self.input_seconds / seconds,
            skipped_files=len(self.corpus.skipped),
            left_out=self.corpus.left_out,
            probe=self.probe.best,
            stopped_by=stopped_by,
            checkpoint=checkpoint.step_folder(self.work_directory, self.step),
            best_checkpoint=checkpoint.step_folder(self.work_directory, best["step"]),
        )
        if self.is_chief:
            summary.write(self.work_directory)
        return summary
