"""Linear evaluation of a model on a task, from files to a result."""

import dataclasses
import math
import os
import platform
from collections.abc import Callable, Sequence

import numpy as np

import byola_tf
from byola_tf import versions
from byola_tf.corpus.corpus import no_progress
from byola_tf.errors import UserError
from train_lib.probe import embedding, results, store
from train_lib.probe.judging import few_shot, finetune, modes, protocol, significance
from train_lib.probe.models import opening
from train_lib.probe.tasks import tasks
from train_lib.probe.tasks.presets import PRESETS


@dataclasses.dataclass(frozen=True)
class Probe:
    """A finished linear evaluation.

    Attributes:
        result: what the command writes as JSON.
        embedded: `TaskEmbeddings` of all crops, on disk.
        crops: int [clips], the crop that stands for each usable clip: from its
            beginning for clips that are tested, from a random start for the
            others.
        labels: int [clips], index into `classes`; bool [clips, classes] of a
            multi-label task.
        classes: names.
        file_names: one a clip.
    """

    result: dict
    embedded: store.TaskEmbeddings
    crops: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    file_names: tuple[str, ...]

    @property
    def embeddings(self) -> np.ndarray:
        """Embeddings of `crops`, read from disk: float32 [clips, d]."""
        return self.embedded.features[self.crops]


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
    cache: str | None = None,
    num_workers: int | None = None,
    mode: str = "linear",
    pooling: str | None = None,
    layers: Sequence[str] | None = None,
    shots: Sequence[int] = few_shot.SHOTS,
    progress: Callable = no_progress,
) -> Probe:
    """Runs the linear evaluation protocol, or another one on the same clips.

    Args:
        model: text for `train_lib.probe.models.opening.open_model`, or an embedder
            (see `train_lib.probe.embedding.embed_task`). An embedder gets its
            statistics back afterwards.
        metadata: CSV of the task; see `train_lib.probe.tasks.tasks`.
        audio: folder that the CSV's file names are relative to.
        unit_seconds: length of a crop; that of a published or prepared task
            when None.
        learning_rate: of the classifiers; several (a sequence, or a text with
            commas) or "search" choose on validation; None takes a published
            task's, and searches for any other.
        seeds: of the classifiers.
        model_seed: of the weights of the model "random".
        model_name: of an embedder, in the result.
        batch_size: clips embedded at a time.
        cache: folder in which embeddings are looked for and kept; none when
            None. An embedder without a `fingerprint` is not cached.
        num_workers: threads that decode; the number of cores when None.
        mode: "linear"; "knn", "few_shot" or "finetune": modules of
            `train_lib.probe.judging`.
        pooling: of frames over time; see `models.open_model`.
        layers: inner layers to use instead; see `models.open_model`.
        shots: examples a class of the mode "few_shot".
        progress: called with (iterable, total, description), returns the
            iterable, e.g. wrapped in a progress bar.

    Returns:
        `Probe`; `json.dumps` takes its `result`.

    Raises:
        UserError: the model, the table or the audio cannot be used.
    """
    task = tasks.read_task(metadata, audio)
    unit_seconds = checked_unit_seconds(task, unit_seconds)
    rates, rate_source = modes.learning_rates(mode, task, model, learning_rate)
    seeds = checked_seeds(seeds)
    opened = None
    if mode == "finetune":
        opened = _trainable(model, model_seed, pooling, layers)
        embedder, opened_name = finetune.LogMels(opened.config), os.fspath(model)
    else:
        embedder, opened_name = _open(model, model_seed, pooling, layers)

    own_statistics = getattr(embedder, "statistics", None)
    try:
        embedded = embedding.embed_task(
            task,
            embedder,
            unit_seconds,
            batch_size,
            progress,
            cache=cache,
            num_workers=num_workers,
        )
    finally:
        if own_statistics is not None:
            embedder.with_statistics(own_statistics.mean, own_statistics.std)
            embedder.statistics = own_statistics
    folds = [embedded.fold(fold) for fold in usable_folds(task, embedded.skipped)]
    evaluation = modes.evaluate(
        mode,
        task,
        embedded,
        folds,
        seeds,
        rates,
        shots=shots,
        opened=opened,
        progress=progress,
    )
    clips = results.clips(task, folds, embedded.rows, evaluation)
    shown = np.where(embedded.testing >= 0, embedded.testing, embedded.training)
    rows = np.flatnonzero(shown >= 0)
    return Probe(
        result={
            "task": task.name,
            "model": model_name or opened_name,
            **results.scores(evaluation),
            **evaluation.details,
            "bootstrap95": clips and significance.interval_of(clips),
            "learning_rate_source": rate_source,
            "unit_seconds": unit_seconds,
            **results.task_facts(task),
            "classes": list(task.classes),
            "per_class": results.per_class(task, folds, embedded.rows, evaluation),
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
            "seeds": list(dict.fromkeys(run.seed for run in evaluation.runs)),
            "model_seed": model_seed
            if opened_name.partition(":")[0] == "random"
            else None,
            "embedding_size": opened.config.encoder.embedding_size
            if opened
            else embedded.features.shape[1],
            "pooling": pooling,
            "layers": list(layers) if layers else None,
            "sample_rate": embedder.sample_rate,
            "statistics": embedded.statistics
            and dataclasses.asdict(embedded.statistics),
            "skipped": [
                {"file_name": task.file_names[row], "reason": reason}
                for row, reason in sorted(embedded.skipped.items())
            ],
            "versions": _versions(),
            "clips": clips,
        },
        embedded=embedded,
        crops=shown[rows],
        labels=task.labels[rows],
        classes=task.classes,
        file_names=tuple(task.file_names[row] for row in rows),
    )


