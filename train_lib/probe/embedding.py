"""Audio files to embeddings, as the evaluation protocol cuts and normalises them.

One crop stands for a clip: from a random start for training and validation,
from the beginning for test; shorter clips are padded with zeros at their end.
The model normalises its log-mels with the statistics of the task: the plain
mean and standard deviation over at most 5,000 random training crops of the
first fold, used for all folds. (The reference's running mean drops the first
batch by an off-by-one; that is not copied.)

Embeddings go to disk batch by batch. With a cache they stay there, under a key
of everything that they depend on: the model's fingerprint, its front end, the
files (path, size, time of modification), the parts they are in (which decide
the statistics) and the length of a crop.
"""

import contextlib
import itertools
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence

import numpy as np

import byola_tf
from byola_tf import audio, files, normalize, parallel
from byola_tf.errors import UserError
from byola_tf.frontend import log_mel_spectrogram
from byola_tf.progress import Progress, no_progress
from train_lib.probe import store
from train_lib.probe.store import TaskEmbeddings
from train_lib.probe.tasks.tasks import Fold, Task

CROP_SEED = 42
CACHE_VERSION = 1  # of crops, statistics and layout
STATISTICS_CROPS = 5000
BROKEN_SHARE = 0.1
KEPT_BYTES = 512 * 2**20  # crops read for the statistics and kept for embedding
AUDIO_SECONDS_PER_BATCH = 160  # bounds memory: 1.3 GB in the v2 encoder


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
    reader = CropReader(task, embedder.sample_rate, unit_samples, num_workers)
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
        temporary = tempfile.TemporaryDirectory(
            prefix="byola-embeddings-", ignore_cleanup_errors=True
        )
        write(temporary.name)
    except OSError as error:
        raise UserError(
            f"Embeddings must fit on disk. Received: {error}. Free some space, or "
            "choose another folder with --cache (and TMPDIR, for --no_cache)."
        ) from error
    found = store.read(temporary.name)
    found.owner = temporary
    return found


def _cached(folder: str, write: Callable[[str], None]) -> TaskEmbeddings:
    """Reads a folder of the cache, written now if it is absent or damaged."""
    found = store.read(folder)
    if found is None:
        with files.replacing_folder(folder) as temporary:
            write(temporary)
        found = store.read(folder)
    found.folder = folder
    return found


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
        for row, crops in progress(reader.read(usable), len(usable), "embedding"):
            for crop, views in crops:
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


class CropReader:
    """Reads the crops of a task's files, each file once.

    Args:
        task: `Task`.
        sample_rate: Hz.
        unit_samples: length of a crop.
        num_threads: threads that decode; the number of cores when None.

    Attributes:
        skipped: reason by row, of the files that could not be used so far.
    """

    def __init__(
        self,
        task: Task,
        sample_rate: int,
        unit_samples: int,
        num_threads: int | None = None,
    ):
        self._task = task
        self._num_threads = num_threads or os.cpu_count() or 1
        self._sample_rate = sample_rate
        self._unit_samples = unit_samples
        self._kept: dict[int, list] = {}
        self._kept_bytes = 0
        self.skipped: dict[int, str] = {}

    @property
    def crops_per_batch(self) -> int:
        """As many as make `AUDIO_SECONDS_PER_BATCH`, at most 256."""
        samples = AUDIO_SECONDS_PER_BATCH * self._sample_rate
        return int(np.clip(samples // self._unit_samples, 1, 256))

    def read(self, rows: Sequence[int], keep: bool = False) -> Iterator[tuple]:
        """Yields (row, crops) for each row, without crops where a file is broken.

        A crop is float32 [unit_samples] and the views it serves, "training",
        "testing" or both.

        Args:
            rows: of the task.
            keep: whether crops stay in memory, as far as there is room, for
                the next call.

        Raises:
            UserError: more than a tenth of the task's files are broken.
        """
        decoded = parallel.in_order(
            lambda row: (row, self._crops(row)), rows, self._num_threads
        )
        for row, crops in decoded:
            yield self._finish(row, crops, keep)

    def _finish(self, row: int, crops, keep: bool) -> tuple:
        if isinstance(crops, UserError):
            self.skipped[row] = str(crops)
            self._check_skipped()
            return row, []
        size = sum(crop.nbytes for crop, _ in crops)
        if not keep:
            self._kept.pop(row, None)
        elif row not in self._kept and self._kept_bytes + size <= KEPT_BYTES:
            self._kept[row] = crops
            self._kept_bytes += size
        return row, crops

    def _check_skipped(self) -> None:
        total = len(self._task.file_names)
        if len(self.skipped) > BROKEN_SHARE * total:
            raise UserError(
                f"At most {BROKEN_SHARE:.0%} of a task's files may be broken. "
                f"Received: at least {len(self.skipped)} of {total}; the first: "
                f"{next(iter(self.skipped.values()))} Mend the files, or remove "
                "their rows."
            )

    def _crops(self, row: int) -> list | UserError:
        if row in self._kept:
            return self._kept[row]
        if row in self.skipped:
            return UserError(self.skipped[row])
        try:
            waveform = audio.load(self._task.path(row), self._sample_rate)
        except UserError as error:
            return error
        starts = {}
        for view in _views(self._task, row):
            start = 0
            if view == "training":
                start = random_start(len(waveform), self._unit_samples, row)
            starts.setdefault(start, []).append(view)
        return [
            (unit_crop(waveform, start, self._unit_samples), views)
            for start, views in starts.items()
        ]


def random_start(num_samples: int, unit_samples: int, row: int) -> int:
    """Where the training crop of a row begins; the same in every run."""
    room = num_samples - unit_samples
    if room <= 0:
        return 0
    return int(np.random.default_rng([CROP_SEED, row]).integers(room))


def unit_crop(waveform: np.ndarray, start: int, unit_samples: int) -> np.ndarray:
    """Copies a piece, padded with zeros at the end.

    Args:
        waveform: float32 [samples].
        start: first sample of the piece, 0 to `samples`.
        unit_samples: length of the piece, samples.

    Returns:
        float32 [unit_samples].
    """
    crop = waveform[start : start + unit_samples]
    return np.pad(crop, (0, unit_samples - len(crop)))


def _views(task: Task, row: int) -> tuple[str, ...]:
    if task.column == "fold":
        return "training", "testing"
    return ("testing",) if task.parts[row] == "test" else ("training",)


def _rows(fold: Fold) -> np.ndarray:
    valid = () if fold.valid is None else (fold.valid,)
    return np.concatenate([fold.train, *valid, fold.test])


def _statistics(reader, train, frontend_config, progress) -> normalize.Statistics:
    random = np.random.default_rng(CROP_SEED)
    chosen = np.sort(random.permutation(train)[:STATISTICS_CROPS])
    accumulator = normalize.StatisticsAccumulator()
    read = reader.read(chosen, keep=True)
    training = (
        crop
        for _, crops in progress(read, len(chosen), "statistics")
        for crop, views in crops
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
