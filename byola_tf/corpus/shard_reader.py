"""Crops from shards by random access: only the bytes of a crop are read.

A record's checksum is verified when it is first touched; damaged records are
skipped, counted and replaced.
"""

import concurrent.futures
import io
import logging
import threading

import numpy as np
import soundfile
import tensorflow as tf

from byola_tf.corpus import crops, local_file, shard_format
from byola_tf.errors import UserError

_THREADS = 16  # that look at the files' lengths

logger = logging.getLogger(__name__)


class ShardReader(crops.ReplacingReader):
    """Reads crops by their byte ranges.

    Args:
        shards: `shards.Shards`.
        unit: length of a crop, samples.
        num_threads: threads that read a batch.

    Raises:
        UserError: a shard is absent.
    """

    def __init__(self, shards, unit: int, num_threads: int):
        super().__init__(shards.paths, unit, num_threads, is_cached=True)
        self._shards = shards
        self.num_samples = int(shards.length.sum())
        self.skipped.update(shards.skipped)
        self._payload = shards.offset + shards.size - shards.payload_size
        is_plain = [_is_local(path) for path in shards.files]
        is_plain = np.array(is_plain) & (shards.layout.payload == "pcm")
        self._is_plain = is_plain[shards.file]
        self._verified = np.zeros(len(shards.offset), bool)
        self._damaged = self._find_cut()
        self._open_local = local_file.keep_open(local_file.LocalFile)
        self._open_remote = local_file.keep_open(_open_remote)

    def read_crops(self, chosen, positions) -> np.ndarray:
        """See `CropReader.read_crops`."""
        rows, firsts, counts = self._locate(chosen, positions)
        batch = np.zeros([len(chosen), self.unit], np.int16)
        is_read = self._verified[rows] & self._is_plain[rows]
        plain = np.flatnonzero(is_read)
        for crop in self._read_plain(plain, rows, firsts, counts, batch):
            is_read[crop] = False
            self._verified[rows[crop]] = False  # the file has changed since
        others = np.flatnonzero(~is_read)
        if len(others):
            batch[others] = super().read_crops(chosen[others], positions[others])
        return batch

    def _read_plain(self, crops_to_read, rows, firsts, counts, batch) -> list[int]:
        """Fills rows of `batch` without decoding; returns those that failed.

        One thread copies, but the kernel is asked for all of it before.
        """
        spans, failed = [], []
        for crop in crops_to_read.tolist():
            path = self._shards.files[self._shards.file[rows[crop]]]
            begin = int(self._payload[rows[crop]] + 2 * firsts[crop])
            spans.append((crop, path, begin, int(counts[crop])))
        for step in (self._ask_for, self._copy):
            for crop, path, begin, count in spans:
                try:
                    step(path, begin, batch[crop, :count])
                except OSError:
                    failed.append(crop)
        return failed

    def _ask_for(self, path: str, begin: int, crop: np.ndarray) -> None:
        self._open_local(path).will_need(begin, crop.nbytes)

    def _copy(self, path: str, begin: int, crop: np.ndarray) -> None:
        self._open_local(path).read_into(crop, begin)

    def read_crop(self, index: int, position: float) -> np.ndarray:
        """See `ReplacingReader.read_crop`."""
        located = self._locate(index, position)
        return self._read_samples(*(int(value) for value in located))

    def _locate(self, index, position):
        """Finds (record, first sample in it, number of samples) of crops."""
        shards = self._shards
        length = shards.length[index]
        start = crops.crop_starts(position, length, self.unit)
        piece = shards.layout.piece_at(start, shards.num_pieces[index])
        first = start - piece * shards.layout.hop_samples
        return shards.first_record[index] + piece, first, np.minimum(self.unit, length)

    def _find_cut(self) -> np.ndarray:
        """Which records lie beyond the end of their file, bool [records]."""
        shards = self._shards
        with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
            lengths = np.array(list(pool.map(_length, shards.files)), np.int64)
        ends = shards.offset + shards.size + shard_format.FOOTER_BYTES
        cut = ends > lengths[shards.file]
        for number in np.unique(shards.file[cut]):
            logger.warning(
                "%s is cut short: %d of its %d records are lost; crops of other "
                "recordings stand in for them.",
                shards.files[number],
                (cut & (shards.file == number)).sum(),
                (shards.file == number).sum(),
            )
        lost_before = np.cumsum([0, *cut])  # [records + 1]
        first, last = shards.first_record, shards.first_record + shards.num_pieces
        for index in np.flatnonzero(lost_before[last] > lost_before[first]):
            path = self.paths[index]
            self.skipped[path] = (
                f"{path!r} is lost, at least in part: its shard is cut short."
            )
        return cut

    def _read_samples(self, row: int, first: int, count: int) -> np.ndarray:
        """Reads int16 [count] of a record, from its sample `first` on."""
        shards = self._shards
        path = shards.files[shards.file[row]]
        begin, size = int(self._payload[row]), int(shards.payload_size[row])
        try:
            self._verify(row, path)
            if shards.layout.payload == "pcm":
                return np.frombuffer(
                    self._read(path, begin + 2 * first, 2 * count), "<i2"
                )
            with soundfile.SoundFile(io.BytesIO(self._read(path, begin, size))) as file:
                file.seek(first)
                return file.read(count, dtype="int16")
        except (tf.errors.OpError, OSError) as error:
            raise UserError(f"{path!r} cannot be read ({error}).") from error

    def _read(self, path: str, offset: int, size: int):
        """Reads bytes, uint8 [size].

        Raises:
            OSError: the file ends before.
        """
        if _is_local(path):
            data = np.empty(size, np.uint8)
            self._open_local(path).read_into(data, offset)
            return data
        file = self._open_remote(path, threading.get_ident())
        file.seek(offset)
        data = file.read(size)
        if len(data) != size:
            raise OSError(f"it ends before byte {offset + size}")
        return np.frombuffer(data, np.uint8)

    def _verify(self, row: int, path: str) -> None:
        """Compares a record with its checksum, once."""
        if self._verified[row]:
            return
        if not self._damaged[row]:
            offset, size = int(self._shards.offset[row]), int(self._shards.size[row])
            record = self._read(path, offset, size + shard_format.FOOTER_BYTES)
            crc = int.from_bytes(bytes(record[size:]), "little")
            self._damaged[row] = shard_format.masked_crc(record[:size]) != crc
        if self._damaged[row]:
            raise UserError(
                f"A record of {path!r} is damaged: it is cut short or does not have "
                "its checksum."
            )
        self._verified[row] = True


def _length(path: str) -> int:
    try:
        return tf.io.gfile.stat(path).length
    except tf.errors.OpError as error:
        raise UserError(
            f"Every shard of the manifest must be there. {path!r} is not ({error}). "
            "Copy it again, or run the same prepare command again: it makes the "
            "missing shards."
        ) from error


def _is_local(path: str) -> bool:
    return "://" not in path


def _open_remote(path: str, thread: int) -> tf.io.gfile.GFile:
    del thread  # a file has one position: a handle for each thread
    return tf.io.gfile.GFile(path, "rb")
