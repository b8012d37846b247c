"""The pre-training run: strategy, corpus, statistics, model, then the loop."""

import contextlib
import dataclasses
import logging
import os

import keras
import tensorflow as tf

from byola_tf import checkpoint, pipeline
from byola_tf.config import Config
from byola_tf.corpus import corpus as waveforms
from byola_tf.errors import UserError
from byola_tf.normalize import Statistics
from train_lib.cli import progress
from train_lib.training import distribution, loop, workdir

_LISTED_FILES = 10

logger = logging.getLogger(__name__)


def pretrain(
    config: Config, work_directory: str, until_step: int | None = None
) -> workdir.Summary:
    """Pre-trains BYOL on a folder of sounds; run again, it resumes.

    Args:
        config: `Config`.
        work_directory: where configuration, statistics, cache, log, TensorBoard
            files and checkpoints go.
        until_step: stops after this step of the run, with a checkpoint; called
            again, it goes on. Schedules span the whole run, as if it had not stopped.

    Raises:
        UserError: the input or the work directory does not fit.
        health.Unhealthy: the run collapsed or lost its numbers.
        interruption.Interrupted: it was asked to stop, and can be resumed.
    """
    try:
        config.validate()
    except ValueError as error:
        raise UserError(str(error)) from error
    distribution.allow_memory_growth()
    strategy = distribution.make_strategy(config)
    config.train.precision = distribution.resolve_precision(config.train.precision)
    source = waveforms.find_batch(config)
    with _claimed(work_directory, config, strategy):
        return _run(config, work_directory, strategy, source, until_step)


def _claimed(work_directory: str, config: Config, strategy):
    """The work directory is the chief's to write."""
    if distribution.is_chief(strategy):
        return workdir.claimed(work_directory, config)
    return contextlib.nullcontext()


def _run(config: Config, work_directory: str, strategy, source, until_step):
    keras.utils.set_random_seed(config.seed)
    input_config, part = distribution.input_share(config, strategy)
    corpus = waveforms.open_corpus(
        # one seed: the same statistics on every worker
        dataclasses.replace(input_config, seed=config.seed),
        source,
        _cache_dir(config, work_directory, strategy),
        progress.bar,
        part,
    )
    report_corpus(corpus, config)
    statistics = corpus_statistics(corpus, config, work_directory, strategy)
    run = loop.Run(config, input_config, work_directory, corpus, statistics, strategy)
    return run.run(until_step)


def _cache_dir(config: Config, work_directory: str, strategy) -> str:
    """A folder that no other process of the job writes."""
    folder = config.data.cache_dir or os.path.join(work_directory, "cache")
    index, _ = distribution.worker(strategy)
    return folder if index == 0 else os.path.join(folder, f"worker_{index}")


def report_corpus(corpus: waveforms.Corpus, config: Config) -> None:
    """Logs what was found: size, cache, the files left out."""
    hours = corpus.num_samples / config.frontend.sample_rate / 3600
    if corpus.is_cached:
        logger.info("Corpus: %d files, %.2f hours.", len(corpus.paths), hours)
    else:
        logger.warning(
            "Corpus: %d files, too large for the cache of %.1f GB: every epoch "
            "decodes again. Raise --config.data.cache_limit_gb, or prepare "
            "shards once (byola prepare).",
            len(corpus.paths),
            config.data.cache_limit_gb,
        )
    if corpus.skipped:
        logger.warning("%d unusable files were skipped:", len(corpus.skipped))
        for reason in list(corpus.skipped.values())[:_LISTED_FILES]:
            logger.warning("  %s", reason)
        if len(corpus.skipped) > _LISTED_FILES:
            logger.warning("  ... %d more", len(corpus.skipped) - _LISTED_FILES)


def corpus_statistics(
    corpus, config: Config, work_directory: str, strategy: tf.distribute.Strategy
) -> Statistics:
    """Loads the work directory's statistics, or computes and saves them."""
    path = os.path.join(work_directory, checkpoint.STATISTICS_FILE)
    if os.path.exists(path):
        return Statistics.load(path)
    num_crops = min(config.data.statistics_samples, len(corpus.paths))
    statistics = pipeline.compute_statistics(
        corpus.statistics_batches(num_crops), config, progress.bar
    )
    if distribution.is_chief(strategy):
        statistics.save(path)
    logger.info("Log-mel mean %.4f, std %.4f.", statistics.mean, statistics.std)
    return statistics
