"""An exported model as a folder of TFLite files with their proof."""

import dataclasses
import json
import os
import platform
import tempfile
from collections.abc import Callable, Sequence
from importlib import metadata as packages

import keras
import tensorflow as tf

import byola_tf
from byola_tf import checkpoint, files
from byola_tf.embedder import Embedder
from byola_tf.errors import UserError
from byola_tf.normalize import Statistics
from byola_tf.progress import Progress, no_progress
from hub_export.tflite import clips as tflite_clips
from hub_export.tflite import files as tflite_files
from hub_export.tflite import measurement, metadata, models, proof
from hub_export.tflite.runner import Runner
from train_lib.pages import text

FLAVOURS = tuple(proof.THRESHOLDS)
DEFAULT_FLAVOURS = ("float32", "float16", "dynamic", "int8")
REPORT_FILE = "report.json"
TABLE_FILE = "report.md"
_MAX_PROOF_CLIPS = 32
_CALIBRATION_SEEDS = range(2, 10)


@dataclasses.dataclass(frozen=True)
class Options:
    """What to write.

    Attributes:
        flavours: some of `FLAVOURS`.
        seconds: length of the fixed window.
        calibration: folder or glob of audio for the scales of int8; None for
            generated sounds.
        clips: folder or glob of audio to prove the files with, beside the
            artificial clips; None for what `calibration` can spare.
        statistics: of another corpus, to normalise with.
    """

    flavours: Sequence[str] = DEFAULT_FLAVOURS
    seconds: float = 1.0
    calibration: str | None = None
    clips: str | None = None
    statistics: Statistics | None = None


def write(
    model: str,
    output: str,
    options: Options,
    generate: Callable,
    probe: Callable | None = None,
    progress: Progress = no_progress,
) -> dict:
    """Converts, proves and only then puts the folder into its place.

    Args:
        model: exported model.
        output: folder; an older one of this function is replaced.
        options: `Options`.
        generate: (seed, num_samples, sample_rate) → name → float32 [samples]:
            sounds to calibrate with, where no audio is given, and to prove with.
        probe: (runner or embedder, name) → `accuracy` in [0, 1] and `accuracy_ci95`,
            half of its 95 % interval over the seeds; or None.
        progress: wraps an iterable, e.g. in a progress bar.

    Returns:
        the report, as in `report.json`.

    Raises:
        UserError: bad input, the converter failed, or a file is too far from
            the model. `output` is as it was.
    """
    check_flavours(options.flavours)
    check_output(output)
    reference = _open(model, options.statistics)
    opened = checkpoint.from_exported(reference.model)
    opened = dataclasses.replace(opened, statistics=reference.statistics)
    num_samples = models.window_samples(opened.config, options.seconds)
    calibration, clips = _sounds(options, reference, num_samples, generate, progress)
    with files.replacing_folder(output) as folder:
        with tempfile.TemporaryDirectory() as temporary:
            tflite_files.write(
                folder,
                options.flavours,
                opened,
                num_samples,
                calibration,
                temporary,
                progress,
            )
        tflite_files.describe(folder, reference, num_samples)
        artefacts = tflite_files.artefacts(options.flavours)
        answers = proof.Answers(reference.model)
        rows = [
            _prove(folder, artefact, answers, num_samples, clips)
            for artefact in progress(artefacts, len(artefacts), "proving")
        ]
        _check(rows)
        report = {
            "model": model,
            "sample_rate": reference.sample_rate,
            "window_samples": num_samples,
            "statistics": dataclasses.asdict(reference.statistics),
            "num_calibration_windows": len(calibration),
            "versions": {
                "byola_tf": byola_tf.__version__,
                "tensorflow": tf.__version__,
                "keras": keras.__version__,
                "ai_edge_litert": packages.version("ai-edge-litert"),
            },
            "machine": {"platform": platform.platform(), "cpus": os.cpu_count()},
            "artefacts": rows,
        }
        if probe is not None:
            report["saved_model"] = probe(reference, "SavedModel")
            for artefact, row in zip(artefacts, rows, strict=True):
                if not artefact.variant:
                    runner = Runner(artefact.path(folder))
                    row.update(probe(runner, artefact.flavour))
        with open(os.path.join(folder, REPORT_FILE), "w") as file:
            file.write(json.dumps(report, indent=1) + "\n")
        with open(os.path.join(folder, TABLE_FILE), "w") as file:
            file.write(table(report) + "\n")
    return report


def check_flavours(flavours: Sequence[str]) -> None:
    """Refuses flavours that do not exist.

    Raises:
        UserError: there is an unknown one, or none.
    """
    unknown = [name for name in flavours if name not in FLAVOURS]
    if unknown or not flavours:
        raise UserError(
            f"`--flavours` must be some of {','.join(FLAVOURS)}. Received: "
            f"{','.join(flavours)!r}. Leave it out for all."
        )


def check_output(output: str) -> None:
    """Refuses to replace anything but an older bundle.

    Raises:
        UserError: `output` is a file, or a folder of other things.
    """
    files.require_replaceable(output, REPORT_FILE, "--output")


