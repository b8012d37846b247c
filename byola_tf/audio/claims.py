"""What a file says about itself, and how far that is believed.

A claimed length is a claim: what is there is read. Where claim and bytes differ
in a way that no recorder is known for, the file is doubtful.
"""

import dataclasses

from byola_tf.audio.content import BrokenAudio, Piece

_RATES = (1_000, 1_000_000)
_MARGIN = 0x2000  # recorders that write a mark subtract their header from it
_BEHIND = 2**20  # bytes of tags behind the samples of a whole file, at most


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
        streams: files for libsndfile, each a list of pieces; several where a
            recording changes its channels.
        is_plain: whether nothing in the file is known to confuse tensorflow-io.
        doubts: reasons, "it ...", why its end may be missing or was guessed.
    """

    encoding: str
    sample_rate: int | None
    num_channels: int | None
    num_samples: int | None
    streams: list[list[Piece]]
    is_plain: bool
    doubts: tuple[str, ...] = ()

    def with_doubts(self, doubts: tuple[str, ...]) -> "Header":
        """This header, for libsndfile alone.

        Args:
            doubts: further ones, put first.
        """
        return dataclasses.replace(self, doubts=doubts + self.doubts, is_plain=False)


def check_rate(sample_rate: int) -> None:
    """Refuses rates that no recording has: resampling them needs any memory.

    Args:
        sample_rate: Hz.

    Raises:
        BrokenAudio: outside 1 kHz to 1 MHz.
    """
    least, most = _RATES
    if not least <= sample_rate <= most:
        raise BrokenAudio(
            f"its sampling rate is {sample_rate} Hz; {least:,} to {most:,} Hz are read"
        )


def true_size(claimed: int, available: int, bits: int) -> tuple[int, tuple[str, ...]]:
    """How many bytes of samples there are, whatever a header claims.

    Args:
        claimed: bytes of samples by the header.
        available: bytes from the first sample to the end of the file.
        bits: width of the header's field, 32 or 64.

    Returns:
        bytes of samples, and doubts.
    """
    if _is_unknown(claimed, bits) and not 0 <= available - claimed < _BEHIND:
        return available, ()
    if claimed == 0 and available:
        return available, (
            "it may be truncated: its header was never completed, so all bytes "
            "behind it are taken for samples",
        )
    if claimed > available:
        return available, (
            f"it may be truncated: {claimed - available} bytes of samples are "
            "missing by its header",
        )
    lost = (available - claimed) >> 32
    if bits == 32 and lost:  # the field counts modulo 4 GiB
        return claimed + (lost << 32), (
            f"it has {lost * 4} GiB of samples more than its header can say",
        )
    return claimed, ()


def _is_unknown(claimed: int, bits: int) -> bool:
    """Whether a size is what recorders write that cannot seek back.

    The largest number (ffmpeg, SoX) or half of it (arecord), with or without a
    sign, or a bit less, so that the header fits in.
    """
    largest = 1 << bits
    return any(0 <= top - claimed <= _MARGIN for top in (largest - 1, largest >> 1))
