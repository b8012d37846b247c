"""Faults of the environment, in one sentence: disks, rights, memory, user files."""

import errno
import io
import os
import re
import sys
import traceback

_WAYS_OUT = {
    errno.ENOSPC: "Free some space there, or name another place.",
    errno.EDQUOT: "Free some space there, or name another place.",
    errno.EROFS: "Name a place that can be written.",
    errno.EACCES: "Change its permissions, or name another place.",
    errno.EPERM: "Change its permissions, or name another place.",
    errno.ENOTDIR: "A part of the path is a file: name another place.",
    errno.EEXIST: "A file is in the way of a folder: name another place.",
    errno.EEXIST: "Something else stands there: name another place.",
    errno.EISDIR: "It is a folder: name a file.",
    errno.ENOENT: "Check the path.",
    errno.EMFILE: "Raise the limit of open files (ulimit -n).",
    errno.ENFILE: "Close some programs: the system has too many open files.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
    errno.EIO: "Check the disk.",
}
# What `config_flags` calls the module that it loads for the flag `--config`.
_CONFIG_MODULE = "config_config"


def describe(error: BaseException) -> str | None:
    """Says what is wrong with the environment.

    Args:
        error: as it was raised.

    Returns:
        one line with path, reason and a way out; None where `error` is not the
        environment's fault.
    """
    if isinstance(error, OSError):
        return _system(error)
    if isinstance(error, MemoryError):
        return (
            f"The memory is used up: {str(error) or 'nothing more can be allocated'}. "
            "Free some, or work in smaller batches."
        )
    return _tensorflow(error)


def in_config_file(error: BaseException) -> str | None:
    """Says where in the user's own configuration file an error arose.

    Args:
        error: as it was raised, perhaps while another was handled.

    Returns:
        one line with file, line, function, kind and message; None where no
        configuration file was running.
    """
    while error is not None:
        if isinstance(error, SyntaxError) and os.path.isfile(error.filename or ""):
            return f"{error.filename}, line {error.lineno}: SyntaxError: {error.msg}."
        frames = [
            (frame, line)
            for frame, line in traceback.walk_tb(error.__traceback__)
            if frame.f_globals.get("__name__") == _CONFIG_MODULE
        ]
        if frames:
            frame, line = frames[-1]
            code = frame.f_code
            return (
                f"{code.co_filename}, line {line}, in {code.co_name}: "
                f"{type(error).__name__}: {error}."
            )
        error = error.__cause__ or error.__context__
    return None


def _system(error: OSError) -> str:
    reason = error.strerror or str(error) or type(error).__name__
    paths = [str(name) for name in (error.filename, error.filename2) if name]
    if not paths:
        paths = [name for name in [_open_file(error)] if name]
    way_out = _WAYS_OUT.get(error.errno, "")
    return _sentence(" and ".join(map(repr, paths)), reason, way_out)


def _sentence(where: str, reason: str, way_out: str) -> str:
    said = f"{where}: {reason}" if where else reason
    return f"{said.rstrip('.')}. {way_out}".strip()


def _open_file(error: BaseException) -> str | None:
    """The path of the file that a failing call held: a full disk names none."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    for frame in reversed(frames):
        for value in frame.f_locals.values():
            name = getattr(value, "name", None) if isinstance(value, io.IOBase) else 0
            if isinstance(name, str):
                return name
    return None


def _tensorflow(error: BaseException) -> str | None:
    # not imported for it: where TensorFlow is not in use, it raised nothing
    errors = getattr(sys.modules.get("tensorflow"), "errors", None)
    if errors is None or not isinstance(error, errors.OpError):
        return None
    text = (error.message or type(error).__name__).strip().splitlines()[0]
    text = re.sub(r"^{{.*?}} |( \[Op:\w+\].*)$", "", text)
    path, separator, reason = text.rpartition("; ")
    for number, way_out in _WAYS_OUT.items():
        if separator and reason == os.strerror(number):
            return _sentence(repr(path), reason, way_out)
    if text.endswith("is not a directory"):
        return f"{text}. {_WAYS_OUT[errno.ENOTDIR]}"
    if isinstance(error, errors.ResourceExhaustedError):
        return _sentence(
            "The memory is used up", text, "Free some, or work in smaller batches."
        )
    if isinstance(error, errors.PermissionDeniedError | errors.NotFoundError):
        return _sentence("", text, "")
    return None
