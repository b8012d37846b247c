"""What the first bytes of a WAV, FLAC, Ogg or MP3 file say, and whether it is whole.

Decoders differ in what they do with a damaged file: tensorflow-io can loop for
ever or end the process, libsndfile often returns fewer samples without a word.
So the structure is checked here first: chunk sizes of WAV, checksums and
order of Ogg pages, the chain of MP3 frames. FLAC needs no check, its decoder
reports every loss.
"""

import dataclasses
import re
import struct
import zlib

from byola_tf.audio import mp3


class BrokenAudio(ValueError):
    """Bytes that are no whole audio file; the message is a reason: "it ..."."""


@dataclasses.dataclass(frozen=True)
class Header:
    """What a file says about itself.

    Attributes:
        encoding: "pcm_u8", "pcm_s16", "pcm_s24", "pcm_s32", "float32",
            "float64", "flac", "vorbis", "mp3", or "other" for what libsndfile
            has to look at (A-law, ADPCM, Opus, ...).
        sample_rate: Hz; None where only the decoder knows.
        num_channels: None where only the decoder knows.
        num_samples: samples a channel; None where only the decoder knows.
        stream: the bytes for libsndfile, without what confuses it.
        is_plain: whether nothing in the file is known to confuse
            tensorflow-io.
    """

    encoding: str
    sample_rate: int | None
    num_channels: int | None
    num_samples: int | None
    stream: bytes
    is_plain: bool


def read_header(content: bytes) -> Header:
    """Reads the header of one file and checks its structure.

    Args:
        content: the whole file.

    Raises:
        BrokenAudio: empty, not one of the four containers, truncated or damaged.
    """
    if not content:
        raise BrokenAudio("the file is empty")
    tag = mp3.id3_size(content, 0)
    stream = content[tag:] if tag else content
    if stream[:4] in _RIFF and stream[8:12] == b"WAVE":
        header = _wav_header(stream)
    elif stream[:4] == b"fLaC":
        header = _flac_header(stream)
    elif stream[:4] == b"OggS":
        header = _ogg_header(stream)
    else:
        header, tag = _mp3_header(content), 0
    if header.sample_rate is not None:
        check_rate(header.sample_rate)
    return dataclasses.replace(header, is_plain=header.is_plain and not tag)


def check_rate(sample_rate: int) -> None:
    """Refuses rates that no recording has: resampling them needs any memory.

    Raises:
        BrokenAudio: outside 1 kHz to 1 MHz.
    """
    if not 1_000 <= sample_rate <= 1_000_000:
        raise BrokenAudio(
            f"its sampling rate is {sample_rate} Hz; 1,000 to 1,000,000 Hz are read"
        )


_WAV_ENCODINGS = {
    (1, 8): "pcm_u8",
    (1, 16): "pcm_s16",
    (1, 24): "pcm_s24",
    (1, 32): "pcm_s32",
    (3, 32): "float32",
    (3, 64): "float64",
}
_EXTENSIBLE = 0xFFFE
_RIFF = {b"RIFF": "<", b"RF64": "<", b"RIFX": ">"}  # byte order


def missing_wav_bytes(content) -> int:
    """How many bytes of samples a WAV file promises beyond its end.

    Args:
        content: bytes or a memory map; 0 when it is no WAV file.
    """
    if content[:4] not in _RIFF or content[8:12] != b"WAVE":
        return 0
    chunks, _ = _wav_chunks(content)
    if b"data" not in chunks:
        return 0
    start, size = _wav_data(content, chunks)
    return max(0, start + (size or 0) - len(content))


def _wav_header(content: bytes) -> Header:
    order = _RIFF[content[:4]]
    chunks, is_plain = _wav_chunks(content)
    start, size = chunks.get(b"fmt ", (0, 0))
    if size < 16 or start + 16 > len(content):
        raise BrokenAudio("it has no format chunk")
    tag, channels, rate, _, block, bits = struct.unpack_from(
        order + "HHIIHH", content, start
    )
    if tag == _EXTENSIBLE and 40 <= size <= len(content) - start:
        (tag,) = struct.unpack_from(order + "H", content, start + 24)
    encoding = _WAV_ENCODINGS.get((tag, bits), "other")
    is_plain &= size in (16, 18, 40) and channels > 0
    is_plain &= block > 0 and block * 8 == channels * bits

    if b"data" not in chunks:
        raise BrokenAudio("it is truncated: its samples are missing")
    missing = missing_wav_bytes(content)
    if missing:
        raise BrokenAudio(f"it is truncated: {missing} bytes of samples are missing")
    _, size = _wav_data(content, chunks)
    num_samples = size // block if size and block and encoding != "other" else None
    is_plain &= num_samples is not None and size == num_samples * block
    return Header(encoding, rate, channels, num_samples, content, is_plain)


