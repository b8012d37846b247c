"""Programs of this package in processes of their own."""

import os
import pathlib
import sys


def command(module: str, *arguments: str) -> list[str]:
    """The command line of a module that has a main part."""
    return [sys.executable, "-m", module, *arguments]


def environment() -> dict[str, str]:
    """Variables with which a child process finds this package."""
    root = str(pathlib.Path(__file__).resolve().parents[1])
    search = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(search)}
