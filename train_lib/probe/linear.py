"""Linear evaluation of a model on a task, from files to a result."""

import contextlib
import dataclasses
import math
import os
import platform
from collections.abc import Callable, Iterator, Sequence

import numpy as np

import byola_tf
from byola_tf import checkpoint, versions
from byola_tf.errors import UserError
from byola_tf.networks import geometry
from byola_tf.progress import Progress, no_progress
from train_lib.probe import embedding, results, store
from train_lib.probe.judging import few_shot, finetune, modes, protocol
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


@dataclasses.dataclass(frozen=True)
class ProbeOptions:
    """How a model is evaluated; the defaults follow the published protocol.

    Attributes:
        learning_rate: of the classifiers; several (a sequence, or a text with
            commas) or "search" choose on validation; None takes a published
            task's, and searches for any other.
        seeds: of the classifiers.
        model_seed: of the weights of the model "random".
        model_name: in the result, instead of the model's own.
        batch_size: clips embedded at a time.
        cache: folder in which embeddings are looked for and kept; none when
            None. An embedder without a `fingerprint` is not cached.
        num_workers: threads that decode; the number of cores when None.
        mode: "linear"; "knn", "few_shot" or "finetune": modules of
            `train_lib.probe.judging`.
        pooling: of frames over time; see `opening.open_model`.
        layers: inner layers to use instead; see `opening.open_model`.
        shots: examples a class of the mode "few_shot".
    """

    learning_rate: float | str | Sequence[float] | None = None
    seeds: Sequence[int] = protocol.SEEDS
    model_seed: int = 42
    model_name: str | None = None
    batch_size: int | None = None
    cache: str | None = None
    num_workers: int | None = None
    mode: str = "linear"
    pooling: str | None = None
    layers: Sequence[str] | None = None
    shots: Sequence[int] = few_shot.SHOTS


def linear_probe(
    model,
    metadata: str,
    audio: str,
    unit_seconds: float | None = None,
    *,
    progress: Progress = no_progress,
    **options,
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
        progress: see `byola_tf.progress`.
        **options: fields of `ProbeOptions`.

    Returns:
        `Probe`; `json.dumps` takes its `result`.

    Raises:
        UserError: the model, the table or the audio cannot be used.
    """
    chosen = ProbeOptions(**options)
    task = tasks.read_task(metadata, audio)
    unit_seconds = checked_unit_seconds(task, unit_seconds)
    rates, rate_source = modes.learning_rates(
        chosen.mode, task, model, chosen.learning_rate
    )
    seeds = checked_seeds(chosen.seeds)
    opened = _open(model, chosen)
    with _own_statistics_kept(opened.embedder):
        embedded = embedding.embed_task(
            task,
            opened.embedder,
            unit_seconds,
            chosen.batch_size,
            progress,
            cache=chosen.cache,
            num_workers=chosen.num_workers,
        )
    folds = [embedded.fold(fold) for fold in usable_folds(task, embedded.skipped)]
    evaluation = modes.evaluate(
        chosen.mode,
        task,
        embedded,
        folds,
        seeds,
        rates,
        shots=chosen.shots,
        opened=opened.trainable,
        progress=progress,
    )
    crops = embedded.shown_crops()
    rows = embedded.rows[crops]
    return Probe(
        result={
            "task": task.name,
            "model": chosen.model_name or opened.name,
            "unit_seconds": unit_seconds,
            "learning_rate_source": rate_source,
            **_model_facts(opened, embedded, chosen),
            "versions": _versions(),
            "num_clips": len(rows),
            **results.of_evaluation(task, folds, embedded, evaluation),
        },
        embedded=embedded,
        crops=crops,
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


@dataclasses.dataclass(frozen=True)
class _OpenedModel:
    """What is evaluated.

    Attributes:
        embedder: see `embedding.embed_task`.
        name: in the result.
        trainable: the encoder that is fine-tuned; None in other modes.
    """

    embedder: Callable
    name: str
    trainable: checkpoint.Checkpoint | None = None


def _open(model, options: ProbeOptions) -> _OpenedModel:
    pooling, layers = options.pooling, options.layers
    if options.mode == "finetune":
        if pooling or layers:
            raise UserError(
                "`pooling` and `layers` must be left out for --mode=finetune, which "
                f"trains the encoder as it is. Received: {pooling or ','.join(layers)}."
            )
        trainable = opening.open_encoder(model, options.model_seed)
        log_mels = finetune.LogMels(trainable.config)
        return _OpenedModel(log_mels, os.fspath(model), trainable)
    if isinstance(model, str | os.PathLike):
        opened = opening.open_model(model, pooling, layers, options.model_seed)
        return _OpenedModel(opened, opened.name)
    if pooling or layers:
        raise UserError(
            "`pooling` and `layers` must be left out for an embedder in memory. "
            f"Received: {pooling or layers}. Give the model's path."
        )
    return _OpenedModel(model, getattr(model, "name", type(model).__name__))


@contextlib.contextmanager
def _own_statistics_kept(embedder) -> Iterator[None]:
    """Gives an embedder its own normalisation back, whatever a task sets."""
    own = getattr(embedder, "statistics", None)
    try:
        yield
    finally:
        if own is not None:
            embedder.with_statistics(own.mean, own.std)
            embedder.statistics = own  # with the number of crops, which sets nothing


def _model_facts(opened: _OpenedModel, embedded, options: ProbeOptions) -> dict:
    """What a reader has to know about the model to judge a score."""
    is_random = opened.name.partition(":")[0] == "random"
    statistics = embedded.statistics
    size = embedded.features.shape[1]
    if opened.trainable:  # not that of the log-mels in place of embeddings
        size = geometry.embedding_size(opened.trainable.config.encoder)
    return {
        "model_seed": options.model_seed if is_random else None,
        "embedding_size": size,
        "pooling": options.pooling,
        "layers": list(options.layers) if options.layers else None,
        "sample_rate": opened.embedder.sample_rate,
        "statistics": statistics and dataclasses.asdict(statistics),
    }


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
