"""Bytes that others wrote, checked before anything is made of them.

Files of models, shards and results come from anywhere. Each is read through this
module: it must be a regular file of a sensible size and hold JSON of a sensible
depth, and the fields that the caller needs must have the types that the caller
expects. Everything else is one `UserError` that names the file.
"""

import io
import json
import math
import os
import re
import stat
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from byola_tf.errors import UserError

MAX_JSON_BYTES = 64 << 20
MAX_DEPTH = 64


def read_bytes(path: str, what: str, limit: int) -> bytes:
    """Reads a file of others as a whole.

    Args:
        path: local, or anything that `tf.io.gfile` reads.
        what: the file's role, for messages: "A result".
        limit: bytes above which it is refused.

    Raises:
        UserError: it is absent, not a regular file, unreadable or larger.
    """
    path = os.fspath(path)
    if "://" in path:
        content = _read_remote(path, what, limit)
    else:
        content = _read_local(path, what, limit)
    if len(content) > limit:
        raise refused(path, what, f"it has more than {limit:,} bytes")
    return content


def _read_local(path: str, what: str, limit: int) -> bytes:
    try:
        # opening a pipe waits for its writer, for ever
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise refused(path, what, "it is not a regular file")
        with open(path, "rb") as file:
            return file.read(limit + 1)
    except FileNotFoundError as error:
        raise refused(path, what, "there is no such file") from error
    except (OSError, ValueError) as error:  # a NUL in the path is a ValueError
        raise refused(path, what, f"it cannot be read ({error})") from error


def _read_remote(path: str, what: str, limit: int) -> bytes:
    import tensorflow as tf  # seconds, which local files do not need

    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            return file.read(limit + 1)
    except tf.errors.OpError as error:
        raise refused(path, what, f"it cannot be read ({error.message})") from error


def read_json(path: str, what: str, limit: int = MAX_JSON_BYTES) -> Any:
    """Reads a JSON file of others.

    Args:
        path, what, limit: as for `read_bytes`.

    Returns:
        what `json.loads` makes of it; NaN and infinities, which are no JSON, are
        None: nothing is known.

    Raises:
        UserError: as `read_bytes`; or it is no JSON, or nested too deeply.
    """
    return parse_json(read_bytes(path, what, limit), path, what)


def parse_json(content: bytes | str, name: str, what: str) -> Any:
    """Reads JSON that lies inside another file; `name` is for messages.

    Raises:
        UserError: it is no JSON, or nested more than `MAX_DEPTH` deep.
    """
    try:
        if isinstance(content, bytes):
            content = content.decode("utf-8-sig")
        value = json.loads(content, parse_constant=_nothing)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        raise refused(name, what, f"it is no JSON ({reason})") from error
    if _depth(value) > MAX_DEPTH:
        raise refused(name, what, f"it is nested more than {MAX_DEPTH} deep")
    return value


def parse_npz(
    content: bytes, types: Mapping[str, tuple[str, int]], name: str, what: str
) -> dict[str, np.ndarray]:
    """Reads a NumPy archive that `np.savez` wrote.

    What a member claims is compared with the bytes that it has, before memory is
    taken for it.

    Args:
        content: of the file.
        types: name → (kinds of dtype as in `dtype.kind`, number of axes) of the
            arrays that must be there.
        name, what: of the file, for messages.

    Raises:
        UserError: it is no such archive, an array is absent or of another kind.
    """
    arrays = {}
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for field, (kinds, num_axes) in types.items():
                info = archive.getinfo(f"{field}.npy")
                if info.compress_type != zipfile.ZIP_STORED:
                    raise refused(name, what, "it is compressed")
                array = _parse_array(archive.read(info))
                if array.dtype.kind not in kinds or array.ndim != num_axes:
                    received = f"{array.dtype} with {array.ndim} axes"
                    raise refused(name, what, f"{field!r} is {received}")
                arrays[field] = array
    except UserError:
        raise
    except KeyError as error:
        raise refused(name, what, f"it lacks an array: {error}") from error
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError) as error:
        raise refused(name, what, f"it is no NumPy archive ({error})") from error
    except (ValueError, TypeError) as error:  # of the header of an array
        raise refused(name, what, f"an array is damaged ({error})") from error
    return arrays


