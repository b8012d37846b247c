"""A function over many items, in threads."""

import concurrent.futures
import itertools
from collections.abc import Callable, Iterable, Iterator


def in_order(function: Callable, items: Iterable, num_threads: int) -> Iterator:
    """Yields `function(item)` of every item, in order.

    Args:
        function: releases the interpreter lock where it takes long.
        items: read a few at a time, so that few results wait.
        num_threads: number of threads.
    """
    items = iter(items)
    with concurrent.futures.ThreadPoolExecutor(num_threads) as pool:
        while window := list(itertools.islice(items, 4 * num_threads)):
            yield from pool.map(function, window)
