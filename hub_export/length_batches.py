"""Clips of unequal length in padded batches of few different shapes.

The first call with a new shape costs the time of many later ones, since the
libraries below TensorFlow compile their kernels for it. So batches come in
eight widths an octave, and in powers of two.
"""

from collections.abc import Iterator, Sequence

import numpy as np

_LARGEST_BATCH = 128


def embed(
    embedder, clips: Sequence[np.ndarray], batch_samples: int, frames: bool
) -> list[np.ndarray]:
    """Embeds clips, each as it would be alone.

    Args:
        embedder: `byola_tf.Embedder`.
        clips: float32 [samples] each, at the model's rate.
        batch_samples: size of a padded batch, samples; longer clips are alone.
        frames: a row a frame instead of one row.

    Returns:
        float32 [rows, embedding_size] for each clip.
    """
    rows: list = [None] * len(clips)
    for indices, width in batches([len(clip) for clip in clips], batch_samples):
        waveform = np.zeros([len(indices), width], np.float32)
        for place, index in zip(waveform, indices, strict=True):
            place[: len(clips[index])] = clips[index]
        num_samples = np.array([len(clips[index]) for index in indices], np.int32)
        if frames:
            outputs = embedder.frames_padded(waveform, num_samples)
            vectors = outputs["frame_embeddings"].numpy()
            counts = outputs["num_frames"].numpy()
        else:
            if num_samples.min() == width:
                vectors = embedder(waveform).numpy()[:, None]
            else:
                vectors = embedder.embed_padded(waveform, num_samples).numpy()[:, None]
            counts = np.ones(len(indices), int)
        for index, own, count in zip(indices, vectors, counts, strict=True):
            rows[index] = own[:count]
    return rows


def batches(
    lengths: Sequence[int], batch_samples: int
) -> Iterator[tuple[list[int], int]]:
    """Chooses the clips that are padded to one width.

    Args:
        lengths: samples of each clip.
        batch_samples: size of a batch with its padding, samples.

    Yields:
        the clips' indices and their width in samples: their length where they
        all have the same, or the next of eight steps an octave.
    """
    buckets: dict[int, list[int]] = {}
    for index, length in enumerate(lengths):
        buckets.setdefault(_padded(length), []).append(index)
    for width, indices in sorted(buckets.items()):
        if len({lengths[index] for index in indices}) == 1:
            width = lengths[indices[0]]
        while indices:
            fitting = min(len(indices), batch_samples // width, _LARGEST_BATCH)
            fitting = max(1, fitting)
            size = 1 << (fitting.bit_length() - 1)
            yield indices[:size], width
            indices = indices[size:]


def _padded(length: int) -> int:
    step = 1 << max(0, length.bit_length() - 4)
    return -(-length // step) * step
