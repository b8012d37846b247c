"""The chain of frames of an MP3 file (ISO 11172-3 and 13818-3, layer III).

libsndfile takes the length of an MP3 from the Xing header in its first frame
and guesses it where there is none: measured with libsndfile 1.2.2, it then
returns a third of a file of variable bit rate, without a word. Here the frames
are counted, which also shows truncation and damage, and the bytes are given a
header that agrees with the count.
"""

import dataclasses
import functools
import re
import struct

_BIT_RATES = {  # kbit/s by version (1: MPEG-1, 2: MPEG-2 and 2.5)
    1: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_SAMPLE_RATES = (44100, 48000, 32000)  # MPEG-1; MPEG-2 halves and 2.5 quarters them
_TAGS = (b"TAG", b"APETAGEX", b"LYRICSBEGIN", b"3DI")  # may follow the frames


@dataclasses.dataclass(frozen=True)
class _Frame:
    """What the four bytes of a frame header say."""

    size: int  # bytes
    samples: int
    sample_rate: int
    num_channels: int
    tag_position: int  # of "Xing" inside the frame


@dataclasses.dataclass(frozen=True)
class Frames:
    """The audio of an MP3 file.

    Attributes:
        sample_rate: Hz.
        num_channels: 1 or 2.
        num_frames: audio frames, the header frame not counted.
        damage: what is wrong with the chain of frames, "" when nothing is.
        is_exact: whether the file has a header with encoder delay that agrees
            with the count, and nothing around its frames but simple tags.
    """

    sample_rate: int
    num_channels: int
    num_frames: int
    damage: str
    is_exact: bool
    _content: bytes
    _spans: list[tuple[int, int]]
    _has_xing: bool

    def exact_stream(self) -> bytes:
        """The frames alone, behind a header frame with their number."""
        frames = [self._content[start:end] for start, end in self._spans]
        header = frames[0][:4]
        if not self._has_xing:
            frames.insert(0, _make_header_frame(header))
        stream = bytearray().join(frames)
        tag = _read_header(header).tag_position
        (flags,) = struct.unpack_from(">I", stream, tag + 4)
        struct.pack_into(">I", stream, tag + 8, self.num_frames)
        if flags & 2:
            struct.pack_into(">I", stream, tag + 12, len(stream))
        return bytes(stream)


def find_frames(content: bytes) -> Frames | None:
    """Follows the frames of an MP3 file from the first to the last.

    Args:
        content: the whole file, tags included.

    Returns:
        the frames, None when the file does not begin with one.
    """
    position = 0
    while size := id3_size(content, position):
        position += size
    tags_end = position
    position = _skip_zeros(content, position)
    first = _read_header(content[position : position + 4])
    if first is None:
        return None
    has_xing, count, has_delay = _read_xing(content, position, first)
    has_other = content[position + 36 : position + 40] == b"VBRI"
    if has_other or (has_xing and not count):
        position += first.size  # a header frame that libsndfile cannot use
        has_xing = False

    spans, num_frames, rest = _follow(content, position, first)
    num_frames -= has_xing
    damage = _damage(content, rest, num_frames, count if has_xing else 0)
    is_exact = (
        has_delay
        and num_frames == count
        and len(spans) == 1
        and spans[0][0] == tags_end
        and (rest == len(content) or rest + 128 == len(content))
    )
    return Frames(
        first.sample_rate,
        first.num_channels,
        num_frames,
        damage,
        is_exact,
        content,
        spans,
        has_xing,
    )


def id3_size(content: bytes, position: int) -> int:
    """Bytes that an ID3v2 tag takes at `position`, 0 when there is none."""
    if content[position : position + 3] != b"ID3":
        return 0
    if len(content) < position + 10:
        return 0
    flags, *sizes = content[position + 5 : position + 10]
    if any(size > 127 for size in sizes):
        return 0
    size = int("".join(f"{size:07b}" for size in sizes), 2)
    return size + (20 if flags & 0x10 else 10)  # with a footer or without


@functools.lru_cache(4096)
def _read_header(header: bytes) -> _Frame | None:
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE6 != 0xE2:
        return None  # no sync, or not layer III
    version = header[1] >> 3 & 3  # 3: MPEG-1, 2: MPEG-2, 0: MPEG-2.5
    bit_rate, rate = header[2] >> 4, header[2] >> 2 & 3
    if version == 1 or bit_rate in (0, 15) or rate == 3:
        return None
    is_first, is_mono = version == 3, header[3] >> 6 == 3
    sample_rate = _SAMPLE_RATES[rate] // {3: 1, 2: 2, 0: 4}[version]
    samples = 1152 if is_first else 576
    bits = _BIT_RATES[1 if is_first else 2][bit_rate] * 1000
    size = samples // 8 * bits // sample_rate + (header[2] >> 1 & 1)
    side_information = (17 if is_mono else 32) if is_first else (9 if is_mono else 17)
    channels = 1 if is_mono else 2
    return _Frame(size, samples, sample_rate, channels, 4 + side_information)


def _read_xing(content: bytes, position: int, frame: _Frame) -> tuple[bool, int, bool]:
    """Whether there is a Xing header, its count of frames, whether it has a delay."""
    tag = content[position + frame.tag_position : position + frame.size]
    if tag[:4] not in (b"Xing", b"Info") or len(tag) < 12:
        return False, 0, False
    flags, count = struct.unpack_from(">II", tag, 4)
    # frames, bytes, seek table, quality; then the encoder's name and delay
    fields = ((1, 4), (2, 4), (4, 100), (8, 4))
    encoder = 8 + sum(size for bit, size in fields if flags & bit)
    has_delay = tag[encoder : encoder + 1] not in (b"", b"\0")
    return True, count if flags & 1 else 0, has_delay


def _follow(content: bytes, position: int, first: _Frame):
    """Walks frames like `first`, and tags between them.

    Returns:
        spans of bytes that are frames, number of frames, end of the last one.
    """
    kind = first.sample_rate, first.num_channels
    spans, num_frames, start = [], 0, position
    while position < len(content):
        frame = _read_header(content[position : position + 4])
        if frame and (frame.sample_rate, frame.num_channels) == kind:
            if position + frame.size > len(content):
                break
            position += frame.size
            num_frames += 1
            continue
        tag = id3_size(content, position)
        if content[position : position + 3] == b"TAG":
            tag = 128
        if not tag or position + tag >= len(content):
            break
        spans.append((start, position))
        position = start = position + tag
    spans.append((start, position))
    return spans, num_frames, position


def _damage(content: bytes, rest: int, num_frames: int, count: int) -> str:
    """Says what is wrong at `rest`, the end of the last frame."""
    if num_frames and count and num_frames >= count:
        return ""
    is_end = _skip_zeros(content, rest) == len(content)
    if is_end or content.startswith(_TAGS, rest):
        # some encoders count the header frame too
        if not num_frames or num_frames < count - 1:
            return f"it is truncated: {num_frames} of {count} MP3 frames"
        return ""
    if _read_header(content[rest : rest + 4]):
        return "it is truncated inside an MP3 frame"
    return f"it is damaged at byte {rest}: no MP3 frame"


def _skip_zeros(content: bytes, position: int) -> int:
    return re.compile(rb"\0*").match(content, position).end()


def _make_header_frame(header: bytes) -> bytearray:
    """A silent frame that holds the number of frames and bytes."""
    # no checksum, the highest bit rate so that there is room, no padding
    header = bytes([header[0], header[1] | 1, header[2] & 0x0D | 14 << 4, header[3]])
    frame = _read_header(header)
    made = bytearray(frame.size)
    made[:4] = header
    struct.pack_into(">4sI", made, frame.tag_position, b"Xing", 3)
    return made
