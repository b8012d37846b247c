"""Audio files as a source of crops: decoded once into a block, or every time."""

import itertools
import logging
import os
from collections.abc import Iterable, Iterator

import numpy as np
import tensorflow as tf

from byola_tf import audio, files, parallel
from byola_tf.config import Config, DataConfig
from byola_tf.corpus import block, crops, recording
from byola_tf.errors import UserError
from byola_tf.progress import Progress

_SAMPLED_FILES = 200
_HELD_SAMPLES = 1 << 22  # of a recording that waits for its turn

logger = logging.getLogger(__name__)


class Folder:
    """Audio files.

    Args:
        paths: the files.
    """

    def __init__(self, paths: list[str]):
        self.paths = paths

    def open(self, config: Config, cache_dir: str, progress: Progress):
        """Checks and (where it fits) caches the files; a `CropReader`."""
        rate, data = config.frontend.sample_rate, config.data
        if 2 * estimate_samples(self.paths, rate) <= data.cache_limit_gb * 1e9:
            try:
                return self._open_block(config, cache_dir, progress)
            except block.TooLargeError as error:
                logger.warning("%s Until then every epoch decodes again.", error)
        return DecodingReader(
            self.paths,
            rate,
            config.unit_samples,
            data.num_decode_threads,
            data.max_hours,
        )

    def _open_block(self, config: Config, cache_dir: str, progress: Progress):
        rate, data = config.frontend.sample_rate, config.data
        settings = (rate, config.unit_samples)
        if data.max_hours != DataConfig().max_hours:  # caches of before stay valid
            settings += (data.max_hours,)

        def decoded():
            pairs = decode_all(
                self.paths, rate, data.num_decode_threads, data.max_hours
            )
            return progress(pairs, len(self.paths), "decoding")

        return block.open_block(
            os.path.join(cache_dir, files.fingerprint(self.paths, *settings)),
            config.unit_samples,
            decoded,
            data.cache_limit_gb,
            data.wait_seconds,
        )


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


def estimate_samples(paths: list[str], sample_rate: int) -> int:
    """Estimates a corpus's length after resampling from some of its files."""
    rng = np.random.default_rng(0)
    chosen = rng.permutation(len(paths))[:_SAMPLED_FILES]
    lengths = [_estimate_samples(paths[index], sample_rate) for index in chosen]
    return int(len(paths) * np.mean(lengths)) if lengths else 0


def _estimate_samples(path: str, sample_rate: int) -> float:
    try:
        if "://" in path:  # reading it would take long
            return tf.io.gfile.stat(path).length / 2
        return audio.duration(path) * sample_rate
    except (audio.AudioError, tf.errors.OpError):
        return 0.0  # a bad file


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

    def attempt(path):
        try:
            held, rest = recording.begin(path, sample_rate, max_hours, _HELD_SAMPLES)
        except UserError as error:
            return path, error
        return path, [held] if rest is None else itertools.chain([held], rest)

    return parallel.in_order(attempt, paths, num_threads)
