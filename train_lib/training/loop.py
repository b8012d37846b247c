"""The training loop: steps, records, checkpoints, reasons to stop."""

import logging
import os
import signal
import time

import numpy as np
import tensorflow as tf

from byola_tf import (
    BYOL,
    checkpoint,
    frontend,
    normalize,
    pipeline,
    schedules,
)
from byola_tf.config import Config
from byola_tf.normalize import Statistics
from train_lib.cli import progress
from train_lib.training import (
    checkpoints,
    distribution,
    health,
    interruption,
    monitor,
    online_probe,
    workdir,
)

_WATCHED_STEPS = 20  # from the first step on; later the logged ones
_SMOOTHING = 0.98  # of the loss by which checkpoints are compared

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
        # replicas that share this worker's batch
        self.num_shares = (
            strategy.num_replicas_in_sync
            * input_config.train.batch_size
            // config.train.batch_size
        )
        self.per_epoch = corpus.steps_per_epoch
        self.total_steps = config.train.steps or config.train.epochs * self.per_epoch
        self.last_step = self.total_steps
        with strategy.scope():
            self.model = BYOL(config, self.total_steps)
            self.model.compile()
        self.checkpoints = checkpoints.Checkpoints(
            work_directory, self.model, config.train.keep_checkpoints
        )
        self.step, state = self.checkpoints.restore()
        self.first_step = self.saved_step = self.step
        self.loss = state.get("loss", float("nan"))
        self.smooth_loss = state.get("smooth_loss")
        self.probe = online_probe.OnlineProbe(
            config, statistics, state.get("probe_best"), state.get("probe_stale", 0)
        )
        self.guard = health.Guard(config)
        self.probed_step = None
        # a run that its probe has stopped stays so
        self.stopped_by = "probe" if self.probe.exhausted else "steps"
        self.input_seconds = 0.0
        self.log = self.monitor = None

    def run(self, until_step: int | None = None) -> workdir.Summary:
        """Trains to the end, the time budget, or a request to stop.

        Args:
            until_step: stops after this step, with a checkpoint; the schedules
                still span the whole run.

        Raises:
            health.Unhealthy: collapse or a lost loss; the last good checkpoint
                is kept.
            interruption.Interrupted: Ctrl-C or SIGTERM, after a checkpoint.
        """
        self.last_step = min(until_step or self.total_steps, self.total_steps)
        if self.step:
            logger.info("Resuming after step %d of %d.", self.step, self.total_steps)
        if self.is_chief:
            folder = os.path.join(self.work_directory, "tensorboard")
            self.monitor = monitor.Monitor(folder)
            self.log = workdir.TrainLog(self.work_directory, self.step)
        started = time.perf_counter()
        try:
            with interruption.StopRequest() as request:
                self._loop(request, started)
            if request.signal:
                raise interruption.Interrupted(
                    request.signal,
                    f"{signal.Signals(request.signal).name}: stopped at step "
                    f"{self.step} of {self.total_steps} with a checkpoint. Run the "
                    "same command to go on.",
                )
        except health.Unhealthy as error:
            raise health.Unhealthy(f"{error} {self._last_good()}") from error
        finally:
            if self.is_chief:
                self.log.close()
                self.monitor.close()
        return self._summarize(time.perf_counter() - started)

    def _loop(self, request: interruption.StopRequest, started: float) -> None:
        config = self.config
        save_every = config.train.checkpoint_every_steps or self.per_epoch
        train_step = distribution.make_train_step(self.strategy, self.model)
        batches = iter(
            pipeline.make_views_dataset(
                self.corpus.batches,
                self.input_config,
                self.statistics,
                self.step,
                with_moments=True,
            )
        )
        bar = progress.bar(
            None,
            None if config.train.seconds else self.last_step,
            "training",
            initial=self.step,
            unit="step",
            disable=not self.is_chief,
        )
        previous = (time.perf_counter(), self.step)
        with bar:
            while self.step < self.last_step and self.stopped_by == "steps":
                waiting = time.perf_counter()
                views, moments = next(batches)
                self.input_seconds += time.perf_counter() - waiting
                logs = train_step(
                    distribution.scatter(self.strategy, views, self.num_shares)
                )
                self.step += 1
                bar.update()
                logged = self._due(config.train.log_every_steps)
                if logged or self.step - self.first_step <= _WATCHED_STEPS:
                    logs = {name: float(value) for name, value in logs.items()}
                    self.guard.observe(self.step, logs)
                if logged:
                    previous = self._record(logs, views, moments, previous, bar)
                if self._due(self.per_epoch):
                    self._end_epoch(views)
                stop = self._must_stop(started, request)
                if self._due(save_every) or self._probe_is_best() or stop:
                    self._save()
                if stop:
                    break

    def _due(self, every: int) -> bool:
        return self.step % every == 0 or self.step == self.last_step

    def _must_stop(self, started, request) -> bool:
        """Whether this step is the last, for a reason other than their number."""
        budget = self.config.train.seconds
        spent = budget and time.perf_counter() - started >= budget
        spent, signalled = distribution.any_worker(
            self.strategy, (bool(spent), request.signal is not None)
        )
        if spent:
            self.stopped_by = "seconds"
        if signalled and request.signal is None:
            request.signal = signal.SIGTERM  # another worker's
        if self.probe.exhausted:
            self.stopped_by = "probe"
        return signalled or self.stopped_by != "steps"

    def _record(self, logs, views, moments, previous, bar) -> tuple[float, int]:
        """Writes one logged step everywhere."""
        config = self.config
        self.loss = logs["loss"]
        old = self.loss if self.smooth_loss is None else self.smooth_loss
        self.smooth_loss = _SMOOTHING * old + (1 - _SMOOTHING) * self.loss
        now = time.perf_counter()
        steps_per_s = (self.step - previous[1]) / (now - previous[0])
        samples_per_s = steps_per_s * config.train.batch_size
        epoch = self.step / self.per_epoch
        bar.set_postfix_str(
            f"epoch {epoch:.1f}, loss {self.loss:.4f}, "
            f"spread {logs['projection_std']:.2f}, rank {logs['effective_rank']:.0f}, "
            f"{samples_per_s:.0f} samples/s",
            refresh=False,
        )
        if self.is_chief:
            after = tf.concat(views, axis=0)
            self.log.write(step=self.step, epoch=epoch, time=time.time(), **logs)
            scalars = {
                "loss": self.loss,
                **{f"health/{name}": logs[name] for name in logs if name != "loss"},
                "views/mean_before": moments[0],
                "views/std_before": moments[1],
                "views/mean_after": tf.reduce_mean(after),
                "views/std_after": tf.math.reduce_std(after),
                "learning_rate": self._learning_rate(),
                "samples_per_s": samples_per_s,
            }
            self.monitor.scalars(self.step, scalars)
        return now, self.step

    def _learning_rate(self) -> float:
        """The rate that the last step used."""
        rate = schedules.learning_rate(self.config, self.total_steps)
        return rate(self.step - 1) if callable(rate) else rate

    def _end_epoch(self, views) -> None:
        """Pictures, projector and probe, where they are due."""
        epoch = self.step // self.per_epoch
        train = self.config.train
        if self.is_chief:
            self.monitor.epoch(self.step, self.model, self._first_log_mel(), views)
            every = train.projector_every_epochs
            if every and epoch % every == 0:
                self.monitor.projector(self.step, self.model, views[0])
        if self.probe.enabled and epoch % train.probe_every_epochs == 0:
            accuracy = self.probe.run(self.model.online_encoder)
            self.probed_step = self.step
            if self.is_chief:
                self.monitor.scalars(self.step, {"probe/accuracy": accuracy})
                logger.info("Probe after epoch %d: %.1f %%.", epoch, 100 * accuracy)

    def _first_log_mel(self):
        """The first clip of the last step before augmentation, [time, mel]."""
        crop = self.corpus.crops(self.step - 1)[:1]
        log_mel = frontend.log_mel_spectrogram(
            pipeline.to_float(tf.constant(crop)), self.config.frontend
        )
        return normalize.normalize(log_mel, self.statistics)[0]

    def _probe_is_best(self) -> bool:
        """Whether the encoder as it is now is the best one probed."""
        return self.probed_step == self.step and not self.probe.stale

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
            "loss": self.loss,
            "smooth_loss": self.smooth_loss,
            "probe_best": self.probe.best,
            "probe_stale": self.probe.stale,
        }
        score = -np.inf if self.smooth_loss is None else -self.smooth_loss
        if self.probe.enabled:
            score = self.probe.best if self._probe_is_best() else -np.inf
        self.checkpoints.save(
            self.step,
            checkpoint.Checkpoint(
                self.model.online_encoder, self.config, self.statistics, provenance
            ),
            run_state,
            float(score),
        )
        self.saved_step = self.step

    def _last_good(self) -> str:
        if not self.saved_step:
            return "No checkpoint was written yet."
        return f"The checkpoint of step {self.saved_step} is kept."

    def _summarize(self, seconds: float) -> workdir.Summary:
        done = self.step - self.first_step
        samples = self.step * self.config.train.batch_size
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
            probe=self.probe.best,
            stopped_by=self.stopped_by,
            checkpoint=checkpoint.step_folder(self.work_directory, self.step),
            best_checkpoint=checkpoint.step_folder(self.work_directory, best["step"]),
        )
        if self.is_chief:
            summary.write(self.work_directory)
        return summary
