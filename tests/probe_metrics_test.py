"""Scores, against scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics as reference

from train_lib.probe.judging import metrics


@pytest.fixture(params=["continuous", "with ties", "all the same"])
def scored(request):
    """Scores float32 [clips, classes], targets bool, no class empty or full."""
    random = np.random.default_rng(0)
    scores = random.standard_normal((200, 30)).astype(np.float32)
    if request.param == "with ties":
        scores = np.round(scores)
    if request.param == "all the same":
        scores[:] = 0.5
    targets = random.random(scores.shape) < random.uniform(0.02, 0.6, 30)
    targets[0], targets[1] = True, False
    return scores, targets


def test_average_precision_is_that_of_scikit_learn(scored):
    scores, targets = scored
    np.testing.assert_allclose(
        metrics.average_precision(scores, targets),
        reference.average_precision_score(targets, scores, average=None),
        rtol=1e-12,
    )


def test_roc_auc_is_that_of_scikit_learn(scored):
    scores, targets = scored
    np.testing.assert_allclose(
        metrics.roc_auc(scores, targets),
        reference.roc_auc_score(targets, scores, average=None),
        rtol=1e-12,
    )


def test_mean_average_precision_scores_each_run_alone(scored):
    scores, targets = scored
    runs = np.stack([scores, -scores, np.cos(scores)], axis=1)
    np.testing.assert_allclose(
        metrics.mean_average_precision(runs, targets),
        [
            reference.average_precision_score(targets, runs[:, run], average="macro")
            for run in range(3)
        ],
        rtol=1e-12,
    )


def test_classes_without_positives_have_no_score():
    scores = np.random.default_rng(0).random((6, 3))
    targets = np.zeros((6, 3), bool)
    targets[:2, 1] = True
    targets[:, 2] = True
    assert np.isnan(metrics.average_precision(scores, targets)).tolist() == [1, 0, 0]
    assert np.isnan(metrics.roc_auc(scores, targets)).tolist() == [1, 0, 1]
    mean = metrics.mean_average_precision(scores[:, None], targets)
    precision = reference.average_precision_score(targets[:, 1], scores[:, 1])
    assert mean == pytest.approx((precision + 1) / 2)


def test_accuracy_is_that_of_scikit_learn():
    random = np.random.default_rng(0)
    logits = random.standard_normal((50, 2, 4))
    labels = random.integers(4, size=50)
    targets = labels[:, None] == np.arange(4)
    expected = [
        reference.accuracy_score(labels, logits[:, run].argmax(axis=1))
        for run in range(2)
    ]
    np.testing.assert_allclose(metrics.accuracy(logits, targets), expected)


def test_d_prime_undoes_the_auc_of_two_normal_distributions():
    random = np.random.default_rng(0)
    for separation in (0.5, 2.0):
        scores = random.standard_normal(40_000)
        scores[::2] += separation
        targets = np.arange(40_000) % 2 == 0
        auc = metrics.roc_auc(scores[:, None], targets[:, None])[0]
        assert metrics.d_prime(auc) == pytest.approx(separation, abs=0.03)
    assert metrics.d_prime(0.5) == 0
    assert metrics.d_prime(1.0) == np.inf
