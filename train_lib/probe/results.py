"""An evaluation as JSON-ready facts, and as a few lines of text."""

import dataclasses
import json
import math
import os
from collections.abc import Sequence

import numpy as np

from byola_tf import files
from byola_tf.errors import UserError
from train_lib.pages import embedding_map, text
from train_lib.probe.judging import significance
from train_lib.probe.judging.evaluation import Evaluation
from train_lib.probe.store import TaskEmbeddings
from train_lib.probe.tasks.presets import PRESETS
from train_lib.probe.tasks.tasks import Fold, Task

_MAX_CONFUSION_CLASSES = 256


def of_evaluation(
    task: Task,
    folds: Sequence[Fold],
    embedded: TaskEmbeddings,
    evaluation: Evaluation,
) -> dict:
    """What a result says about the task and about the judgement.

    Args:
        task: `Task`.
        folds: rows of the embeddings.
        embedded: `TaskEmbeddings`.
        evaluation: the judgement.
    """
    tested = clips(task, folds, embedded.rows, evaluation)
    return {
        **scores(evaluation),
        **evaluation.details,
        "bootstrap95": tested and significance.interval_of(tested),
        **task_facts(task),
        "classes": list(task.classes),
        "per_class": per_class(task, folds, embedded.rows, evaluation),
        "folds": list(map(_fold_sizes, folds)),
        "seeds": list(dict.fromkeys(run.seed for run in evaluation.runs)),
        "skipped": [
            {"file_name": task.file_names[row], "reason": reason}
            for row, reason in sorted(embedded.skipped.items())
        ],
        "clips": tested,
    }


def _fold_sizes(fold: Fold) -> dict:
    return {
        "fold": fold.name,
        "train": len(fold.train),
        "valid": None if fold.valid is None else len(fold.valid),
        "test": len(fold.test),
    }


def scores(evaluation: Evaluation) -> dict:
    """The scores, the runs they come from and the learning rates."""
    rates = evaluation.learning_rates
    confusion = evaluation.confusion_matrix
    if confusion is not None and len(confusion) > _MAX_CONFUSION_CLASSES:
        confusion = None  # VoxCeleb1's 1,251 classes would be megabytes of zeros
    return {
        "metric": evaluation.metric,
        "mean": evaluation.mean,
        "std": evaluation.std,
        "ci95": evaluation.ci95,
        "scores": list(evaluation.scores),
        "metrics": {
            name: {
                "mean": _finite(summary.mean),
                "std": summary.std,
                "ci95": summary.ci95,
                "scores": [_finite(score) for score in summary.scores],
            }
            for name, summary in evaluation.metrics.items()
        },
        "learning_rate": (rates[0] if len(set(rates)) == 1 else list(rates))
        if rates
        else None,
        "runs": [dataclasses.asdict(run) for run in evaluation.runs],
        "search": list(evaluation.search),
        "learning_rate_curve": evaluation.learning_rate_curve(),
        "confusion_matrix": None if confusion is None else confusion.tolist(),
    }


def task_facts(task: Task) -> dict:
    """What a reader has to know about the task to judge a score."""
    preset = PRESETS.get(task.name)
    facts = task.facts
    return {
        "title": facts.get("title") or (preset.title if preset else None),
        "multi_label": task.multi_label,
        "partial": task.partial,
        "split": facts.get("split") or f"as in {task.name}.csv",
        "notes": facts.get("notes", []),
        "counts": facts.get("counts"),
        "expected_counts": facts.get("expected_counts")
        or (dict(preset.counts) if preset else None),
        "absent_classes": task.absent_classes(),
        "audio_sample_rate": facts.get("sample_rate"),
    }


def per_class(
    task: Task, folds: Sequence[Fold], rows: np.ndarray, evaluation: Evaluation
) -> list[dict]:
    """Clips and scores of every class.

    Args:
        task: `Task`.
        folds: rows of the embeddings.
        rows: int, the task's row of each embedding.
        evaluation: the scores.

    Returns:
        of each class: `class`, `clips` in all parts, `test_clips`, and a value a
        metric, the mean over seeds and folds (None without test clips).
    """
    used = {row for fold in folds for part in _parts(fold) for row in rows[part]}
    clips = task.counts(np.array(sorted(used)))
    tested = task.counts(np.concatenate([rows[fold.test] for fold in folds]))
    return [
        {
            "class": name,
            "clips": int(clips[index]),
            "test_clips": int(tested[index]),
            **{
                metric: _finite(values[index])
                for metric, values in evaluation.by_class.items()
            },
        }
        for index, name in enumerate(task.classes)
    ]


