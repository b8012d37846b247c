"""The evaluation protocol on embeddings: folds, seeds, learning rate."""

from collections.abc import Mapping, Sequence

import numpy as np

from byola_tf.progress import Progress, no_progress
from train_lib.probe.judging import classifier
from train_lib.probe.judging.classifier import Objective
from train_lib.probe.judging.evaluation import Evaluation, Run, concluded
from train_lib.probe.tasks import tasks

SEEDS = (42, 43, 44)
# The range from which the paper took its rates.
SEARCHED_RATES = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2)


def evaluate(
    features: np.ndarray,
    targets: np.ndarray,
    folds: Sequence[tasks.Fold],
    seeds: Sequence[int] = SEEDS,
    learning_rates: Sequence[float] = SEARCHED_RATES,
    objective: Objective = classifier.SINGLE_LABEL,
    schedule: classifier.ClassifierSchedule | None = None,
    subsets: Mapping[str, np.ndarray] | None = None,
    progress: Progress = no_progress,
) -> Evaluation:
    """Trains and tests linear classifiers on frozen embeddings.

    Standardisation is fitted on the training rows of a fold, before validation
    rows are drawn from them. Of several learning rates each fold takes the one
    with the best mean validation score over the seeds (the middle one of equals);
    the test rows are looked at only afterwards.

    Args:
        features: float32 [rows, d]; may be `store.StoredRows`.
        targets: bool [rows, classes].
        folds: rows to train on, to validate and to test.
        seeds: each repeats everything but the embedding.
        learning_rates: tried on validation if there are several.
        objective: loss and metric.
        schedule: how a classifier is trained; the protocol's when None.
        subsets: name to int, classes whose mean average precision is a metric
            of its own, "mAP_<name>"; of multi-label tasks.
        progress: see `byola_tf.progress`.

    Raises:
        UserError: no validation set with every class could be drawn.
    """
    groups = []
    for number, fold in enumerate(folds):
        standardizer = classifier.Standardizer.fit(features, fold.train)
        for seed in seeds:
            train, valid = divided(fold, targets, number, seed)
            groups.append(
                classifier.Group(
                    [seed, number, 1], features, targets, train, valid, standardizer
                )
            )
    trained = classifier.train(
        groups, learning_rates, objective, schedule, progress=progress
    )
    runs, logits, search, chosen = [], [], [], []
    for number, fold in enumerate(folds):
        of_fold = slice(number * len(seeds), (number + 1) * len(seeds))
        best = _best_rate(trained[of_fold])
        chosen.append(learning_rates[best])
        # the seeds' classifiers side by side: the test rows are read once
        parameters = np.stack(
            [candidates[best].parameters for candidates in trained[of_fold]], axis=1
        )
        standardizer = groups[of_fold.start].standardizer
        of_seeds = classifier.predict(parameters, features, fold.test, standardizer)
        scores = objective.score(of_seeds, targets[fold.test])
        for index, (seed, candidates) in enumerate(
            zip(seeds, trained[of_fold], strict=True)
        ):
            search += [
                {
                    "fold": fold.name,
                    "seed": seed,
                    "learning_rate": candidate.learning_rate,
                    "valid_score": candidate.valid_score,
                }
                for candidate in candidates
            ]
            runs.append(_run(fold, seed, candidates[best], scores[index]))
            logits.append(of_seeds[:, index])
    return concluded(
        folds,
        targets,
        runs,
        logits,
        objective,
        subsets=subsets,
        learning_rates=chosen,
        search=search,
        details={"mode": "linear"},
    )


def divided(
    fold: tasks.Fold, targets: np.ndarray, number: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of a fold to train on and to validate.

    Args:
        fold: `Fold`; a tenth of its training rows is drawn where it has no
            rows for validation.
        targets: bool [rows, classes].
        number: of the fold, from 0.
        seed: of the draw.

    Raises:
        UserError: no validation set with every class could be drawn.
    """
    if fold.valid is not None:
        return fold.train, fold.valid
    random = np.random.default_rng([seed, number, 0])
    return tasks.draw_validation(targets, fold.train, random)


def _best_rate(trained: Sequence[Sequence[classifier.Classifier]]) -> int:
    """Index of the rate with the best mean validation score over seeds.

    Of equals the middle one: small validation sets are often solved by all
    rates of a range, and its ends are the least safe.
    """
    scores = np.mean([[run.valid_score for run in runs] for runs in trained], axis=0)
    equals = np.flatnonzero(scores == scores.max())
    return int(equals[len(equals) // 2])


def _run(fold, seed, trained: classifier.Classifier, score: float) -> Run:
    return Run(
        fold=fold.name,
        seed=seed,
        learning_rate=trained.learning_rate,
        score=float(score),
        valid_score=trained.valid_score,
        best_epoch=trained.best_epoch,
        num_epochs=trained.num_epochs,
    )
