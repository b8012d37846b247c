"""Shards on disk: TFRecord files of pieces, an index beside each, a manifest.

A shard is a TFRecord file of `tf.train.Example` records that any TensorFlow
program reads with `FEATURES`. A recording is stored in consecutive pieces that
overlap, so that every crop of up to the overlap and one sample lies within one
piece. The index tells where each record begins, and the payload is the last
part of a record: a crop is read without the rest.
"""

import dataclasses
import io
import json
import os
import struct

import google_crc32c
import numpy as np
import tensorflow as tf

from byola_tf import files, foreign
from byola_tf.errors import UserError

FORMAT, VERSION = "byola_tf.shards", 1
MANIFEST = "manifest.json"
EXTENSION = ".tfrecord"
_INDEX_EXTENSION = ".index.npz"

HEADER_BYTES, FOOTER_BYTES = 12, 4  # TFRecord: length, its CRC | data | its CRC

_MAX_INDEX_BYTES = 1 << 30
_MAX_NUMBER = 1 << 53
_ARRAYS = {
    "about": ("u", 1),
    **{
        name: ("i", 1)
        for name in ("recording", "length", "offset", "size", "payload_size")
    },
}
_ABOUT = {
    **{"layout": dict, "inputs": str, "bytes": int, "crc32c": str},
    **{"paths": list, "labels": list, "skipped": dict},
}
_MANIFEST = {
    **{"version": int, "layout": dict, "shards": list, "skipped": dict},
    **{"audio": str, "num_recordings": int, "hours": float},
}

_integer = tf.io.FixedLenFeature([], tf.int64)
_text = tf.io.FixedLenFeature([], tf.string)

# For tf.io.parse_example. Records are written with sorted names: `waveform`
# comes last.
FEATURES = {
    "label": tf.io.FixedLenFeature([], tf.string, ""),
    "length": _integer,  # of the recording, samples
    "num_pieces": _integer,  # of the recording
    "payload": _text,  # "pcm" or "flac"
    "piece": _integer,  # 0 is the recording's first
    "recording": _integer,  # its place in the sorted list of all files
    "sample_rate": _integer,  # Hz
    "source_path": _text,  # below the folder that was prepared
    "start": _integer,  # of the piece in the recording, samples
    "waveform": _text,  # 16-bit little-endian mono, or that as FLAC
}


