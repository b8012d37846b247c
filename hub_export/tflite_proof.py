"""Do TFLite files compute what the SavedModel computes?"""

import dataclasses
import os

import numpy as np

from hub_export import check, tflite_metadata, tflite_runner

THRESHOLDS = {"float32": 0.9999, "float16": 0.999, "dynamic": 0.999, "int8": 0.99}
_CLIPS_OF_OTHER_LENGTHS = 8
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
    """

    min_cosine: float
    mean_cosine: float
    max_error: float
    min_frames_cosine: float | None
    max_log_mel_error: float | None
    clips: dict[str, float]

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


def compare(path: str, reference, clips: dict[str, np.ndarray]) -> Agreement:
    """Compares a file, or the int8 pair of a folder, with a model.

    Args:
        path: see `tflite_runner.Runner`.
        reference: model with the interface of `byola_tf.Embedder`.
        clips: name → float32 [samples], one window long.
    """
    runner = tflite_runner.Runner(path)
    if runner.window is None:
        clips = _more_lengths(clips)
    cosines, errors = {}, []
    for name, clip in clips.items():
        expected, found = np.asarray(reference(clip))[0], runner(clip)[0]
        cosines[name] = cosine(found, expected)
        errors.append(float(np.abs(found - expected).max()))
    is_pair = os.path.isdir(path)
    front = os.path.join(path, tflite_runner.FRONTEND_FILE) if is_pair else path
    signatures = tflite_metadata.describe(front)["signatures"]
    return Agreement(
        min_cosine=float(np.min(list(cosines.values()))),
        mean_cosine=float(np.mean(list(cosines.values()))),
        max_error=max(errors),
        min_frames_cosine=_frames(front, reference, clips)
        if "frames" in signatures
        else None,
        max_log_mel_error=_log_mel(front, reference, clips)
        if "log_mel" in signatures
        else None,
        clips=cosines,
    )


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Cosine of the angle between two vectors; two vectors of zeros agree."""
    a, b = np.asarray(a, np.float64).ravel(), np.asarray(b, np.float64).ravel()
    if not a.any() and not b.any():
        return 1.0
    norms = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / norms) if norms else 0.0


def _more_lengths(clips: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    more = dict(clips)
    for factor in _OTHER_LENGTHS:
        for name, clip in list(clips.items())[:_CLIPS_OF_OTHER_LENGTHS]:
            length = max(1, round(factor * len(clip)))
            more[f"{name}_x{factor:g}"] = np.resize(clip, length)
    return more


def _frames(path, reference, clips) -> float:
    frames = tflite_runner.signature(path, "frames")
    worst = 1.0
    for clip in clips.values():
        expected, found = reference.frames(clip), frames(waveform=clip[None])
        vectors = found["frame_embeddings"], np.asarray(expected["frame_embeddings"])
        centres = found["timestamps"], np.asarray(expected["timestamps"])
        if vectors[0].shape != vectors[1].shape or not np.allclose(*centres):
            return float("nan")  # no cosine makes up for the wrong times
        worst = float(np.minimum(worst, cosine(*vectors)))
    return worst


def _log_mel(path, reference, clips) -> float:
    log_mel = tflite_runner.signature(path, "log_mel")
    errors = []
    for clip in clips.values():
        found = log_mel(waveform=clip[None])["log_mel"]
        errors.append(np.abs(found - np.asarray(reference.log_mel(clip))).max())
    return float(max(errors))
