"""Audio files to embeddings, as the evaluation protocol cuts and normalises them.

One crop stands for a clip, see `crops`. The model normalises its log-mels with the
statistics of the task: the plain mean and standard deviation over at most 5,000
random training crops of the first fold, used for all folds. (The reference's running
mean drops the first batch by an off-by-one; that is not copied.)

Embeddings go to disk batch by batch. With a cache they stay there, under a key
of everything that they depend on: the model's fingerprint, its front end, the
files (path, size, time of modification), the parts they are in (which decide
the statistics) and the length of a crop.
"""

import contextlib
import errno
import itertools
import os
import re
import shutil
import tempfile
from collections.abc import Callable

import numpy as np
import psutil

import byola_tf
from byola_tf import files, normalize, ownership
from byola_tf.errors import UserError
from byola_tf.frontend import log_mel_spectrogram
from byola_tf.progress import Progress, no_progress
from train_lib.probe import crops, store
from train_lib.probe.store import TaskEmbeddings
from train_lib.probe.tasks.tasks import Fold, Task

CACHE_VERSION = 2  # of crops, statistics and layout
STATISTICS_CROPS = 5000
_WAIT_SECONDS = 6 * 3600.0  # for another process that embeds the same
_TEMPORARY = "byola-embeddings-"


def embed_task(
    task: Task,
    embedder: Callable,
    unit_seconds: float,
    batch_size: int | None = None,
    progress: Progress = no_progress,
    *,
    cache: str | None = None,
    num_workers: int | None = None,
) -> TaskEmbeddings:
    """Embeds what the folds of a task need, decoding each file once.

    Args:
        task: `Task`.
        embedder: float32 [batch, samples] to [batch, d], with `sample_rate`.
            If it has `with_statistics` (and then `config.frontend`), it is set
            to the task's statistics and keeps them. Without a `fingerprint`,
            nothing is cached.
        unit_seconds: length of a crop.
        batch_size: crops embedded at a time; about 160 s of audio when None.
        progress: `Progress` over crops and files.
        cache: folder in which embeddings are looked for and kept.
        num_workers: threads that decode; the number of cores when None.

    Raises:
        UserError: too many files are broken, every crop is the same value, or
            the files are copies below the model's rate, or there is no room.
    """
    unit_samples = int(embedder.sample_rate * unit_seconds)
    if unit_samples < 1:
        raise UserError(
            "`unit_seconds` must be at least one sample long. Received: "
            f"{unit_seconds}. Use the usual length of the clips, e.g. 1.0."
        )
    _check_rate(task, embedder.sample_rate)
    reader = crops.CropReader(task, embedder.sample_rate, unit_samples, num_workers)
    batch_size = batch_size or reader.crops_per_batch

    def write(folder: str) -> None:
        _write(folder, task, embedder, reader, batch_size, progress)

    try:
        if cache and getattr(embedder, "fingerprint", None):
            key = _key(task, embedder, unit_samples)
            folder = os.path.join(os.path.abspath(cache), f"{task.name}-{key}")
            found = _cached(folder, write)
            if found.statistics:
                embedder.with_statistics(found.statistics.mean, found.statistics.std)
            return found
        temporary = _temporary_folder()
        write(temporary.name)
    except OSError as error:
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        rule = "must fit on disk" if is_full else "must be written to disk"
        raise UserError(
            f"Embeddings {rule}. Received: {error}. "
            f"{'Free some space, or choose' if is_full else 'Choose'} another folder "
            "with --cache (and TMPDIR, for --no_cache)."
        ) from error
    found = store.read(temporary.name)
    found.owner = temporary
    return found


def _cached(folder: str, write: Callable[[str], None]) -> TaskEmbeddings:
    """Reads a folder of the cache, written now if it is absent or damaged."""
    found = store.read(folder)
    if found is None:
        os.makedirs(os.path.dirname(folder), exist_ok=True)
        with ownership.owned(folder, "`--cache`", _WAIT_SECONDS):
            found = store.read(folder)  # another process may have made it meanwhile
            if found is None:
                with files.replacing_folder(folder) as temporary:
                    write(temporary)
                found = store.read(folder)
    found.folder = folder
    return found


