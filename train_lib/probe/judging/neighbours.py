"""k nearest neighbours on frozen embeddings: no training, one number to choose."""

from collections.abc import Mapping, Sequence

import numpy as np

from byola_tf.errors import UserError
from byola_tf.progress import Progress, no_progress
from train_lib.probe.judging import classifier, protocol
from train_lib.probe.judging.evaluation import Evaluation, Run, concluded
from train_lib.probe.tasks import tasks

NUMBERS = (1, 3, 5, 10, 20, 50)
QUERIES_AT_A_TIME = 1024


def evaluate(
    features: np.ndarray,
    targets: np.ndarray,
    folds: Sequence[tasks.Fold],
    seeds: Sequence[int] = protocol.SEEDS,
    objective: classifier.Objective = classifier.SINGLE_LABEL,
    subsets: Mapping[str, np.ndarray] | None = None,
    numbers: Sequence[int] = NUMBERS,
    progress: Progress = no_progress,
) -> Evaluation:
    """Classifies each test row by the training rows that are most like it.

    Embeddings are standardised as for the linear classifier; likeness is their
    cosine, and a neighbour's vote weighs as much. Training rows are those that
    the linear classifier trains on; how many neighbours vote is chosen fold by
    fold on validation, as the learning rate is.

    Args:
        features: float32 [rows, d].
        targets: bool [rows, classes].
        folds: rows to search, to validate and to test.
        seeds: of the draw of validation rows; the first alone counts where the
            fold has its own.
        objective: its metric scores the votes.
        subsets: see `protocol.evaluate`.
        numbers: of neighbours to try; those beyond the training rows are not.
        progress: see `byola_tf.progress`.

    Raises:
        UserError: no validation set with every class could be drawn, or the
            fold has fewer training rows than the smallest of `numbers`.
    """
    runs, logits, search, chosen = [], [], [], []
    cases = list(enumerate(folds))
    for number, fold in progress(cases, len(cases), "neighbours"):
        standardizer = classifier.Standardizer.fit(features, fold.train)
        # a given validation part leaves nothing to chance: one run, no interval
        seeds_of_fold = seeds if fold.valid is None else seeds[:1]
        parts = [
            protocol.divided(fold, targets, number, seed) for seed in seeds_of_fold
        ]
        smallest = min(len(train) for train, _ in parts)
        tried = [count for count in numbers if count <= smallest]
        if not tried:
            raise UserError(
                f"A fold must have at least {min(numbers)} training files. Received: "
                f"{smallest} in fold {fold.name!r}."
            )
        scores = [
            [
                _score(objective, votes, targets[valid])
                for votes in _votes(
                    features, targets, train, valid, tried, standardizer
                )
            ]
            for train, valid in parts
        ]
        best = int(np.mean(scores, axis=0).argmax())
        chosen.append(tried[best])
        cases_of_fold = zip(seeds_of_fold, parts, strict=True)
        for index, (seed, (train, _)) in enumerate(cases_of_fold):
            search += [
                {"fold": fold.name, "seed": seed, "k": count, "valid_score": score}
                for count, score in zip(tried, scores[index], strict=True)
            ]
            (votes,) = _votes(
                features, targets, train, fold.test, [tried[best]], standardizer
            )
            score = _score(objective, votes, targets[fold.test])
            logits.append(votes)
            runs.append(Run(fold.name, seed, None, score, scores[index][best]))
    details = {"mode": "knn", "k": chosen, "k_search": search}
    return concluded(
        folds, targets, runs, logits, objective, subsets=subsets, details=details
    )


def nearest(
    queries: np.ndarray, keys: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest keys of every query by cosine, the nearest first.

    Args:
        queries: float32 [n, d].
        keys: float32 [m, d], m at least `count`.
        count: of keys.

    Returns:
        int [n, count], rows of `keys`, and their cosines, float32 [n, count].
    """
    keys, found, cosines = unit_length(keys), [], []
    for start in range(0, len(queries), QUERIES_AT_A_TIME):
        block = unit_length(queries[start : start + QUERIES_AT_A_TIME]) @ keys.T
        rows = np.argpartition(-block, count - 1, axis=1)[:, :count]
        likeness = np.take_along_axis(block, rows, 1)
        order = np.argsort(-likeness, axis=1, kind="stable")
        found.append(np.take_along_axis(rows, order, 1))
        cosines.append(np.take_along_axis(likeness, order, 1))
    return np.concatenate(found), np.concatenate(cosines)


def unit_length(vectors: np.ndarray) -> np.ndarray:
    """Scales [n, d] to length 1; zero stays zero."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(length, np.finfo(vectors.dtype).tiny)


def _votes(features, targets, train, queries, numbers, standardizer) -> list:
    """Weighted mean label of the neighbours, [queries, classes], by number."""
    rows, cosines = nearest(
        standardizer(features[queries]),
        standardizer(features[train]),
        max(numbers),
    )
    weights = np.maximum(cosines, 1e-6)  # the opposite of a clip is no evidence
    votes = []
    for count in numbers:
        labels = targets[train[rows[:, :count]]]  # [queries, count, classes]
        total = np.einsum("qk,qkc->qc", weights[:, :count], labels)
        votes.append(total / weights[:, :count].sum(axis=1, keepdims=True))
    return votes


def _score(objective, votes, targets) -> float:
    return float(objective.score(votes[:, None], targets)[0])
