"""What the first bytes of a sound file say, and whether it is whole.

Decoders differ in what they do with a damaged file: tensorflow-io can loop for
ever or end the process, libsndfile often returns fewer samples without a word.
So the structure is checked here first: chunk sizes, checksums and order of Ogg
pages, the chain of MP3 frames.

What decodes is used. A loss at an end, or what may be one, is a doubt that goes
with the header; a loss in the middle is refused.
"""

import dataclasses

from byola_tf.audio import flac, mp3, ogg, sized, wav
from byola_tf.audio.claims import Header, check_rate
from byola_tf.audio.content import BrokenAudio, Content

__all__ = ["BrokenAudio", "Header", "check_rate", "read_header"]

_SEARCHED_BYTES = 2**20  # for a beginning behind a server's header or a bad tag
_UNREADABLE = (  # position and bytes of what is known not to be read
    (0, b"version https://git-lfs", "it is a Git LFS pointer: run `git lfs pull`"),
    (0, b"/annex/objects/", "it is a git-annex pointer: run `git annex get`"),
    (0, b"../.git/annex/", "it is a git-annex pointer: run `git annex get`"),
    (0, b"<!DOCTYPE", "it is a web page: download the sound itself"),
    (0, b"<html", "it is a web page: download the sound itself"),
    (4, b"ftyp", "it is MPEG-4 (M4A, MP4): convert it with ffmpeg"),
    (0, b"\x1aE\xdf\xa3", "it is Matroska or WebM: convert it with ffmpeg"),
    (0, b"0&\xb2u\x8ef\xcf\x11", "it is WMA: convert it with ffmpeg"),
    (0, b"#!AMR", "it is AMR: convert it with ffmpeg"),
    (0, b"wvpk", "it is WavPack: convert it with ffmpeg"),
    (0, b"MAC ", "it is Monkey's Audio: convert it with ffmpeg"),
    (0, b"NIST_1A", "it is NIST SPHERE: convert it with sph2pipe or ffmpeg"),
    (0, b"ajkg", "it is Shorten: convert it with ffmpeg"),
    (0, b"\xff\xf1", "it is AAC: convert it with ffmpeg"),
    (0, b"\xff\xf9", "it is AAC: convert it with ffmpeg"),
    (0, b"MThd", "it is MIDI, which holds no sound"),
    (0, b"PK\x03\x04", "it is a ZIP archive: unpack it"),
    (0, b"\x1f\x8b", "it is a gzip archive: unpack it"),
)


def read_header(content: bytes | Content) -> Header:
    """Reads the header of one file and checks its structure.

    Args:
        content: the whole file.

    Raises:
        BrokenAudio: empty, of no container that is read, damaged in its middle.
    """
    if isinstance(content, bytes):
        content = Content.of_bytes(content)
    if not len(content):
        raise BrokenAudio("the file is empty")
    header = _read_at(content, 0) or _read_behind_tag(content)
    if header is None and mp3.starts(content, 0):
        header = mp3.read(content, 0, len(content))
    if header is None:
        _refuse_known(content)
        header = _read_behind_junk(content)
    if header.sample_rate is not None:
        check_rate(header.sample_rate)
    return header


def _read_at(content: Content, start: int) -> Header | None:
    """The header of a container that begins at `start`."""
    if wav.is_wav(content, start):
        return wav.read(content, start)
    if content[start : start + 4] == b"fLaC":
        return flac.read(content, start)
    if content[start : start + 4] == b"OggS":
        return ogg.read(content, start)
    if sized.is_sized(content, start):
        return sized.read(content, start)
    return None


def _read_behind_tag(content: Content) -> Header | None:
    """The header of another container than MP3 behind tags."""
    tags_end = mp3.skip_tags(content, 0, len(content))
    header = _read_at(content, tags_end) if tags_end else None
    return header and dataclasses.replace(header, is_plain=False)


def _refuse_known(content: Content) -> None:
    for position, name, reason in _UNREADABLE:
        if content[position : position + len(name)] == name:
            raise BrokenAudio(reason)


def _read_behind_junk(content: Content) -> Header:
    """A file that begins later: behind a server's header, or inside an MP3 frame."""
    for name in (b"OggS\0\x02", b"fLaC\0\0\0\x22", b"RIFF"):
        start = content.find(name, 1, _SEARCHED_BYTES)
        header = _read_at(content, start) if start > 0 else None
        if header is not None:
            return header.with_doubts((f"its sound begins at byte {start} only",))
    try:
        return mp3.read(content, 0, len(content))
    except mp3.NoFrames as error:
        raise BrokenAudio(
            "it does not decode (neither WAV, FLAC, Ogg nor MP3)"
        ) from error
