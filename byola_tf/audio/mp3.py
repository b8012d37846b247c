"""The chain of frames that an MP3 file is (ISO 11172-3 and 13818-3, layer III).

libsndfile takes the length of an MP3 from the Xing header in its first frame
and guesses it where there is none: measured with libsndfile 1.2.2, it then
returns a third of a file of variable bit rate, without a word. Here the frames
are counted, and the bytes are given a header that agrees with the count.

The traps of such files:

- A frame is known by 11 bits of its header, which pictures in tags hold too. So
  a file may begin anywhere that several frames follow each other.
- The size of an ID3 tag may be wrong, and tags stand before, between and behind.
- The first frame may be a header (Xing, Info, VBRI) that holds no sound. Its
  count is of frames, with or without itself.
- Files are cut inside a frame at either end, and joined to others.
"""

import dataclasses
import re
import struct

from byola_tf.audio import mp3_frames
from byola_tf.audio.claims import Header
from byola_tf.audio.content import BrokenAudio, Content, Piece, in_memory
from byola_tf.audio.mp3_frames import Frame
from byola_tf.audio.mp3_side_info import READ_BYTES, SideInfo

_SYNC = re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb]")
_MOST_BAD = 0.1  # share of frames that do not decode
_CHAIN = 4  # frames in a row are no accident
_MOST_TAGS = 10_000
_MOST_JOINED = 1_000
_SEARCHED_BYTES = 16 * 2**20  # for the first frame: tags hold pictures


class NoFrames(BrokenAudio):
    """Bytes without a frame of MP3."""


@dataclasses.dataclass(frozen=True)
class _Run:
    """Frames of one rate and channel count, one after the other.

    Attributes:
        first: the first frame, a header frame that libsndfile uses included.
        spans: from where to where there are frames; tags lie between.
        num_frames: frames with sound.
        count: what its header says of that, 0 without one.
        has_xing: whether its first frame is such a header.
        has_delay: whether that holds the encoder's delay.
        side_info: which frames cannot decode.
    """

    first: Frame
    spans: list[tuple[int, int]]
    num_frames: int
    count: int
    has_xing: bool
    has_delay: bool
    side_info: SideInfo

    @property
    def is_cut(self) -> bool:
        """Whether frames are missing; some encoders count the header frame too."""
        return self.num_frames < self.count - 1

    def stream(self, content: Content) -> list[Piece]:
        """The frames alone, behind a header frame with their number."""
        (start, _), *_ = self.spans
        spans = list(self.spans)
        if self.has_xing:
            header = bytearray(content[start : start + self.first.size])
            spans[0] = (start + self.first.size, spans[0][1])
        else:
            header = mp3_frames.make_header_frame(content[start : start + 4])
        tag = self.first.tag_position
        total = len(header) + sum(stop - start for start, stop in spans)
        (flags,) = struct.unpack_from(">I", header, tag + 4)
        struct.pack_into(">I", header, tag + 8, self.num_frames)
        if flags & 2:
            struct.pack_into(">I", header, tag + 12, min(total, 0xFFFFFFFF))
        return [in_memory(bytes(header)), *((content, *span) for span in spans)]


def read(content: Content, start: int, stop: int) -> Header:
    """Follows the frames of an MP3 file from the first to the last.

    Args:
        content: the whole file.
        start: where it begins, tags included.
        stop: where it ends.

    Raises:
        BrokenAudio: there are no frames, or there is something else between.
    """
    tags_end = skip_tags(content, start, stop)
    begin = _first_frame(content, start, tags_end, stop)
    if begin is None:
        raise NoFrames("it has no MP3 frames")
    runs, rest = [], begin
    while not runs or _is_chain(content, rest, stop):
        run, rest = _read_run(content, rest, stop)
        runs.append(run)
        if len(runs) > _MOST_JOINED:
            raise BrokenAudio(f"it joins more than {_MOST_JOINED} MP3s: split it")
    rates = sorted({run.first.sample_rate for run in runs})
    if len(rates) > 1:
        raise BrokenAudio(f"it joins MP3s of {rates} Hz: split it")
    doubts = _doubts_at_start(content, begin, tags_end)
    doubts += _doubts_inside(runs) + _doubts_at_end(content, runs, rest, stop)
    runs = [run for run in runs if run.num_frames]
    if not runs:
        raise BrokenAudio("it has no samples")
    is_plain = (
        len(runs) == 1
        and runs[0].has_delay
        and runs[0].num_frames == runs[0].count
        and runs[0].spans == [(tags_end, rest)]
        and start == 0
        and rest in (len(content), len(content) - 128)
        and not doubts
    )
    first = runs[0].first
    streams = [run.stream(content) for run in runs]
    return Header(
        "mp3", first.sample_rate, first.num_channels, None, streams, is_plain, doubts
    )


def starts(content: Content, start: int) -> bool:
    """Whether frames begin at a position, behind nothing but tags and zeros.

    Args:
        content: the whole file.
        start: the position.
    """
    tags_end = skip_tags(content, start, len(content))
    begin = content.skip_zeros(tags_end)
    return _is_followed(content, begin, len(content))


def _first_frame(content: Content, start: int, tags_end: int, stop: int) -> int | None:
    """Where the frames begin: behind the tags, or where several follow each other."""
    begin = content.skip_zeros(tags_end)
    if _is_followed(content, begin, stop):
        return begin
    # inside a tag too: its size may be wrong
    return _find_chain(content, start, min(stop, start + _SEARCHED_BYTES), stop)


