"""Imports code that the user named in this process, e.g. MODULE:FUNCTION."""

import importlib
import os
import sys
import types


def import_module(name: str) -> types.ModuleType:
    """Imports a module; the current folder is looked through too, but last.

    The commands do not look there otherwise (PYTHONSAFEPATH): a file beside the
    user's sounds never stands in for one of an installed package.

    Args:
        name: dotted name of the module.

    Returns:
        the module.

    Raises:
        ImportError: there is none, or an import in it fails.
    """
    folder = os.getcwd()
    sys.path.append(folder)
    try:
        return importlib.import_module(name)
    finally:
        # from the end: the folder may have been on the path before
        for index in reversed(range(len(sys.path))):
            if sys.path[index] == folder:
                del sys.path[index]
                break
