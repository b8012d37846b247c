"""Audio files as the tables need them: whole if they are short, else in blocks."""

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np

from byola_tf import audio
from byola_tf.errors import UserError


@dataclasses.dataclass
class Recording:
    """A file after the first look at it.

    Attributes:
        path: where it is.
        waveform: float32 [samples] at the model's rate; None where the file is
            too long to be held, or unusable.
        error: why it is unusable, or "".
        doubts: messages about what may be missing of it.
    """

    path: str
    waveform: np.ndarray | None = None
    error: str = ""
    doubts: list[str] = dataclasses.field(default_factory=list)


def read(path: str, sample_rate: int, limit_seconds: float) -> Recording:
    """Reads a file unless it is longer than a limit.

    Args:
        path: see `audio.load`.
        sample_rate: wanted rate, Hz.
        limit_seconds: how much of it is held.

    Returns:
        `Recording`; what is wrong with the file stands in its `error`.
    """
    doubts = []
    try:
        with audio.open_blocks(path, on_doubt=doubts.append) as reader:
            pieces, held = [], 0
            for block in reader.mono():
                pieces.append(block)
                held += len(block)
                if held > limit_seconds * reader.sample_rate:
                    return Recording(path)
            waveform = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
            waveform = audio.resample(waveform, reader.sample_rate, sample_rate)
            return Recording(path, waveform, doubts=doubts)
    except UserError as error:
        return Recording(path, error=str(error))


def blocks(
    path: str, sample_rate: int, on_doubt: Callable[[str], None] = audio.log_once
) -> Iterator[np.ndarray]:
    """Reads a file in pieces, float32 [samples] at `sample_rate`.

    Args:
        path: see `audio.load`.
        sample_rate: wanted rate, Hz.
        on_doubt: see `audio.load`.

    Raises:
        AudioError: see `audio.load`; at the damaged place.
    """
    with audio.open_blocks(path, on_doubt=on_doubt) as reader:
        yield from reader.resampled(sample_rate)
