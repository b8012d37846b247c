"""Audio files as a source of crops: decoded once into a block, or every time."""

import logging
import os
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from byola_tf import audio, files
from byola_tf.config import Config, DataConfig
from byola_tf.corpus import block, graph_decoding, soundfile_decoding
from byola_tf.progress import Progress

_SAMPLED_FILES = 200

logger = logging.getLogger(__name__)


class Folder:
    """Audio files.

    Args:
        paths: the files.
        left_out: see `CorpusSource`.
    """

    def __init__(self, paths: list[str], left_out: str = ""):
        self.paths = paths
        self.left_out = left_out

    def open(self, config: Config, cache_dir: str, progress: Progress):
        """Checks and (where it fits) caches the files; a `CropReader`."""
        rate, data = config.frontend.sample_rate, config.data
        if 2 * estimate_samples(self.paths, rate) <= data.cache_limit_gb * 1e9:
            try:
                return self._open_block(config, cache_dir, progress)
            except block.TooLargeError as error:
                logger.warning("%s Until then every epoch decodes again.", error)
        in_graph = graph_decoding.is_wanted(data.decoder, self.paths, rate)
        reader = (
            graph_decoding.GraphReader
            if in_graph
            else soundfile_decoding.DecodingReader
        )
        return reader(
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
            decode = decoder(data.decoder, self.paths, rate)
            pairs = decode(self.paths, rate, data.num_decode_threads, data.max_hours)
            return progress(pairs, len(self.paths), "decoding")

        return block.open_block(
            os.path.join(cache_dir, files.fingerprint(self.paths, *settings)),
            config.unit_samples,
            decoded,
            data.cache_limit_gb,
            data.wait_seconds,
        )


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


def decoder(name: str, paths: list[str], sample_rate: int) -> Callable:
    """What decodes all of a folder's files once.

    Measured, the graph gains nothing there (see `config.data.decoder`): it is used
    where it is asked for by name.

    Args:
        name: see `config.data.decoder`.
        paths: the files.
        sample_rate: wanted rate, Hz.

    Raises:
        UserError: tensorflow-io is asked for, but does not load.
    """
    if name != "auto" and graph_decoding.is_wanted(name, paths, sample_rate):
        return graph_decoding.decode_all
    return soundfile_decoding.decode_all
