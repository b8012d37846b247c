"""The one road from waveforms to vectors, which every door takes.

`Embedder`, the tables of `hub_export.embed`, streams, HEAR and the evaluation differ
in what they are given and what they return. In between they all come here: short
clips go through the model in padded batches (`batching`), long recordings in windows
(`long_recordings`), and each batch is watched (`normalization_monitor`).
"""

import functools
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np
import tensorflow as tf

from byola_tf.config import Config
from byola_tf.embedding import batching, long_recordings
from byola_tf.embedding.normalization_monitor import NormalizationMonitor
from byola_tf.errors import UserError
from byola_tf.normalize import Statistics

_used_in: int | None = None  # the process that TensorFlow has worked in


class Clip(Protocol):
    """What is embedded; `byola_tf.audio.clips.Clip` is one."""

    num_samples: int  # to within one sample

    def read(self) -> np.ndarray:
        """The whole clip, float32 [samples]."""

    def blocks(self) -> Iterable[np.ndarray]:
        """The same in pieces."""


class Inference:
    """A model, the windows and batches it is given, and the watch over them.

    Args:
        model: `WaveformEncoder`, or a SavedModel with its interface.
        config: `Config` of the model.
        statistics: `Statistics` that it normalises with.
    """

    def __init__(self, model, config: Config, statistics: Statistics):
        self._model = model
        # models that were exported before have no `embed`
        call = functools.partial(model, training=False)
        self._embed = getattr(model, "embed", call)
        self._config = config
        self._watch = NormalizationMonitor(model.log_mel, config.frontend, statistics)

    def watch(self, waveform, num_samples=None) -> None:
        """Warns if a batch does not fit the model's statistics.

        Args:
            waveform: float32 [batch, samples].
            num_samples: int32 [batch], length of each clip; all when None.
        """
        require_no_fork()
        shortest = None if num_samples is None else int(np.min(num_samples))
        self._watch(waveform, shortest)

    def embed(self, waveform, num_samples=None) -> tf.Tensor:
        """Embeds one batch.

        Args:
            waveform: float32 [batch, samples] in [-1, 1], at the model's rate.
            num_samples: int32 [batch], length of each clip, 1 to `samples`; what
                follows has no influence. All are sound when None.

        Returns:
            float32 [batch, embedding_size].
        """
        self.watch(waveform, num_samples)
        if _is_unpadded(waveform, num_samples):
            return self._embed(tf.convert_to_tensor(waveform))
        return self._model.embed_padded(waveform, num_samples)

    def frames(self, waveform, num_samples=None) -> dict:
        """Embeds every frame of one batch; arguments as in `embed`.

        Returns:
            `frame_embeddings` float32 [batch, time, units] and `timestamps`
            float32 [batch, time], centres in seconds; with `num_samples` also
            `num_frames` int32 [batch], the rows that a clip has. Later ones are zero.
        """
        self.watch(waveform, num_samples)
        if num_samples is None:
            return self._model.frames(tf.convert_to_tensor(waveform))
        return self._model.frames_padded(waveform, num_samples)

    def rows(
        self, clips: Sequence[Clip], samples_at_a_time: int, frames: bool = False
    ) -> list[np.ndarray]:
        """Embeds clips of any lengths, each as it would be alone.

        Args:
            clips: `Clip`s, read when they are needed.
            samples_at_a_time: audio that the model is given at a time, samples.
            frames: a row a frame instead of a row a clip.

        Returns:
            float32 [rows, units] for each clip.
        """
        found: list = [None] * len(clips)
        short = []
        for index, clip in enumerate(clips):
            if clip.num_samples > samples_at_a_time and self._takes_windows:
                blocks = self.rows_of_blocks(clip.blocks(), samples_at_a_time, frames)
                found[index] = np.concatenate(list(blocks))
            else:
                short.append(index)
        lengths = [clips[index].num_samples for index in short]
        for chosen, width in batching.batches(lengths, samples_at_a_time):
            members = [short[position] for position in chosen]
            read = [clips[index].read() for index in members]
            rows = self._rows_of_batch(*batching.padded(read, width), frames)
            for index, own in zip(members, rows, strict=True):
                found[index] = own
        return found

    def rows_of_blocks(
        self, blocks: Iterable[np.ndarray], samples_at_a_time: int, frames: bool
    ) -> Iterator[np.ndarray]:
        """Embeds one long recording as it is read.

        Args:
            blocks: the recording in pieces of any length, float32 [samples].
            samples_at_a_time: see `rows`.
            frames: see `rows`.

        Yields:
            float32 [rows, units], as they come; without `frames`, one row at the end.
        """
        if not self._takes_windows:
            whole = np.concatenate(list(blocks))
            yield from self._rows_of_batch(*batching.padded([whole], 0), frames)
            return
        found = long_recordings.frame_blocks(
            lambda window: self.frames(window)["frame_embeddings"],
            blocks,
            samples_at_a_time,
            self._config,
        )
        if frames:
            yield from found
        else:
            yield long_recordings.pool(found, self._config.encoder.pooling)[None]

    @property
    def _takes_windows(self) -> bool:
        return long_recordings.is_possible(self._config)

    def _rows_of_batch(self, waveform, num_samples, frames: bool) -> list[np.ndarray]:
        if not frames:
            return list(self.embed(waveform, num_samples).numpy()[:, None])
        outputs = self.frames(waveform, num_samples)
        counts = outputs["num_frames"].numpy()
        embeddings = outputs["frame_embeddings"].numpy()
        return [own[:count] for own, count in zip(embeddings, counts, strict=True)]


def require_no_fork() -> None:
    """Refuses to work in a fork of a process that has worked: it would wait for ever.

    Raises:
        UserError: this is such a process.
    """
    global _used_in
    if _used_in is None:
        _used_in = os.getpid()
    if _used_in != os.getpid():
        raise UserError(
            "A model must not be used in a fork of a process that has used one: "
            f"TensorFlow's threads stay behind. Received: process {os.getpid()}, "
            f"forked from {_used_in}. Start workers with spawn, "
            'multiprocessing.get_context("spawn"), and pass them the Embedder or its '
            "path."
        )


def _is_unpadded(waveform, num_samples) -> bool:
    return num_samples is None or int(np.min(num_samples)) == waveform.shape[1]