def checked_unit_seconds(task: tasks.Task, unit_seconds: float | None) -> float:
    """The length of a crop; raises UserError where none is known."""
    known = task.facts.get("unit_seconds")
    if task.name in PRESETS:
        known = known or PRESETS[task.name].unit_seconds
    if unit_seconds is None and known:
        return known
    if unit_seconds is None or not (unit_seconds > 0 and math.isfinite(unit_seconds)):
        raise UserError(
            "`unit_seconds` must be a positive number of seconds. Received: "
            f"{unit_seconds} for task {task.name!r}, which is not a published one. "
            "Give the usual length of its clips, e.g. --unit_seconds=5."
        )
    return unit_seconds


def checked_seeds(seeds: Sequence[int], name: str = "seeds") -> tuple[int, ...]:
    """Seeds as integers; raises UserError for others, or the same twice.

    Args:
        seeds: integers, or text of them.
        name: of the argument, in the error.
    """
    try:
        checked = tuple(int(seed) for seed in seeds)
    except ValueError:
        checked = ()
    if not checked or len(set(checked)) < len(checked) or min(checked) < 0:
        raise UserError(
            f"`{name}` must be different integers from 0 on. Received: "
            f"{', '.join(map(str, seeds))}. Use e.g. --{name}=43,44,45."
        )
    return checked


def _open(model, model_seed: int, pooling, layers) -> tuple[Callable, str]:
    """The embedder and its name in the result."""
    if isinstance(model, str | os.PathLike):
        opened = opening.open_model(model, pooling, layers, model_seed)
        return opened, opened.name
    if pooling or layers:
        raise UserError(
            "`pooling` and `layers` must be left out for an embedder in memory. "
            f"Received: {pooling or layers}. Give the model's path."
        )
    return model, getattr(model, "name", type(model).__name__)


def _trainable(model, model_seed: int, pooling, layers):
    """The encoder that is fine-tuned."""
    if pooling or layers:
        raise UserError(
            "`pooling` and `layers` must be left out for --mode=finetune, which "
            f"trains the encoder as it is. Received: {pooling or ','.join(layers)}."
        )
    return opening.open_encoder(model, model_seed)


def usable_folds(task: tasks.Task, skipped: dict[int, str]) -> list[tasks.Fold]:
    """The folds without broken files; raises UserError if they do not suffice."""
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
        **versions.installed(*names),
    }
