"""Writes one shard of decoded audio files; see `byola_tf.corpus.shard_format`."""

import dataclasses
import io
import os
from collections.abc import Callable, Iterable, Iterator

import google_crc32c
import numpy as np
import soundfile
import tensorflow as tf

from byola_tf import files
from byola_tf.config import DataConfig
from byola_tf.corpus import recording, shard_format, soundfile_decoding
from byola_tf.corpus.shard_format import Index, Layout
from byola_tf.errors import UserError

TEMPORARY = "unfinished-"


class ShardWriter:
    """One shard: every `count`-th recording from `number` on.

    Args:
        recordings: `Recordings`.
        output: folder.
        layout: `Layout`.
        number: of the shard.
        count: number of shards.
        max_hours: longest recording that is read.
        decode_all: `soundfile_decoding.decode_all` or `graph_decoding.decode_all`.
    """

    def __init__(
        self,
        recordings,
        output,
        layout: Layout,
        number: int,
        count: int,
        max_hours: float = DataConfig.max_hours,
        decode_all: Callable = soundfile_decoding.decode_all,
    ):
        name = shard_format.shard_name(number, count)
        self.path = os.path.join(output, name)
        self.numbers = range(number, len(recordings.paths), count)
        self.paths = recordings.paths[number::count]
        self.locations = recordings.locations()[number::count]
        self.labels = [recordings.labels.get(path, "") for path in self.paths]
        self.layout = layout
        self.max_hours, self.decode_all = max_hours, decode_all

    def inputs(self) -> str:
        """Fingerprint of everything that the shard's content depends on."""
        settings = self.layout, self.numbers, self.labels
        if self.max_hours != DataConfig.max_hours:  # shards of before stay valid
            settings += (self.max_hours,)
        return files.fingerprint(self.locations, shard_format.VERSION, *settings)

    def finished(self) -> Index | None:
        """The index, where the shard is there and whole."""
        if not tf.io.gfile.exists(self.path):
            return None
        try:
            index = Index.load(shard_format.index_path(self.path))
        except UserError:
            return None
        whole = tf.io.gfile.stat(self.path).length == index.about["bytes"]
        return index if whole and index.about["inputs"] == self.inputs() else None

    def write(self, report: Callable[[], None]) -> Index:
        """Writes shard and index; calls `report` before each file.

        Raises:
            OSError, tf.errors.OpError: there is no room, or the like.
        """
        index_path = shard_format.index_path(self.path)
        temporary, temporary_index = map(_temporary, (self.path, index_path))
        try:
            with tf.io.gfile.GFile(temporary, "wb") as file:
                index = self._fill(file, report)
            if tf.io.gfile.stat(temporary).length != index.about["bytes"]:
                raise OSError(f"{temporary!r} is shorter than what was written")
            index.save(temporary_index)
            # an old shard goes first: it must never stand beside a new index
            for old in filter(tf.io.gfile.exists, (self.path, index_path)):
                tf.io.gfile.remove(old)
            tf.io.gfile.rename(temporary_index, index_path)
            tf.io.gfile.rename(temporary, self.path)
        finally:
            for left in filter(tf.io.gfile.exists, (temporary, temporary_index)):
                tf.io.gfile.remove(left)
        return index

    def _fill(self, file, report) -> Index:
        rows = {name: [] for name in ("recording", "length")}
        records = {name: [] for name in ("offset", "size", "payload_size")}
        about = {"layout": dataclasses.asdict(self.layout), "inputs": self.inputs()}
        about |= {"bytes": 0, "paths": [], "labels": [], "skipped": {}}
        checksum = google_crc32c.Checksum()
        file.write(b"")  # a shard without a usable file is there all the same
        rate = self.layout.sample_rate
        decoded = self.decode_all(self.locations, rate, 1, self.max_hours)
        for number, path, label, (location, parts) in zip(
            self.numbers, self.paths, self.labels, decoded, strict=True
        ):
            report()
            try:
                length, parts = self._measure(location, parts)
            except UserError as error:
                about["skipped"][path] = str(error)
                continue
            rows["recording"].append(number)
            rows["length"].append(length)
            about["paths"].append(path)
            about["labels"].append(label)
            pieces = _cut(parts, length, self.layout, location)
            for data, payload_size in self._examples(
                number, path, label, length, pieces
            ):
                record = shard_format.frame(data)
                file.write(record)
                checksum.update(record)
                records["offset"].append(about["bytes"] + shard_format.HEADER_BYTES)
                records["size"].append(len(data))
                records["payload_size"].append(payload_size)
                about["bytes"] += len(record)
        about["crc32c"] = checksum.hexdigest().decode()
        columns = (rows | records).items()
        return Index(about, **{name: np.array(v, np.int64) for name, v in columns})

    def _measure(self, location: str, parts) -> tuple[int, Iterable[np.ndarray]]:
        """Length of a recording, and its int16 [samples] in parts.

        Raises:
            UserError: it is unusable.
        """
        if isinstance(parts, UserError):
            raise parts
        length = sum(map(len, parts))
        if isinstance(parts, list):
            return length, parts
        # a long one: every record holds the length, which only the end has told
        again = recording.samples(location, self.layout.sample_rate, self.max_hours)
        return length, again

    def _examples(
        self, number: int, path: str, label: str, length: int, pieces: Iterable
    ) -> Iterator[tuple[bytes, int]]:
        """Yields (serialised record, size of its payload) a piece."""
        layout = self.layout
        for piece, samples in enumerate(pieces):
            payload = _pack(samples, layout)
            values = {
                "length": length,
                "num_pieces": int(layout.num_pieces(length)),
                "payload": layout.payload,
                "piece": piece,
                "recording": number,
                "sample_rate": layout.sample_rate,
                "source_path": path,
                "start": piece * layout.hop_samples,
                "waveform": payload,
            }
            values |= {"label": label} if label else {}
            yield shard_format.encode_example(values), len(payload)


def _cut(
    parts: Iterable[np.ndarray], length: int, layout: Layout, location: str
) -> Iterator[np.ndarray]:
    """Cuts a recording that comes in parts into pieces, int16 [samples]."""
    parts = iter(parts)
    held, position = np.zeros(0, np.int16), 0  # samples from `position` on
    for piece in range(int(layout.num_pieces(length))):
        start = piece * layout.hop_samples
        end = min(start + layout.piece_samples, length)
        while position + len(held) < end:
            part = next(parts, None)
            if part is None:
                raise OSError(f"{location!r} has changed while it was read")
            held = np.concatenate([held[max(0, start - position) :], part])
            position = max(position, start)
        yield held[start - position : end - position]


def _temporary(path: str) -> str:
    folder, name = os.path.split(path)
    return os.path.join(folder, TEMPORARY + name)


def _pack(samples: np.ndarray, layout: Layout) -> bytes:
    if layout.payload == "pcm":
        return samples.astype("<i2").tobytes()
    content = io.BytesIO()
    soundfile.write(content, samples, layout.sample_rate, "PCM_16", format="FLAC")
    return content.getvalue()
