"""The TFLite files of a model: which there are, and the making of them."""

import dataclasses
import json
import os
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from byola_tf.checkpoint import Checkpoint
from byola_tf.embedder import Embedder
from byola_tf.progress import Progress, no_progress
from hub_export.tflite import conversion, metadata, models
from hub_export.tflite.runner import PAIRS, pair

ANY_LENGTH = "_any_length"
MEDIAPIPE = "_mediapipe"
_UNKNOWN_LICENCE = "unspecified: it belongs to whoever trained or imported the model"


@dataclasses.dataclass(frozen=True)
class Artefact:
    """What embeds a waveform: a file, or a pair of float front end and encoder.

    Attributes:
        flavour: "float32", "float16" or "dynamic"; of pairs "int8", or "gpu": a
            float16 encoder of operators that GPU delegates have, which is not so of
            the front end.
        variant: "" for fixed windows, ANY_LENGTH, or MEDIAPIPE: fixed windows and
            the signature `embed` alone, because MediaPipe's AudioEmbedder refuses
            files with more than one subgraph.
    """

    flavour: str
    variant: str = ""

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the files, in the order in which they run."""
        if self.flavour in PAIRS:
            return pair(self.flavour)
        return (f"{self.flavour}{self.variant}.tflite",)

    def path(self, folder: str) -> str:
        """What `runner.Runner` opens."""
        return os.path.join(folder, self.files[-1])


def artefacts(flavours: Sequence[str]) -> list[Artefact]:
    """All artefacts of some flavours; pairs have fixed windows only."""
    floats = [name for name in flavours if name not in PAIRS]
    return [Artefact(name) for name in flavours] + [
        Artefact(name, variant)
        for variant in (ANY_LENGTH, MEDIAPIPE)
        for name in floats
    ]


def write(
    folder: str,
    flavours: Sequence[str],
    opened: Checkpoint,
    num_samples: int,
    calibration: dict[str, np.ndarray],
    temporary: str,
    progress: Progress = no_progress,
) -> None:
    """Converts a model to all artefacts.

    Args:
        folder: existing folder for the files.
        flavours: see `artefacts`.
        opened: the model.
        num_samples: length of the fixed window.
        calibration: windows that fix the scales of int8.
        temporary: existing folder for intermediate results.
        progress: wraps an iterable, e.g. in a progress bar.

    Raises:
        UserError: the converter failed.
    """
    jobs, saved = [], {}
    for artefact in artefacts(flavours):
        if artefact.flavour in PAIRS:
            jobs += _pair_jobs(artefact, folder, opened, calibration, temporary)
            continue
        if artefact.variant == MEDIAPIPE:
            continue
        kind = artefact.variant
        if kind not in saved:
            saved[kind] = os.path.join(temporary, f"waveform{kind}")
            length = None if kind == ANY_LENGTH else num_samples
            model = models.WaveformModel(opened, length)
            tf.saved_model.save(model, saved[kind], model.signatures())
        path = artefact.path(folder)
        jobs.append(conversion.Job(saved[kind], path, artefact.flavour))
    conversion.convert(jobs, progress)
    for artefact in artefacts(flavours):
        if artefact.variant == MEDIAPIPE:
            whole = Artefact(artefact.flavour).path(folder)
            metadata.keep_one_signature(whole, "embed", artefact.path(folder))


def _pair_jobs(artefact, folder, opened, calibration, temporary):
    """Front end and encoder apart; calibration: windows, of equal length."""
    frontend, encoder, examples = (
        os.path.join(temporary, f"{artefact.flavour}_{name}")
        for name in ("frontend", "encoder", "log_mel.npy")
    )
    clips = list(calibration.values())
    model = models.WaveformModel(opened, len(clips[0]))
    tf.saved_model.save(model, frontend, model.signatures(["log_mel"]))
    log_mels = np.stack([model.log_mel(clip[None])["log_mel"][0] for clip in clips])
    np.save(examples, log_mels)
    model = models.EncoderModel(opened, log_mels.shape[1])
    tf.saved_model.save(model, encoder, {"embed": model.embed})
    outputs = [os.path.join(folder, name) for name in artefact.files]
    kind = {"int8": "int8", "gpu": "float16"}[artefact.flavour]
    return [
        conversion.Job(frontend, outputs[0], "float32"),
        conversion.Job(encoder, outputs[1], kind, examples),
    ]


def describe(folder: str, reference: Embedder, num_samples: int) -> None:
    """Writes metadata into every file of a folder.

    Args:
        folder: where `write` wrote to.
        reference: the model that was converted.
        num_samples: length of the fixed window.
    """
    facts = json.loads(reference.model.metadata().numpy())
    facts["statistics"] = dataclasses.asdict(reference.statistics)
    facts["licence"] = facts.get("licence") or _UNKNOWN_LICENCE
    rate = reference.sample_rate
    for name in sorted(os.listdir(folder)):
        stem = name.removesuffix(".tflite")
        is_fixed = not stem.endswith(ANY_LENGTH)
        length = f"{num_samples} samples" if is_fixed else "any length"
        metadata.write(
            os.path.join(folder, name),
            {
                **facts,
                "name": f"byola-tf {stem}",
                "description": "General-purpose audio embedding of mono audio at "
                f"{rate} Hz, {length}; {stem}.",
                "flavour": stem.split("_")[0],
                "window_samples": num_samples if is_fixed else None,
            },
        )
