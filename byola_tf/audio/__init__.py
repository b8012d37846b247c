"""Sound from files and arrays: found, decoded, resampled, and what headers say.

The names below are reached from here (`byola_tf.audio.load`). `decode_op` is
imported when asked for, since it brings tensorflow-io.
"""

from byola_tf.audio.blocks import MAX_HOURS, BlockReader, open_blocks
from byola_tf.audio.content import AudioError, doubtful, log_once, unusable
from byola_tf.audio.decoding import (
    MAX_HOURS_IN_MEMORY,
    decode,
    decode_bytes,
    duration,
    from_pcm16,
    load,
    resample,
    to_pcm16,
)
from byola_tf.audio.finding import EXTENSIONS, Found, find, find_files

__all__ = [
    "EXTENSIONS",
    "MAX_HOURS",
    "MAX_HOURS_IN_MEMORY",
    "AudioError",
    "BlockReader",
    "Found",
    "decode",
    "decode_bytes",
    "decode_op",
    "doubtful",
    "duration",
    "find",
    "find_files",
    "from_pcm16",
    "load",
    "log_once",
    "open_blocks",
    "resample",
    "to_pcm16",
    "unusable",
]


def __getattr__(name: str):
    if name == "decode_op":
        from byola_tf.audio.graph import decode_op

        return decode_op
    raise AttributeError(f"module 'byola_tf.audio' has no attribute {name!r}")
