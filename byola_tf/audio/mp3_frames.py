"""Frame headers and tags of MP3 (ISO 11172-3 and 13818-3, layer III)."""

import dataclasses
import functools
import struct

from byola_tf.audio.content import Content

_BIT_RATES = {  # kbit/s by version (1: MPEG-1, 2: MPEG-2 and 2.5)
    1: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_SAMPLE_RATES = (44100, 48000, 32000)  # MPEG-1; MPEG-2 halves and 2.5 quarters them
TAGS = (b"TAG", b"APETAGEX", b"LYRICSBEGIN", b"3DI")  # may follow the frames


@dataclasses.dataclass(frozen=True)
class Frame:
    """What the four bytes of a frame header say.

    Attributes:
        size: bytes of the whole frame.
        samples: samples a channel.
        sample_rate: Hz.
        num_channels: 1 or 2.
        tag_position: where "Xing" stands inside the frame, if it does.
    """

    size: int
    samples: int
    sample_rate: int
    num_channels: int
    tag_position: int

    def is_like(self, other: "Frame") -> bool:
        """Whether both can be frames of one recording.

        Args:
            other: another frame.
        """
        return (self.sample_rate, self.num_channels) == (
            other.sample_rate,
            other.num_channels,
        )


@functools.lru_cache(4096)
def read_header(header: bytes) -> Frame | None:
    """Reads the header of a frame.

    Args:
        header: the first four bytes of the frame.

    Returns:
        what they say; None where they are no header.
    """
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
    return Frame(size, samples, sample_rate, channels, 4 + side_information)


def read_xing(content: Content, position: int, frame: Frame) -> tuple[bool, int, bool]:
    """Reads the header that a first frame may hold instead of sound.

    Args:
        content: the whole file.
        position: of the frame.
        frame: what its header says.

    Returns:
        whether it is such a header, its count of frames (0 where it has none), and
        whether it tells the encoder's delay.
    """
    tag = content[position + frame.tag_position : position + frame.size]
    if tag[:4] not in (b"Xing", b"Info") or len(tag) < 12:
        return False, 0, False
    flags, count = struct.unpack(">II", tag[4:12])
    # frames, bytes, seek table, quality; then the encoder's name and delay
    fields = ((1, 4), (2, 4), (4, 100), (8, 4))
    encoder = 8 + sum(size for bit, size in fields if flags & bit)
    has_delay = tag[encoder : encoder + 1] not in (b"", b"\0")
    return True, count if flags & 1 else 0, has_delay


def make_header_frame(header: bytes) -> bytearray:
    """A silent frame with room for the number of frames and bytes.

    Args:
        header: the first four bytes of a frame of the same recording.
    """
    # no checksum, the highest bit rate so that there is room, no padding
    header = bytes([header[0], header[1] | 1, header[2] & 0x0D | 14 << 4, header[3]])
    frame = read_header(header)
    made = bytearray(frame.size)
    made[:4] = header
    struct.pack_into(">4sI", made, frame.tag_position, b"Xing", 3)
    return made


def tag_size(content: Content, position: int) -> int:
    """Length of an ID3, ID3v2 or APE tag.

    Args:
        content: the whole file.
        position: where it may stand.

    Returns:
        bytes, 0 when there is none.
    """
    name = content[position : position + 8]
    if name[:3] == b"TAG":
        return 128
    if name == b"APETAGEX":
        header = content[position + 8 : position + 32]
        if len(header) < 24:
            return 0
        _, size, _, flags = struct.unpack("<IIII", header[:16])
        return 32 + (size if flags >> 29 & 1 else 0)  # else it ends a tag
    return id3_size(content, position)


def id3_size(content: Content, position: int) -> int:
    """Length of an ID3v2 tag.

    Args:
        content: the whole file.
        position: where it may stand.

    Returns:
        bytes, 0 when there is none.
    """
    header = content[position : position + 10]
    if header[:3] != b"ID3" or len(header) < 10:
        return 0
    flags, *sizes = header[5:]
    if any(size > 127 for size in sizes):
        return 0
    size = int("".join(f"{size:07b}" for size in sizes), 2)
    return size + (20 if flags & 0x10 else 10)  # with a footer or without