def _is_followed(content: Content, position: int, stop: int) -> bool:
    """Whether a frame stands here, and another frame, a tag or the end behind it."""
    frame = mp3_frames.read_header(content[position : position + 4])
    if frame is None or position + frame.size > stop:
        return False
    behind = content.skip_zeros(position + frame.size)
    following = content[behind : behind + 12]
    is_frame = mp3_frames.read_header(following[:4]) is not None
    return (
        is_frame
        or len(following) < 4
        or following.startswith((b"ID3", *mp3_frames.TAGS))
    )


def _find_chain(content: Content, start: int, last: int, stop: int) -> int | None:
    """The first position in [start, last) from which several frames follow."""
    while start < last:
        block = content[start : min(start + 2**16, last) + 1]
        for match in _SYNC.finditer(block):
            if _is_chain(content, start + match.start(), stop):
                return start + match.start()
        start += 2**16
    return None


def _is_chain(content: Content, position: int, stop: int) -> bool:
    """Whether so many frames follow each other that they are no accident.

    At the end of the file fewer do.
    """
    first, length = None, 0
    while length < _CHAIN and position < stop:
        frame = mp3_frames.read_header(content[position : position + 4])
        if frame is None or (first and not frame.is_like(first)):
            return False
        first = first or frame
        if position + frame.size > stop:
            return length > 1
        position += frame.size
        length += 1
    return length > 0


def _read_run(content: Content, position: int, stop: int) -> tuple[_Run, int]:
    """Reads frames that are alike; also returns where they end."""
    first = mp3_frames.read_header(content[position : position + 4])
    has_xing, count, has_delay = mp3_frames.read_xing(content, position, first)
    has_other = content[position + 36 : position + 40] == b"VBRI"
    if has_other or (has_xing and not count):
        position += first.size  # a header frame that libsndfile cannot use
        has_xing, count = False, 0
    spans, side_info = _follow(content, position, stop, first)
    num_frames = side_info.num_frames - has_xing
    run = _Run(first, spans, num_frames, count, has_xing, has_delay, side_info)
    return run, spans[-1][1]


def _follow(content: Content, position: int, stop: int, first: Frame):
    """Walks frames like `first`, and tags between them.

    Returns:
        spans of bytes that are frames, and their `SideInfo`.
    """
    side_info = SideInfo(first.samples == 1152, first.num_channels)
    spans, start = [], position
    while position < stop:
        head = content[position : position + READ_BYTES]
        frame = mp3_frames.read_header(head[:4])
        if frame and frame.is_like(first):
            if position + frame.size > stop:
                break
            side_info.add(head, frame.size)
            position += frame.size
            continue
        tag = mp3_frames.tag_size(content, position)
        if not tag or position + tag >= stop:
            break
        if len(spans) == _MOST_TAGS:
            raise BrokenAudio(f"it has more than {_MOST_TAGS} tags")
        spans.append((start, position))
        position = start = position + tag
    spans.append((start, position))
    side_info.finish()
    return spans, side_info


def _doubts_at_start(content: Content, begin: int, tags_end: int) -> tuple[str, ...]:
    if content.skip_zeros(tags_end) == begin:
        return ()
    return (f"its MP3 frames begin at byte {begin} only: its beginning may be missing",)


def _doubts_inside(runs: list[_Run]) -> tuple[str, ...]:
    """Says which frames do not decode.

    Raises:
        BrokenAudio: too many of them, or others are missing.
    """
    num_frames = sum(run.side_info.num_frames for run in runs)
    num_bad = sum(run.side_info.num_bad for run in runs)
    if not num_bad:
        return ()
    reason = f"{num_bad} of {num_frames} MP3 frames do not decode"
    is_hole = any(run.is_cut and run.side_info.num_bad for run in runs)
    if is_hole or num_bad > _MOST_BAD * num_frames:
        raise BrokenAudio(f"it is damaged: {reason}")
    for run in runs:
        if run.side_info.num_bad:
            break
    seconds = run.side_info.first_bad * run.first.samples / run.first.sample_rate
    return (f"{reason}, the first at {seconds:.1f} s",)


def _doubts_at_end(
    content: Content, runs: list[_Run], rest: int, stop: int
) -> tuple[str, ...]:
    """Judges what stands at `rest`, the end of the last frame.

    Raises:
        BrokenAudio: frames go on behind it: something is lost in the middle.
    """
    after = content.skip_zeros(rest)
    while (tag := mp3_frames.tag_size(content, after)) and after + tag <= stop:
        after = content.skip_zeros(after + tag)
    if _find_chain(content, after, stop, stop) is not None:
        raise BrokenAudio(f"it is damaged at byte {rest}: no MP3 frame")
    doubts = tuple(
        f"it may be truncated: {run.num_frames} of {run.count} MP3 frames"
        for run in runs
        if run.is_cut
    )
    is_complete = all(run.count and run.num_frames >= run.count for run in runs)
    if doubts or is_complete or after >= stop:
        return doubts
    if content[after : after + 12].startswith((b"ID3", *mp3_frames.TAGS)):
        return ()
    if mp3_frames.read_header(content[after : after + 4]):
        return ("it may be truncated: it ends inside an MP3 frame",)
    return (f"its last {stop - after} bytes are no MP3 frames: its end may be missing",)


def skip_tags(content: Content, position: int, stop: int) -> int:
    """The end of the tags that stand at a position.

    Args:
        content: the whole file.
        position: where the first may stand.
        stop: end of the file.

    Raises:
        BrokenAudio: there are more than any file has.
    """
    for _ in range(_MOST_TAGS):
        tag = mp3_frames.tag_size(content, position)
        if not tag or position + tag >= stop:
            return position
        position += tag
    raise BrokenAudio(f"it has more than {_MOST_TAGS} tags")
