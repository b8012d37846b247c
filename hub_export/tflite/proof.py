"""Do TFLite files compute what the SavedModel computes?"""

import dataclasses
import warnings

import numpy as np
import tensorflow as tf

from hub_export import check
from hub_export.tflite import metadata
from hub_export.tflite import runner as tflite_runner

THRESHOLDS = {
    "float32": 0.9999,
    "float16": 0.999,
    "dynamic": 0.999,
    "int8": 0.99,
    "gpu": 0.999,
}
_FEW = 8  # clips for `frames`, `log_mel` and other lengths
_OTHER_LENGTHS = (0.31, 2.3)  # that files for any length see too, in windows


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How near a file, or a pair of files, is to the SavedModel.

    Attributes:
        min_cosine: between embeddings, over all clips.
        mean_cosine: likewise.
        max_error: largest absolute difference between entries of embeddings.
        min_frames_cosine: between all frame embeddings of a clip, taken as one
            vector; None without the signature `frames`.
        max_log_mel_error: largest absolute difference between normalised
            log-mels; None without the signature `log_mel`.
        clips: cosine by name of the clip.
        min_tensorflow_cosine: smallest cosine, over a few clips, with TensorFlow's own
            `tf.lite.Interpreter`, in which older apps run the file, and its XNNPACK.
    """

    min_cosine: float
    mean_cosine: float
    max_error: float
    min_frames_cosine: float | None
    max_log_mel_error: float | None
    clips: dict[str, float]
    min_tensorflow_cosine: float

    def holds(self, threshold: float) -> bool:
        """Whether all cosines reach the threshold; NaN does not."""
        lowest = self.min_cosine
        if self.min_frames_cosine is not None:
            lowest = min(lowest, self.min_frames_cosine)
        return lowest >= threshold


def artificial_clips(sample_rate: int, num_samples: int) -> dict[str, np.ndarray]:
    """Silence, noise, a sine, a click and a rising tone, float32 [samples]."""
    names = ("silence", "noise", "sine", "click", "rising_tone")
    sounds = check.sounds(sample_rate, num_samples / sample_rate)
    return dict(zip(names, sounds, strict=True))


class Answers:
    """What the model says to each clip, asked once.

    Args:
        model: exported model, as `tf.saved_model.load` gives it.
    """

    def __init__(self, model):
        self._model = model
        self._known = {}

    def embedding(self, name: str, clip: np.ndarray) -> np.ndarray:
        """float32 [embedding_size]."""
        return self._ask(name, "__call__", clip, training=False)[0]

    def frames(self, name: str, clip: np.ndarray) -> dict:
        """`frame_embeddings` and `timestamps`."""
        return self._ask(name, "frames", clip)

    def log_mel(self, name: str, clip: np.ndarray) -> np.ndarray:
        """float32 [1, time, mel]."""
        return self._ask(name, "log_mel", clip)

    def _ask(self, name, method, clip, **options):
        if (name, method) not in self._known:
            answer = getattr(self._model, method)(tf.constant(clip[None]), **options)
            self._known[name, method] = tf.nest.map_structure(np.asarray, answer)
        return self._known[name, method]


def compare(path: str, answers: Answers, clips: dict[str, np.ndarray]) -> Agreement:
    """Compares a file, or the int8 pair of a folder, with a model.

    Args:
        path: see `runner.Runner`.
        answers: of the model, to the same names and clips whenever it is used.
        clips: name → float32 [samples], one window long.
    """
    runner = tflite_runner.Runner(path)
    few = dict(list(clips.items())[:_FEW])
    if runner.window is None:
        clips, few = {**clips, **_other_lengths(few)}, _other_lengths(few)
    cosines, errors = {}, []
    for name, clip in clips.items():
        expected, found = answers.embedding(name, clip), runner(clip)[0]
        cosines[name] = cosine(found, expected)
        errors.append(float(np.abs(found - expected).max()))
    front = runner.paths[0]
    signatures = metadata.describe(front)["signatures"]
    frames = log_mel = None
    if "frames" in signatures:
        frames = _frames(front, answers, few)
    if "log_mel" in signatures:
        log_mel = _log_mel(front, answers, few)
    return Agreement(
        min_cosine=float(np.min(list(cosines.values()))),
        mean_cosine=float(np.mean(list(cosines.values()))),
        max_error=max(errors),
        min_frames_cosine=frames,
        max_log_mel_error=log_mel,
        clips=cosines,
        min_tensorflow_cosine=_in_tensorflow(path, answers, few),
    )


def _in_tensorflow(path, answers, clips) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it will be removed
        runner = tflite_runner.Runner(path, interpreter=tf.lite.Interpreter)
        cosines = [
            cosine(runner(clip)[0], answers.embedding(name, clip))
            for name, clip in clips.items()
        ]
    return float(np.min(cosines))


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Cosine of the angle between two vectors; two vectors of zeros agree."""
    a, b = np.asarray(a, np.float64).ravel(), np.asarray(b, np.float64).ravel()
    if not a.any() and not b.any():
        return 1.0
    norms = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / norms) if norms else 0.0


def _other_lengths(clips: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {
        f"{name}, {factor:g} windows": np.resize(clip, round(factor * len(clip)))
        for factor in _OTHER_LENGTHS
        for name, clip in clips.items()
    }


def _frames(path, answers, clips) -> float:
    frames = tflite_runner.signature(path, "frames")
    worst = 1.0
    for name, clip in clips.items():
        expected, found = answers.frames(name, clip), frames(waveform=clip[None])
        vectors = found["frame_embeddings"], expected["frame_embeddings"]
        centres = found["timestamps"], expected["timestamps"]
        if vectors[0].shape != vectors[1].shape or not np.allclose(*centres):
            return float("nan")  # no cosine makes up for the wrong times
        worst = float(np.minimum(worst, cosine(*vectors)))
    return worst


def _log_mel(path, answers, clips) -> float:
    log_mel = tflite_runner.signature(path, "log_mel")
    errors = []
    for name, clip in clips.items():
        found = log_mel(waveform=clip[None])["log_mel"]
        errors.append(np.abs(found - answers.log_mel(name, clip)).max())
    return float(max(errors))
