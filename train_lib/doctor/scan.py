"""Measures all files of a corpus, some at a time."""

import collections
import concurrent.futures
from collections.abc import Callable, Iterator, Sequence

from byola_tf.corpus import corpus
from train_lib.doctor import measurement
from train_lib.doctor.measurement import Measurement

_AHEAD = 64  # files a worker may be ahead of a slow one


def scan(
    paths: Sequence[str],
    num_workers: int,
    progress: Callable = corpus.no_progress,
) -> list[Measurement]:
    """Measures files in threads: decoding and hashing release the GIL.

    Args:
        paths: the files.
        num_workers: number of threads; each holds one file at a time.
        progress: called with (iterable, total, description).

    Returns:
        One measurement a file, in the order of `paths`.
    """
    return list(progress(_measured(paths, num_workers), len(paths), "scanning"))


def _measured(paths: Sequence[str], num_workers: int) -> Iterator[Measurement]:
    pool = concurrent.futures.ThreadPoolExecutor(num_workers)
    pending = collections.deque()
    try:
        for path in paths:
            pending.append(pool.submit(measurement.measure, path))
            if len(pending) > _AHEAD * num_workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
