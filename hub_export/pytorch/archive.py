"""Reads the tensors of a PyTorch checkpoint without PyTorch.

A `.pth` file is a zip archive with one pickle and the raw storages. Only the
handful of names that describe tensors are allowed in the pickle, so nothing in
the file is ever executed.
"""

import collections
import math
import os
import pickle
import zipfile

import numpy as np

from byola_tf.errors import UserError

_BFLOAT16 = "bfloat16"  # unknown to NumPy: the upper halves of float32
_DTYPES = {
    "FloatStorage": np.float32,
    "DoubleStorage": np.float64,
    "HalfStorage": np.float16,
    "BFloat16Storage": _BFLOAT16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}


def read(path: str) -> dict:
    """Reads a checkpoint's dictionary of tensors.

    Args:
        path: file written by `torch.save` of PyTorch 1.6 or later.

    Returns:
        the pickled object, tensors as NumPy arrays.

    Raises:
        UserError: not such a file, or one that holds more than tensors.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            (pickled,) = [n for n in archive.namelist() if n.endswith("/data.pkl")]
            with archive.open(pickled) as file:
                return _Unpickler(file, archive, pickled[: -len("data.pkl")]).load()
    except FileNotFoundError as error:
        raise UserError(
            f"`--checkpoint` must be a file. Received: {path!r}, which does not exist."
        ) from error
    except _FORBIDDEN_AND_BROKEN as error:
        raise UserError(
            "`--checkpoint` must be a zip archive of tensors as torch.save writes "
            f"it. Received: {os.path.basename(path)!r}: {error}. Save only the "
            "state_dict with a recent PyTorch."
        ) from error


class _Unpickler(pickle.Unpickler):
    def __init__(self, file, archive, prefix):
        super().__init__(file)
        self._archive, self._prefix = archive, prefix

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if module == "torch._utils" and name == "_rebuild_tensor_v2":
            return _rebuild_tensor
        if module == "torch._utils" and name == "_rebuild_parameter":
            return lambda data, *_: data
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        raise pickle.UnpicklingError(f"it names {module}.{name}, which is no tensor")

    def persistent_load(self, identifier):
        kind, dtype, key, _, _ = identifier
        if kind != "storage":
            raise pickle.UnpicklingError(f"it refers to a {kind}, not to a storage")
        content = self._archive.read(f"{self._prefix}data/{key}")
        if dtype == _BFLOAT16:
            return (np.frombuffer(content, "<u2").astype("<u4") << 16).view("<f4")
        return np.frombuffer(content, np.dtype(dtype).newbyteorder("<"))


def _rebuild_tensor(storage, offset, size, stride, *_):
    steps = [step * storage.itemsize for step in stride]
    needed = offset + sum(
        (length - 1) * step for length, step in zip(size, stride, strict=True)
    )
    count = math.prod(size)
    if min(offset, count, *size, *stride) < 0 or count > len(storage):
        raise pickle.UnpicklingError("a tensor has an impossible shape")
    if count and needed >= len(storage):
        raise pickle.UnpicklingError("a tensor reaches beyond its storage")
    view = np.lib.stride_tricks.as_strided(storage[offset:], size, steps)
    return np.array(view)


_FORBIDDEN_AND_BROKEN = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    EOFError,
    KeyError,
    ValueError,
    TypeError,
    AttributeError,
    IndexError,
)
