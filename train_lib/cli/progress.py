"""Progress bars that suit a terminal and a log file alike."""

import sys
from collections.abc import Iterable

from tqdm import tqdm


def bar(items: Iterable | None = None, total: int | None = None, description="", **kw):
    """A tqdm bar; outside of a terminal it prints a line every 15 seconds.

    Args:
        items: what to iterate, or None to call `update` by hand.
        total: number of items.
        description: what is being done.
        **kw: further arguments of tqdm.
    """
    terminal = sys.stderr.isatty()
    return tqdm(
        items,
        total=total,
        desc=description,
        dynamic_ncols=terminal,
        mininterval=0.2 if terminal else 15,
        ascii=not terminal,
        **kw,
    )
