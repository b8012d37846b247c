"""WAV (RIFF, RF64, BW64, RIFX): where the samples are, whatever the sizes claim.

Sizes in WAV headers are often wrong: a recorder that writes into a pipe leaves a
mark for "unknown", one that crashes leaves 0, and 32 bits count modulo 4 GiB.
libsndfile then gets a header that tells what is there.
"""

import re
import struct
from typing import NamedTuple

from byola_tf.audio import mp3
from byola_tf.audio.claims import Header, true_size
from byola_tf.audio.content import BrokenAudio, Content, in_memory

_ORDERS = {b"RIFF": "<", b"RF64": "<", b"BW64": "<", b"RIFX": ">"}  # of bytes
_ENCODINGS = {
    (1, 8): "pcm_u8",
    (1, 16): "pcm_s16",
    (1, 24): "pcm_s24",
    (1, 32): "pcm_s32",
    (3, 32): "float32",
    (3, 64): "float64",
}
_EXTENSIBLE = 0xFFFE
_MPEG = (0x50, 0x55)
_FORMAT_SIZES = (16, 18, 40)
_MOST_CHUNKS = 10_000
_IN_64_BITS = 0xFFFFFFFF  # the size stands in the ds64 chunk
_TAGS = (b"ID3", b"TAG", b"APETAGEX", b"LYRICSBEGIN")  # may stand behind, bare

_Chunks = list[tuple[bytes, int, int]]  # name, position and size of the body


def is_wav(content: Content, start: int) -> bool:
    """Whether a WAV file begins at a position.

    Args:
        content: the whole file.
        start: the position.
    """
    return content[start : start + 4] in _ORDERS and (
        content[start + 8 : start + 12] == b"WAVE"
    )


def read(content: Content, start: int) -> Header:
    """Reads the header of a WAV file.

    Args:
        content: the whole file.
        start: where RIFF stands in it.

    Raises:
        BrokenAudio: it has no format, no samples, or no end of chunks.
    """
    order = _ORDERS[content[start : start + 4]]
    before, _ = _follow(content, start + 12, order)
    bodies = {name: (begin, size) for name, begin, size in reversed(before)}
    form = _format(content, bodies, order)
    if b"data" not in bodies:
        raise BrokenAudio("it is truncated: its samples are missing")
    begin, claimed, width = _claimed_samples(content, bodies)
    size, doubts = true_size(claimed, len(content) - begin, width)
    if not claimed and _follow(content, begin, order)[1] == len(content):
        size, doubts = 0, ()  # nothing was recorded
    if form.tag in _MPEG:
        return mp3.read(content, begin, begin + size).with_doubts(doubts)

    behind, end = _follow(content, begin + size + size % 2, order)
    is_whole = size == claimed and b"data" not in [name for name, _, _ in behind]
    pieces = [(content, start, len(content))]
    # libsndfile fails on a second data chunk, and does not know BW64
    if not is_whole or content[start : start + 4] == b"BW64":
        size -= size % (form.block or 1)  # a torn block of ADPCM decodes to noise
        header = _make_header(content, bodies, size, order)
        pieces = [in_memory(header), (content, begin, begin + size)]
    is_plain = (
        content[:4] == b"RIFF"
        and is_whole
        and form.is_plain(size)
        and _is_simple(before + behind)
        and end == 8 + _number(content, start + 4, order) == len(content)
    )
    return Header(
        form.encoding,
        form.rate,
        form.channels,
        form.num_samples(size),
        [pieces],
        is_plain,
        doubts + _doubts_behind(content, behind, end),
    )


class _Format(NamedTuple):
    """The format chunk.

    Attributes:
        tag: kind of encoding.
        channels: number of channels.
        rate: Hz.
        block: bytes of one sample of all channels, or of a block of ADPCM.
        bits: of one sample.
    """

    tag: int
    channels: int
    rate: int
    block: int
    bits: int

    @property
    def encoding(self) -> str:
        """See `Header`."""
        return _ENCODINGS.get((self.tag, self.bits), "other")

    def num_samples(self, size: int) -> int | None:
        """Samples a channel in `size` bytes; None where only the decoder knows."""
        return size // self.block if self.block and self.encoding != "other" else None

    def is_plain(self, size: int) -> bool:
        """Whether tensorflow-io reads `size` bytes of it."""
        # where block or channels are 0, it ends the process
        is_sane = self.block * 8 == self.channels * self.bits > 0
        return is_sane and self.encoding != "other" and size % self.block == 0 < size


