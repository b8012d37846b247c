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
import threading
import zipfile

import google_crc32c
import numpy as np
import tensorflow as tf

from byola_tf.errors import UserError

FORMAT, VERSION = "byola_tf.corpus.shards", 1
MANIFEST = "manifest.json"
EXTENSION = ".tfrecord"
_INDEX_EXTENSION = ".index.npz"

HEADER_BYTES, FOOTER_BYTES = 12, 4  # TFRecord: length, its CRC | data | its CRC

# np.load parses headers with `ast`, which CPython 3.11 cannot do in two threads:
# "SystemError: AST constructor recursion depth mismatch"
_one_at_a_time = threading.Lock()

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
            with tf.io.gfile.GFile(path, "rb") as file:
                content = io.BytesIO(file.read())
            with _one_at_a_time:
                archive = np.load(content, allow_pickle=False)
                arrays = {name: archive[name] for name in archive.files}
            about = json.loads(arrays.pop("about").tobytes())
            return cls(about, **arrays)
        except (
            *(tf.errors.OpError, OSError, ValueError, KeyError, TypeError),
            *(AttributeError, EOFError, zipfile.BadZipFile),
        ) as error:
            raise UserError(
                f"{path!r} must be the index of a shard, but cannot be read "
                f"({error}). Run byola prepare again: it makes the missing "
                "shards."
            ) from error


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
    if not pattern or not tf.io.gfile.isdir(pattern):
        return False
    names = tf.io.gfile.listdir(pattern)
    return MANIFEST in names or any(name.endswith(EXTENSION) for name in names)


def read_manifest(folder: str) -> dict:
    """Reads a folder's manifest.

    Raises:
        UserError: there is none, or it is another program's or version's.
    """
    path = os.path.join(folder, MANIFEST)
    try:
        with tf.io.gfile.GFile(path) as file:
            manifest = json.loads(file.read())
    except (tf.errors.NotFoundError, tf.errors.FailedPreconditionError) as error:
        raise UserError(
            f"A folder of shards must have a {MANIFEST}, which byola prepare "
            f"writes last. Received: {folder!r}, which has none. Run the same "
            "prepare command again: it goes on where it was stopped."
        ) from error
    except (tf.errors.OpError, ValueError) as error:
        raise UserError(f"{path!r} must be JSON that can be read: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise UserError(
            f"{path!r} must be written by byola prepare. It is something else."
        )
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
