"""How fast a corpus delivers crops, before any spectrogram."""

import time

from byola_tf import waveforms
from byola_tf.config import Config


def crops_per_second(config: Config, cache_dir: str = "", num_batches: int = 100):
    """Times the reading of training batches.

    Args:
        config: `Config`; its pattern may name shards or a folder.
        cache_dir: where a folder's decoded audio is kept.
        num_batches: number of batches timed, after a few to warm up.

    Returns:
        (crops a second, share of that time that one core was busy): what
        reading costs a pipeline of R crops a second is
        R / crops a second * that share, in cores.
    """
    corpus = waveforms.open_corpus(config, waveforms.find_batch(config), cache_dir)
    batches = iter(corpus.batches())
    for _ in range(min(5, num_batches)):
        next(batches)
    started, busy = time.perf_counter(), time.process_time()
    for _ in range(num_batches):
        next(batches)
    seconds = time.perf_counter() - started
    cores = (time.process_time() - busy) / seconds
    return num_batches * config.train.batch_size / seconds, cores
