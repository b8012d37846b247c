"""The crop of a clip that the evaluation protocol embeds.

One crop stands for a clip: from a random start for training and validation,
from the beginning for test; shorter clips are padded with zeros at their end.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from byola_tf import audio, parallel
from byola_tf.errors import UserError
from train_lib.probe.tasks.tasks import Task

CROP_SEED = 42
BROKEN_SHARE = 0.1
KEPT_BYTES = 512 * 2**20  # crops read for the statistics and kept for embedding
AUDIO_SECONDS_PER_BATCH = 160  # bounds memory: 1.3 GB in the v2 encoder
LONG_SECONDS = 600  # of a longer recording the crops alone are held


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
        starts: dict[int, list[str]] = {}

        def choose(num_samples: int) -> Iterable[int]:
            for view in _views(self._task, row):
                start = 0
                if view == "training":
                    start = random_start(num_samples, self._unit_samples, row)
                starts.setdefault(start, []).append(view)
            return starts

        path, unit = self._task.path(row), self._unit_samples
        try:
            crops = read_crops(path, self._sample_rate, unit, choose)
        except UserError as error:
            return error
        return list(zip(crops, starts.values(), strict=True))


def read_crops(
    path: str,
    sample_rate: int,
    unit_samples: int,
    starts: Callable[[int], Iterable[int]],
) -> list[np.ndarray]:
    """Reads pieces of a recording; a long one is decoded twice and never held.

    Args:
        path: see `audio.load`.
        sample_rate: Hz.
        unit_samples: length of a piece.
        starts: chooses the first samples of the pieces, for the number of
            samples in the recording.

    Returns:
        float32 [unit_samples] for each start, see `unit_crop`.

    Raises:
        AudioError: see `audio.load`.
    """
    with audio.open_blocks(path) as reader:
        if reader.num_samples > LONG_SECONDS * reader.sample_rate:
            # the whole is decoded to count, and so that damage anywhere is found
            length = sum(len(block) for block in reader.resampled(sample_rate))
            return [
                _crop_of_blocks(reader.resampled(sample_rate), start, unit_samples)
                for start in starts(length)
            ]
    waveform = audio.load(path, sample_rate)
    return [unit_crop(waveform, start, unit_samples) for start in starts(len(waveform))]


def _crop_of_blocks(
    blocks: Iterable[np.ndarray], start: int, unit_samples: int
) -> np.ndarray:
    """`unit_crop` of the recording that the blocks make; reads no further."""
    crop, end = np.zeros(unit_samples, np.float32), 0
    for block in blocks:
        position, end = end, end + len(block)
        if end > start:
            part = block[max(0, start - position) : start + unit_samples - position]
            at = max(0, position - start)
            crop[at : at + len(part)] = part
        if end >= start + unit_samples:
            break
    return crop


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
