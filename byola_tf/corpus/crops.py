"""Unit crops of recordings: what a corpus needs of the place it is kept in."""

import concurrent.futures
import logging
from collections.abc import Iterator

import numpy as np

from byola_tf.errors import UserError

_TOLD = 10  # skipped recordings that are named
_ATTEMPTS = 50  # stand-ins tried for one crop before the corpus is given up

logger = logging.getLogger(__name__)


class CropReader:
    """Reads unit crops of recordings.

    Attributes:
        paths: the recordings; their order decides a run's.
        skipped: path -> reason of the recordings left out so far.
        num_samples: total length after resampling, 0 when unknown.
        is_cached: whether a crop is read without decoding a whole file.
    """

    def __init__(self, paths: list[str], is_cached: bool):
        self.paths = paths
        self.skipped: dict[str, str] = {}
        self.num_samples = 0
        self.is_cached = is_cached

    def read_crops(self, chosen, positions) -> np.ndarray:
        """Reads a crop each of some recordings.

        Args:
            chosen: int [crops], indices into `paths`.
            positions: float64 [crops] in [0, 1), where in its recording each
                crop lies; see `crop_starts`.

        Returns:
            int16 [crops, unit]; a recording shorter than a unit is followed by
            zeros.
        """
        raise NotImplementedError


class ReplacingReader(CropReader):
    """Reads crop by crop; another recording stands in for a bad one.

    Which one follows from the bad one's index alone: the same in every run.

    Args:
        paths: the recordings.
        unit: length of a crop, samples.
        num_threads: threads that read a batch.
        is_cached: see `CropReader`.
    """

    def __init__(self, paths, unit: int, num_threads: int, is_cached: bool):
        super().__init__(paths, is_cached)
        self.unit = unit
        self._num_threads = num_threads
        self._num_told = 0
        self._pool = concurrent.futures.ThreadPoolExecutor(num_threads)

    def read_crop(self, index: int, position: float) -> np.ndarray:
        """Reads one crop, int16 [≤ unit].

        Raises:
            UserError: the recording is unusable.
        """
        raise NotImplementedError

    def read_crops(self, chosen, positions) -> np.ndarray:
        batch = np.zeros([len(chosen), self.unit], np.int16)

        def fill(rows):
            for row in rows:
                crop = self._replacing(int(chosen[row]), positions[row])
                batch[row, : len(crop)] = crop

        # a task a thread, not a task a crop: a crop may take microseconds
        parts = np.array_split(np.arange(len(chosen)), self._num_threads)
        list(self._pool.map(fill, parts))
        return batch

    def _replacing(self, index: int, position: float) -> np.ndarray:
        for candidate in self._candidates(index):
            try:
                return self.read_crop(candidate, position)
            except UserError as error:
                self._skip(self.paths[candidate], str(error))
                last = error
        raise last

    def _skip(self, path: str, reason: str) -> None:
        """Notes a bad recording; the first ones are said when they are met."""
        if path in self.skipped:
            return
        self.skipped[path] = reason
        self._num_told += 1
        if self._num_told <= _TOLD:
            logger.warning("Skipped: %s", reason)
        if self._num_told == _TOLD:
            logger.warning("Skipped files are counted from here on, not listed.")

    def _candidates(self, index: int) -> Iterator[int]:
        yield index
        rng = np.random.default_rng(index)
        for _ in range(_ATTEMPTS):
            yield int(rng.integers(len(self.paths)))


def crop_starts(positions, lengths, unit: int):
    """First samples of crops.

    Args:
        positions: float64 in [0, 1), 0 the first possible crop.
        lengths: int, samples in each recording.
        unit: length of a crop, samples.

    Returns:
        int64, shaped as the arguments; 0 where a recording is no longer than a
        crop.
    """
    room = np.maximum(lengths - unit, 0) + 1
    return (positions * room).astype(np.int64)
