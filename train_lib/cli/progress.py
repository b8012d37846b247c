"""Progress bars that suit a terminal and a log file alike."""

import sys
from collections.abc import Iterable

from tqdm import tqdm

from train_lib.cli import streams


def bar(items: Iterable | None = None, total: int | None = None, description="", **kw):
    """A tqdm bar; outside of a terminal it prints a line every 15 seconds.

    A stderr that is closed, full or without a reader costs the bar, not the
    work.

    Args:
        items: what to iterate, or None to call `update` by hand.
        total: number of items.
        description: what is being done.
        **kw: further arguments of tqdm.
    """
    stream = sys.stderr
    if stream is None or getattr(stream, "closed", False):
        return tqdm(items, total=total, **{**kw, "disable": True})
    terminal = stream.isatty()
    options = {
        "desc": description,
        "file": streams.forgiving(stream),
        "dynamic_ncols": terminal,
        "mininterval": 0.2 if terminal else 15,
        "ascii": not terminal,
    }
    return tqdm(items, total=total, **{**options, **kw})
