"""Audio files to embeddings, as the evaluation protocol cuts and normalises them.

One crop stands for a clip: from a random start for training and validation,
from the beginning for test; shorter clips are padded with zeros at their end.
The model normalises its log-mels with the statistics of the task: the plain
mean and standard deviation over at most 5,000 random training crops of the
first fold, used for all folds. (The reference's running mean drops the first
batch by an off-by-one; that is not copied.)
"""

import collections
import concurrent.futures
import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from byola_tf import audio, normalize
from byola_tf.errors import UserError
from byola_tf.frontend import log_mel_spectrogram
from byola_tf.waveforms import no_progress
from train_lib.probe.tasks import Fold, Task

CROP_SEED = 42
STATISTICS_CROPS = 5000
BROKEN_SHARE = 0.1
KEPT_BYTES = 512 * 2**20  # crops read for the statistics and kept for embedding
AUDIO_SECONDS_PER_BATCH = 160  # bounds memory: 1.3 GB in the v2 encoder


@dataclasses.dataclass
class TaskEmbeddings:
    """Embeddings of the crops of a task.

    Attributes:
        features: float32 [crops, d].
        rows: int [crops], the task's row of each crop.
        training: int [task rows], the crop used to train and validate; -1
            where there is none.
        testing: int [task rows], the crop used to test; likewise.
        statistics: of the task's log-mels; None if the model brings its own
            normalisation.
        skipped: reason by row, of the files that could not be used.
    """

    features: np.ndarray
    rows: np.ndarray
    training: np.ndarray
    testing: np.ndarray
    statistics: normalize.Statistics | None
    skipped: dict[int, str]

    def fold(self, fold: Fold) -> Fold:
        """Turns rows of the task into rows of `features`."""
        return Fold(
            fold.name,
            self.training[fold.train],
            None if fold.valid is None else self.training[fold.valid],
            self.testing[fold.test],
        )


def embed_task(
    task: Task,
    embedder: Callable,
    unit_seconds: float,
    batch_size: int | None = None,
    progress: Callable = no_progress,
) -> TaskEmbeddings:
    """Embeds what the folds of a task need, decoding each file once.

    Args:
        task: `Task`.
        embedder: float32 [batch, samples] to [batch, d], with `sample_rate`.
            If it has `with_statistics` (and then `config.frontend`), it is set
            to the task's statistics and keeps them.
        unit_seconds: length of a crop.
        batch_size: crops embedded at a time; about 160 s of audio when None.
        progress: called with (iterable, total, description), returns the
            iterable, e.g. wrapped in a progress bar.

    Raises:
        UserError: too many files are broken, or every crop is the same value.
    """
    folds = task.folds()
    unit_samples = int(embedder.sample_rate * unit_seconds)
    if unit_samples < 1:
        raise UserError(
            "`unit_seconds` must be at least one sample long. Received: "
            f"{unit_seconds}. Use the usual length of the clips, e.g. 1.0."
        )
    if batch_size is None:
        batch_size = int(np.clip(AUDIO_SECONDS_PER_BATCH / unit_seconds, 1, 256))
    reader = CropReader(task, embedder.sample_rate, unit_samples)
    statistics = None
    if hasattr(embedder, "with_statistics"):
        statistics = _statistics(
            reader, folds[0].train, embedder.config.frontend, progress
        )
        embedder = embedder.with_statistics(statistics.mean, statistics.std)

    usable = np.unique(np.concatenate([_rows(fold) for fold in folds]))
    rows, waiting, features = [], [], []
    index = {
        view: np.full(len(task.file_names), -1) for view in ("training", "testing")
    }

    def flush():
        if waiting:
            features.append(_embed(embedder, np.stack(waiting)))
            waiting.clear()

    for row, crops in progress(reader.read(usable), len(usable), "embedding"):
        for crop, views in crops:
            for view in views:
                index[view][row] = len(rows)
            rows.append(row)
            waiting.append(crop)
            if len(waiting) == batch_size:
                flush()
    flush()
    return TaskEmbeddings(
        features=np.concatenate(features),
        rows=np.array(rows),
        training=index["training"],
        testing=index["testing"],
        statistics=statistics,
        skipped=reader.skipped,
    )


class CropReader:
    """Reads the crops of a task's files, each file once.

    Attributes:
        skipped: reason by row, of the files that could not be used so far.
    """

    def __init__(self, task: Task, sample_rate: int, unit_samples: int):
        self._task = task
        self._sample_rate = sample_rate
        self._unit_samples = unit_samples
        self._kept: dict[int, list] = {}
        self._kept_bytes = 0
        self.skipped: dict[int, str] = {}

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
        pending = collections.deque()
        num_threads = os.cpu_count() or 1
        with concurrent.futures.ThreadPoolExecutor(num_threads) as pool:
            for row in rows:
                pending.append((row, pool.submit(self._crops, row)))
                if len(pending) > 4 * num_threads:
                    yield self._finish(*pending.popleft(), keep)
            while pending:
                yield self._finish(*pending.popleft(), keep)

    def _finish(self, row: int, future, keep: bool) -> tuple:
        crops = future.result()
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
    """Copies `unit_samples` from `start`, padded with zeros at the end."""
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
    for _, crops in progress(read, len(chosen), "statistics"):
        for crop, views in crops:
            if "training" in views:
                accumulator.update(log_mel_spectrogram(crop[None], frontend_config))
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
