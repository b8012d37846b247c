"""Frame embeddings of a stream, e.g. a microphone's, as its samples arrive.

    stream = streaming.open_stream("runs/model")
    for samples in microphone:  # any number at a time, 16 kHz, mono
        embeddings, seconds = stream.push(samples)
        if stream.num_frames:
            last_second = stream.window_embedding(1.0)
    embeddings, seconds = stream.flush()

What comes out equals `frames` of the whole recording, whatever the chunks; how the
recording is cut is told in `byola_tf.embedding.long_recordings`.
"""

import collections
import json
import os
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

import byola_tf
from byola_tf.config import Config
from byola_tf.embedding import litert, long_recordings
from byola_tf.errors import UserError
from byola_tf.networks import geometry
from byola_tf.networks.pooling import pool_time
from hub_export.tflite import runner

_FRAMES_AT_ONCE = 256


class Frames(NamedTuple):
    """Frame embeddings in order.

    Attributes:
        frame_embeddings: float32 [time, embedding_size].
        timestamps: float64 [time], centres, seconds since the stream's start.
    """

    frame_embeddings: np.ndarray
    timestamps: np.ndarray


class Stream:
    """Turns chunks of audio into frame embeddings; see `open_stream`.

    Not for several threads at a time.

    Args:
        frames: model, float32 [1, samples] → [1, time, embedding_size].
        config: `Config` of the model.
        window_seconds: longest `window_embedding`.
        step_frames: frame embeddings that are computed together. With 1 each
            comes at once; with 20 they come every 0.8 s, at a tenth of the cost.
        input_samples: length of the input if the model takes one length only.

    Attributes:
        geometry: `geometry.ReceptiveField`.
        num_samples: samples pushed since the start.
        num_frames: frame embeddings returned since the start.

    Raises:
        UserError: `input_samples` is too short for a frame embedding.
    """

    def __init__(
        self,
        frames: Callable,
        config: Config,
        window_seconds: float = 1.0,
        step_frames: int = 1,
        input_samples: int | None = None,
    ):
        self.geometry = _require_receptive_field(config)
        self._config = config
        self._windows = long_recordings.Windows(
            frames,
            config,
            max(step_frames, _FRAMES_AT_ONCE),
            step_frames,
            input_samples,
        )
        self._recent = collections.deque(maxlen=self._count(window_seconds))
        self._ended = False

    @property
    def num_samples(self) -> int:
        """Samples pushed since the start."""
        return self._windows.num_samples

    @property
    def num_frames(self) -> int:
        """Frame embeddings returned since the start."""
        return self._windows.num_frames

    def reset(self) -> None:
        """Forgets everything: the next sample is the first of a recording."""
        self._windows.reset()
        self._ended = False
        self._recent.clear()

    def push(self, samples) -> Frames:
        """Takes the next samples.

        Args:
            samples: float [samples] in [-1, 1], or int16, any number, at the
                model's sample rate.

        Returns:
            `Frames` that have become final.

        Raises:
            UserError: wrong shape or type, NaN or infinity, or the stream has been
                flushed.
        """
        samples = _checked(samples)
        if self._ended:
            raise UserError(
                "`push` must not follow `flush`, which ends the recording. "
                f"Received: {len(samples)} samples more. Call `reset` to start another."
            )
        return self._joined(self._windows.push(samples))

    def flush(self) -> Frames:
        """Ends the recording.

        With a model that takes one length only, the recording ends in silence
        instead: the last rows are those of the recording with zeros after it.

        Returns:
            the remaining `Frames`.
        """
        rows = [] if self._ended else self._windows.flush()
        self._ended = True
        return self._joined(rows)

    def window_embedding(self, seconds: float | None = None) -> np.ndarray:
        """Embeds the latest audio.

        Args:
            seconds: duration, rounded to whole frames; `window_seconds` of the
                constructor when None.

        Returns:
            float32 [embedding_size]: the last frame embeddings that are final,
            pooled over time as the model pools a clip; all there are at the start
            of a recording.

        Raises:
            UserError: longer than `window_seconds`, or no frame is final yet.
        """
        count = self._recent.maxlen if seconds is None else self._count(seconds)
        if count > self._recent.maxlen:
            raise UserError(
                "`seconds` must not exceed the stream's `window_seconds`, "
                f"{self._recent.maxlen * self._seconds(self.geometry.hop):g}. "
                f"Received: {seconds:g}."
            )
        if not self._recent:
            missing = self.geometry.look_ahead - self.num_samples
            raise UserError(
                "A window embedding needs one final frame. Received: "
                f"{self.num_samples} samples. Push {missing} more, or flush."
            )
        recent = np.stack(list(self._recent)[-count:])
        return pool_time(recent[None], self._config.encoder.pooling)[0].numpy()

    def _joined(self, parts: list[np.ndarray]) -> Frames:
        units = geometry.frame_embedding_size(self._config.encoder)
        embeddings = np.concatenate([np.zeros((0, units), np.float32), *parts])
        self._recent.extend(embeddings[-self._recent.maxlen :])
        index = np.arange(self.num_frames - len(embeddings), self.num_frames)
        centres = index * float(self.geometry.hop) + self.geometry.center
        return Frames(embeddings, self._seconds(centres))

    def _seconds(self, samples):
        return samples / self._config.frontend.sample_rate

    def _count(self, seconds: float) -> int:
        """Frame embeddings in a duration."""
        count = round(seconds / self._seconds(self.geometry.hop))
        if count < 1:
            raise UserError(
                "A window must last for one frame at least, "
                f"{self._seconds(self.geometry.hop):g} s. Received: {seconds:g} s."
            )
        return count


def _require_receptive_field(config: Config) -> geometry.ReceptiveField:
    if not long_recordings.is_possible(config):
        raise UserError(
            "A stream needs an encoder whose receptive field is known and that pools "
            "by mean and maximum over time. Received: "
            f"{config.encoder.architecture!r} with {config.encoder.pooling!r}. Embed "
            "recordings whole instead."
        )
    return geometry.receptive_field(config)


def open_stream(model, num_threads: int = 1, **options) -> Stream:
    """Starts a stream over a model.

    Args:
        model: path for `byola_tf.load`, an `Embedder`, or the path of a .tflite file
            of byola tflite that has the signature `frames`.
        num_threads: of a .tflite file.
        **options: `window_seconds` and `step_frames` of `Stream`.

    Raises:
        UserError: `model` is no model or cannot give frames.
    """
    if str(model).endswith(".tflite"):
        frames = runner.signature(os.fspath(model), "frames", num_threads)
        facts = runner.facts(os.fspath(model))
        return Stream(
            lambda waveform: frames(waveform=waveform)["frame_embeddings"],
            Config.from_json(json.dumps(facts["config"])),
            input_samples=facts["window_samples"],
            **options,
        )
    embedder = byola_tf.load(model) if isinstance(model, (str, os.PathLike)) else model
    return Stream(
        lambda waveform: embedder.inference.frames(waveform)["frame_embeddings"],
        embedder.config,
        **options,
    )


def _checked(samples) -> np.ndarray:
    """A chunk as an array, int16 or floating [samples]."""
    samples = np.asarray(samples)
    known = samples.dtype == np.int16 or np.issubdtype(samples.dtype, np.floating)
    if samples.ndim != 1 or not known:
        raise UserError(
            "`samples` must be float in [-1, 1] or int16, of shape [samples]. "
            f"Received: {samples.dtype} {samples.shape}."
        )
    litert.require_finite(samples)
    return samples
