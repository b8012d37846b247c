"""A function of the user's, named in the `--model` flag."""

import importlib.util
import inspect
import os

from byola_tf import user_code
from byola_tf.errors import UserError
from train_lib.probe.models.audio_model import FunctionModel, fingerprint_of


def open_function(
    spec: str, sample_rate: int | None, pooling: str | None
) -> FunctionModel:
    """Imports `MODULE:FUNCTION`.

    Args:
        spec: module (dotted, or the path of a .py file), colon, name of a
            callable: float32 [batch, samples] to [batch, d] or
            [batch, time, d].
        sample_rate: Hz; the callable's or module's `sample_rate` when None.
        pooling: of frames; mean+max when None.

    Raises:
        UserError: it cannot be imported, or its rate is unknown.
    """
    name, _, function_name = spec.rpartition(":")
    module = import_module(name, spec)
    function = getattr(module, function_name, None)
    if not callable(function):
        raise UserError(
            f"python:{spec} must name a function. Received: module {name!r} without "
            f"a callable {function_name!r}. E.g. --model=python:my_model.py:embed."
        )
    sample_rate = sample_rate or getattr(
        function, "sample_rate", getattr(module, "sample_rate", None)
    )
    if not sample_rate:
        raise UserError(
            "A Python model must say its sampling rate. Received: "
            f"python:{spec} without `sample_rate`, in the module or on the function. "
            f"Set it, or write --model=python:{spec}@16000."
        )
    fingerprint = source_fingerprint(module, spec, pooling)
    return FunctionModel(function, int(sample_rate), spec, pooling, fingerprint)


def import_module(name: str, spec: str):
    """Imports a dotted module or a .py file.

    Args:
        name: of the module.
        spec: the whole text, for messages.

    Raises:
        UserError: there is no such module, or an import in it fails.
    """
    try:
        if not name.endswith(".py"):
            return user_code.import_module(name)
        stem = os.path.splitext(os.path.basename(name))[0]
        found = importlib.util.spec_from_file_location(stem, name)
        module = importlib.util.module_from_spec(found)
        found.loader.exec_module(module)
        return module
    except (ImportError, OSError, ValueError) as error:
        raise UserError(
            f"The model {spec!r} must name a module that can be imported. Received: "
            f"{error}. Install it, or add its folder to PYTHONPATH."
        ) from error


def source_fingerprint(module, *settings) -> str | None:
    """Of a module's own source file; None for a module without one.

    Weights that it loads from elsewhere are not seen.
    """
    try:
        path = inspect.getsourcefile(module)
    except TypeError:
        path = None
    return fingerprint_of([path], *settings) if path else None
