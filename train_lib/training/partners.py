"""The other workers of a multi-worker job: waited for with a word, missed with another.

TensorFlow waits for them inside C++, in silence and up to an hour, and does not hear
Ctrl-C there.
"""

import contextlib
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence

from byola_tf.errors import Stopped

_SILENT_SECONDS = 10.0
_CONNECT_SECONDS = 1.0


class PartnerLost(Stopped):
    """Another worker has ended, so that this one cannot go on."""

    status = 2
    heading = "stopped: "

    def __init__(self, step: int, error: Exception):
        reason = str(error).strip().splitlines()[0][:200]
        super().__init__(
            f"a worker of the job has ended or cannot be reached any more, at step "
            f"{step}. The first worker has saved what is done. Start all workers "
            f"again with the same command to go on. TensorFlow says: {reason}"
        )


def end_quietly() -> None:
    """Silences what TensorFlow's threads complain of while a process ends.

    After a partner is lost its collective operations stay unfinished, and their
    clean-up at the interpreter's end prints tracebacks that tell a user nothing.
    """
    sys.unraisablehook = lambda _: None


@contextlib.contextmanager
def waited_for(
    workers: Sequence[str], index: int, wait_seconds: float
) -> Iterator[None]:
    """Says who is waited for after ten seconds, and ends the process after a limit.

    Args:
        workers: "host:port" of all workers.
        index: of this one.
        wait_seconds: limit of the wait inside the block.
    """
    done, wake = os.pipe()
    previous = None
    if threading.current_thread() is threading.main_thread():
        os.set_blocking(wake, False)
        # the number of a signal comes here even while C++ holds the main thread
        previous = signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    watch = threading.Thread(
        target=_watch, args=(done, list(workers), index, wait_seconds), daemon=True
    )
    watch.start()
    try:
        yield
    finally:
        if previous is not None:
            signal.set_wakeup_fd(previous)
        os.write(wake, b"\0")
        watch.join()
        os.close(wake)
        os.close(done)


def _watch(done: int, workers: list[str], index: int, wait_seconds: float) -> None:
    started, is_told = time.monotonic(), False
    while True:
        if select.select([done], [], [], 0.2)[0]:
            number = os.read(done, 1)[0]
            if number == signal.SIGINT:
                _end(f"Stopped by Ctrl-C while waiting for {_missing(workers, index)}.")
            if number == 0:
                return
        waited = time.monotonic() - started
        if waited >= wait_seconds:
            _end(
                f"error: All workers of the job must start within {wait_seconds:g} s "
                f"(--config.train.wait_seconds). Received: nothing from "
                f"{_missing(workers, index)}. Start them, or correct TF_CONFIG.",
                status=2,
            )
        if waited >= min(_SILENT_SECONDS, wait_seconds / 2) and not is_told:
            is_told = True
            missing = _missing(workers, index)
            print(f"Waiting for {missing} ...", file=sys.stderr, flush=True)


def _end(message: str, status: int = 130) -> None:
    """Ends a process whose main thread may never come back from C++."""
    with contextlib.suppress(OSError, ValueError):
        print(message, file=sys.stderr, flush=True)
    os._exit(status)


def _missing(workers: list[str], index: int) -> str:
    """The workers that do not listen, in words."""
    missing = [
        f"worker {number} ({address})"
        for number, address in enumerate(workers)
        if number != index and not _listens(address)
    ]
    return ", ".join(missing) or "the other workers, which have been started"


def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with contextlib.suppress(OSError, ValueError, OverflowError):
        with socket.create_connection((host, int(port)), _CONNECT_SECONDS):
            return True
    return False
