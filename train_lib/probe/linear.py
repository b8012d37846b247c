"""Linear evaluation of a model on a task, from files to a result."""

import dataclasses
import math
import os
import platform
from collections.abc import Callable, Sequence
from importlib import metadata as packages

import numpy as np

import byola_tf
from byola_tf.errors import UserError
from byola_tf.waveforms import no_progress
from train_lib.probe import embedding, floors, protocol, tasks


@dataclasses.dataclass(frozen=True)
class Probe:
    """A finished linear evaluation.

    Attributes:
        result: what the command writes as JSON.
        embeddings: float32 [clips, d], one a usable clip: from its beginning
            for clips that are tested, from a random start for the others.
        labels: int [clips], index into `classes`.
        classes: names.
        file_names: one a clip.
    """

    result: dict
    embeddings: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    file_names: tuple[str, ...]


def linear_probe(
    model,
    metadata: str,
    audio: str,
    unit_seconds: float | None = None,
    *,
    learning_rate: float | str | None = None,
    seeds: Sequence[int] = protocol.SEEDS,
    model_seed: int = 42,
    model_name: str | None = None,
    batch_size: int | None = None,
    progress: Callable = no_progress,
) -> Probe:
    """Runs the linear evaluation protocol.

    Args:
        model: path for `byola_tf.load`, "random", "logmel", or an embedder
            (see `train_lib.probe.embedding.embed_task`). An embedder gets its
            statistics back afterwards.
        metadata: CSV of the task; see `train_lib.probe.tasks`.
        audio: folder that the CSV's file names are relative to.
        unit_seconds: length of a crop; a published task's own when None.
        learning_rate: of the classifiers; "search" chooses on validation; None
            takes a published task's, and searches for any other.
        seeds: of the classifiers.
        model_seed: of the weights of the model "random".
        model_name: of an embedder, in the result.
        batch_size: clips embedded at a time.
        progress: called with (iterable, total, description), returns the
            iterable, e.g. wrapped in a progress bar.

    Returns:
        `Probe`; `json.dumps` takes its `result`.

    Raises:
        UserError: the model, the table or the audio cannot be used.
    """
    task = tasks.read_task(metadata, audio)
    unit_seconds = _unit_seconds(task, unit_seconds)
    rates, rate_source = _learning_rates(task, model, learning_rate)
    seeds = _checked_seeds(seeds)
    embedder, opened_name = _open(model, model_seed)

    own_statistics = getattr(embedder, "statistics", None)
    try:
        embedded = embedding.embed_task(
            task, embedder, unit_seconds, batch_size, progress
        )
    finally:
        if own_statistics is not None:
            embedder.with_statistics(own_statistics.mean, own_statistics.std)
            embedder.statistics = own_statistics
    folds = [embedded.fold(fold) for fold in _usable_folds(task, embedded.skipped)]
    evaluation = protocol.evaluate(
        embedded.features,
        task.targets(embedded.rows),
        folds,
        seeds,
        rates,
        progress=progress,
    )
    shown = np.where(embedded.testing >= 0, embedded.testing, embedded.training)
    rows = np.flatnonzero(shown >= 0)
    return Probe(
        result={
            "task": task.name,
            "model": model_name or opened_name,
            **_scores(evaluation),
            "learning_rate_source": rate_source,
            "unit_seconds": unit_seconds,
            "classes": list(task.classes),
            "confusion_matrix": evaluation.confusion_matrix.tolist(),
            "num_clips": len(rows),
            "folds": [
                {
                    "fold": fold.name,
                    "train": len(fold.train),
                    "valid": None if fold.valid is None else len(fold.valid),
                    "test": len(fold.test),
                }
                for fold in folds
            ],
            "seeds": list(seeds),
            "model_seed": model_seed if opened_name == "random" else None,
            "embedding_size": embedded.features.shape[1],
            "sample_rate": embedder.sample_rate,
            "statistics": embedded.statistics
            and dataclasses.asdict(embedded.statistics),
            "skipped": [
                {"file_name": task.file_names[row], "reason": reason}
                for row, reason in sorted(embedded.skipped.items())
            ],
            "versions": _versions(),
        },
        embeddings=embedded.features[shown[rows]],
        labels=task.labels[rows],
        classes=task.classes,
        file_names=tuple(task.file_names[row] for row in rows),
    )


