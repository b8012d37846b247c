"""The evaluation protocol on embeddings: folds, seeds, learning rate, interval."""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats

from byola_tf.waveforms import no_progress
from train_lib.probe import classifier, tasks
from train_lib.probe.classifier import Objective

SEEDS = (42, 43, 44)
SEARCHED_RATES = (3e-4, 1e-3, 3e-3)


@dataclasses.dataclass(frozen=True)
class PublishedTask:
    """What the paper used for one task.

    Attributes:
        unit_seconds: length of the crop that stands for a clip.
        learning_rate: of the linear layer on BYOL-A v2 embeddings.
    """

    unit_seconds: float
    learning_rate: float


PUBLISHED = {  # by the name of the task's CSV; lr: BYOL-A v2's command lines
    "esc50": PublishedTask(5.0, 1e-3),
    "us8k": PublishedTask(4.0, 3e-5),
    "fsd50k": PublishedTask(7.6358, 3e-4),
    "spcv2": PublishedTask(1.0, 3e-5),
    "vc1": PublishedTask(8.2, 4e-5),
    "voxforge": PublishedTask(5.8, 1e-4),
    "cremad": PublishedTask(2.5, 3e-4),
    "gtzan": PublishedTask(30.0, 1e-3),
    "nsynth": PublishedTask(4.0, 1e-3),
    "surge": PublishedTask(4.0, 3e-5),
}


@dataclasses.dataclass(frozen=True)
class Run:
    """One trained classifier and its score on the test rows of its fold."""

    fold: str
    seed: int
    learning_rate: float
    score: float
    valid_score: float
    best_epoch: int
    num_epochs: int


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The outcome of `evaluate`.

    Attributes:
        metric: name of the score.
        scores: one a seed: the unweighted mean over folds.
        mean: of `scores`.
        std: their sample standard deviation; None with a single seed.
        ci95: half width of the 95 % confidence interval of the mean over
            seeds, t(0.975, seeds - 1) * std / sqrt(seeds); None with a single
            seed. The crops and the test clips are the same for every seed, so
            it covers the initial weights, the batch order and the draw of the
            validation rows, nothing else.
        learning_rates: chosen, one a fold.
        runs: the classifiers with the chosen rates.
        search: validation scores by fold, rate and seed, of all rates tried.
        confusion_matrix: int [classes, classes], true class by predicted
            class; every test row counts once a seed.
    """

    metric: str
    scores: tuple[float, ...]
    mean: float
    std: float | None
    ci95: float | None
    learning_rates: tuple[float, ...]
    runs: tuple[Run, ...]
    search: tuple[dict, ...]
    confusion_matrix: np.ndarray


def evaluate(
    features: np.ndarray,
    targets: np.ndarray,
    folds: Sequence[tasks.Fold],
    seeds: Sequence[int] = SEEDS,
    learning_rates: Sequence[float] = SEARCHED_RATES,
    objective: Objective = classifier.SINGLE_LABEL,
    schedule: classifier.Schedule | None = None,
    progress: Callable = no_progress,
) -> Evaluation:
    """Trains and tests linear classifiers on frozen embeddings.

    Standardisation is fitted on the training rows of a fold, before validation
    rows are drawn from them. Of several learning rates each fold takes the one
    with the best mean validation score over the seeds (the first of equals);
    the test rows are looked at only afterwards.

    Args:
        features: float32 [rows, d].
        targets: bool [rows, classes].
        folds: rows to train on, to validate and to test.
        seeds: each repeats everything but the embedding.
        learning_rates: tried on validation if there are several.
        objective: loss and metric.
        schedule: how a classifier is trained; the protocol's when None.
        progress: called with (iterable, total, description), returns the
            iterable, e.g. wrapped in a progress bar.

    Raises:
        UserError: no validation set with every class could be drawn.
    """
    groups = []
    for number, fold in enumerate(folds):
        standardizer = classifier.Standardizer.fit(features, fold.train)
        for seed in seeds:
            train, valid = fold.train, fold.valid
            if valid is None:
                random = np.random.default_rng([seed, number, 0])
                train, valid = tasks.draw_validation(targets, train, random)
            groups.append(
                classifier.Group(
                    [seed, number, 1], features, targets, train, valid, standardizer
                )
            )
    trained = classifier.train(
        groups, learning_rates, objective, schedule, progress=progress
    )
    runs, search, chosen = [], [], []
    confusion = np.zeros((targets.shape[1],) * 2, np.int64)
    for number, fold in enumerate(folds):
        of_fold = slice(number * len(seeds), (number + 1) * len(seeds))
        best = _best_rate(trained[of_fold])
        chosen.append(learning_rates[best])
        test = groups[of_fold.start].standardizer(features[fold.test])
        for seed, candidates in zip(seeds, trained[of_fold], strict=True):
            search += [
                {
                    "fold": fold.name,
                    "seed": seed,
                    "learning_rate": candidate.learning_rate,
                    "valid_score": candidate.valid_score,
                }
                for candidate in candidates
            ]
            logits = candidates[best].logits(test)
            runs.append(_run(fold, seed, candidates[best], logits, targets, objective))
            truth = targets[fold.test].argmax(axis=1)
            np.add.at(confusion, (truth, logits.argmax(axis=1)), 1)
    scores = tuple(
        float(np.mean([run.score for run in runs if run.seed == seed]))
        for seed in seeds
    )
    std, ci95 = _spread(scores)
    return Evaluation(
        metric=objective.metric,
        scores=scores,
        mean=float(np.mean(scores)),
        std=std,
        ci95=ci95,
        learning_rates=tuple(chosen),
        runs=tuple(runs),
        search=tuple(search),
        confusion_matrix=confusion,
    )


def _best_rate(trained: Sequence[Sequence[classifier.Classifier]]) -> int:
    """Index of the rate with the best mean validation score over seeds."""
    scores = [[run.valid_score for run in runs] for runs in trained]
    return int(np.mean(scores, axis=0).argmax())


def _run(fold, seed, trained, logits, targets, objective) -> Run:
    score = objective.score(logits[:, None], targets[fold.test])[0]
    return Run(
        fold=fold.name,
        seed=seed,
        learning_rate=trained.learning_rate,
        score=float(score),
        valid_score=trained.valid_score,
        best_epoch=trained.best_epoch,
        num_epochs=trained.num_epochs,
    )


def _spread(scores: Sequence[float]) -> tuple[float | None, float | None]:
    """Sample standard deviation and half width of the 95 % t interval."""
    count = len(scores)
    if count < 2:
        return None, None
    std = float(np.std(scores, ddof=1))
    return std, float(stats.t.ppf(0.975, count - 1) * std / math.sqrt(count))
