"""A corpus of files as random unit crops, a pure function of the step.

Files are decoded once into one block of 16-bit samples that is mapped into
memory; where that would be too large, each step decodes its own files. The
crops of step n follow from (seed, n) alone, so a run resumes anywhere.
"""

import concurrent.futures
import functools
import hashlib
import json
import os
from collections.abc import Callable, Iterable

import numpy as np
import soundfile
import tensorflow as tf

from byola_tf import audio, files
from byola_tf.config import Config
from byola_tf.errors import UserError

_SAMPLED_HEADERS = 200
_REPLACEMENTS = 20  # bad files in a row that a step replaces by others


def no_progress(items: Iterable, total: int, description: str) -> Iterable:
    """The default progress bar: none."""
    del total, description
    return items


class Corpus:
    """Random unit crops of a list of audio files.

    Attributes:
        paths: the usable files.
        skipped: path -> reason of the files left out so far.
        num_samples: total length after resampling, 0 when not cached.
        is_cached: whether crops come from the cache.
    """

    def __init__(self, config: Config, paths: list[str], read_crops: Callable):
        self._seed = config.seed
        self._batch_size = config.train.batch_size
        self._unit_samples = config.unit_samples
        self._read_crops = read_crops
        self.paths = paths
        self.skipped: dict[str, str] = {}
        self.num_samples = 0
        self.is_cached = False

    @property
    def steps_per_epoch(self) -> int:
        """Full batches in one pass over the files."""
        return len(self.paths) // self._batch_size

    def batches(self, first_step: int = 0) -> tf.data.Dataset:
        """Endless training batches from step `first_step` on.

        Returns:
            data set of int16 [batch_size, unit_samples].
        """
        return self._dataset(tf.data.Dataset.counter(first_step), self.crops)

    def statistics_batches(self, num_crops: int) -> tf.data.Dataset:
        """One random crop each of up to `num_crops` random files.

        Returns:
            data set of int16 [≤ batch_size, unit_samples].
        """
        rng = np.random.default_rng([self._seed, 1])
        chosen = rng.permutation(len(self.paths))[:num_crops]
        positions = rng.random(len(chosen))

        def crops(step):
            part = slice(step * self._batch_size, (step + 1) * self._batch_size)
            return self._read_crops(chosen[part], positions[part])

        steps = -(-len(chosen) // self._batch_size)
        return self._dataset(tf.data.Dataset.range(steps), crops)

    def crops(self, step: int) -> np.ndarray:
        """The batch of one step, int16 [batch_size, unit_samples]."""
        epoch, step_of_epoch = divmod(int(step), self.steps_per_epoch)
        first = step_of_epoch * self._batch_size
        chosen = self._permutation(epoch)[first : first + self._batch_size]
        positions = np.random.default_rng([self._seed, 2, step]).random(len(chosen))
        return self._read_crops(chosen, positions)

    @functools.lru_cache(maxsize=2)  # noqa: B019 - the corpus lives as long as the run
    def _permutation(self, epoch: int) -> np.ndarray:
        rng = np.random.default_rng([self._seed, 0, epoch])
        return rng.permutation(len(self.paths))

    def _dataset(self, steps, crops: Callable) -> tf.data.Dataset:
        def read(step):
            # declared stateless: it is a pure function of the step
            batch = tf.numpy_function(crops, [step], tf.int16, stateful=False)
            return tf.ensure_shape(batch, [None, self._unit_samples])

        return steps.map(read, num_parallel_calls=2, deterministic=True)


def find_batch(config: Config) -> list[str]:
    """Lists the configuration's audio files, at least one batch of them.

    Raises:
        UserError: none or too few match `config.data.pattern`.
    """
    paths = audio.find_files(config.data.pattern)
    _require_batch(config, len(paths), {})
    return paths


def open_corpus(
    config: Config,
    paths: list[str],
    cache_dir: str,
    progress: Callable = no_progress,
) -> Corpus:
    """Checks and (where it fits) caches audio files.

    Args:
        config: `Config`.
        paths: the files; see `find_batch`.
        cache_dir: folder for decoded audio.
        progress: called with (iterable, total, description), returns the
            iterable, e.g. wrapped in a progress bar.

    Raises:
        UserError: too few files are usable for one batch.
    """
    estimate = estimate_samples(paths, config.frontend.sample_rate)
    if estimate * 2 > config.data.cache_limit_gb * 1e9:
        return _uncached_corpus(config, paths)
    return _cached_corpus(config, paths, cache_dir, progress)


def estimate_samples(paths: list[str], sample_rate: int) -> int:
    """Estimates a corpus's length after resampling from some files' headers."""
    rng = np.random.default_rng(0)
    chosen = rng.permutation(len(paths))[:_SAMPLED_HEADERS]
    lengths = []
    for index in chosen:
        try:
            info = soundfile.info(paths[index])
            lengths.append(info.duration * sample_rate)
        except (soundfile.SoundFileError, RuntimeError, TypeError, OSError):
            continue  # a bad or remote file: the decoder will say so
    return int(len(paths) * np.mean(lengths)) if lengths else 0


def _require_batch(config: Config, usable: int, skipped: dict) -> None:
    if usable < config.train.batch_size:
        bad = f" ({len(skipped)} unusable ones left out)" if skipped else ""
        example = f" First: {next(iter(skipped.values()))}" if skipped else ""
        raise UserError(
            "`config.data.pattern` must match at least one batch of files "
            f"({config.train.batch_size}). Received: {usable} usable files{bad} "
            f"for {config.data.pattern!r}. Add files or lower "
            f"--config.train.batch_size.{example}"
        )


def _cached_corpus(config, paths, cache_dir, progress) -> Corpus:
    folder = os.path.join(cache_dir, _cache_key(config, paths))
    if not os.path.isdir(folder):
        with files.replacing_folder(folder) as temporary:
            _fill_cache(config, paths, temporary, progress)
    with open(os.path.join(folder, "index.json")) as file:
        index = json.load(file)
    unit = config.unit_samples
    offsets = np.cumsum([0, *index["stored"]])  # [files + 1]
    lengths = np.array(index["stored"])
    _require_batch(config, len(lengths), index["skipped"])
    block = np.memmap(os.path.join(folder, "samples.int16"), np.int16, mode="r")
    windows = np.lib.stride_tricks.sliding_window_view(block, unit)

    def read_crops(chosen, positions):
        room = lengths[chosen] - unit + 1
        starts = (positions * room).astype(np.int64)
        return windows[offsets[chosen] + starts]

    corpus = Corpus(config, index["paths"], read_crops)
    corpus.skipped.update(index["skipped"])
    corpus.num_samples = index["num_samples"]
    corpus.is_cached = True
    return corpus


def _cache_key(config: Config, paths: list[str]) -> str:
    """Changes when any file, the rate or the crop length does."""
    digest = hashlib.sha256()
    digest.update(f"1 {config.frontend.sample_rate} {config.unit_samples}\n".encode())
    for path in paths:
        status = tf.io.gfile.stat(path)
        digest.update(f"{path} {status.length} {status.mtime_nsec}\n".encode())
    return digest.hexdigest()[:16]


def _fill_cache(config, paths, folder, progress) -> None:
    """Writes samples.int16 (clips of at least one unit) and index.json."""
    unit = config.unit_samples
    index = {"paths": [], "stored": [], "num_samples": 0, "skipped": {}}
    decoded = _decode_all(config, paths)
    with open(os.path.join(folder, "samples.int16"), "wb") as file:
        for path, result in zip(
            paths, progress(decoded, len(paths), "decoding"), strict=True
        ):
            if isinstance(result, UserError):
                index["skipped"][path] = str(result)
                continue
            index["num_samples"] += len(result)
            stored = np.pad(result, (0, max(0, unit - len(result))))
            stored.tofile(file)
            index["paths"].append(path)
            index["stored"].append(len(stored))
    _require_batch(config, len(index["paths"]), index["skipped"])
    with open(os.path.join(folder, "index.json"), "w") as file:
        json.dump(index, file)


def _decode_all(config, paths):
    """Yields int16 [samples] or a `UserError` a file, in order."""
    threads = config.data.num_decode_threads
    decode = functools.partial(_decode, sample_rate=config.frontend.sample_rate)
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        window = 4 * threads  # bounds the decoded audio that waits to be written
        for first in range(0, len(paths), window):
            yield from pool.map(decode, paths[first : first + window])


def _decode(path: str, sample_rate: int):
    try:
        return audio.to_pcm16(audio.load(path, sample_rate))
    except UserError as error:
        return error


def _uncached_corpus(config, paths) -> Corpus:
    unit = config.unit_samples
    pool = concurrent.futures.ThreadPoolExecutor(config.data.num_decode_threads)

    def read_crop(index, position):
        for attempt in range(_REPLACEMENTS):
            path = paths[(index + attempt) % len(paths)]
            samples = _decode(path, config.frontend.sample_rate)
            if not isinstance(samples, UserError):
                break
            corpus.skipped[path] = str(samples)
        else:
            raise samples
        start = int(position * max(1, len(samples) - unit + 1))
        crop = samples[start : start + unit]
        return np.pad(crop, (0, unit - len(crop)))

    def read_crops(chosen, positions):
        return np.stack(list(pool.map(read_crop, chosen, positions)))

    corpus = Corpus(config, paths, read_crops)
    return corpus
