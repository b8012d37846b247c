"""Odd and damaged files as recorders, encoders and transports leave them."""

import dataclasses
import functools
import struct

import numpy as np

from tests import encoded

SAMPLES = 24_000
_TAG = b"TAG" + bytes(125)


@dataclasses.dataclass
class Odd:
    """A file and what every reader has to say about it.

    Attributes:
        content: its bytes.
        samples: from how many to how many are read at 16 kHz; None: refused.
        says: part of the reason or the doubt; "" for a file without.
    """

    content: bytes
    samples: tuple[int, int] | None
    says: str = ""


def wavs() -> dict[str, Odd]:
    """WAV files with the sizes that recorders write."""
    whole = encoded.encode(_sound(), "WAV")
    exact = (SAMPLES, SAMPLES)

    def sized(data, riff=None):
        content = encoded.mend(whole, 40, struct.pack("<I", data))
        return encoded.mend(content, 4, struct.pack("<I", riff or data))

    odd = encoded.chunk(b"LIST", b"INFOx")
    samples = encoded.pcm_bytes(encoded.quantize(_sound(), 16), 16)
    listed = encoded.wav(samples, encoded.PCM, 1, 16, before=[odd], after=[odd])
    empty = encoded.wav(b"", encoded.PCM, 1, 16, after=[odd])
    made = {
        "arecord_pipe.wav": Odd(sized(0x80000000), exact),
        "ffmpeg_pipe.wav": Odd(sized(0xFFFFFFFF), exact),
        "sox_pipe.wav": Odd(sized(0x7FFFF000), exact),
        "never_closed.wav": Odd(sized(0, 36), exact, "never completed"),
        "a_bit_too_large.wav": Odd(sized(2 * SAMPLES + 36), exact, "36 bytes"),
        "double.wav": Odd(sized(4 * SAMPLES), exact, "may be truncated"),
        "cut.wav": Odd(whole[:-2001], (SAMPLES - 1001, SAMPLES - 1000), "2001 bytes"),
        "odd_chunks.wav": Odd(listed, exact),
        "nothing_recorded.wav": Odd(empty, None, "no samples"),
        "header_alone.wav": Odd(whole[:36], None, "samples are missing"),
        "junk_behind.wav": Odd(whole + b"\1\2" * 50, exact, "in no chunk"),
        "tag_behind.wav": Odd(whole + _TAG, exact),
        "mp3_inside.wav": Odd(
            encoded.wav(encoded.encode(_sound(), "MP3"), 0x55, 1, 0), exact
        ),
        "slow.wav": Odd(
            encoded.wav(bytes(500), encoded.PCM, 1, 16, rate=250), None, "1,000 to"
        ),
        "nan.wav": Odd(
            encoded.wav(np.full(99, np.nan, "f").tobytes(), encoded.FLOAT, 1, 32),
            None,
            "NaN",
        ),
        "lfs.wav": Odd(
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
            None,
            "git lfs pull",
        ),
        "empty.wav": Odd(b"", None, "empty"),
        "phone.wav": Odd(b"\0\0\0 ftypM4A " + bytes(99), None, "MPEG-4"),
    }
    return made