@dataclasses.dataclass(frozen=True)
class Layout:
    """How recordings are stored.

    Attributes:
        sample_rate: Hz.
        piece_samples: length of a piece; a recording's last may be shorter.
        overlap_samples: samples that a piece shares with the next.
        payload: "pcm" (16-bit samples) or "flac" (the same, packed).
    """

    sample_rate: int = 16000
    piece_samples: int = 160000
    overlap_samples: int = 16000
    payload: str = "pcm"

    @property
    def hop_samples(self) -> int:
        """Distance between the starts of two pieces."""
        return self.piece_samples - self.overlap_samples

    def num_pieces(self, length):
        """Number of pieces of recordings of `length` samples."""
        return 1 + np.maximum(0, -(-(length - self.piece_samples) // self.hop_samples))

    @classmethod
    def from_dict(cls, values, path: str, what: str) -> "Layout":
        """Takes what an index or a manifest holds, by the rules of `prepare`.

        Args:
            values: of the file.
            path, what: of the file, for messages.

        Raises:
            UserError: other fields, or numbers that cannot be.
        """
        types = {field.name: field.type for field in dataclasses.fields(cls)}
        values = foreign.fields(values, types, path, what)
        if set(values) != set(types):
            raise foreign.refused(path, what, "its layout has other fields")
        layout = cls(**values)
        is_possible = (
            0 < layout.sample_rate <= 10**7
            and 0 <= layout.overlap_samples < layout.piece_samples <= 2**40
            and layout.payload in ("pcm", "flac")
        )
        if not is_possible:
            raise foreign.refused(path, what, f"its layout cannot be: {values}")
        return layout

    def piece_at(self, start, num_pieces):
        """The piece that holds a crop from sample `start` on."""
        return np.minimum(start // self.hop_samples, num_pieces - 1)


@dataclasses.dataclass
class Index:
    """What one shard holds.

    Attributes:
        about: `layout`, `inputs` (fingerprint of the files), `bytes` and
            `crc32c` of the shard, `paths` and `labels` of its recordings,
            `skipped` (path -> reason).
        recording: int64 [recordings], places in the sorted list of all files.
        length: int64 [recordings], samples.
        offset: int64 [records], first byte of the record's data.
        size: int64 [records], bytes of the record's data.
        payload_size: int64 [records], its last bytes, the payload.
    """

    about: dict
    recording: np.ndarray
    length: np.ndarray
    offset: np.ndarray
    size: np.ndarray
    payload_size: np.ndarray

    def save(self, path: str) -> bytes:
        """Writes the index; returns the bytes written."""
        arrays = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name != "about"
        }
        about = np.frombuffer(json.dumps(self.about).encode(), np.uint8)
        content = io.BytesIO()
        np.savez(content, about=about, **arrays)
        with tf.io.gfile.GFile(path, "wb") as file:
            file.write(content.getvalue())
        return content.getvalue()

    @classmethod
    def load(cls, path: str) -> "Index":
        """Reads what `save` wrote.

        Raises:
            UserError: the file is absent, damaged or something else.
        """
        try:
            return cls._read(path)
        except UserError as error:
            raise UserError(
                f"{path!r} must be the index of a shard, but cannot be read. {error} "
                "Run byola prepare again: it makes the missing shards."
            ) from error

    @classmethod
    def _read(cls, path: str) -> "Index":
        what = "An index"
        content = foreign.read_bytes(path, what, _MAX_INDEX_BYTES)
        arrays = foreign.parse_npz(content, _ARRAYS, path, what)
        about = foreign.parse_json(arrays.pop("about").tobytes(), path, what)
        index = cls(foreign.fields(about, _ABOUT, path, what), **arrays)
        fault = index._find_fault(Layout.from_dict(about["layout"], path, what))
        if fault:
            raise foreign.refused(path, what, fault)
        return index

    def _find_fault(self, layout: Layout) -> str:
        """What does not fit together; "" when all does."""
        about, records = self.about, (self.offset, self.size, self.payload_size)
        num_texts = {len(about["paths"]), len(about["labels"]), len(self.length)}
        if len(num_texts) > 1 or len(self.recording) != len(self.length):
            return "it names other recordings than it has"
        if len({len(values) for values in records}) > 1:
            return "its records do not fit together"
        texts = (*about["paths"], *about["labels"], *about["skipped"].values())
        if not all(isinstance(text, str) for text in texts):
            return "a path, label or reason is no text"
        numbers = np.concatenate([self.recording, self.length, *records])
        if len(numbers) and not 0 <= numbers.min() <= numbers.max() < _MAX_NUMBER:
            return "it has a number that cannot be"
        if (self.payload_size > self.size).any():
            return "a payload is longer than its record"
        if (self.offset + self.size > about["bytes"]).any():
            return "a record lies outside of its shard"
        if layout.num_pieces(self.length).sum() != len(self.offset):
            return "its recordings have other pieces than it lists"
        return ""


def shard_name(number: int, count: int) -> str:
    """File name of a shard."""
    return f"shard-{number:05d}-of-{count:05d}{EXTENSION}"


def index_path(shard: str) -> str:
    """The index that belongs to a shard."""
    return shard.removesuffix(EXTENSION) + _INDEX_EXTENSION


def is_shards(pattern: str) -> bool:
    """Whether a pattern names shards: their folder, one of them, or a glob."""
    if pattern.endswith(EXTENSION):
        return True
    is_folder = tf.io.gfile.isdir if "://" in pattern else os.path.isdir
    if not pattern or not is_folder(pattern):
        return False
    names = files.names_in(pattern)
    return MANIFEST in names or any(name.endswith(EXTENSION) for name in names)


def read_manifest(folder: str) -> dict:
    """Reads a folder's manifest.

    Raises:
        UserError: there is none, or it is another program's or version's.
    """
    path = os.path.join(folder, MANIFEST)
    if not tf.io.gfile.exists(path):
        raise UserError(
            f"A folder of shards must have a {MANIFEST}, which byola prepare "
            f"writes last. Received: {folder!r}, which has none. Run the same "
            "prepare command again: it goes on where it was stopped."
        )
    what = "The manifest of shards"
    manifest = foreign.read_json(path, what)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise UserError(
            f"{path!r} must be written by byola prepare. It is something else."
        )
    foreign.fields(manifest, _MANIFEST, path, what)
    Layout.from_dict(manifest["layout"], path, what)
    for shard in manifest["shards"]:
        foreign.fields(shard, {"name": str, "bytes": int, "crc32c": str}, path, what)
        if os.path.basename(shard["name"]) != shard["name"]:
            raise foreign.refused(path, what, f"{shard['name']!r} is no file name")
    if not manifest["shards"]:
        raise foreign.refused(path, what, "it lists no shard")
    if manifest["version"] != VERSION:
        raise UserError(
            f"{path!r} must have version {VERSION}. Received: "
            f"{manifest['version']}. Prepare the corpus again, or update byola-tf."
        )
    return manifest


def frame(data: bytes) -> bytes:
    """A TFRecord: the data with its length and their checksums."""
    length = struct.pack("<Q", len(data))
    return b"".join(
        (
            length,
            struct.pack("<I", masked_crc(length)),
            data,
            struct.pack("<I", masked_crc(data)),
        )
    )


def masked_crc(data) -> int:
    """TFRecord's masked CRC32C of bytes or a uint8 array."""
    crc = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def encode_example(values: dict) -> bytes:
    """Serialises a record; the value of `waveform` ends it.

    Args:
        values: name in `FEATURES` -> int, text or bytes.
    """
    features = {}
    for name, value in values.items():
        if FEATURES[name].dtype == tf.int64:
            feature = tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
        else:
            data = (
                value.encode("utf-8", "surrogateescape")
                if isinstance(value, str)
                else value
            )
            feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[data]))
        features[name] = feature
    example = tf.train.Example(features=tf.train.Features(feature=features))
    serialised = example.SerializeToString(deterministic=True)
    assert serialised.endswith(values["waveform"])
    return serialised
