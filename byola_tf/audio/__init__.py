"""Sound from files and arrays: found, decoded, resampled, and what headers say.

The names below are reached from here (`byola_tf.audio.load`). `decode_op` is
imported when asked for, since it brings tensorflow-io.
"""

from byola_tf.audio.decoding import (
    AudioError,
    decode,
    decode_bytes,
    from_pcm16,
    load,
    resample,
    to_pcm16,
    unusable,
)
from byola_tf.audio.finding import EXTENSIONS, Found, find, find_files
from byola_tf.audio.headers import missing_wav_bytes

__all__ = [
    "EXTENSIONS",
    "AudioError",
    "Found",
    "decode",
    "decode_bytes",
    "decode_op",
    "find",
    "find_files",
    "from_pcm16",
    "load",
    "missing_wav_bytes",
    "resample",
    "to_pcm16",
    "unusable",
]


def __getattr__(name: str):
    if name == "decode_op":
        from byola_tf.audio.graph import decode_op

        return decode_op
    raise AttributeError(f"module 'byola_tf.audio' has no attribute {name!r}")
