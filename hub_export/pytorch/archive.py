"""Reads the tensors of a PyTorch checkpoint without PyTorch.

A `.pth` file is a zip archive with one pickle and the raw storages. All of it is
data of others: what it claims is checked before memory is taken for it, and nothing
in it is executed.
"""

import collections
import contextlib
import math
import os
import stat
import zipfile
from collections.abc import Iterator

import numpy as np

from byola_tf.errors import UserError
from hub_export.pytorch import tensor_pickle
from hub_export.pytorch.tensor_pickle import ForeignPickle

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
# a published v2 encoder is 25 MB, a whole training state of one some 300
_MAX_BYTES = 4 << 30
_MAX_PICKLE_BYTES = 16 << 20
_MAX_MEMBERS = 100_000
_MAX_RANK = 8


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
        with _open(path) as archive:
            (pickled,) = [n for n in archive.namelist() if n.endswith("/data.pkl")]
            storages = _Storages(archive, pickled[: -len("data.pkl")])
            content = _member(archive, pickled, _MAX_PICKLE_BYTES)
            return tensor_pickle.load(content, _FUNCTIONS, storages.load)
    except FileNotFoundError as error:
        raise UserError(
            f"`--checkpoint` must be a file. Received: {path!r}, which does not exist."
        ) from error
    except (*_BROKEN_ARCHIVE, OSError) as error:
        raise UserError(
            "`--checkpoint` must be a zip archive of tensors as torch.save writes "
            f"it. Received: {os.path.basename(path)!r}: {error}. Save only the "
            "state_dict with a recent PyTorch."
        ) from error


@contextlib.contextmanager
def _open(path: str) -> Iterator[zipfile.ZipFile]:
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for, for ever
        raise ForeignPickle("it is not a regular file")
    if status.st_size > _MAX_BYTES:
        raise ForeignPickle(f"it has more than {_MAX_BYTES >> 30} GiB")
    with zipfile.ZipFile(path) as archive:
        if len(archive.infolist()) > _MAX_MEMBERS:
            raise ForeignPickle(f"it has more than {_MAX_MEMBERS} members")
        yield archive


def _member(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    """Reads one member. torch.save compresses none, so that none can be a bomb."""
    info = archive.getinfo(name)
    if info.flag_bits & 1:
        raise ForeignPickle("it is encrypted")
    if info.compress_type != zipfile.ZIP_STORED:
        raise ForeignPickle("it is compressed, which torch.save does not do")
    if info.file_size > limit:
        raise ForeignPickle(f"{name!r} has more than {limit} bytes")
    return archive.read(info)


class _Storages:
    """The raw arrays of an archive, each read once, together at most its size."""

    def __init__(self, archive: zipfile.ZipFile, prefix: str):
        self._archive, self._prefix = archive, prefix
        self._read: dict[str, np.ndarray] = {}
        self._left = os.path.getsize(archive.filename)

    def load(self, identifier) -> np.ndarray:
        """Returns the storage that a persistent identifier of torch.save names."""
        if not isinstance(identifier, tuple) or len(identifier) != 5:
            raise ForeignPickle("it refers to no storage")
        kind, dtype, key, _, _ = identifier
        if kind != "storage" or not isinstance(key, str):
            raise ForeignPickle("it refers to no storage")
        if dtype != _BFLOAT16 and dtype not in _DTYPES.values():
            raise ForeignPickle("a storage has a type that is none of PyTorch's")
        if key not in self._read:
            content = _member(self._archive, f"{self._prefix}data/{key}", self._left)
            self._left -= len(content)
            self._read[key] = _array(content, dtype)
        return self._read[key]


def _array(content: bytes, dtype) -> np.ndarray:
    if dtype == _BFLOAT16:
        halves = np.frombuffer(content, "<u2")
        return (halves.astype("<u4") << 16).view("<f4")
    return np.frombuffer(content, np.dtype(dtype).newbyteorder("<"))


def _rebuild_tensor(storage, offset, size, stride, *_) -> np.ndarray:
    """Copies the entries of a tensor out of its storage.

    NumPy gets sizes of its own making only: `as_strided` of NumPy 1 copies as many
    sizes as a file lists into an array of 32 before it counts them.
    """
    if not isinstance(storage, np.ndarray) or storage.ndim != 1:
        raise ForeignPickle("a tensor has no storage")
    if not (isinstance(size, tuple) and isinstance(stride, tuple)):
        raise ForeignPickle("a tensor has an impossible shape")
    numbers = (offset, *size, *stride)
    if len(size) != len(stride) or not all(type(n) is int for n in numbers):
        raise ForeignPickle("a tensor has an impossible shape")
    if len(size) > _MAX_RANK:
        raise ForeignPickle(f"a tensor has an impossible shape of {len(size)} axes")
    count = math.prod(size)
    if min(numbers) < 0 or max(numbers) > _MAX_BYTES or count > len(storage):
        raise ForeignPickle("a tensor has an impossible shape")
    if count == 0:
        return np.zeros(size, storage.dtype)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if last >= len(storage):
        raise ForeignPickle("a tensor reaches beyond its storage")
    entries = np.full([1] * len(size), offset, np.int64)
    for axis, (length, step) in enumerate(zip(size, stride, strict=True)):
        shape = [1] * len(size)
        shape[axis] = length
        entries = entries + step * np.arange(length).reshape(shape)
    return storage[entries]


def _rebuild_parameter(tensor, *_):
    return tensor


_FUNCTIONS = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    **{("torch", name): dtype for name, dtype in _DTYPES.items()},
}
# what zipfile raises for a damaged or forged archive, and our own checks
_BROKEN_ARCHIVE = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    NotImplementedError,
    EOFError,
    KeyError,
    ValueError,
    OverflowError,
)