_NPY_HEADER = re.compile(
    rb"\{'descr': '([<|][a-z]\d{1,2})', 'fortran_order': False, "
    rb"'shape': \(((?:\d{1,15}, ?)*(?:\d{1,15})?)\), \} *\n"
)


def _parse_array(content: bytes) -> np.ndarray:
    """An `.npy` of version 1; a header that claims another size is a lie.

    NumPy reads headers as Python, which is more than is needed here, and which
    CPython 3.11 cannot do in two threads.
    """
    if content[:8] != b"\x93NUMPY\1\0":
        raise ValueError("no array of version 1")
    end = 10 + int.from_bytes(content[8:10], "little")
    header = _NPY_HEADER.fullmatch(content[10:end])
    if not header:
        raise ValueError("its header is not NumPy's")
    dtype = np.dtype(header[1].decode())
    shape = [int(length) for length in header[2].replace(b",", b" ").split()]
    if dtype.hasobject or len(shape) > 8:
        raise ValueError("no plain array")
    if math.prod(shape) * dtype.itemsize != len(content) - end:
        raise ValueError("the header claims another size")
    return np.frombuffer(content, dtype, offset=end).reshape(shape)


def fields(value: Any, types: Mapping[str, Any], name: str, what: str) -> dict:
    """Checks a JSON object's fields.

    Args:
        value: what `read_json` returned, or a part of it.
        types: name → type, tuple of types, or a type that may be absent as
            `(type, None)`. `float` takes finite integers too; `bool` is no number.
        name, what: of the file, for messages.

    Returns:
        `value`, a dictionary with texts as keys. Other fields stay in it.

    Raises:
        UserError: it is no object, a field is absent or has another type.
    """
    if not isinstance(value, dict):
        raise refused(name, what, f"it holds {_kind(value)} where an object should be")
    for field, expected in types.items():
        allowed = expected if isinstance(expected, tuple) else (expected,)
        if field not in value:
            if None in allowed:
                continue
            raise refused(name, what, f"it has no field {field!r}")
        if not any(_is(value[field], one) for one in allowed):
            kinds = " or ".join(_KINDS[one] for one in allowed)
            received = _kind(value[field])
            raise refused(name, what, f"{field!r} must be {kinds}, but is {received}")
    return value


def refused(path: str, what: str, reason: str) -> UserError:
    """The error for a file of others; `reason` starts with "it ..." or a field."""
    return UserError(
        f"{what} must be a whole file as this project writes it. "
        f"Received: {path!r}: {reason}. Make it again, or leave it out."
    )


_KINDS = {
    dict: "an object",
    list: "a list",
    str: "a text",
    int: "a whole number",
    float: "a finite number",
    bool: "true or false",
    None: "nothing",
}


def _is(value: Any, expected: Any) -> bool:
    if expected is None:
        return value is None
    if expected is float:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return is_number and abs(value) <= 1e308 and math.isfinite(value)
    if expected is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, expected)


def _kind(value: Any) -> str:
    for type_, kind in _KINDS.items():
        if type_ is not None and type(value) is type_:
            return kind
    return "nothing" if value is None else type(value).__name__


def _nothing(_: str) -> None:
    """Stands for NaN and Infinity."""


def _depth(value: Any) -> int:
    """Nesting of lists and objects; without recursion."""
    deepest, pending = 0, [(value, 0)]
    while pending:
        item, depth = pending.pop()
        if isinstance(item, (list, dict)):
            deepest = max(deepest, depth + 1)
            inner = item.values() if isinstance(item, dict) else item
            pending += [(part, depth + 1) for part in inner]
    return deepest
