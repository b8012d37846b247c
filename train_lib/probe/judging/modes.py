"""Ways of judging embeddings: linear, neighbours, few labels, fine-tuning."""

import math
from collections.abc import Sequence

import numpy as np

from byola_tf.errors import UserError
from byola_tf.progress import Progress, no_progress
from train_lib.probe.judging import (
    classifier,
    few_shot,
    finetune,
    neighbours,
    protocol,
)
from train_lib.probe.judging.evaluation import Evaluation
from train_lib.probe.tasks import tasks
from train_lib.probe.tasks.presets import PRESETS

MODES = ("linear", "knn", "few_shot", "finetune")


def evaluate(
    mode: str,
    task: tasks.Task,
    embedded,
    folds: Sequence[tasks.Fold],
    seeds: Sequence[int],
    rates: Sequence[float],
    shots: Sequence[int] = few_shot.SHOTS,
    opened=None,
    progress: Progress = no_progress,
) -> Evaluation:
    """Judges a task's embeddings.

    Args:
        mode: of `MODES`.
        task: `Task`.
        embedded: `TaskEmbeddings`; flat log-mels for "finetune".
        folds: rows of the embeddings.
        seeds: see `protocol.evaluate`.
        rates: of `learning_rates`.
        shots: see `few_shot.evaluate`.
        opened: `Checkpoint` to fine-tune.
        progress: see `byola_tf.progress`.
    """
    arguments = embedded.features, task.targets(embedded.rows), folds
    options = {"subsets": subsets(task), "progress": progress}
    objective = classifier.MULTI_LABEL if task.multi_label else classifier.SINGLE_LABEL
    match mode:
        case "linear":
            return protocol.evaluate(*arguments, seeds, rates, objective, **options)
        case "knn":
            return neighbours.evaluate(*arguments, seeds, objective, **options)
        case "few_shot":
            return few_shot.evaluate(
                *arguments, shots, classes=task.classes, progress=progress
            )
    schedule = finetune.TuningSchedule(learning_rate=rates[0])
    return finetune.evaluate(*arguments, opened, seeds, objective, schedule, **options)


def learning_rates(
    mode: str, task: tasks.Task, model, learning_rate
) -> tuple[Sequence[float], str | None]:
    """The rates to try and where they come from.

    Args:
        mode: of `MODES`.
        task: a published one brings its rate.
        model: as given; the log-mel floor takes no published rate.
        learning_rate: see `linear.linear_probe`.

    Raises:
        UserError: no such mode, or not a rate.
    """
    if mode not in MODES:
        raise UserError(
            f"`mode` must be one of {', '.join(MODES)}. Received: {mode!r}."
        )
    if mode in ("knn", "few_shot"):
        return (), None
    if mode == "finetune":
        return _one_rate(learning_rate)
    return _linear_rates(task, model, learning_rate)


def _one_rate(learning_rate) -> tuple[Sequence[float], str]:
    """The rate of fine-tuning."""
    if learning_rate is None:
        return (finetune.TuningSchedule.learning_rate,), "default"
    if learning_rate != "search":
        rates, source = _linear_rates(None, None, learning_rate)
        if len(rates) == 1:
            return rates, source
    raise UserError(
        "`lr` must be one number for --mode=finetune. Received: "
        f"{learning_rate!r}. Compare some by hand: the results hold their validation "
        "scores."
    )


def _linear_rates(task, model, learning_rate) -> tuple[Sequence[float], str]:
    published = task and task.name in PRESETS and PRESETS[task.name].learning_rate
    if learning_rate is None and published and model != "logmel":
        return (published,), "published"
    if learning_rate is None or learning_rate == "search":
        return protocol.SEARCHED_RATES, "validation"
    if isinstance(learning_rate, str):
        learning_rate = learning_rate.split(",")
    elif isinstance(learning_rate, float | int):
        learning_rate = [learning_rate]
    try:
        rates = [float(rate) for rate in learning_rate]
    except ValueError:
        rates = []
    if not rates or not all(rate > 0 and math.isfinite(rate) for rate in rates):
        given = ",".join(map(str, learning_rate))
        raise UserError(
            f"`lr` must be a positive number, several, or 'search'. Received: {given!r}"
            ". Leave it out to follow the protocol."
        )
    return rates, "given" if len(rates) == 1 else "validation"


def subsets(task: tasks.Task) -> dict[str, np.ndarray]:
    """Rows of classes by name of a published subset; those that the task has."""
    if not task.multi_label or task.name not in PRESETS:
        return {}
    number = {name: index for index, name in enumerate(task.classes)}
    subsets = {
        name: [number[label] for label in labels if label in number]
        for name, labels in PRESETS[task.name].subsets.items()
    }
    return {name: np.array(rows) for name, rows in subsets.items() if rows}
