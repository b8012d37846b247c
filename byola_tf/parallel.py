"""A function over many items, in threads."""

import collections
import concurrent.futures
from collections.abc import Callable, Iterable, Iterator


def in_order(
    function: Callable, items: Iterable, num_threads: int, ahead: int = 4
) -> Iterator:
    """Yields `function(item)` of every item, in order.

    A window slides over the items: while one of them takes long, the threads go
    on with those behind it, up to the window's length.

    Args:
        function: releases the interpreter lock where it takes long.
        items: read a window at a time, so that few results wait.
        num_threads: number of threads.
        ahead: length of the window, items a thread; raise it where the results
            are small and the times differ much.
    """
    pending = collections.deque()
    pool = concurrent.futures.ThreadPoolExecutor(num_threads)
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > ahead * num_threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    except GeneratorExit:
        # The garbage collector may close an abandoned iterator in any thread and in
        # the middle of `threading`, with a lock held that the end of a thread needs:
        # whoever waits for the threads there waits for ever.
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    except BaseException:
        pool.shutdown(cancel_futures=True)
        raise
    pool.shutdown()
