"""Scores of the models by task: measured, published, averaged, correlated."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from train_lib.pages import text
from train_lib.probe.report import published
from train_lib.probe.report.collection import Collection, Result

MIN_COMMON_TASKS = 3


@dataclasses.dataclass(frozen=True)
class Score:
    """A score and its 95 % interval, in percent.

    Attributes:
        mean: score.
        ci95: half width; None where there is none.
        result: where it was measured; None of a published one.
    """

    mean: float
    ci95: float | None = None
    result: Result | None = None

    def __str__(self) -> str:
        return text.plus_minus(self.mean, self.ci95)


@dataclasses.dataclass(frozen=True)
class ModelScores:
    """A model's scores by column; `source` names where a published one stands."""

    model: str
    scores: Mapping[str, Score]
    average: float | None = None
    source: str | None = None


@dataclasses.dataclass(frozen=True)
class Average:
    """What is averaged: a heading and the tasks."""

    heading: str
    tasks: Sequence[str]


def score(result: Result | None, metric: str | None = None) -> Score | None:
    """A result's score, or another of its metrics; None where it has none."""
    if result is None:
        return None
    found = result.data
    if metric is not None and metric != found.get("metric"):
        found = (found.get("metrics") or {}).get(metric) or {}
    return None if found.get("mean") is None else _in_percent(found, result)


def _in_percent(summary: Mapping, result: Result) -> Score:
    ci95 = summary.get("ci95")
    return Score(100 * summary["mean"], None if ci95 is None else 100 * ci95, result)


def accuracy_tasks(collection: Collection) -> list[str]:
    """Tasks with one class a clip that some model was measured on."""
    names = {
        result.task
        for result in collection.of("linear")
        if result.data["metric"] == "accuracy"
    }
    return [task for task in collection.tasks if task in names]


def other_tasks(collection: Collection) -> list[str]:
    """Measured tasks that no average covers: several labels a clip."""
    names = {result.task for result in collection.of("linear")}
    return [
        task
        for task in collection.tasks
        if task in names and task not in accuracy_tasks(collection)
    ]


def average_of(collection: Collection) -> Average | None:
    """The paper's average where a model has all its tasks, or one named as another.

    Returns:
        the nine tasks, if at least one model was measured on all of them;
        otherwise all accuracy tasks shown. None with a single task.
    """
    shown = accuracy_tasks(collection)
    nine = list(published.NINE_TASKS)
    for model in collection.models:
        if all(collection.find(model, task) for task in nine):
            return Average("average of the paper’s 9 tasks", nine)
    if len(shown) < 2:
        return None
    return Average(f"average of the {len(shown)} tasks shown", shown)


def measured(
    collection: Collection,
    average: Average | None = None,
    tasks: Sequence[str] | None = None,
    mode: str = "linear",
) -> list[ModelScores]:
    """The scores of every model that was measured.

    Args:
        collection: the results.
        average: of which tasks; a model without all of them has none, as it
            would be an average of others.
        tasks: all by default; models without any of them are left out.
        mode: of judging.
    """
    found = []
    for model in collection.models:
        scores = {
            task: value
            for task in tasks or collection.tasks
            if (value := score(collection.find(model, task, mode)))
        }
        mean = None
        if average and set(average.tasks) <= set(scores):
            mean = float(np.mean([scores[task].mean for task in average.tasks]))
        if scores:
            found.append(ModelScores(model, scores, mean))
    return found


def fsd50k(collection: Collection) -> list[ModelScores]:
    """Scores of the models measured on FSD50K, by metric."""
    found = []
    for model in collection.models:
        result = collection.find(model, "fsd50k")
        scores = {
            metric: value
            for metric in published.FSD50K_METRICS
            if (value := score(result, metric))
        }
        if scores:
            found.append(ModelScores(model, scores))
    return found


def few_shot(collection: Collection) -> dict[int, list[ModelScores]]:
    """Scores of the models by number of examples a class."""
    shots = {}
    for result in collection.of("few_shot"):
        for count, summary in (result.data.get("few_shot") or {}).items():
            models = shots.setdefault(int(count), {})
            models.setdefault(result.model, {})[result.task] = _in_percent(
                summary, result
            )
    return {
        count: [ModelScores(model, scores) for model, scores in shots[count].items()]
        for count in sorted(shots)
    }


def of_published(rows: Sequence[published.PublishedRow]) -> list[ModelScores]:
    """Published rows as scores."""
    return [
        ModelScores(
            row.model,
            {task: Score(*values) for task, values in row.scores.items()},
            row.average,
            row.source,
        )
        for row in rows
    ]


def profiles(collection: Collection) -> list[ModelScores]:
    """Whose task profiles are compared: measured models, and published ones where
    enough of the paper's tasks were measured."""
    tasks = accuracy_tasks(collection)
    found = measured(collection, tasks=tasks) if tasks else []
    if len(set(tasks) & set(published.NINE_TASKS)) >= MIN_COMMON_TASKS:
        found += of_published(published.main())
    return found


def correlation(models: Sequence[ModelScores]) -> np.ndarray:
    """Pearson correlation of the scores of every two models over common tasks.

    Returns:
        float64 [models, models]; NaN with fewer than `MIN_COMMON_TASKS` tasks in
        common, or the same score everywhere.
    """
    values = np.full((len(models), len(models)), np.nan)
    for row, first in enumerate(models):
        for column, second in enumerate(models):
            common = [task for task in first.scores if task in second.scores]
            if len(common) < MIN_COMMON_TASKS:
                continue
            pair = [
                [model.scores[task].mean for task in common]
                for model in (first, second)
            ]
            if min(np.ptp(pair, axis=1)) > 0:
                values[row, column] = np.corrcoef(pair)[0, 1]
    return values


def comparable(correlations: np.ndarray) -> bool:
    """Whether any two different models have a correlation."""
    return bool(np.isfinite(correlations[~np.eye(len(correlations), dtype=bool)]).any())


def by_class(result: Result) -> dict[str, tuple[float | None, int | None]]:
    """Percent and tested clips of every class, in the order of the classes.

    Average precision with several labels a clip, otherwise the share of the
    class's clips that were recognised; empty for a result without either.
    """
    data = result.data
    if data.get("per_class"):
        metric = "AP" if "AP" in data["per_class"][0] else "accuracy"
        return {
            row["class"]: (_percent(row.get(metric)), row.get("test_clips"))
            for row in data["per_class"]
        }
    if data.get("confusion_matrix") and data.get("classes"):
        counts = np.array(data["confusion_matrix"], float)
        shares = counts.diagonal() / np.maximum(counts.sum(axis=1), 1)
        return {
            name: (100 * float(share) if row.any() else None, None)
            for name, share, row in zip(data["classes"], shares, counts, strict=True)
        }
    return {}


def confusions(counts: np.ndarray, classes: Sequence[str], number: int) -> list[tuple]:
    """The most frequent (true class, predicted class, share of the true class)."""
    counts = np.asarray(counts, float)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    np.fill_diagonal(share, 0)
    largest = np.argsort(-share, axis=None, kind="stable")[:number]
    pairs = zip(*np.unravel_index(largest, share.shape), strict=True)
    return [
        (classes[true], classes[predicted], float(share[true, predicted]))
        for true, predicted in pairs
        if share[true, predicted] > 0
    ]


def _percent(value: float | None) -> float | None:
    return None if value is None else 100 * value
