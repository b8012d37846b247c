"""Whether MP3 frames can decode, by their side information (ISO 11172-3, 2.4.1.7).

A frame's sound ("main data") may begin in the frames before it, in what those leave
free. So a lost or damaged frame shows where the data of two frames overlap, or where
there is more of it than there is room. libmpg123 mutes such a frame and complains on
stderr, once or more a frame.
"""

import numpy as np

READ_BYTES = 4 + 2 + 32  # header, checksum, the longest side information
_BATCH_FRAMES = 4096
_MOST_BIG_VALUES = 288  # pairs of spectral lines that a granule has
_RESERVOIR_BYTES = 512  # how far back main data begins, at most


class SideInfo:
    """Checks the frames of one run as they are followed.

    Args:
        is_first_version: MPEG-1; else MPEG-2 or 2.5.
        num_channels: 1 or 2.

    Attributes:
        num_frames: how many were added.
        num_bad: how many of them cannot decode, as far as `finish` or a full batch
            has looked.
        first_bad: number of the first of them; None without any.
    """

    def __init__(self, is_first_version: bool, num_channels: int):
        self._is_first, self._channels = is_first_version, num_channels
        self._heads, self._sizes = bytearray(), []
        self._position = 0  # bytes of main data before the next frame
        self._end = 0  # bit at which the last frame's main data ends
        self.num_frames = self.num_bad = 0
        self.first_bad = None

    def add(self, head: bytes, size: int) -> None:
        """Adds a frame.

        Args:
            head: its first `READ_BYTES` bytes, or all there are.
            size: its length, bytes.
        """
        self._heads += head.ljust(READ_BYTES, b"\0")
        self._sizes.append(size)
        self.num_frames += 1
        if len(self._sizes) == _BATCH_FRAMES:
            self.finish()

    def finish(self) -> None:
        """Looks at the frames that were added since the last batch."""
        if not self._sizes:
            return
        heads = np.frombuffer(self._heads, np.uint8).reshape(-1, READ_BYTES)
        is_bad = self._judge(heads.copy(), np.array(self._sizes))
        if is_bad.any() and self.first_bad is None:
            self.first_bad = self.num_frames - len(is_bad) + int(np.argmax(is_bad))
        self.num_bad += int(is_bad.sum())
        self._heads, self._sizes = bytearray(), []

    def _judge(self, heads: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        """Which frames cannot decode, bool [frames].

        Args:
            heads: uint8 [frames, bytes].
            sizes: int [frames], bytes.
        """
        has_checksum = heads[:, 1] & 1 == 0
        bits = np.unpackbits(heads[:, 4:], axis=1)  # [frames, bits]
        bits = np.where(has_checksum[:, None], np.roll(bits, -16, axis=1), bits)
        back, lengths, big_values, side_bytes = self._fields(bits)
        room = sizes - 4 - 2 * has_checksum - side_bytes  # of main data, [frames]
        before = self._position + np.cumsum(room) - room
        starts = 8 * (before - back)
        ends = starts + lengths
        is_bad = (big_values > _MOST_BIG_VALUES) | (ends > 8 * (before + room))
        # what a damaged frame says about its end is not believed
        believed = np.where(is_bad, 0, ends)
        last = np.concatenate([[self._end], believed[:-1]])
        # a file that begins inside a recording lacks what its first frames refer to
        is_bad |= (starts < last) & (before > _RESERVOIR_BYTES)
        self._position, self._end = int(before[-1] + room[-1]), int(believed[-1])
        return is_bad

    def _fields(self, bits: np.ndarray):
        """How far back main data begins (bytes), its bits, big values, side bytes.

        Args:
            bits: uint8 [frames, bits] of the side information, first bit first.
        """
        if self._is_first:
            back, at = _number(bits, 0, 9), 18 if self._channels == 1 else 20
            count, step, side_bytes = 2 * self._channels, 59, (17, 32)
        else:
            back, at = _number(bits, 0, 8), 9 if self._channels == 1 else 10
            count, step, side_bytes = self._channels, 63, (9, 17)
        starts = range(at, at + count * step, step)  # of a granule and channel
        lengths = sum(_number(bits, start, 12) for start in starts)
        big_values = np.max([_number(bits, start + 12, 9) for start in starts], axis=0)
        return back, lengths, big_values, side_bytes[self._channels - 1]


def _number(bits: np.ndarray, start: int, width: int) -> np.ndarray:
    """Reads an integer of so many bits, int64 [frames]."""
    return bits[:, start : start + width] @ (1 << np.arange(width)[::-1])
