"""Decoded audio in one block of 16-bit samples that is mapped into memory."""

import json
import os
from collections.abc import Callable, Iterable

import numpy as np

from byola_tf import files
from byola_tf.corpus import crops
from byola_tf.errors import UserError

_SAMPLES, _INDEX = "samples.int16", "index.json"


class BlockReader(crops.CropReader):
    """Reads crops from a folder that `write` filled.

    Args:
        folder: the folder.
        unit: the unit that it was written for, samples.
    """

    def __init__(self, folder: str, unit: int):
        with open(os.path.join(folder, _INDEX)) as file:
            index = json.load(file)
        super().__init__(index["paths"], is_cached=True)
        self.skipped.update(index["skipped"])
        self.num_samples = index["num_samples"]
        self._unit = unit
        self._lengths = np.array(index["stored"], np.int64)
        self._offsets = np.cumsum([0, *index["stored"]])  # [recordings + 1]
        if self.paths:
            path = os.path.join(folder, _SAMPLES)
            block = np.memmap(path, np.int16, mode="r")
            self._windows = np.lib.stride_tricks.sliding_window_view(block, unit)

    def read_crops(self, chosen, positions) -> np.ndarray:
        """See `CropReader.read_crops`."""
        starts = crops.crop_starts(positions, self._lengths[chosen], self._unit)
        return self._windows[self._offsets[chosen] + starts]


def open_block(
    folder: str,
    unit: int,
    decoded: Callable[[], Iterable],
    limit_gb: float = float("inf"),
) -> BlockReader:
    """Opens a block, written first where it is absent.

    Args:
        folder: where it is kept; its name stands for the content.
        unit: length of a crop, samples; shorter recordings are padded.
        decoded: function that returns the pairs (path, int16 [samples]), or
            (path, `UserError`) for a recording to leave out.
        limit_gb: largest size.

    Raises:
        UserError: the block cannot be written or grows beyond the limit.
    """
    if not os.path.isdir(folder):
        try:
            with files.replacing_folder(folder) as temporary:
                _write(temporary, unit, decoded(), limit_gb * 1e9)
        except OSError as error:
            raise UserError(
                f"The cache of decoded audio cannot be written to {folder!r}: "
                f"{error}. Make room, choose another --config.data.cache_dir, or "
                "set --config.data.cache_limit_gb=0."
            ) from error
    return BlockReader(folder, unit)


def _write(folder: str, unit: int, decoded: Iterable, limit: float) -> None:
    index = {"paths": [], "stored": [], "num_samples": 0, "skipped": {}}
    with open(os.path.join(folder, _SAMPLES), "wb") as file:
        for path, samples in decoded:
            if isinstance(samples, UserError):
                index["skipped"][path] = str(samples)
                continue
            index["num_samples"] += len(samples)
            stored = np.pad(samples, (0, max(0, unit - len(samples))))
            file.write(memoryview(stored).cast("B"))
            index["paths"].append(path)
            index["stored"].append(len(stored))
            if file.tell() > limit:
                raise UserError(
                    "The decoded audio must fit into --config.data.cache_limit_gb. "
                    f"Received: more than {limit / 1e9:g} GB. Raise the limit."
                )
    with open(os.path.join(folder, _INDEX), "w") as file:
        json.dump(index, file)
