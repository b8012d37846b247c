"""Scores of classifiers, a class or a run a column.

Equal to scikit-learn's, but vectorised over columns: early stopping scores
hundreds of classes of several runs after every epoch.
"""

import math

import numpy as np
from scipy import stats


def accuracy(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Share of clips whose largest logit is the target's.

    Args:
        logits: float [clips, runs, classes].
        targets: bool [clips, classes], one true class a clip.

    Returns:
        float64 [runs].
    """
    right = logits.argmax(axis=-1) == targets.argmax(axis=-1)[:, None]
    return right.mean(axis=0)


def mean_average_precision(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Average precision, averaged over the classes that have clips.

    Args:
        logits: float [clips, runs, classes].
        targets: bool [clips, classes].

    Returns:
        float64 [runs].
    """
    clips, runs, classes = logits.shape
    columns = np.broadcast_to(targets[:, None], logits.shape).reshape(clips, -1)
    by_class = average_precision(logits.reshape(clips, -1), columns)
    return np.nanmean(by_class.reshape(runs, classes), axis=1)


def average_precision(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Sum over thresholds of precision times the gain in recall.

    Clips with the same score share a threshold, as in scikit-learn's
    `average_precision_score`.

    Args:
        scores: float [clips, columns]; larger means more likely.
        targets: bool [clips, columns].

    Returns:
        float64 [columns]; NaN where no clip is positive.
    """
    order = np.argsort(-scores, axis=0, kind="stable")
    hits = np.take_along_axis(targets, order, axis=0)
    found = np.cumsum(hits, axis=0, dtype=np.int32)
    ranked = np.take_along_axis(scores, order, axis=0)
    is_last = np.ones(ranked.shape, bool)  # of the clips with this score
    np.not_equal(ranked[1:], ranked[:-1], out=is_last[:-1])
    place = np.arange(1, len(ranked) + 1, dtype=np.int32)[:, None]
    last = np.where(is_last, place, np.int32(len(ranked)))
    last = np.minimum.accumulate(last[::-1], axis=0)[::-1]
    precision = np.take_along_axis(found, last - 1, axis=0) / last
    positives = found[-1].astype(np.float64)
    total = np.where(hits, precision, 0.0).sum(axis=0)
    return np.divide(
        total, positives, out=np.full(len(positives), np.nan), where=positives > 0
    )


def roc_auc(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Probability that a positive clip has a larger score than a negative one.

    Args:
        scores: float [clips, columns].
        targets: bool [clips, columns].

    Returns:
        float64 [columns], ties counting half; NaN where all clips are alike.
    """
    ranks = stats.rankdata(scores, axis=0)
    positives = targets.sum(axis=0).astype(np.float64)
    negatives = len(targets) - positives
    wins = np.where(targets, ranks, 0.0).sum(axis=0) - positives * (positives + 1) / 2
    pairs = positives * negatives
    return np.divide(wins, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)


def d_prime(auc: float) -> float:
    """Separation of two unit normal distributions with this AUC; may be infinite."""
    return float(math.sqrt(2) * stats.norm.ppf(auc))
