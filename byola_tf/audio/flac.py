"""FLAC: how long it is by its last frames, whatever its header says.

Encoders that write into a pipe leave the length 0, and a file that was cut
keeps the length of the whole one. libFLAC then fails at the torn last frame and
libsndfile drops what it had decoded before. So the last whole frame is looked
for, and the header is made to end there. Losses in between need no check, the
decoder reports every one.
"""

import itertools
import re

import soundfile

from byola_tf.audio.claims import Header
from byola_tf.audio.content import BrokenAudio, Content, Joined, Sequential, in_memory

_TAILS = (2**14, 2**18)  # a frame of 8 channels of 24 bits has 110 kB
_MOST_TRIED = 64  # candidates for the last frame, from the end
_SYNC = re.compile(rb"\xff[\xf8\xf9]")
_HEAD_BYTES = 42  # "fLaC", the header of a block, STREAMINFO
_ALONE = b"\x80"  # STREAMINFO, and no other block of metadata
_BLOCKS = [0, 192, 576, 1152, 2304, 4608, 0, 0, *(256 << n for n in range(8))]
_FIXED_BLOCKS = 0xF8  # the second byte of a frame; else its number counts samples


def read(content: Content, start: int) -> Header:
    """Reads STREAMINFO and finds the end.

    Args:
        content: the whole file.
        start: where "fLaC" stands in it.

    Raises:
        BrokenAudio: its header is incomplete.
    """
    head = content[start : start + _HEAD_BYTES]
    if len(head) < _HEAD_BYTES:
        raise BrokenAudio("it is truncated: its header is incomplete")
    # STREAMINFO: 20 bits rate, 3 channels - 1, 5 depth - 1, 36 samples
    packed = int.from_bytes(head[18:26], "big")
    rate, channels = packed >> 44, (packed >> 41 & 7) + 1
    claimed = packed & (1 << 36) - 1
    found, is_torn = _find_end(content, start, head)
    doubts = ()
    if found is None or found == claimed:
        pieces = [(content, start, len(content))]
        return Header("flac", rate, channels, claimed or None, [pieces], False)
    if is_torn and not claimed:
        doubts = ("it may be truncated: it ends inside a FLAC frame",)
    elif found < claimed:
        doubts = (f"it may be truncated: {found} of {claimed} samples",)
    elif claimed:
        doubts = (f"its header says {claimed} samples, and {found} are there",)
    head = _with_total(head, found, head[4:5])
    pieces = [in_memory(head), (content, start + len(head), len(content))]
    return Header("flac", rate, channels, found, [pieces], False, doubts)


def _find_end(content: Content, start: int, head: bytes) -> tuple[int | None, bool]:
    """Samples up to the end of the last whole frame, and whether a torn one follows.

    None where no frame is found.
    """
    torn = set()  # where those begin that do not decode
    for num_bytes in _TAILS:
        first = max(start + len(head), len(content) - num_bytes)
        tail = content[first : len(content)]
        positions = [match.start() for match in _SYNC.finditer(tail)]
        frames = (
            (position, *end)
            for position in reversed(positions)
            if (end := _frame_end(tail, position, head))
        )
        for position, begin, end in itertools.islice(frames, _MOST_TRIED):
            if _decodes(head, tail[position:], begin, end):
                return end, end in torn
            torn.add(begin)
    return None, False


def _frame_end(tail: bytes, position: int, head: bytes) -> tuple[int, int] | None:
    """First sample and end of the frame with a header at `position`, if there is one.

    RFC 9639, section 9.1.
    """
    header = tail[position : position + 16]
    if len(header) < 6 or header[3] & 1:
        return None
    # the number is coded as in UTF-8, but up to seven bytes
    ones = len(f"{header[4]:08b}".split("0")[0])
    count = max(1, ones)
    if ones in (1, 8):
        return None
    number = header[4] & (0x7F >> ones)
    for byte in header[5 : 4 + count]:
        number = number << 6 | byte & 0x3F
    size, at = header[2] >> 4, 4 + count
    if size == 0:
        return None
    if size in (6, 7):
        block = 1 + int.from_bytes(header[at : at + size - 5], "big")
        at += size - 5
    else:
        block = _BLOCKS[size]
    at += {12: 1, 13: 2, 14: 2}.get(header[2] & 15, 0)  # the rate
    if len(header) <= at or _crc8(header[:at]) != header[at]:
        return None
    if header[1] == _FIXED_BLOCKS:
        number *= int.from_bytes(head[10:12], "big")  # the last block may be shorter
    return number, number + block


def _decodes(head: bytes, frame: bytes, begin: int, end: int) -> bool:
    """Whether a frame decodes: as a file of its own, so that its CRC counts."""
    if end >= 1 << 36:
        return False
    stream = Joined([in_memory(_with_total(head, end, _ALONE)), in_memory(frame)])
    try:
        with Sequential(stream) as file:
            return len(file.read(end - begin, "float32")) == end - begin
    except (soundfile.SoundFileError, RuntimeError):
        return False


def _with_total(head: bytes, total: int, kind: bytes) -> bytes:
    """The header of a file with another number of samples and kind of block."""
    packed = int.from_bytes(head[18:26], "big") >> 36 << 36 | total
    return head[:4] + kind + head[5:18] + packed.to_bytes(8, "big") + head[26:]


def _crc8(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc = _CRC8[crc ^ byte]
    return crc


def _crc8_of(byte: int) -> int:
    for _ in range(8):
        byte = byte << 1 ^ (0x107 if byte & 0x80 else 0)
    return byte


_CRC8 = [_crc8_of(byte) for byte in range(256)]