def mp3s() -> dict[str, Odd]:
    """MP3 files that were cut, joined and tagged."""
    whole = encoded.encode(_sound(), "MP3")
    stereo = encoded.encode(_sound(2), "MP3")
    bare = encoded.mp3_without_header(whole)
    exact, some = (SAMPLES, SAMPLES), (SAMPLES // 2, SAMPLES)
    bare_length = (SAMPLES, SAMPLES + 3 * 1152)
    ape = b"APETAGEX" + struct.pack("<IIII", 2000, 232, 1, 1 << 31 | 1 << 29)
    ape += bytes(8) + b"\xff\xfb\x90" * 67 + b"x" * 31
    wrong_size = b"ID3\x04\0\0\0\0%s" + b"x" * 500
    noise = np.random.default_rng(0).bytes
    half = len(whole) // 2
    return {
        "cut.mp3": Odd(whole[:-1500], some, "may be truncated"),
        "cut_preview.mp3": Odd(bare[:-1500], some, "ends inside an MP3 frame"),
        "begun_inside.mp3": Odd(bare[1001:], some, "beginning may be missing"),
        "icy.mp3": Odd(b"ICY 200 OK\r\nicy-br:64\r\n\r\n" + whole, exact, "begin at"),
        "ape_in_front.mp3": Odd(ape + whole, exact),
        "small_id3.mp3": Odd(wrong_size % b"\0\x10" + whole, exact, "begin at"),
        "large_id3.mp3": Odd(wrong_size % b"\x40\0" + whole, exact, "begin at"),
        "huge_id3.mp3": Odd(
            (wrong_size % b"\x7f\x7f").replace(b"\0\0\x7f", b"\x7f\x7f\x7f") + whole,
            exact,
            "begin at",
        ),
        "junk_behind.mp3": Odd(bare + noise(900), bare_length, "no MP3 frames"),
        "tag_behind.mp3": Odd(bare + _TAG, bare_length),
        "joined.mp3": Odd(stereo + whole, (2 * SAMPLES, 2 * SAMPLES)),
        "promise.mp3": Odd(
            encoded.mend(whole, whole.index(b"Xing") + 8, b"\xff" * 4),
            (SAMPLES - 1152, SAMPLES + 1152),
            "of 4294967295 MP3 frames",
        ),
        "hole.mp3": Odd(whole[:half] + whole[half + 600 :], None, "damaged at byte"),
        "noise_inside.mp3": Odd(
            encoded.mend(whole, half, noise(600)), None, "damaged at byte"
        ),
    }


def others() -> dict[str, Odd]:
    """FLAC, Ogg, AIFF, CAF, AU and Wave64."""
    flac = encoded.encode(_sound(), "FLAC")
    ogg = encoded.encode(_sound(), "OGG")
    opus = encoded.encode(_sound(rate=48_000), "OGG", "OPUS", 48_000)
    exact, some = (SAMPLES, SAMPLES), (SAMPLES // 3, SAMPLES - 1)
    piped, piped_stereo = (
        encoded.mend(whole, 21, bytes([whole[21] & 0xF0]) + bytes(4))
        for whole in (flac, encoded.encode(_sound(2), "FLAC"))
    )
    middle = len(flac) // 2
    made = {
        "piped.flac": Odd(piped, exact),
        "piped_stereo.flac": Odd(piped_stereo, exact),
        "cut.flac": Odd(flac[:-100], some, "may be truncated"),
        "piped_and_cut.flac": Odd(piped[:-100], some, "ends inside a FLAC frame"),
        "promise.flac": Odd(
            encoded.mend(flac, 21, bytes([flac[21] | 0x0F]) + b"\xff" * 4),
            exact,
            f"{SAMPLES} of {2**36 - 1} samples",
        ),
        "hole.flac": Odd(
            flac[:middle] + flac[middle + 3000 :], None, "does not decode"
        ),
        "flac_inside.oga": Odd(_flac_in_ogg(piped), exact),
        "cut.ogg": Odd(ogg[:-10], some, "ends inside an Ogg page"),
        "noise_inside.ogg": Odd(
            encoded.mend(ogg, len(ogg) // 2, b"????"), None, "is damaged"
        ),
        "cut.opus": Odd(opus[:-10], some, "ends inside an Ogg page"),
        "no_end_mark.opus": Odd(
            opus[: opus.rindex(b"OggS")], some, "marked as its end"
        ),
        "granule.ogg": Odd(
            _last_granule(ogg, 2**40), (SAMPLES, SAMPLES + 99), "of 1099511627776"
        ),
        "speex.ogg": Odd(_page(b"Speex   " + bytes(72), 2, 0), None, "Speex in Ogg"),
    }
    for ending, container in (
        ("aif", "AIFF"),
        ("aiff", "AIFF"),
        ("caf", "CAF"),
        ("au", "AU"),
        ("w64", "W64"),
        ("rf64", "RF64"),
    ):
        whole = encoded.encode(_sound(), container)
        made[f"whole.{ending}"] = Odd(whole, exact)
        made[f"cut.{ending}"] = Odd(whole[:-2000], some, "may be truncated")
    au = encoded.encode(_sound(), "AU")
    made["piped.au"] = Odd(encoded.mend(au, 8, b"\xff" * 4), exact)
    made["never_closed.au"] = Odd(encoded.mend(au, 8, bytes(4)), exact, "completed")
    return made


@functools.cache
def everything() -> dict[str, Odd]:
    """All of them, by name of the file."""
    return wavs() | mp3s() | others()


def empty_pages(count: int) -> bytes:
    """The beginning of an Ogg file, and pages without anything."""
    first = _page(b"\x01vorbis" + bytes(23), 2, 0)
    return first + b"".join(_page(b"", 0, number) for number in range(1, count))


def _sound(channels=1, rate=encoded.RATE):
    return encoded.tones(channels, SAMPLES * rate // encoded.RATE, rate)


def _flac_in_ogg(flac: bytes) -> bytes:
    """Ogg pages around a FLAC stream, as `flac --ogg` makes them."""
    first = b"\x7fFLAC\1\0\0\1" + flac[:42]
    bodies = [first, *(flac[at : at + 60_000] for at in range(42, len(flac), 60_000))]
    last = len(bodies) - 1
    flags = [2] + [0] * (last - 1) + [4]
    return b"".join(
        _page(body, flags[number], number) for number, body in enumerate(bodies)
    )


def _page(body: bytes, flags: int, number: int, granule: int = 0) -> bytes:
    segments = [255] * (len(body) // 255) + [len(body) % 255]
    header = struct.pack(
        "<4sxBQIIIB", b"OggS", flags, granule, 7, number, 0, len(segments)
    )
    return _with_checksum(header + bytes(segments) + body)


def _last_granule(ogg: bytes, granule: int) -> bytes:
    """An Ogg file whose last page claims another position."""
    start = ogg.rindex(b"OggS")
    page = encoded.mend(ogg[start:], 6, struct.pack("<q", granule))
    return ogg[:start] + _with_checksum(page)


def _with_checksum(page: bytes) -> bytes:
    """An Ogg page with the checksum of RFC 3533, bit by bit."""
    page, crc = encoded.mend(page, 22, bytes(4)), 0
    for byte in page:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (0x04C11DB7 if crc >> 31 else 0)) & 0xFFFFFFFF
    return encoded.mend(page, 22, struct.pack("<I", crc))