def table(result: dict) -> str:
    """A result as a few lines of text."""
    rate = result["learning_rate"]
    rates = rate if isinstance(rate, list) else [rate]
    num_classes, num_folds = len(result["classes"]), len(result["folds"])
    lines = [
        (
            "task",
            f"{result['task']}: {result['num_clips']} clips, {num_classes} classes, "
            f"{text.count(num_folds, 'fold')}",
        ),
        ("model", f"{result['model']} ({result['embedding_size']} dimensions)"),
        *(_metric_line(name, value) for name, value in result["metrics"].items()),
        ("by fold", " ".join(map(text.percent, _by_fold(result)))),
        *_mode_lines(result, rates),
    ]
    if result["bootstrap95"]:
        low, high = map(text.percent, result["bootstrap95"])
        lines.append(("test clips", f"95 % over them: {low} to {high} %"))
    if result["skipped"]:
        names = ", ".join(
            _printable(file["file_name"]) for file in result["skipped"][:3]
        )
        lines.append(("skipped", f"{len(result['skipped'])} broken files: {names}"))
    if result["partial"]:
        lines.append(("partial", "an incomplete copy of the data set"))
    for part, names in result["absent_classes"].items():
        shown = ", ".join(names[:3]) + ", ..." * (len(names) > 3)
        lines.append((f"not in {part}", f"{len(names)} classes: {shown}"))
    return text.aligned(lines)


def clips(
    task: Task, folds: Sequence[Fold], rows: np.ndarray, evaluation: Evaluation
) -> dict | None:
    """What was predicted for every tested clip, fold by fold.

    Args:
        task: `Task`.
        folds: rows of the embeddings.
        rows: int, the task's row of each embedding.
        evaluation: its logits are looked at.

    Returns:
        `file_name`, `fold`, `label` (index into the classes), one a clip, and
        `predictions`, such a list of indices a seed (or draw). None with
        several labels a clip.
    """
    if task.multi_label:
        return None
    tested = np.concatenate([rows[fold.test] for fold in folds])
    num_seeds = len(evaluation.runs) // len(folds)
    predicted = [
        np.concatenate([logits.argmax(axis=1) for logits in of_seed])
        for of_seed in (
            evaluation.logits[index::num_seeds] for index in range(num_seeds)
        )
    ]
    return {
        "file_name": [task.file_names[row] for row in tested],
        "fold": [fold.name for fold in folds for _ in fold.test],
        "label": task.labels[tested].tolist(),
        "predictions": [prediction.tolist() for prediction in predicted],
    }


def _mode_lines(result: dict, rates: list) -> list[tuple[str, str]]:
    """What belongs to one way of judging alone."""
    match result["mode"]:
        case "knn":
            return [("neighbours", " ".join(map(str, result["k"])))]
        case "few_shot":
            found = result["few_shot"]
            return [
                _metric_line(f"{count}-shot", summary)
                for count, summary in found.items()
            ]
    return [("learning rate", " ".join(f"{rate:g}" for rate in rates))]


def _metric_line(name: str, summary: dict) -> tuple[str, str]:
    """Scores in percent; d-prime, which is no fraction, as it is."""
    if summary["mean"] is None:
        return name, "infinite"
    if name == "d_prime":
        return name, text.plus_minus(summary["mean"], summary["ci95"], digits=3)
    return name, text.score(summary, " %")


def _printable(name: str) -> str:
    """A file's name for a terminal; bytes that are not UTF-8 are written out."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _by_fold(result: dict) -> list[float]:
    return [
        float(np.mean([run["score"] for run in result["runs"] if run["fold"] == name]))
        for name in dict.fromkeys(run["fold"] for run in result["runs"])
    ]


def _parts(fold: Fold) -> list[np.ndarray]:
    return [rows for rows in (fold.train, fold.valid, fold.test) if rows is not None]


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def check_output(path: str) -> None:
    """Raises UserError if the result could not be written, before the work."""
    folder = os.path.dirname(os.path.abspath(path))
    if os.path.isdir(path) or not path.endswith(".json"):
        raise UserError(
            f"`output` must be the name of a .json file. Received: {path!r}. Use e.g. "
            "--output=results/esc10.json."
        )
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"`output` must lie in a folder that can be made. Received: {path!r} "
            f"({error}). Choose another."
        ) from error
    if not os.access(folder, os.W_OK):
        raise UserError(
            f"`output` must lie in a folder that can be written to. Received: "
            f"{path!r}. Choose another."
        )


def write(output: str, probe) -> None:
    """Writes a result as JSON, and once more when its map is made.

    The map (t-SNE) may take minutes, which the scores do not wait for.

    Args:
        output: path.
        probe: `linear.Probe`; its result gets the map if a clip has one label.
    """
    _write(output, probe.result)
    if probe.result["mode"] == "linear" and probe.labels.ndim == 1:
        probe.result["map"] = embedding_map.of_clips(
            probe.embedded.features, probe.crops, probe.labels
        )
        _write(output, probe.result)


def _write(output: str, result: dict) -> None:
    files.write_text(output, json.dumps(result, indent=2) + "\n")
