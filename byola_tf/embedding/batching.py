"""Clips of unequal length in padded batches of few different shapes.

The first call with a new shape costs the time of many later ones, since the
libraries below TensorFlow compile their kernels for it. So batches come in
eight widths an octave, and in powers of two where clips are padded.
"""

from collections.abc import Iterator, Sequence

import numpy as np

_LARGEST_BATCH = 128


def batches(
    lengths: Sequence[int], samples_at_a_time: int
) -> Iterator[tuple[list[int], int]]:
    """Chooses the clips that are padded to one width.

    Args:
        lengths: samples of each clip.
        samples_at_a_time: size of a batch with its padding, samples; a longer clip
            is a batch of its own.

    Yields:
        the clips' indices and their width in samples: their length where they
        all have the same, or the next of eight steps an octave.
    """
    buckets: dict[int, list[int]] = {}
    for index, length in enumerate(lengths):
        buckets.setdefault(_next_width(length), []).append(index)
    for width, indices in sorted(buckets.items()):
        are_equal = len({lengths[index] for index in indices}) == 1
        if are_equal:
            width = lengths[indices[0]]
        fitting = min(max(1, samples_at_a_time // width), _LARGEST_BATCH)
        while indices:
            size = min(fitting, len(indices))
            if not are_equal:
                size = 1 << (size.bit_length() - 1)
            yield indices[:size], width
            indices = indices[size:]


def padded(waveforms: Sequence[np.ndarray], width: int):
    """Pads clips with zeros at their end.

    Args:
        waveforms: float32 [samples] each.
        width: wanted length, samples. Not used for clips of one length, and too
            small for none: what a clip has after resampling is known only now.

    Returns:
        float32 [batch, samples], and int32 [batch], the clips' lengths.
    """
    num_samples = np.array([len(waveform) for waveform in waveforms], np.int32)
    if len(waveforms) == 1:
        return waveforms[0][None], num_samples  # no copy of what may be long
    longest = num_samples.max()
    width = longest if num_samples.min() == longest else max(width, longest)
    batch = np.zeros([len(waveforms), width], np.float32)
    for row, waveform in zip(batch, waveforms, strict=True):
        row[: len(waveform)] = waveform
    return batch, num_samples


def _next_width(length: int) -> int:
    """The next of eight steps an octave."""
    step = 1 << max(0, length.bit_length() - 4)
    return -(-length // step) * step
