"""Decoded audio in one block of 16-bit samples on disk."""

import contextlib
import json
import logging
import os
import re
from collections.abc import Callable, Iterable

import numpy as np

from byola_tf import files, foreign, ownership
from byola_tf.corpus import crops, local_file
from byola_tf.errors import UserError

_SAMPLES, _INDEX = "samples.int16", "index.json"
_CACHE = re.compile(r"[0-9a-f]{16}(?=\.)")  # a cache's name, in that of what is left

logger = logging.getLogger(__name__)


class TooLargeError(UserError):
    """The decoded audio has grown beyond the limit of the cache."""


class _MadeMeanwhile(Exception):
    """Another process has finished the same block."""


class BlockReader(crops.CropReader):
    """Reads crops from a folder that `open_block` filled.

    Args:
        folder: the folder.
        unit: the unit that it was written for, samples.

    Raises:
        OSError: it is not whole.
        ValueError, KeyError, TypeError: its index is damaged (`UserError` is one).
    """

    def __init__(self, folder: str, unit: int):
        path = os.path.join(folder, _INDEX)
        with open(path, "rb") as file:
            index = foreign.parse_json(file.read(), path, "The index of a cache")
        super().__init__(index["paths"], is_cached=True)
        self.skipped.update(index["skipped"])
        self.num_samples = int(index["num_samples"])
        self._unit = unit
        self._lengths = np.array(index["stored"], np.int64)
        self._offsets = np.cumsum([0, *self._lengths])  # [recordings + 1]
        self._file = local_file.LocalFile(os.path.join(folder, _SAMPLES))
        if self._file.size != 2 * self._offsets[-1]:
            raise OSError(f"{folder!r} is not whole")
        if len(self._lengths) != len(self.paths) or (self._lengths < unit).any():
            raise ValueError(f"the index of {folder!r} is damaged")

    def read_crops(self, chosen, positions) -> np.ndarray:
        """See `CropReader.read_crops`."""
        starts = crops.crop_starts(positions, self._lengths[chosen], self._unit)
        begins = (2 * (self._offsets[chosen] + starts)).tolist()  # bytes
        batch = np.empty([len(begins), self._unit], np.int16)
        for begin in begins:
            self._file.will_need(begin, 2 * self._unit)
        for crop, begin in zip(batch, begins, strict=True):
            try:
                self._file.read_into(crop, begin)
            except OSError as error:
                raise UserError(
                    "The cache of decoded audio must stay as it was written. It "
                    f"cannot be read any more ({error}). Run the same command again: "
                    "it makes the cache anew."
                ) from error
        return batch


def open_block(
    folder: str,
    unit: int,
    decoded: Callable[[], Iterable],
    limit_gb: float = float("inf"),
    wait_seconds: float = 60.0,
) -> BlockReader:
    """Opens a block, written first where it is absent or damaged.

    Two processes that need the same one do not both decode: the second waits for the
    first. After `wait_seconds` it decodes too, and who ends last takes what is there.

    Args:
        folder: where it is kept; its name, of 16 hexadecimal digits, stands for the
            content.
        unit: length of a crop, samples; shorter recordings are padded.
        decoded: function that returns the pairs (path, parts): `parts` is an iterable
            of int16 [samples] that may raise a `UserError`, or a `UserError`, for a
            recording to leave out.
        limit_gb: largest size.
        wait_seconds: how long to wait for another process.

    Raises:
        TooLargeError: the audio grows beyond the limit.
        UserError: the block cannot be written.
    """
    reader = _whole(folder, unit)
    if reader is not None:
        return reader
    try:
        os.makedirs(os.path.dirname(folder), exist_ok=True)
        _clean(os.path.dirname(folder))
        with contextlib.ExitStack() as stack:
            try:
                what = "The cache of decoded audio"
                stack.enter_context(ownership.owned(folder, what, wait_seconds))
            except ownership.OwnedError as error:
                logger.warning("%s It is made here too.", error)
            reader = _whole(folder, unit)
            if reader is None:
                _make(folder, unit, decoded, limit_gb)
                reader = BlockReader(folder, unit)
    except OSError as error:
        reader = _whole(folder, unit)  # of a process that was faster
        if reader is None:
            raise UserError(
                f"The cache of decoded audio cannot be written to {folder!r}: "
                f"{error}. Make room, choose another --config.data.cache_dir, or "
                "set --config.data.cache_limit_gb=0."
            ) from error
    return reader


def _whole(folder: str, unit: int) -> BlockReader | None:
    """The block, unless it is absent or damaged."""
    try:
        return BlockReader(folder, unit)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        logger.warning("The cache in %s is made anew: %s.", folder, error)
        return None


def _clean(cache_dir: str) -> None:
    """Removes what killed processes left of any cache in a folder."""
    for name in os.listdir(cache_dir):
        found = _CACHE.match(name)
        if found:
            files.recover(os.path.join(cache_dir, found[0]))


def _make(folder: str, unit: int, decoded: Callable, limit_gb: float) -> None:
    with (
        contextlib.suppress(_MadeMeanwhile),
        files.replacing_folder(folder) as temporary,
    ):
        _write(temporary, unit, decoded(), limit_gb * 1e9)
        if os.path.isdir(folder) and _whole(folder, unit) is not None:
            raise _MadeMeanwhile


def _write(folder: str, unit: int, decoded: Iterable, limit: float) -> None:
    index = {"paths": [], "stored": [], "num_samples": 0, "skipped": {}}
    with open(os.path.join(folder, _SAMPLES), "wb") as file:
        for path, parts in decoded:
            begin = file.tell()
            try:
                length = _append(file, parts, limit)
            except TooLargeError:
                raise
            except UserError as error:
                index["skipped"][path] = str(error)
                file.seek(begin)
                file.truncate()
                continue
            missing = max(0, unit - length)
            file.write(bytes(2 * missing))
            index["num_samples"] += length
            index["paths"].append(path)
            index["stored"].append(length + missing)
    with open(os.path.join(folder, _INDEX), "w", encoding="utf-8") as file:
        json.dump(index, file)


def _append(file, parts, limit: float) -> int:
    """Writes a recording; returns its length in samples."""
    if isinstance(parts, UserError):
        raise parts
    length = 0
    for samples in parts:
        file.write(memoryview(samples).cast("B"))
        length += len(samples)
        if file.tell() > limit:
            raise TooLargeError(
                "The decoded audio must fit into --config.data.cache_limit_gb. "
                f"Received: more than {limit / 1e9:g} GB. Raise the limit."
            )
    return length
