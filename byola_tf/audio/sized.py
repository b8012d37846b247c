"""AIFF, CAF, AU and Wave64: whether their samples are as long as they claim.

libsndfile reads these. It loses what lies behind a wrong size in AU and CAF, so
it gets them with the size of what is there.
"""

import dataclasses
import struct

from byola_tf.audio.claims import Header, true_size
from byola_tf.audio.content import BrokenAudio, Content, in_memory

_MOST_CHUNKS = 10_000
_W64_RIFF = bytes.fromhex("726966662e91cf11a5d628db04c10000")
_W64_DATA = bytes.fromhex("64617461f3acd3118cd100c04f8edb8a")


@dataclasses.dataclass(frozen=True)
class _Chunks:
    """How a container writes its chunks."""

    first: int  # where the first one stands
    size_format: str  # of the number behind the name
    data: bytes  # name of the chunk with the samples
    alignment: int = 1
    counts_header: bool = False  # whether a size includes name and size

    def find_size(self, content: Content, start: int) -> tuple[int, int]:
        """Where the size of the samples stands, and the bytes that it claims."""
        header = len(self.data) + struct.calcsize(self.size_format)
        position = start + self.first
        for _ in range(_MOST_CHUNKS):
            if position + header > len(content):
                raise BrokenAudio("it is truncated: its samples are missing")
            at = position + len(self.data)
            (size,) = struct.unpack(self.size_format, content[at : position + header])
            size = max(0, size - header) if self.counts_header else size
            if content[position:at] == self.data:
                return at, size
            position += header + size
            position += -(position - start) % self.alignment
        raise BrokenAudio(f"it has more than {_MOST_CHUNKS} chunks")


_LAYOUTS = {
    b"FORM": _Chunks(12, ">I", b"SSND", alignment=2),
    b"caff": _Chunks(8, ">Q", b"data"),
    _W64_RIFF[:4]: _Chunks(40, "<Q", _W64_DATA, alignment=8, counts_header=True),
}
_AU_ORDERS = {b".snd": ">", b"dns.": "<"}


def is_sized(content: Content, start: int) -> bool:
    """Whether a file of these containers begins at a position.

    Args:
        content: the whole file.
        start: the position.
    """
    name = content[start : start + 4]
    if name == b"FORM":
        return content[start + 8 : start + 12] in (b"AIFF", b"AIFC")
    if name == _W64_RIFF[:4]:
        return content[start : start + 16] == _W64_RIFF
    return name in _LAYOUTS or name in _AU_ORDERS


def read(content: Content, start: int) -> Header:
    """Compares the claimed size with the bytes.

    Args:
        content: the whole file.
        start: where its container begins.

    Raises:
        BrokenAudio: it has no samples, or no end of chunks.
    """
    name = content[start : start + 4]
    if name in _AU_ORDERS:
        form, extra = _AU_ORDERS[name] + "I", 0
        if start + 24 > len(content):
            raise BrokenAudio("it is truncated: its header is incomplete")
        at = start + 8
        begin, claimed = struct.unpack(form + "I", content[at - 4 : at + 4])
        begin += start
    else:
        layout = _LAYOUTS[name]
        form = layout.size_format
        at, claimed = layout.find_size(content, start)
        begin = at + struct.calcsize(form)
        extra = begin - at + len(layout.data) if layout.counts_header else 0
    bits = 8 * struct.calcsize(form)
    size, doubts = true_size(claimed, max(0, len(content) - begin), bits)
    if name == b"FORM" and size >> bits:
        raise BrokenAudio("it is AIFF of more than 4 GiB: convert it to WAV")
    pieces = [(content, start, len(content))]
    if size != claimed:
        number = struct.pack(form, min(size + extra, (1 << bits) - 1))
        behind = at + len(number)
        pieces = [
            (content, start, at),
            in_memory(number),
            (content, behind, len(content)),
        ]
    return Header("other", None, None, None, [pieces], False, doubts)