def _temporary_folder() -> tempfile.TemporaryDirectory:
    """A folder of this process; those that killed processes left are removed."""
    parent = tempfile.gettempdir()
    for name in os.listdir(parent):
        pid = re.fullmatch(rf"{_TEMPORARY}(\d+)-.*", name)
        if pid and not psutil.pid_exists(int(pid[1])):
            shutil.rmtree(os.path.join(parent, name), ignore_errors=True)
    return tempfile.TemporaryDirectory(
        prefix=f"{_TEMPORARY}{os.getpid()}-", ignore_cleanup_errors=True
    )


def _key(task: Task, embedder, unit_samples: int) -> str:
    config = getattr(embedder, "config", None)
    return files.fingerprint(
        [task.path(row) for row in range(len(task.file_names))],
        CACHE_VERSION,
        byola_tf.__version__,
        embedder.fingerprint,
        hasattr(embedder, "with_statistics") and repr(config.frontend),
        embedder.sample_rate,
        unit_samples,
        task.column,
        task.parts,
    )


def _check_rate(task: Task, sample_rate: int) -> None:
    copied_at = task.facts.get("sample_rate")
    if copied_at and copied_at < sample_rate:
        raise UserError(
            "A task's copies must not be below the model's sampling rate. Received: "
            f"copies at {copied_at} Hz of task {task.name!r} for a model of "
            f"{sample_rate} Hz. Prepare the task with --sample_rate={sample_rate}, or "
            "without, for links to the originals."
        )


def _write(folder, task, embedder, reader, batch_size, progress) -> None:
    """Embeds a task into a folder; see `store`."""
    folds = task.folds()
    statistics = None
    if hasattr(embedder, "with_statistics"):
        statistics = _statistics(
            reader, folds[0].train, embedder.config.frontend, progress
        )
        embedder = embedder.with_statistics(statistics.mean, statistics.std)

    usable = np.unique(np.concatenate([_rows(fold) for fold in folds]))
    rows, waiting = [], []
    writer = store.EmbeddingWriter(folder)
    index = {
        view: np.full(len(task.file_names), -1) for view in ("training", "testing")
    }

    def flush():
        if waiting:
            writer.append(_embed(embedder, np.stack(waiting)))
            waiting.clear()

    with contextlib.closing(writer):
        for row, read in progress(reader.read(usable), len(usable), "embedding"):
            for crop, views in read:
                for view in views:
                    index[view][row] = len(rows)
                rows.append(row)
                waiting.append(crop)
                if len(waiting) == batch_size:
                    flush()
        flush()
    store.write_index(
        folder,
        rows=np.array(rows),
        training=index["training"],
        testing=index["testing"],
        statistics=statistics,
        skipped=reader.skipped,
    )


def _rows(fold: Fold) -> np.ndarray:
    valid = () if fold.valid is None else (fold.valid,)
    return np.concatenate([fold.train, *valid, fold.test])


def _statistics(reader, train, frontend_config, progress) -> normalize.Statistics:
    random = np.random.default_rng(crops.CROP_SEED)
    chosen = np.sort(random.permutation(train)[:STATISTICS_CROPS])
    accumulator = normalize.StatisticsAccumulator()
    read = reader.read(chosen, keep=True)
    training = (
        crop
        for _, read_crops in progress(read, len(chosen), "statistics")
        for crop, views in read_crops
        if "training" in views
    )
    # not one by one: the front end's calls take far longer than its arithmetic; and
    # not by the embedder's batch size, whose rounding would be in the statistics
    while batch := list(itertools.islice(training, reader.crops_per_batch)):
        accumulator.update(log_mel_spectrogram(np.stack(batch), frontend_config))
    return accumulator.result()


def _embed(embedder: Callable, waveform: np.ndarray) -> np.ndarray:
    embedding = np.asarray(embedder(waveform), np.float32)
    if not np.isfinite(embedding).all():
        raise UserError(
            "A model's embeddings must be finite. Received: NaN or infinity for "
            f"{int((~np.isfinite(embedding)).any(axis=1).sum())} of {len(embedding)} "
            "clips. Use an earlier checkpoint: the training may have diverged."
        )
    return embedding
