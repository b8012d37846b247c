"""A corpus of recordings as random unit crops, a pure function of the step.

The crops of step n follow from (seed, n) and the list of recordings alone,
wherever these are kept: a run resumes anywhere, and a folder, its cache and
its shards train to the same losses.
"""

import functools
import logging
import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from byola_tf import audio
from byola_tf.config import Config
from byola_tf.corpus import (
    crops,
    exclusion,
    folder,
    graph_decoding,
    service,
    shard_format,
    shards,
    tfds,
)
from byola_tf.corpus.source import CorpusSource
from byola_tf.errors import UserError
from byola_tf.progress import Progress, no_progress

logger = logging.getLogger(__name__)


class Corpus:
    """Random unit crops of recordings.

    Args:
        config: `Config`.
        reader: `crops.CropReader`.
        part: (index, count): of every `count` recordings the `index`th; each
            part has the same number.
        left_out: see `CorpusSource`.

    Attributes:
        wait_seconds: how long a batch may take; infinite for files, which may be
            slow but are there.
    """

    def __init__(
        self,
        config: Config,
        reader: crops.CropReader,
        part: tuple[int, int] = (0, 1),
        left_out: str = "",
    ):
        self._seed = config.seed
        self._batch_size = config.train.batch_size
        self._unit_samples = config.unit_samples
        self._num_segments = config.data.num_segments
        self._reader = reader
        self._index, self._count = part
        self._name = config.data.tfds or config.data.pattern
        self.left_out = left_out
        self.wait_seconds = math.inf

    @property
    def paths(self) -> list[str]:
        """The usable recordings."""
        return self._reader.paths

    @property
    def skipped(self) -> dict[str, str]:
        """Path -> reason of the recordings left out so far."""
        return self._reader.skipped

    @property
    def num_samples(self) -> int:
        """Total length after resampling, 0 when unknown."""
        return self._reader.num_samples

    @property
    def is_cached(self) -> bool:
        """Whether crops are read without decoding whole files."""
        return self._reader.is_cached

    def describe_source(self) -> str:
        """Who is waited for while a batch does not come, in words."""
        return f"the recordings of {self._name!r}"

    @property
    def steps_per_epoch(self) -> int:
        """Full batches in one pass over this part of the recordings."""
        return len(self.paths) // self._count // self._batch_size

    def batches(self, first_step: int = 0) -> tf.data.Dataset:
        """Endless training batches from step `first_step` on.

        Returns:
            data set of int16 [batch_size, num_segments * unit_samples].
        """
        steps = tf.data.Dataset.counter(first_step)
        return self._read(steps, self._draw, self._batch_size, self._num_segments)

    def statistics_batches(self, num_crops: int) -> tf.data.Dataset:
        """One random crop each of up to `num_crops` random recordings.

        Returns:
            data set of int16 [≤ batch_size, unit_samples].
        """
        rng = np.random.default_rng([self._seed, 1])
        chosen = rng.permutation(len(self.paths))[:num_crops]
        positions = rng.random(len(chosen))

        def draw(step):
            part = slice(step * self._batch_size, (step + 1) * self._batch_size)
            return chosen[part], positions[part]

        steps = tf.data.Dataset.range(-(-len(chosen) // self._batch_size))
        return self._read(steps, draw, self._batch_size, 1)

    def crops(self, step: int, count: int | None = None) -> np.ndarray:
        """The batch of one step: the crops of a recording side by side.

        Args:
            step: of the run, from 0.
            count: how many of the batch's first recordings are read; all by default.

        Returns:
            int16 [batch_size, num_segments * unit_samples].
        """
        chosen, positions = self._draw(int(step))
        if count is not None:
            chosen = chosen[: count * self._num_segments]
            positions = positions[: len(chosen)]
        batch = self._reader.read_crops(chosen, positions)
        return batch.reshape(-1, self._num_segments * self._unit_samples)

    def _draw(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """What a step reads: recordings and positions; see `CropReader.read_crops`."""
        epoch, step_of_epoch = divmod(int(step), self.steps_per_epoch)
        first = step_of_epoch * self._batch_size
        chosen = self._permutation(epoch)[first : first + self._batch_size]
        rng = np.random.default_rng([self._seed, 2, step])
        positions = rng.random(self._num_segments * len(chosen))
        return np.repeat(chosen, self._num_segments), positions

    def _read(
        self, steps: tf.data.Dataset, draw: Callable, batch_size: int, segments: int
    ) -> tf.data.Dataset:
        """int16 [≤ batch_size, segments * unit_samples] of each step.

        Args:
            steps: data set of int64.
            draw: function of a step; see `_draw`.
            batch_size: recordings a step.
            segments: crops of a recording.
        """
        width = segments * self._unit_samples
        if isinstance(self._reader, graph_decoding.GraphReader):
            crops = self._reader.read_in_graph(steps, draw, batch_size * segments)
            return crops.map(lambda batch: tf.reshape(batch, [-1, width]))

        def read(step):
            return self._reader.read_crops(*draw(step)).reshape(-1, width)

        def batch_of(step):
            # declared stateless: it is a pure function of the step
            batch = tf.numpy_function(read, [step], tf.int16, stateful=False)
            return tf.ensure_shape(batch, [None, width])

        return steps.map(batch_of, num_parallel_calls=2, deterministic=True)

    @functools.lru_cache(maxsize=2)  # noqa: B019 - the corpus lives as long as the run
    def _permutation(self, epoch: int) -> np.ndarray:
        rng = np.random.default_rng([self._seed, 0, epoch])
        chosen = rng.permutation(len(self.paths) // self._count)
        return chosen * self._count + self._index


class ServiceCorpus(Corpus):
    """A corpus whose batches come from the workers of a tf.data service.

    Statistics and single batches are read here, as in any corpus.

    Args:
        config: `Config`.
        reader: `crops.CropReader` of the shards.
        source: `shards.Shards`.
    """

    def __init__(self, config: Config, reader: crops.CropReader, source):
        super().__init__(config, reader)
        self._config, self._source = config, source
        self.wait_seconds = config.data.wait_seconds

    def describe_source(self) -> str:
        """See `Corpus.describe_source`."""
        return service.describe(self._config.data.service)

    def batches(self, first_step: int = 0) -> tf.data.Dataset:
        """See `Corpus.batches`; the order differs from run to run."""
        return service.make_batches(self._source, self._config, first_step)


def find_batch(config: Config) -> CorpusSource:
    """Finds the configuration's recordings, at least one batch of them.

    Raises:
        UserError: none or too few are there.
    """
    source = _source(config)
    _require_batch(config, len(source.paths), {})
    if config.data.service:
        service.require(config.data.service, config.data.wait_seconds)
    return source


def open_corpus(
    config: Config,
    source: CorpusSource,
    cache_dir: str,
    progress: Progress = no_progress,
    part: tuple[int, int] = (0, 1),
) -> Corpus:
    """Checks recordings and (where it fits) caches them.

    Args:
        config: `Config`.
        source: what `find_batch` found.
        cache_dir: folder for decoded audio.
        progress: `Progress` over the recordings that are decoded.
        part: of a worker; see `Corpus`.

    Raises:
        UserError: too few recordings are usable for one batch.
    """
    reader = source.open(config, cache_dir, progress)
    _require_batch(config, len(reader.paths) // part[1], reader.skipped)
    if not config.data.service:
        return Corpus(config, reader, part, source.left_out)
    logger.warning(
        "Batches come from the tf.data service at %s: which crop a recording gives "
        "follows from the seed, the order of batches does not, so that losses "
        "differ from run to run.",
        config.data.service,
    )
    return ServiceCorpus(config, reader, source)


def _source(config: Config) -> CorpusSource:
    if config.data.tfds and config.data.pattern:
        raise UserError(
            "Either `config.data.pattern` or `config.data.tfds` must be given. "
            f"Received: {config.data.pattern!r} and {config.data.tfds!r}."
        )
    is_shards = shard_format.is_shards(config.data.pattern)
    if config.data.service and not is_shards:
        raise UserError(
            "`config.data.service` needs shards: its workers cannot decode files. "
            f"Received: {config.data.tfds or config.data.pattern!r}. Prepare shards "
            "first (byola prepare)."
        )
    if config.data.tfds:
        return tfds.find(config)
    if is_shards:
        return shards.find(config)
    found = audio.find(config.data.pattern)
    if found.has_other_sounds:  # training takes long: say it before
        audio.log_once(found.left_out)
    chosen = exclusion.kept(found.paths, config.data.exclude)
    return folder.Folder([found.paths[index] for index in chosen], found.left_out)


def _require_batch(config: Config, usable: int, skipped: dict) -> None:
    if usable < config.train.batch_size:
        bad = f" ({len(skipped)} unusable ones left out)" if skipped else ""
        example = f" First: {next(iter(skipped.values()))}" if skipped else ""
        name = "tfds" if config.data.tfds else "pattern"
        raise UserError(
            f"`config.data.{name}` must match at least one batch of files "
            f"({config.train.batch_size}). Received: {usable} usable files{bad} "
            f"for {getattr(config.data, name)!r}. Add files or lower "
            f"--config.train.batch_size.{example}"
        )
