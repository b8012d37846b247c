"""Audio files as a source of crops: decoded once into a block, or every time."""

import os
from collections.abc import Iterator

import numpy as np
import soundfile
import tensorflow as tf

from byola_tf import audio, files, parallel
from byola_tf.config import Config
from byola_tf.corpus import block, crops
from byola_tf.errors import UserError
from byola_tf.progress import Progress

_SAMPLED_FILES = 200


class Folder:
    """Audio files.

    Args:
        paths: the files.
    """

    def __init__(self, paths: list[str]):
        self.paths = paths

    def open(self, config: Config, cache_dir: str, progress: Progress):
        """Checks and (where it fits) caches the files; a `CropReader`."""
        rate, threads = config.frontend.sample_rate, config.data.num_decode_threads
        estimate = estimate_samples(self.paths, rate)
        if estimate * 2 > config.data.cache_limit_gb * 1e9:
            return DecodingReader(self.paths, rate, config.unit_samples, threads)
        key = files.fingerprint(self.paths, rate, config.unit_samples)

        def decoded():
            pairs = decode_all(self.paths, rate, threads)
            return progress(pairs, len(self.paths), "decoding")

        folder = os.path.join(cache_dir, key)
        return block.open_block(folder, config.unit_samples, decoded)


class DecodingReader(crops.ReplacingReader):
    """Decodes a file each time that a crop of it is read.

    Args:
        paths: the files.
        sample_rate: Hz.
        unit: length of a crop, samples.
        num_threads: threads that decode.
    """

    def __init__(self, paths, sample_rate: int, unit: int, num_threads: int):
        super().__init__(paths, unit, num_threads, is_cached=False)
        self._sample_rate = sample_rate

    def read_crop(self, index: int, position: float) -> np.ndarray:
        """See `ReplacingReader.read_crop`."""
        samples = decode(self.paths[index], self._sample_rate)
        start = crops.crop_starts(position, len(samples), self.unit)
        return samples[start : start + self.unit]


def estimate_samples(paths: list[str], sample_rate: int) -> int:
    """Estimates a corpus's length after resampling from some of its files."""
    rng = np.random.default_rng(0)
    chosen = rng.permutation(len(paths))[:_SAMPLED_FILES]
    lengths = [_estimate_samples(paths[index], sample_rate) for index in chosen]
    return int(len(paths) * np.mean(lengths)) if lengths else 0


def _estimate_samples(path: str, sample_rate: int) -> float:
    try:
        return soundfile.info(path).duration * sample_rate
    except (soundfile.SoundFileError, RuntimeError, TypeError, OSError):
        pass  # a bad file, or a remote one whose size has to do
    try:
        return tf.io.gfile.stat(path).length / 2
    except tf.errors.OpError:
        return 0.0


def decode(path: str, sample_rate: int) -> np.ndarray:
    """Reads one file as it is stored: int16 [samples], mono, at `sample_rate`.

    Raises:
        UserError: the file is unusable.
    """
    return audio.to_pcm16(audio.load(path, sample_rate))


def decode_all(paths: list[str], sample_rate: int, num_threads: int) -> Iterator:
    """Decodes files in threads.

    Args:
        paths: the files.
        sample_rate: wanted rate, Hz.
        num_threads: number of threads.

    Yields:
        (path, int16 [samples]) in order, or (path, `UserError`) for an unusable
        file.
    """

    def attempt(path):
        try:
            return path, decode(path, sample_rate)
        except UserError as error:
            return path, error

    return parallel.in_order(attempt, paths, num_threads)
