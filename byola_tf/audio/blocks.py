"""Audio files block by block: decoded as they are read, in bounded memory."""

import io
import mmap
from collections.abc import Iterable, Iterator

import numpy as np
import soundfile
import soxr

from byola_tf.audio import headers

_BLOCK_FRAMES = 1 << 19
_LOSSY = ("mp3", "vorbis", "other")
_MAPPED = (b"RIFF", b"RF64", b"RIFX", b"fLaC")


class Sequential(soundfile.SoundFile):
    """A file that is read once from its start.

    soundfile seeks after every read, which fails in a FLAC stream of unknown
    length.
    """

    def seekable(self) -> bool:
        return False


def open_mono(path: str) -> tuple[int, Iterator[np.ndarray]]:
    """Opens one local file for reading in blocks.

    WAV and FLAC files are mapped into memory; of the others the compressed
    bytes are held, because their structure is checked first.

    Args:
        path: a regular file; see `audio.load`.

    Returns:
        the file's own rate in Hz, and an iterator over its samples, float32
        [samples], channels averaged. Close the iterator to stop early.

    Raises:
        OSError: the file cannot be opened.
        BrokenAudio: no whole audio file; from the iterator too.
    """
    with open(path, "rb") as file:
        is_mapped = file.read(4) in _MAPPED
        file.seek(0)
        if is_mapped:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        else:
            content = file.read()
    try:
        header = headers.read_header(content)
    finally:
        if is_mapped:
            content.close()
    file = open(path, "rb") if is_mapped else io.BytesIO(header.stream)
    blocks = mono_blocks(file, header.encoding)
    return next(blocks), blocks


def mono_blocks(file, encoding: str) -> Iterator:
    """Decodes with libsndfile.

    Args:
        file: binary file; closed at the end.
        encoding: see `audio_headers.Header`.

    Yields:
        first the rate in Hz, then float32 [samples], channels averaged.

    Raises:
        BrokenAudio: it does not decode, ends early, or holds no sound.
    """
    total = 0
    with file:
        try:
            with Sequential(file) as opened:
                expected = opened.frames
                headers.check_rate(opened.samplerate)
                yield opened.samplerate
                # in pieces: no memory for samples that only the header promises
                size = max(1, min(expected, _BLOCK_FRAMES))
                while not total or total < expected:
                    samples = opened.read(size, "float32", always_2d=True)
                    if len(samples):
                        yield _mono(samples, encoding)
                    total += len(samples)
                    if len(samples) < size:
                        break
        except (soundfile.SoundFileError, RuntimeError) as error:
            reason = str(error).rpartition(">: ")[2]
            raise headers.BrokenAudio(f"it does not decode ({reason})") from error
    if not total:
        raise headers.BrokenAudio("it has no samples")
    if total < expected < 2**60:  # libsndfile's "unknown" is 2**63 - 1
        raise headers.BrokenAudio(f"it is truncated: {total} of {expected} samples")


def resample_blocks(
    blocks: Iterable[np.ndarray], source_rate: int, target_rate: int
) -> Iterator[np.ndarray]:
    """Resamples what comes in blocks as `audio.resample` does the whole.

    Args:
        blocks: float32 [samples].
        source_rate: Hz.
        target_rate: Hz.

    Yields:
        float32 [samples] at `target_rate`.
    """
    if source_rate == target_rate:
        yield from blocks
        return
    resampler = soxr.ResampleStream(
        source_rate, target_rate, 1, dtype="float32", quality="HQ"
    )
    for block in blocks:
        yield resampler.resample_chunk(block)
    yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)


def max_peak(encoding: str) -> float:
    """The largest sample that a whole file of an encoding may have."""
    # what a damaged MP3 decodes to has no bounds; a file of floating-point
    # numbers may have the range of 32-bit integers
    return 100.0 if encoding in _LOSSY else 2.0**32


def _mono(samples: np.ndarray, encoding: str) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):
        mono = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)
    peak = max(mono.max(), -mono.min())
    if not peak <= max_peak(encoding):
        raise headers.BrokenAudio(
            f"its samples reach {peak:.3g} times full scale"
            if np.isfinite(peak)
            else "it has NaN or infinite samples"
        )
    return np.ascontiguousarray(mono)
