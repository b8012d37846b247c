"""What tensorflow-io gains over libsndfile on a folder of plain WAV files."""

import itertools
import os
import tempfile
import time
from collections.abc import Callable, Iterator

import numpy as np
import soundfile

from byola_tf.audio import graph
from byola_tf.config import Config, TrainConfig
from byola_tf.corpus import corpus as waveforms
from train_lib.preparation import sharding

_FILES, _SECONDS, _RATE = 512, 5, 16000
_BATCH, _NUM_BATCHES = 256, 16
_DECODERS = ("soundfile", "tensorflow_io")
_MEASURED = (
    "uncached_crops_per_s_{}",
    "uncached_samples_per_s_{}",
    "cached_files_per_s_{}",
    "prepared_files_per_s_{}",
)
ROWS = tuple(name.format(decoder) for decoder in _DECODERS for name in _MEASURED)


def rates(pipeline_rate: Callable) -> Iterator[tuple[str, float]]:
    """Yields (row, number); the rows of tensorflow-io only where it loads.

    Whole batches are decoded, from 16-bit clips of 5 s at 16 kHz in the page cache: as
    crops alone, through to views, into the cache, into shards.

    Args:
        pipeline_rate: function of (batches, `Config`) that returns crops a second from
            batches to views.
    """
    with tempfile.TemporaryDirectory() as folder:
        sounds = os.path.join(folder, "sounds")
        os.mkdir(sounds)
        rng = np.random.default_rng(0)
        for number in range(_FILES):
            sound = rng.normal(0, 0.1, _SECONDS * _RATE)
            path = os.path.join(sounds, f"{number:04d}.wav")
            soundfile.write(path, sound, _RATE, "PCM_16")
        for decoder in _DECODERS[: 2 if graph.wav_decoder() else 1]:
            values = _rates_of(decoder, sounds, folder, pipeline_rate)
            for name, value in zip(_MEASURED, values, strict=True):
                yield name.format(decoder), value


def _rates_of(decoder: str, sounds: str, folder: str, pipeline_rate) -> Iterator[float]:
    config = Config(train=TrainConfig(batch_size=_BATCH))
    config.data.pattern, config.data.decoder = sounds, decoder
    source = waveforms.find_batch(config)
    config.data.cache_limit_gb = 0.0
    uncached = waveforms.open_corpus(config, source, "")
    batches = iter(uncached.batches())
    next(batches)
    start = time.perf_counter()
    for _ in itertools.islice(batches, _NUM_BATCHES):
        pass
    yield _NUM_BATCHES * _BATCH / (time.perf_counter() - start)
    yield pipeline_rate(uncached.batches, config)
    config.data.cache_limit_gb = 20.0
    start = time.perf_counter()
    waveforms.open_corpus(config, source, os.path.join(folder, decoder))
    yield _FILES / (time.perf_counter() - start)
    layout = sharding.make_layout(_RATE, 10.0, 1.0, "pcm")
    output = os.path.join(folder, f"shards_{decoder}")
    start = time.perf_counter()
    sharding.prepare(sounds, output, layout, 8, os.cpu_count(), decoder=decoder)
    yield _FILES / (time.perf_counter() - start)
