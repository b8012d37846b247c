"""Audio files decoded by libsndfile: all of them once, or each time that it is read."""

import itertools
from collections.abc import Iterable, Iterator

import numpy as np

from byola_tf import parallel
from byola_tf.config import DataConfig
from byola_tf.corpus import crops, recording
from byola_tf.errors import UserError

_HELD_SAMPLES = 1 << 22  # of a recording that waits for its turn


class DecodingReader(crops.ReplacingReader):
    """Decodes a file each time that a crop of it is read.

    Args:
        paths: the files.
        sample_rate: Hz.
        unit: length of a crop, samples.
        num_threads: threads that decode.
        max_hours: longest recording that is read.
    """

    def __init__(
        self, paths, sample_rate: int, unit: int, num_threads: int, max_hours: float
    ):
        super().__init__(paths, unit, num_threads, is_cached=False)
        self._settings = sample_rate, max_hours
        self._lengths = {}  # path -> samples, of long recordings

    def read_crop(self, index: int, position: float) -> np.ndarray:
        """See `ReplacingReader.read_crop`."""
        path = self.paths[index]
        length = self._lengths.get(path)
        if length is None:
            held, rest = recording.begin(path, *self._settings, _HELD_SAMPLES)
            if rest is None:
                start = int(crops.crop_starts(position, len(held), self.unit))
                return held[start : start + self.unit]
            length = self._lengths[path] = len(held) + sum(map(len, rest))
        start = int(crops.crop_starts(position, length, self.unit))
        return recording.span(path, *self._settings, start, self.unit)


def decode_all(
    paths: list[str],
    sample_rate: int,
    num_threads: int,
    max_hours: float = DataConfig.max_hours,
) -> Iterator[tuple[str, Iterable[np.ndarray] | UserError]]:
    """Decodes files in threads, long ones block by block.

    Args:
        paths: the files.
        sample_rate: wanted rate, Hz.
        num_threads: number of threads.
        max_hours: longest recording that is read.

    Yields:
        (path, parts) in order, where `parts` is an iterable of int16 [samples] that
        may raise a `UserError`; or (path, `UserError`) for an unusable file.
    """

    return parallel.in_order(
        lambda path: (path, attempt(path, sample_rate, max_hours)), paths, num_threads
    )


def attempt(
    path: str, sample_rate: int, max_hours: float
) -> Iterable[np.ndarray] | UserError:
    """Decodes the beginning of a file, the rest when it is asked for.

    Returns:
        int16 [samples] in parts; or the `UserError`.
    """
    try:
        held, rest = recording.begin(path, sample_rate, max_hours, _HELD_SAMPLES)
    except UserError as error:
        return error
    return [held] if rest is None else itertools.chain([held], rest)
