"""The pre-training run: corpus, statistics, model, loop, checkpoints."""

import dataclasses
import json
import logging
import os
import time

import keras
import numpy as np
import tensorflow as tf

from byola_tf import BYOL, checkpoint, files, frontend, normalize, pipeline, waveforms
from byola_tf.config import Config
from byola_tf.errors import UserError
from byola_tf.normalize import Statistics
from train_lib import monitor, progress, workdir

_LISTED_FILES = 10

logger = logging.getLogger(__name__)


@dataclasses.dataclass
class Summary:
    """What a run did.

    Attributes:
        steps: steps done in total.
        epochs: passes over the corpus, with fraction.
        samples: crops seen in total.
        hours: audio seen in total.
        loss: last logged loss.
        seconds: duration of this run's training loop.
        samples_per_s: crops per second in this run.
        input_wait: share of the loop's time spent waiting for input.
        skipped_files: number of unusable files.
        checkpoint: the newest checkpoint's folder.
    """

    steps: int
    epochs: float
    samples: int
    hours: float
    loss: float
    seconds: float
    samples_per_s: float
    input_wait: float
    skipped_files: int
    checkpoint: str


def pretrain(config: Config, work_directory: str) -> Summary:
    """Pre-trains BYOL on a folder of sounds; run again, it resumes.

    Args:
        config: `Config`.
        work_directory: where configuration, statistics, cache, log, TensorBoard
            files and checkpoints go.

    Raises:
        UserError: the input or the work directory does not fit.
    """
    try:
        config.validate()
    except ValueError as error:
        raise UserError(str(error)) from error
    source = waveforms.find_batch(config)
    workdir.claim(work_directory, config)
    keras.utils.set_random_seed(config.seed)
    cache_dir = config.data.cache_dir or os.path.join(work_directory, "cache")
    corpus = waveforms.open_corpus(config, source, cache_dir, progress.bar)
    report_corpus(corpus, config)
    statistics = corpus_statistics(corpus, config, work_directory)
    return _Run(config, work_directory, corpus, statistics).run()


def report_corpus(corpus: waveforms.Corpus, config: Config) -> None:
    """Logs what was found: size, cache, the files left out."""
    hours = corpus.num_samples / config.frontend.sample_rate / 3600
    if corpus.is_cached:
        logger.info("Corpus: %d files, %.2f hours.", len(corpus.paths), hours)
    else:
        logger.warning(
            "Corpus: %d files, too large for the cache of %.1f GB: every epoch "
            "decodes again. Raise --config.data.cache_limit_gb, or prepare "
            "shards once (python -m train_lib.prepare).",
            len(corpus.paths),
            config.data.cache_limit_gb,
        )
    if corpus.skipped:
        logger.warning("%d unusable files were skipped:", len(corpus.skipped))
        for reason in list(corpus.skipped.values())[:_LISTED_FILES]:
            logger.warning("  %s", reason)
        if len(corpus.skipped) > _LISTED_FILES:
            logger.warning("  ... %d more", len(corpus.skipped) - _LISTED_FILES)


