"""Items of a source that may never give one, such as a service whose host has died.

TensorFlow waits inside C++, where neither Ctrl-C nor SIGTERM is heard. So the items
are fetched by a thread of their own, and the caller waits in Python: it hears
signals, says after ten seconds whom it waits for, and gives up after a limit.
"""

import logging
import math
import queue
import threading
import time
from collections.abc import Callable, Iterable

from byola_tf.errors import UserError

_SILENT_S = 10.0
_POLL_S = 0.2

logger = logging.getLogger(__name__)


class NoAnswerError(UserError):
    """The source gave nothing within its limit."""


class Fetcher:
    """An iterator over the items of a source; a context manager.

    One item is fetched for each `next`, none ahead.

    Args:
        open_items: opens the source and returns what to iterate over; runs in the
            fetching thread, since opening may wait too.
        source: says in words who is waited for; called when the wait is long.
        wait_seconds: limit of one wait; infinite for a source that is merely slow,
            such as local files.
        is_stopped: whether to stop waiting; iteration then ends.
    """

    def __init__(
        self,
        open_items: Callable[[], Iterable],
        source: Callable[[], str],
        wait_seconds: float = math.inf,
        is_stopped: Callable[[], bool] = lambda: False,
    ):
        self._source, self._wait_seconds = source, wait_seconds
        self._is_stopped = is_stopped
        self._requests = queue.SimpleQueue()
        self._answers = queue.SimpleQueue()
        # a thread that hangs in TensorFlow must not keep the process alive
        threading.Thread(
            target=_fetch,
            args=(open_items, self._requests, self._answers),
            name="fetcher",
            daemon=True,
        ).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._requests.put(False)

    def __iter__(self):
        return self

    def __next__(self):
        """The next item; ends with the source, or when `is_stopped`.

        Raises:
            NoAnswerError: none came within `wait_seconds`.
            Exception: whatever the source raised.
        """
        self._requests.put(True)
        item, error = self._wait()
        if error is not None:
            raise error
        return item

    def _wait(self) -> tuple:
        started, is_told = time.monotonic(), False
        while True:
            try:
                return self._answers.get(timeout=_POLL_S)
            except queue.Empty:
                waited = time.monotonic() - started
            if self._is_stopped():
                raise StopIteration
            if waited >= self._wait_seconds:
                raise NoAnswerError(
                    f"{self._source()} must answer within "
                    f"{self._wait_seconds:g} s (--config.data.wait_seconds). Received: "
                    "nothing. Start again what has ended, or wait longer, then run the "
                    "same command again."
                )
            if waited >= _SILENT_S and not is_told:
                is_told = True
                logger.warning("Waiting for %s ...", self._source())


def _fetch(open_items, requests, answers) -> None:
    items = None
    while requests.get():
        try:
            items = iter(open_items()) if items is None else items
            answers.put((next(items), None))
        except BaseException as error:  # the caller's to judge
            answers.put((None, error))