def table(result: dict) -> str:
    """A result as a few lines of text."""
    interval = "" if result["ci95"] is None else f" ± {100 * result['ci95']:.1f}"
    rate = result["learning_rate"]
    rates = rate if isinstance(rate, list) else [rate]
    num_classes, num_folds = len(result["classes"]), len(result["folds"])
    lines = [
        (
            "task",
            f"{result['task']}: {result['num_clips']} clips, {num_classes} classes, "
            f"{num_folds} fold{'s' * (num_folds > 1)}",
        ),
        ("model", f"{result['model']} ({result['embedding_size']} dimensions)"),
        (result["metric"], f"{100 * result['mean']:.1f}{interval} %"),
        ("by fold", " ".join(f"{100 * score:.1f}" for score in _by_fold(result))),
        ("learning rate", " ".join(f"{rate:g}" for rate in rates)),
    ]
    if result["skipped"]:
        names = ", ".join(file["file_name"] for file in result["skipped"][:3])
        lines.append(("skipped", f"{len(result['skipped'])} broken files: {names}"))
    return "\n".join(f"{name:14s} {value}" for name, value in lines)


def _by_fold(result: dict) -> list[float]:
    return [
        float(np.mean([run["score"] for run in result["runs"] if run["fold"] == name]))
        for name in dict.fromkeys(run["fold"] for run in result["runs"])
    ]


def _scores(evaluation: protocol.Evaluation) -> dict:
    rates = evaluation.learning_rates
    return {
        "metric": evaluation.metric,
        "mean": evaluation.mean,
        "std": evaluation.std,
        "ci95": evaluation.ci95,
        "scores": list(evaluation.scores),
        "learning_rate": rates[0] if len(set(rates)) == 1 else list(rates),
        "runs": [dataclasses.asdict(run) for run in evaluation.runs],
        "search": list(evaluation.search),
    }


def _unit_seconds(task: tasks.Task, unit_seconds: float | None) -> float:
    published = protocol.PUBLISHED.get(task.name)
    if unit_seconds is None and published:
        return published.unit_seconds
    if unit_seconds is None or not (unit_seconds > 0 and math.isfinite(unit_seconds)):
        raise UserError(
            "`unit_seconds` must be a positive number of seconds. Received: "
            f"{unit_seconds} for task {task.name!r}, which is not a published one. "
            "Give the usual length of its clips, e.g. --unit_seconds=5."
        )
    return unit_seconds


def _learning_rates(task, model, learning_rate) -> tuple[Sequence[float], str]:
    """The rates to try and where they come from."""
    published = protocol.PUBLISHED.get(task.name)
    if learning_rate is None and published and model != "logmel":
        return (published.learning_rate,), "published"
    if learning_rate is None or learning_rate == "search":
        return protocol.SEARCHED_RATES, "validation"
    try:
        rate = float(learning_rate)
    except ValueError:
        rate = math.nan
    if not (rate > 0 and math.isfinite(rate)):
        raise UserError(
            "`lr` must be a positive number or 'search'. Received: "
            f"{learning_rate!r}. Leave it out to follow the protocol."
        )
    return (rate,), "given"


def _checked_seeds(seeds: Sequence[int]) -> tuple[int, ...]:
    try:
        checked = tuple(int(seed) for seed in seeds)
    except ValueError:
        checked = ()
    if not checked or len(set(checked)) < len(checked) or min(checked) < 0:
        raise UserError(
            "`seeds` must be different integers from 0 on. Received: "
            f"{', '.join(map(str, seeds))}. Use e.g. --seeds=42,43,44."
        )
    return checked


def _open(model, model_seed: int) -> tuple[Callable, str]:
    """The embedder and its name in the result."""
    if callable(model):
        return model, getattr(model, "name", type(model).__name__)
    if model == "logmel":
        return floors.LogMelFloor(), model
    if model == "random":
        return floors.random_encoder(model_seed), model
    return byola_tf.load(model), os.fspath(model)


def _usable_folds(task: tasks.Task, skipped: dict[int, str]) -> list[tasks.Fold]:
    try:
        return task.folds(without=skipped)
    except UserError as error:
        raise UserError(
            f"{error} {len(skipped)} broken files were left out; the first: "
            f"{next(iter(skipped.values()))}"
        ) from error


def _versions() -> dict[str, str]:
    names = ("tensorflow", "keras", "numpy", "scikit-learn", "soxr", "soundfile")
    return {
        "byola_tf": byola_tf.__version__,
        "python": platform.python_version(),
        **{name: packages.version(name) for name in names},
    }
