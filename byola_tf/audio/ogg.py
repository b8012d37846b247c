"""Ogg (RFC 3533): checksums, order and end of its pages.

libsndfile returns fewer samples, without a word, where a page is damaged or
missing. A file that was cut ends with its last whole page here.
"""

import dataclasses
import struct
import zlib

from byola_tf.audio import flac
from byola_tf.audio.claims import Header
from byola_tf.audio.content import BrokenAudio, Content, Joined, Piece, in_memory

_REVERSED_BITS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_MOST_EMPTY = 1_000  # pages in a row without a byte of sound
_MOST_SAMPLES_A_BYTE = 1_000
_BEGINS, _ENDS = 2, 4  # flags of a page


@dataclasses.dataclass
class _Pages:
    """What a walk over the pages found.

    Attributes:
        bodies: from where to where each page's own bytes are.
        last: where the last page begins.
        end: where it ends.
        is_ended: whether every stream has its end mark.
        position: what the last page says about the samples up to its end.
        doubts: see `Header`.
    """

    bodies: list[tuple[int, int]]
    last: int
    end: int
    is_ended: bool
    position: int
    doubts: tuple[str, ...]


def read(content: Content, start: int) -> Header:
    """Checks the pages and finds out what they hold.

    Args:
        content: the whole file.
        start: where its first page begins.

    Raises:
        BrokenAudio: damaged, with a page missing, chained, or of a codec that
            libsndfile lacks.
    """
    pages = _walk(content, start)
    stream = [(content, start, pages.end)]
    first = content[slice(*pages.bodies[0])]
    if first[:7] == b"\x01vorbis" and len(first) == 30:
        channels, rate = struct.unpack_from("<BI", first, 11)
        is_plain = pages.is_ended and not start and pages.end == len(content)
        # tensorflow-io makes room for so many
        is_plain &= pages.position <= _MOST_SAMPLES_A_BYTE * len(content)
        is_plain &= not pages.doubts
        return Header("vorbis", rate, channels, None, [stream], is_plain, pages.doubts)
    if first[:5] == b"\x7fFLAC":
        return _read_flac(content, pages)
    if first[:8] == b"Speex   ":
        raise BrokenAudio(
            "it is Speex in Ogg, which is not supported: convert it with ffmpeg"
        )
    if not pages.is_ended:
        stream = _with_end_mark(content, start, pages)
    return Header("other", None, None, None, [stream], False, pages.doubts)


def _walk(content: Content, start: int) -> _Pages:
    sequence = dict[int, int]()  # number of the last page of the open streams
    bodies, doubts = [], ()
    position, last, has_data, num_empty, num_chained = start, start, False, 0, 0
    while content[position : position + 4] == b"OggS":
        page = _read_page(content, position)
        if page is None:  # no more of it is there
            doubts = ("it may be truncated: it ends inside an Ogg page",)
            break
        flags, serial, number, body, end = page
        if flags & _BEGINS:
            num_chained += has_data
        elif sequence.get(serial) != number - 1:
            raise BrokenAudio(f"Ogg pages are missing before byte {position}")
        else:
            has_data = True
        num_empty = num_empty + 1 if body == end else 0
        if num_empty > _MOST_EMPTY:
            raise BrokenAudio(f"it has more than {_MOST_EMPTY} empty Ogg pages")
        sequence[serial] = number
        if flags & _ENDS:
            del sequence[serial]
        bodies.append((body, end))
        last, position = position, end
    if not bodies:
        raise BrokenAudio("it is truncated inside its first Ogg page")
    if num_chained:
        raise BrokenAudio(
            f"it is a chain of {num_chained + 1} Ogg streams: split it into one file "
            "each"
        )
    if not doubts and sequence and position < len(content):
        doubts = (
            "it may be truncated: behind its last Ogg page stand "
            f"{len(content) - position} bytes that are none",
        )
    elif not doubts and sequence:
        doubts = ("it may be truncated: no Ogg page is marked as its end",)
    if content.find(b"OggS", position + 1, len(content)) > 0:
        raise BrokenAudio(f"it is damaged at byte {position}: no Ogg page")
    (granule,) = struct.unpack("<q", content[last + 6 : last + 14])
    return _Pages(bodies, last, position, not sequence, granule, doubts)


def _read_page(
    content: Content, position: int
) -> tuple[int, int, int, int, int] | None:
    """Flags, serial number, page number, begin and end of the body.

    None where the file ends before the page does.
    """
    header = content[position : position + 27]
    if len(header) < 27:
        return None
    flags, serial, number, checksum, segments = struct.unpack_from(
        "<xBxxxxxxxxIIIB", header, 4
    )
    body = position + 27 + segments
    end = body + sum(content[position + 27 : body])
    if end > len(content):
        return None
    if _checksum(content[position:end]) != checksum:
        raise BrokenAudio(f"its Ogg page at byte {position} is damaged")
    return flags, serial, number, body, end


def _checksum(page: bytes) -> int:
    """CRC-32 of a page.

    Ogg's polynomial is zlib's, with the bits in the other order, without the
    inversion before and after, and with the checksum's own field as zeros.
    """
    reversed_page = page.translate(_REVERSED_BITS)
    crc = zlib.crc32(reversed_page[:22], 0xFFFFFFFF)
    crc = zlib.crc32(reversed_page[26:], zlib.crc32(bytes(4), crc))
    return int(f"{crc ^ 0xFFFFFFFF:032b}"[::-1], 2)


def _with_end_mark(content: Content, start: int, pages: _Pages) -> list[Piece]:
    """The pages, the last one marked as the end: Opus is refused without it."""
    page = bytearray(content[pages.last : pages.end])
    page[5] |= _ENDS
    page[22:26] = struct.pack("<I", _checksum(bytes(page)))
    return [(content, start, pages.last), in_memory(bytes(page))]


def _read_flac(content: Content, pages: _Pages) -> Header:
    """FLAC in Ogg: the pages' bodies are a FLAC file behind 9 bytes of their own."""
    (begin, end), *others = pages.bodies
    stream = Joined([(content, begin + 9, end), *((content, *body) for body in others)])
    header = flac.read(Content(stream, stream.seek(0, 2)), 0)
    return header.with_doubts(pages.doubts)
