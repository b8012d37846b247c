"""Ctrl-C and SIGTERM ask the loop to stop after its step, with a checkpoint."""

import signal
import threading


class Interrupted(RuntimeError):
    """The run was asked to stop and did, resumable.

    Attributes:
        signal: the signal's number.
    """

    def __init__(self, number: int, message: str):
        super().__init__(message)
        self.signal = number


class StopRequest:
    """Notes the first SIGINT or SIGTERM; a second Ctrl-C acts at once.

    A context manager; outside of the main thread it notes nothing.

    Attributes:
        signal: number of the signal that came, or None.
    """

    def __init__(self):
        self.signal = None
        self._previous = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_):
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number, _):
        if self.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number