def _wav_chunks(content) -> tuple[dict[bytes, tuple[int, int]], bool]:
    """Follows the chunks.

    Returns:
        position and size of the body of each, whether all of them are as
        tensorflow-io understands them.
    """
    order = _RIFF[content[:4]]
    chunks = {}
    position, is_plain = 12, content[:4] == b"RIFF"
    while position + 8 <= len(content):
        name, size = struct.unpack_from(order + "4sI", content, position)
        if not re.fullmatch(rb"[ -~]{4}", name):
            break
        position += 8
        # it forgets the padding of odd chunks
        is_plain &= name not in chunks and size % 2 == 0
        chunks.setdefault(name, (position, size))
        if name == b"data" and b"ds64" in chunks:
            break
        position += size + size % 2
    (riff_size,) = struct.unpack_from(order + "I", content, 4)
    is_plain &= next(iter(chunks), None) == b"fmt "
    return chunks, is_plain and position == 8 + riff_size == len(content)


def _wav_data(content, chunks) -> tuple[int, int | None]:
    """Position and size of the samples; None: up to the end of the file."""
    start, size = chunks[b"data"]
    if b"ds64" in chunks and size == 0xFFFFFFFF:
        (size,) = struct.unpack_from("<Q", content, chunks[b"ds64"][0] + 8)
    elif size == 0xFFFFFFFF or 0x7FFFE000 < size <= 0x7FFFF000:
        return start, None  # ffmpeg and SoX, where they cannot seek back
    return start, size


def _flac_header(content: bytes) -> Header:
    if len(content) < 42:
        raise BrokenAudio("it is truncated: its header is incomplete")
    # STREAMINFO: 20 bits rate, 3 channels - 1, 5 depth - 1, 36 samples
    packed = int.from_bytes(content[18:26], "big")
    rate, channels = packed >> 44, (packed >> 41 & 7) + 1
    num_samples = packed & (1 << 36) - 1
    return Header("flac", rate, channels, num_samples or None, content, False)


_REVERSED_BITS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def _ogg_header(content: bytes) -> Header:
    end, starts_after_data, has_end = _check_ogg_pages(content)
    if starts_after_data:
        raise BrokenAudio(
            f"it is a chain of {starts_after_data + 1} Ogg streams: split it "
            "into one file each"
        )
    body = content[27 + content[26] :][:30]
    stream = content[:end]
    if body[:7] == b"\x01vorbis" and len(body) == 30:
        channels, rate = struct.unpack_from("<BI", body, 11)
        is_plain = has_end and end == len(content)
        return Header("vorbis", rate, channels, None, stream, is_plain)
    return Header("other", None, None, None, stream, False)


def _check_ogg_pages(content: bytes) -> tuple[int, int, bool]:
    """Walks the pages up to the last one.

    Returns:
        where the last page ends, how many streams begin after the first data
        page, whether every stream has its end mark.
    """
    reversed_bits = memoryview(content.translate(_REVERSED_BITS))
    sequence = dict[int, int]()  # of the open streams
    position, starts_after_data, has_data = 0, 0, False
    while content[position : position + 4] == b"OggS":
        if position + 27 > len(content):
            raise BrokenAudio("it is truncated inside an Ogg page")
        flags, serial, number, checksum, segments = struct.unpack_from(
            "<xBxxxxxxxxIIIB", content, position + 4
        )
        body = position + 27 + segments
        end = body + sum(content[position + 27 : body])
        if end > len(content):
            raise BrokenAudio("it is truncated inside an Ogg page")
        if _ogg_checksum(reversed_bits[position:end]) != checksum:
            raise BrokenAudio(f"its Ogg page at byte {position} is damaged")
        if flags & 2:  # beginning of stream
            starts_after_data += has_data
        elif sequence.get(serial) != number - 1:
            raise BrokenAudio(f"Ogg pages are missing before byte {position}")
        else:
            has_data = True
        sequence[serial] = number
        if flags & 4:  # end of stream
            del sequence[serial]
        position = end
    if sequence and position < len(content):
        raise BrokenAudio(f"it is damaged at byte {position}: no Ogg page")
    return position, starts_after_data, not sequence


def _ogg_checksum(reversed_page) -> int:
    """CRC-32 of a page whose bits are reversed in every byte.

    Ogg's polynomial is zlib's, with the bits in the other order, without the
    inversion before and after, and with the checksum's own field as zeros.
    """
    crc = zlib.crc32(reversed_page[:22], 0xFFFFFFFF)
    crc = zlib.crc32(reversed_page[26:], zlib.crc32(bytes(4), crc))
    return int(f"{crc ^ 0xFFFFFFFF:032b}"[::-1], 2)


def _mp3_header(content: bytes) -> Header:
    frames = mp3.find_frames(content)
    if frames is None:
        raise BrokenAudio("it does not decode (neither WAV, FLAC, Ogg nor MP3)")
    if frames.damage:
        raise BrokenAudio(frames.damage)
    return Header(
        "mp3",
        frames.sample_rate,
        frames.num_channels,
        None,
        frames.exact_stream(),
        frames.is_exact,
    )
