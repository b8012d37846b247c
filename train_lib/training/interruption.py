"""Ctrl-C, SIGTERM and SIGHUP ask the loop to stop after its step, with a checkpoint."""

import signal
import threading

from byola_tf.errors import Stopped

# SIGHUP: the terminal was closed. Windows has none.
_ASK = [
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if hasattr(signal, name)
]


class Interrupted(Stopped):
    """The run was asked to stop and did, resumable.

    Attributes:
        signal: the signal's number.
        status: exit status, 128 + the signal's number.
    """

    def __init__(self, number: int, message: str):
        super().__init__(message)
        self.signal, self.status = number, 128 + number


class StopRequest:
    """Notes the first SIGINT, SIGTERM or SIGHUP; a second Ctrl-C acts at once.

    A context manager; outside of the main thread it notes nothing. A SIGHUP that
    the caller ignores stays ignored (nohup).

    Attributes:
        signal: number of the signal that came, or None.
    """

    def __init__(self):
        self.signal = None
        self._previous = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            for number in _ASK:
                ignored = signal.getsignal(number) == signal.SIG_IGN
                if ignored and number == getattr(signal, "SIGHUP", None):
                    continue
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_):
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number, _):
        if self.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number
