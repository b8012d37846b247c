"""Bytes of audio files as encoders, recorders and mishaps leave them."""

import io
import struct

import numpy as np
import soundfile

RATE = 16000
PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
_SUBFORMAT = bytes.fromhex("000000001000800000aa00389b71")


def tones(num_channels=1, num_samples=6000, rate=RATE, seed=0):
    """Noisy tones, another one in every channel, float32 [samples, channels]."""
    rng = np.random.default_rng(seed)
    time = np.arange(num_samples)[:, None] / rate
    frequencies = 200.0 + 150.0 * np.arange(num_channels)
    sound = 0.5 * np.sin(2 * np.pi * frequencies * time)
    return (sound + rng.normal(0, 0.05, sound.shape)).astype("f")


def encode(sound, container, subtype=None, rate=RATE, **options):
    """One file written by libsndfile."""
    file = io.BytesIO()
    soundfile.write(file, sound, rate, subtype, format=container, **options)
    return file.getvalue()


def quantize(sound, bits):
    """Rounds to integers of `bits` bits: int64."""
    scale = 2 ** (bits - 1)
    return np.clip(np.rint(sound.astype("d") * scale), -scale, scale - 1).astype("q")


def pcm_bytes(integers, bits, order="<"):
    """Samples as WAV stores them: 8 bits without sign, others with."""
    if bits == 8:
        return (integers + 128).astype(np.uint8).tobytes()
    if bits == 24:
        words = (integers << 8).astype("<i4").view(np.uint8).reshape(-1, 4)
        return words[:, 1:].tobytes()
    return integers.astype(f"{order}i{bits // 8}").tobytes()


def chunk(name, body, order="<"):
    """A RIFF chunk, padded to an even length."""
    padding = b"\0" * (len(body) % 2)
    return name + struct.pack(order + "I", len(body)) + body + padding


def format_body(tag, num_channels, bits, rate=RATE, subformat=None, order="<"):
    """The body of a format chunk; an extensible one when there is a sub-format."""
    block = num_channels * bits // 8
    body = struct.pack(
        order + "HHIIHH", tag, num_channels, rate, rate * block, block, bits
    )
    if subformat is None:
        return body
    extension = struct.pack(order + "HHIH", 22, bits, 0, subformat)
    return body + extension + _SUBFORMAT


def wav(data, tag, num_channels, bits, subformat=None, rate=RATE, before=(), after=()):
    """A WAV file written by hand.

    Args:
        data: bytes of the samples.
        tag, num_channels, bits, subformat, rate: see `format_body`.
        before: chunks between format and samples.
        after: chunks behind the samples.
    """
    body = b"WAVE" + chunk(
        b"fmt ", format_body(tag, num_channels, bits, rate, subformat)
    )
    body += b"".join(before) + chunk(b"data", data) + b"".join(after)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def id3(size=256):
    """An ID3v2 tag with `size` bytes of padding."""
    sizes = bytes([size >> 21 & 127, size >> 14 & 127, size >> 7 & 127, size & 127])
    return b"ID3\x04\0\0" + sizes + bytes(size)


def mp3_without_header(content):
    """Drops the first frame of an MP3, which holds its length."""
    second = content.index(content[:2], 4)
    while content[second : second + 2] != content[:2] or second < 72:
        second = content.index(content[:2], second + 1)
    return content[second:]


def mend(content, position, replacement):
    """Replaces bytes."""
    return content[:position] + replacement + content[position + len(replacement) :]
