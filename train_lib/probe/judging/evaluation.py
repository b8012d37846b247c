"""What an evaluation has found: its runs, every metric of them, intervals."""

import collections
import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

from train_lib.probe.judging import metrics
from train_lib.probe.judging.classifier import Objective
from train_lib.probe.tasks import tasks


@dataclasses.dataclass(frozen=True)
class Run:
    """One trained classifier and its score on the test rows of its fold.

    Fields are None where there is no such thing: neighbours have no epochs.
    """

    fold: str
    seed: int
    learning_rate: float | None
    score: float
    valid_score: float | None = None
    best_epoch: int | None = None
    num_epochs: int | None = None


@dataclasses.dataclass(frozen=True)
class ScoreSummary:
    """One metric over seeds.

    Attributes:
        mean: of `scores`.
        std: their sample standard deviation; None with a single seed.
        ci95: half width of the 95 % confidence interval of the mean over
            seeds, t(0.975, seeds - 1) * std / sqrt(seeds); None with a single
            seed. The crops and the test clips are the same for every seed, so
            it covers the initial weights, the batch order and the draw of the
            validation rows, nothing else.
        scores: one a seed: the unweighted mean over folds.
    """

    mean: float
    std: float | None
    ci95: float | None
    scores: tuple[float, ...]

    @classmethod
    def of(cls, scores: Sequence[float]) -> "ScoreSummary":
        """Summarises one score a seed."""
        scores = tuple(float(score) for score in scores)
        std, ci95 = _spread(scores)
        return cls(float(np.mean(scores)), std, ci95, scores)


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The outcome of an evaluation, in any mode.

    Attributes:
        metric: name of the score; accuracy, or mAP with several labels a clip.
        metrics: `ScoreSummary` by name, of that one and of others.
        learning_rates: chosen, one a fold.
        runs: the classifiers with the chosen rates.
        logits: float32 [test rows, classes], one a run.
        search: validation scores by fold, rate and seed, of all rates tried.
        confusion_matrix: int [classes, classes], true class by predicted
            class; every test row counts once a seed. None with several labels
            a clip.
        by_class: float64 [classes] by metric, the mean over runs; NaN for a
            class without test clips.
        details: further facts for the result.
    """

    metric: str
    metrics: dict[str, ScoreSummary]
    learning_rates: tuple[float, ...]
    runs: tuple[Run, ...]
    logits: tuple[np.ndarray, ...]
    search: tuple[dict, ...]
    confusion_matrix: np.ndarray | None
    by_class: dict[str, np.ndarray]
    details: dict = dataclasses.field(default_factory=dict)

    @property
    def mean(self) -> float:
        """Of the score."""
        return self.metrics[self.metric].mean

    @property
    def std(self) -> float | None:
        """Of the score."""
        return self.metrics[self.metric].std

    @property
    def ci95(self) -> float | None:
        """Of the score."""
        return self.metrics[self.metric].ci95

    @property
    def scores(self) -> tuple[float, ...]:
        """One a seed."""
        return self.metrics[self.metric].scores

    def learning_rate_curve(self) -> list[dict]:
        """Validation score by rate: mean over folds and seeds. Never of test."""
        rates = collections.defaultdict(list)
        for trial in self.search:
            rates[trial["learning_rate"]].append(trial["valid_score"])
        return [
            {
                "learning_rate": rate,
                "valid_mean": float(np.mean(scores)),
                "valid_std": float(np.std(scores)),
            }
            for rate, scores in rates.items()
        ]


def concluded(
    folds: Sequence[tasks.Fold],
    targets: np.ndarray,
    runs: Sequence[Run],
    logits: Sequence[np.ndarray],
    objective: Objective,
    *,
    subsets: Mapping[str, np.ndarray] | None = None,
    learning_rates: Sequence[float] = (),
    search: Sequence[dict] = (),
    details: dict | None = None,
) -> Evaluation:
    """Computes every metric from the logits of the test rows.

    Args:
        folds: as evaluated.
        targets: bool [rows, classes].
        runs: all seeds of the first fold, then of the next.
        logits: float32 [test rows, classes], one a run.
        objective: its metric is the score.
        subsets: see `protocol.evaluate`.
        learning_rates: see `Evaluation`.
        search: see `Evaluation`.
        details: see `Evaluation`.
    """
    num_seeds = len(runs) // len(folds)
    truths = [targets[fold.test] for fold in folds for _ in range(num_seeds)]
    if objective.metric == "mAP":
        confusion = None
        scores, by_class = _multi_label_scores(logits, truths, subsets or {})
    else:
        confusion = _confusion_matrix(logits, truths)
        scores, by_class = {}, {"accuracy": _recall(confusion)}
    scores[objective.metric] = [run.score for run in runs]
    return Evaluation(
        metric=objective.metric,
        metrics={
            # a row a fold
            name: ScoreSummary.of(np.reshape(values, (len(folds), -1)).mean(axis=0))
            for name, values in scores.items()
        },
        learning_rates=tuple(learning_rates),
        runs=tuple(runs),
        logits=tuple(logits),
        search=tuple(search),
        confusion_matrix=confusion,
        by_class=by_class,
        details=details or {},
    )


def _multi_label_scores(logits, truths, subsets) -> tuple[dict, dict]:
    """Further metrics, one value a run, and the mean over runs by class."""
    precisions = np.array(list(map(metrics.average_precision, logits, truths)))
    areas = np.array(list(map(metrics.roc_auc, logits, truths)))
    auc = np.nanmean(areas, axis=1)
    scores = {
        "AUC": auc,
        "d_prime": [metrics.d_prime(value) for value in auc],
        **{
            f"mAP_{name}": np.nanmean(precisions[:, classes], axis=1)
            for name, classes in subsets.items()
            if not np.isnan(precisions[:, classes]).all()
        },
    }
    return scores, {"AP": _mean_of_runs(precisions), "AUC": _mean_of_runs(areas)}


def _mean_of_runs(values: np.ndarray) -> np.ndarray:
    """Mean of [runs, classes] over the runs that have a value; else NaN."""
    known = ~np.isnan(values)
    total, count = np.where(known, values, 0).sum(axis=0), known.sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _confusion_matrix(logits, truths) -> np.ndarray:
    """int [classes, classes], true class by predicted class, of all runs."""
    counts = np.zeros((truths[0].shape[1],) * 2, np.int64)
    for run_logits, truth in zip(logits, truths, strict=True):
        np.add.at(counts, (truth.argmax(axis=1), run_logits.argmax(axis=1)), 1)
    return counts


def _recall(confusion: np.ndarray) -> np.ndarray:
    """Share of every class's clips that were recognised; NaN without clips."""
    clips = confusion.sum(axis=1)
    return np.where(clips > 0, confusion.diagonal() / np.maximum(clips, 1), np.nan)


def _spread(scores: Sequence[float]) -> tuple[float | None, float | None]:
    """Sample standard deviation and half width of the 95 % t interval."""
    count = len(scores)
    if count < 2 or not np.isfinite(scores).all():
        return None, None
    std = float(np.std(scores, ddof=1))
    return std, float(stats.t.ppf(0.975, count - 1) * std / math.sqrt(count))
