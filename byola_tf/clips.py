"""Embeds many clips, of files or arrays of any length, in bounded memory."""

import os
from collections.abc import Iterable, Iterator

import numpy as np

from byola_tf import audio, parallel
from byola_tf.embedder import Embedder
from byola_tf.errors import UserError


def model_path(path=None) -> str:
    """The model that a caller named.

    Args:
        path: of an exported model, checkpoint or work directory; by default what
            the environment variable BYOLA_MODEL names.

    Raises:
        UserError: none is named.
    """
    path = path or os.environ.get("BYOLA_MODEL")
    if not path:
        raise UserError(
            "A model must be named, by `model=` or the environment variable "
            "BYOLA_MODEL. Received: neither. E.g. BYOLA_MODEL=runs/model."
        )
    return os.fspath(path)


def embed_all(
    model: Embedder,
    clips: Iterable,
    sample_rate: int | None = None,
    batch_size: int = 32,
    num_threads: int = 2,
) -> np.ndarray:
    """Embeds clips, a batch at a time.

    Args:
        model: `Embedder`.
        clips: see `read`; read while embedding, so a generator will do.
        sample_rate: rate of the arrays among them, Hz; the model's by default.
        batch_size: clips that are in memory at a time, per thread.
        num_threads: threads that decode and resample.

    Returns:
        float32 [clips, embedding_size].

    Raises:
        UserError: a clip is unusable.
    """
    waveforms = parallel.in_order(
        lambda clip: read(clip, model.sample_rate, sample_rate), clips, num_threads
    )
    vectors = [_embed_batch(model, batch) for batch in _batches(waveforms, batch_size)]
    return np.concatenate(vectors or [np.zeros((0, model.embedding_size), "f")])


def read(clip, model_rate: int, sample_rate: int | None = None) -> np.ndarray:
    """One clip as the model takes it.

    Args:
        clip: path of an audio file, or its samples: float in [-1, 1] or int16,
            [samples] or [samples, channels].
        model_rate: wanted rate, Hz.
        sample_rate: rate of an array, Hz; `model_rate` by default.

    Returns:
        float32 [samples], mono.

    Raises:
        UserError: the file cannot be read, or the array is something else.
    """
    if isinstance(clip, str | os.PathLike):
        return audio.load(os.fspath(clip), model_rate)
    array = np.asarray(clip)
    if array.dtype == np.int16:
        array = audio.from_pcm16(array)
    if not np.issubdtype(array.dtype, np.floating) or array.ndim not in (1, 2):
        raise UserError(
            "A clip must be the path of a file, or samples: float in [-1, 1] or "
            "int16, of shape [samples] or [samples, channels]. Received: "
            f"{array.dtype} of shape {array.shape}."
        )
    if not array.size or not np.isfinite(array).all():
        raise UserError(
            "A clip must have samples, and no NaN or infinity among them. Received: "
            f"shape {array.shape}. Leave it out."
        )
    if array.ndim == 2:
        array = array.mean(axis=1)
    array = array.astype(np.float32)
    if sample_rate is None or sample_rate == model_rate:
        return array
    return audio.resample(array, sample_rate, model_rate)


def _batches(items: Iterator, size: int) -> Iterator[list]:
    batch = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _embed_batch(model, waveforms: list[np.ndarray]) -> np.ndarray:
    """Embeds waveforms; those of one length go through the model together."""
    vectors = np.empty((len(waveforms), model.embedding_size), np.float32)
    lengths = np.array([len(waveform) for waveform in waveforms])
    for length in np.unique(lengths):
        (chosen,) = np.nonzero(lengths == length)
        vectors[chosen] = model(np.stack([waveforms[index] for index in chosen]))
    return vectors