def corpus_statistics(corpus, config: Config, work_directory: str) -> Statistics:
    """Loads the work directory's statistics, or computes and saves them."""
    path = os.path.join(work_directory, checkpoint.STATISTICS_FILE)
    if os.path.exists(path):
        return Statistics.load(path)
    num_crops = min(config.data.statistics_samples, len(corpus.paths))
    statistics = pipeline.compute_statistics(
        corpus.statistics_batches(num_crops),
        config,
        lambda batches: progress.bar(
            batches, -(-num_crops // config.train.batch_size), "statistics"
        ),
    )
    statistics.save(path)
    logger.info("Log-mel mean %.4f, std %.4f.", statistics.mean, statistics.std)
    return statistics


class _Run:
    """One process's share of a run: model, loop, bookkeeping."""

    def __init__(self, config, work_directory, corpus, statistics):
        self.config, self.corpus, self.statistics = config, corpus, statistics
        self.model = BYOL(config)
        self.model.compile()
        self.checkpoints = workdir.Checkpoints(
            work_directory, self.model, config.train.keep_checkpoints
        )
        self.work_directory = work_directory
        self.first_step = self.step = self.checkpoints.restore()
        self.saved_step = self.step
        per_epoch = corpus.steps_per_epoch
        self.total_steps = config.train.steps or config.train.epochs * per_epoch
        self.monitor = monitor.Monitor(os.path.join(work_directory, "tensorboard"))
        self.log = workdir.TrainLog(work_directory, self.step)
        self.loss = (workdir.read_log(work_directory) or [{"loss": np.nan}])[-1]["loss"]
        self.input_seconds = 0.0

    def run(self) -> Summary:
        if self.step:
            logger.info("Resuming after step %d of %d.", self.step, self.total_steps)
        started = time.perf_counter()
        try:
            self._loop()
        except KeyboardInterrupt:
            self._save()
            logger.warning(
                "Stopped at step %d; run the same command to go on.", self.step
            )
            raise
        finally:
            self.log.close()
            self.monitor.close()
        return self._finish(time.perf_counter() - started)

    def _loop(self) -> None:
        config = self.config
        per_epoch = self.corpus.steps_per_epoch
        save_every = config.train.checkpoint_every_steps or per_epoch
        train_step = tf.function(self.model.train_step, reduce_retracing=True)
        batches = iter(
            pipeline.make_views_dataset(
                self.corpus.batches, config, self.statistics, self.step, True
            )
        )
        steps = progress.bar(
            None, self.total_steps, "training", initial=self.step, unit="step"
        )
        last_log, last_step = time.perf_counter(), self.step
        with steps:
            while self.step < self.total_steps:
                waiting = time.perf_counter()
                views, moments = next(batches)
                self.input_seconds += time.perf_counter() - waiting
                logs = train_step(views)
                self.step += 1
                steps.update()
                if self._due(config.train.log_every_steps):
                    now = time.perf_counter()
                    rate = (self.step - last_step) / (now - last_log)
                    last_log, last_step = now, self.step
                    self._record(logs, views, moments, rate, steps)
                if self.step % per_epoch == 0 or self.step == self.total_steps:
                    self.monitor.epoch(
                        self.step, self.model, self._first_log_mel(), views
                    )
                if self._due(save_every):
                    self._save()

    def _due(self, every: int) -> bool:
        return self.step % every == 0 or self.step == self.total_steps

    def _record(self, logs, views, moments, steps_per_s, steps) -> None:
        """Writes one logged step everywhere, and stops on a lost loss."""
        config = self.config
        logs = {name: float(value) for name, value in logs.items()}
        self.loss = logs["loss"]
        samples_per_s = steps_per_s * config.train.batch_size
        epoch = self.step / self.corpus.steps_per_epoch
        steps.set_postfix_str(
            f"epoch {epoch:.1f}, loss {self.loss:.4f}, {samples_per_s:.0f} samples/s",
            refresh=False,
        )
        after = tf.concat(views, axis=0)
        self.log.write(step=self.step, epoch=epoch, time=time.time(), **logs)
        self.monitor.scalars(
            self.step,
            {
                "loss": self.loss,
                "embedding/std": logs["embedding_std"],
                "views/mean_before": moments[0],
                "views/std_before": moments[1],
                "views/mean_after": tf.reduce_mean(after),
                "views/std_after": tf.math.reduce_std(after),
                "learning_rate": self.model.optimizer.learning_rate,
                "samples_per_s": samples_per_s,
            },
        )
        if not np.isfinite(self.loss):
            raise UserError(
                f"The loss must stay finite. Received: {self.loss} at step "
                f"{self.step}. The checkpoint of step {self.saved_step} is kept; "
                "lower --config.train.learning_rate and start in a new --workdir."
            )

    def _first_log_mel(self):
        """The first clip of the last step before augmentation, [time, mel]."""
        crop = self.corpus.crops(self.step - 1)[:1]
        log_mel = frontend.log_mel_spectrogram(
            pipeline.to_float(tf.constant(crop)), self.config.frontend
        )
        return normalize.normalize(log_mel, self.statistics)[0]

    def _save(self) -> None:
        if self.saved_step == self.step:
            return
        provenance = {
            "steps": self.step,
            "samples": self.step * self.config.train.batch_size,
            "num_files": len(self.corpus.paths),
            "hours": self.corpus.num_samples / self.config.frontend.sample_rate / 3600,
            "pattern": self.config.data.pattern or self.config.data.tfds,
            "loss": self.loss,
        }
        self.checkpoints.save(
            self.step,
            checkpoint.Checkpoint(
                self.model.online_encoder, self.config, self.statistics, provenance
            ),
        )
        self.saved_step = self.step

    def _finish(self, seconds: float) -> Summary:
        done = self.step - self.first_step
        samples = self.step * self.config.train.batch_size
        folder = checkpoint.step_folder(self.work_directory, self.step)
        summary = Summary(
            steps=self.step,
            epochs=self.step / self.corpus.steps_per_epoch,
            samples=samples,
            hours=samples * self.config.data.unit_seconds / 3600,
            loss=self.loss,
            seconds=seconds,
            samples_per_s=done * self.config.train.batch_size / seconds if done else 0,
            input_wait=self.input_seconds / seconds if done else 0,
            skipped_files=len(self.corpus.skipped),
            checkpoint=folder,
        )
        files.write_text(
            os.path.join(self.work_directory, "summary.json"),
            json.dumps(dataclasses.asdict(summary), indent=2) + "\n",
        )
        return summary