def _open(model: str, statistics: Statistics | None) -> Embedder:
    if not checkpoint.is_exported(model):
        what = "is no exported model" if os.path.exists(model) else "does not exist"
        raise UserError(
            "`--model` must be a folder written by byola export, with a "
            f"saved_model.pb. Received: {model!r}, which {what}. Export first: "
            "byola export --workdir=W --output=MODEL."
        )
    embedder = byola_tf.load(model)
    if statistics is not None:
        embedder.with_statistics(statistics.mean, statistics.std)
    return embedder


def _sounds(options, reference, num_samples, generate, progress):
    """The windows to calibrate with and those to prove with, by name."""
    rate = reference.sample_rate
    artificial = proof.artificial_clips(rate, num_samples)
    # silence and the like will come, whatever the recordings hold
    calibration, held_out = dict(artificial), {}
    if options.calibration:
        windows = tflite_clips.read_windows(
            options.calibration, rate, num_samples, progress=progress
        )
        windows, held_out = tflite_clips.split(windows)
        calibration.update(windows)
    else:
        for seed in _CALIBRATION_SEEDS:
            for name, clip in generate(seed, num_samples, rate).items():
                calibration[f"{name}_{seed}"] = clip
    if options.clips:
        held_out = tflite_clips.read_windows(
            options.clips, rate, num_samples, _MAX_PROOF_CLIPS, progress
        )
    held_out = dict(list(held_out.items())[:_MAX_PROOF_CLIPS])
    return calibration, {**artificial, **generate(1, num_samples, rate), **held_out}


def _prove(folder, artefact, answers, num_samples, clips) -> dict:
    """The row of an artefact in the report."""
    paths = [os.path.join(folder, name) for name in artefact.files]
    operators = [metadata.operators(path) for path in paths]
    custom = [name for part in operators for name in part if name.startswith("CUSTOM:")]
    if custom:
        raise UserError(
            "TFLite files must consist of builtin operators. Received: "
            f"{', '.join(custom)} in {', '.join(artefact.files)}. Please report it."
        )
    path = artefact.path(folder)
    is_any = artefact.variant == tflite_files.ANY_LENGTH
    agreement = proof.compare(path, answers, clips)
    threshold = proof.THRESHOLDS[artefact.flavour]
    return {
        "files": list(artefact.files),
        "flavour": artefact.flavour,
        "window_samples": None if is_any else num_samples,
        "size_bytes": sum(map(os.path.getsize, paths)),
        "threshold": threshold,
        "passes": agreement.holds(threshold),
        "right_in_tensorflow": agreement.min_tensorflow_cosine >= threshold,
        **dataclasses.asdict(agreement),
        **measurement.measure(path, num_samples),
        "operators": [dict(part) for part in operators],
    }


def _check(rows: list[dict]) -> None:
    failed = [row for row in rows if not row["passes"]]
    if failed:
        row = failed[0]
        worst = min(row["clips"], key=row["clips"].get)
        flavours = ", ".join(dict.fromkeys(row["flavour"] for row in failed))
        raise UserError(
            f"Cosines to the SavedModel must be at least {row['threshold']} for "
            f"{row['flavour']}. Received: {row['min_cosine']:.5f} ({worst}; frames: "
            f"{row['min_frames_cosine']}). No file was kept. Leave out {flavours} "
            "with --flavours, or calibrate with audio like yours (--calibration)."
        )


def table(report: dict) -> str:
    """Sets a report of `write` as a Markdown table, a row an artefact."""
    rows = report["artefacts"]
    columns = dict(_COLUMNS)
    if "saved_model" in report:
        name = f"accuracy, % (SavedModel {_accuracy(report['saved_model'])})"
        columns[name] = _accuracy
    cells = [[column(row) for column in columns.values()] for row in rows]
    shown = text.markdown_table(list(columns), cells)
    wrong = [
        name for row in rows if not row["right_in_tensorflow"] for name in row["files"]
    ]
    if wrong:
        shown += (
            f"\n\nWarning: tf.lite.Interpreter of TensorFlow {tf.__version__} gives "
            f"other embeddings with {', '.join(wrong)} than LiteRT, which gives the "
            "model's. Run these files with LiteRT, or without the XNNPACK delegate."
        )
    return shown


def _accuracy(row: dict) -> str:
    if "accuracy" not in row:
        return ""
    return text.percent(row["accuracy"], row["accuracy_ci95"])


_COLUMNS = {
    "files": lambda row: ", ".join(f"`{name}`" for name in row["files"]),
    "MB": lambda row: f"{row['size_bytes'] / 1e6:.2f}",
    "smallest cosine": lambda row: f"{row['min_cosine']:.6f}",
    "smallest, in tf.lite": lambda row: f"{row['min_tensorflow_cosine']:.6f}",
    "mean cosine": lambda row: f"{row['mean_cosine']:.6f}",
    "largest error": lambda row: f"{row['max_error']:.1e}",
    "ms, 1 thread": lambda row: f"{row['latency_ms_1_thread']:.2f}",
    "ms, 2 threads": lambda row: f"{row['latency_ms_2_threads']:.2f}",
    "memory, MiB": lambda row: f"{row['peak_memory_mb']:.0f}",
}
