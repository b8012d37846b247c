"""How a long function tells how far it is: one kind of callable."""

from collections.abc import Iterable
from typing import Protocol


class Progress(Protocol):
    """Wraps what a function iterates over, e.g. in a progress bar."""

    def __call__(self, items: Iterable, total: int, description: str) -> Iterable:
        """Returns the same items.

        Args:
            items: what is iterated over.
            total: number of items.
            description: what is being done, e.g. "decoding".
        """


def no_progress(items: Iterable, total: int, description: str) -> Iterable:
    """A `Progress` that tells nothing."""
    del total, description
    return items