def _doubts_behind(content: Content, behind: _Chunks, end: int) -> tuple[str, ...]:
    """What may be sound behind the samples: chunks, and what follows their `end`."""
    if any(name == b"data" for name, _, _ in behind):
        return ("it has samples in a second data chunk, which are not read",)
    rest = content.skip_zeros(end)
    if rest < len(content) and not content[rest : rest + 12].startswith(_TAGS):
        return (f"{len(content) - end} bytes behind its samples are in no chunk",)
    return ()


def _follow(content: Content, position: int, order: str) -> tuple[_Chunks, int]:
    """Follows chunks, the one with samples included.

    Returns:
        the chunks and where the last one ends.
    """
    chunks = []
    while position + 8 <= len(content):
        name, size = struct.unpack(order + "4sI", content[position : position + 8])
        if not re.fullmatch(rb"[ -~]{4}", name):
            break
        if len(chunks) == _MOST_CHUNKS:
            raise BrokenAudio(f"it has more than {_MOST_CHUNKS} chunks")
        chunks.append((name, position + 8, size))
        position += 8 + size + size % 2
        if name == b"data":
            break
    return chunks, position


def _format(content: Content, bodies: dict, order: str) -> _Format:
    start, size = bodies.get(b"fmt ", (0, 0))
    if size < 16 or start + 16 > len(content):
        raise BrokenAudio("it has no format chunk")
    tag, channels, rate, _, block, bits = struct.unpack(
        order + "HHIIHH", content[start : start + 16]
    )
    if tag == _EXTENSIBLE and 40 <= size <= len(content) - start:
        (tag,) = struct.unpack(order + "H", content[start + 24 : start + 26])
    return _Format(tag, channels, rate, block, bits)


def _claimed_samples(content: Content, bodies: dict) -> tuple[int, int, int]:
    """Where the samples begin, their claimed bytes, the width of that number."""
    begin, claimed = bodies[b"data"]
    start, size = bodies.get(b"ds64", (0, 0))
    if claimed == _IN_64_BITS and size >= 16 and start + 16 <= len(content):
        return begin, int.from_bytes(content[start + 8 : start + 16], "little"), 64
    return begin, claimed, 32


def _is_simple(chunks: _Chunks) -> bool:
    """Whether chunks are as tensorflow-io understands them."""
    names = [name for name, _, _ in chunks]
    return (
        names[0] == b"fmt "
        and chunks[0][2] in _FORMAT_SIZES
        and b"ds64" not in names
        and len(set(names)) == len(names)
        # it forgets the padding of odd ones
        and all(size % 2 == 0 for _, _, size in chunks)
    )


def _make_header(content: Content, bodies: dict, size: int, order: str) -> bytes:
    """A header with the true size, up to the first sample."""
    begin, length = bodies[b"fmt "]
    form = content[begin : begin + length]
    form = struct.pack(order + "4sI", b"fmt ", length) + form + bytes(length % 2)
    in_riff = 4 + len(form) + 8 + size + size % 2
    if in_riff <= 0xFFFFFFFF:
        name = b"RIFX" if order == ">" else b"RIFF"
        sizes = struct.pack(order + "4sI", b"data", size)
        return name + struct.pack(order + "I", in_riff) + b"WAVE" + form + sizes
    if order == ">":
        raise BrokenAudio("it has more than 4 GiB in RIFX, which nothing reads")
    sizes = struct.pack("<4sIQQQI", b"ds64", 28, in_riff + 36, size, 0, 0)
    return b"".join(
        [
            struct.pack("<4sI4s", b"RF64", _IN_64_BITS, b"WAVE"),
            sizes,
            form,
            struct.pack("<4sI", b"data", _IN_64_BITS),
        ]
    )


def _number(content: Content, position: int, order: str) -> int:
    return struct.unpack(order + "I", content[position : position + 4])[0]
