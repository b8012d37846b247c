"""One recording as a corpus keeps it: mono int16 at one rate, in bounded memory."""

from collections.abc import Iterator

import numpy as np

from byola_tf import audio


def samples(path: str, sample_rate: int, max_hours: float) -> Iterator[np.ndarray]:
    """Decodes, mixes down and resamples one file block by block.

    The blocks together are `to_pcm16(audio.load(path, sample_rate))` to the bit.

    Args:
        path: the file.
        sample_rate: wanted rate, Hz.
        max_hours: longest recording that is read.

    Yields:
        int16 [samples] at `sample_rate`.

    Raises:
        UserError: while iterating: the file is unusable, or longer than `max_hours`.
    """
    with audio.open_blocks(path, max_hours) as reader:
        for part in reader.resampled(sample_rate):
            yield audio.to_pcm16(part)


def begin(
    path: str, sample_rate: int, max_hours: float, count: int
) -> tuple[np.ndarray, Iterator[np.ndarray] | None]:
    """Reads a recording's first samples, or all of it.

    Args:
        path, sample_rate, max_hours: see `samples`.
        count: number of samples from which on the rest is left for later.

    Returns:
        int16 [samples], and an iterator over the blocks that follow them; None in its
        place when they are the whole recording.

    Raises:
        UserError: see `samples`.
    """
    parts, held, length = samples(path, sample_rate, max_hours), [], 0
    for part in parts:
        held.append(part)
        length += len(part)
        if length >= count:
            return _joined(held), parts
    return _joined(held), None


def span(
    path: str, sample_rate: int, max_hours: float, start: int, count: int
) -> np.ndarray:
    """Reads a span of a recording.

    Args:
        path, sample_rate, max_hours: see `samples`.
        start: first sample.
        count: number of samples.

    Returns:
        int16 [≤ count].

    Raises:
        UserError: see `samples`.
    """
    held, position = [np.zeros(0, np.int16)], 0
    parts = samples(path, sample_rate, max_hours)
    for part in parts:
        held.append(part[max(0, start - position) : max(0, start + count - position)])
        position += len(part)
        if position >= start + count:
            parts.close()
            break
    return _joined(held)


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
