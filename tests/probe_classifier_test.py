"""The linear classifier: optimiser, early stopping, many runs at a time."""

import contextlib
import os

import numpy as np
import pytest
import sklearn.metrics
from sklearn import pipeline, preprocessing
from sklearn.linear_model import LogisticRegression

from train_lib.probe import store
from train_lib.probe.judging import adam, classifier, protocol
from train_lib.probe.judging.adam import Adam, ClassifierSchedule
from train_lib.probe.judging.classifier import Group, Standardizer
from train_lib.probe.tasks import tasks


def blobs(num_clips=300, size=12, num_classes=4, spread=1.0, seed=0):
    """Gaussian classes, float32 [clips, d] and bool [clips, classes]."""
    random = np.random.default_rng(seed)
    labels = np.arange(num_clips) % num_classes
    centres = 3 * random.standard_normal((num_classes, size))
    noise = spread * random.standard_normal((num_clips, size))
    features = (centres[labels] + noise).astype(np.float32)
    return features, labels[:, None] == np.arange(num_classes)


def group(features, targets, seed=42, num_valid=60):
    rows = np.arange(len(features))
    standardizer = Standardizer.fit(features, rows)
    return Group(
        seed, features, targets, rows[num_valid:], rows[:num_valid], standardizer
    )


def as_float64(group):
    standardizer = Standardizer(
        group.standardizer.mean.astype(np.float64),
        group.standardizer.scale.astype(np.float64),
    )
    return Group(
        group.seed,
        group.features.astype(np.float64),
        group.targets,
        group.train,
        group.valid,
        standardizer,
    )


class TestAdam:
    def test_equals_pytorch_formula(self):
        random = np.random.default_rng(0)
        start = random.standard_normal((7, 2, 3))
        gradients = random.standard_normal((50, 7, 2, 3)) * 1e-6
        rates = np.array([3e-4, 3e-3])

        expected, mean, square = start.copy(), 0.0, 0.0
        for step, gradient in enumerate(gradients, 1):
            gradient = gradient + 1e-8 * expected
            mean = 0.9 * mean + 0.1 * gradient
            square = 0.999 * square + 0.001 * gradient**2
            denominator = np.sqrt(square / (1 - 0.999**step)) + 1e-8
            update = mean / (1 - 0.9**step) / denominator
            expected = expected - rates[:, None] * update

        for dtype, tolerance in ((np.float64, 1e-13), (np.float32, 2e-6)):
            optimizer = Adam(start.astype(dtype), rates, ClassifierSchedule())
            for gradient in gradients:
                optimizer.step(gradient.astype(dtype))
            assert optimizer.parameters.dtype == dtype
            np.testing.assert_allclose(optimizer.parameters, expected, atol=tolerance)

    def test_drops_runs_without_touching_the_others(self):
        random = np.random.default_rng(0)
        start = random.standard_normal((5, 3, 2))
        gradients = random.standard_normal((10, 5, 3, 2))
        whole = Adam(start.copy(), [0.1, 0.2, 0.3], ClassifierSchedule())
        pruned = Adam(start.copy(), [0.1, 0.2, 0.3], ClassifierSchedule())
        for step, gradient in enumerate(gradients):
            whole.step(gradient.copy())
            if step == 4:
                pruned.keep([0, 2])
            columns = [0, 1, 2] if step < 4 else [0, 2]
            pruned.step(gradient[:, columns].copy())
        np.testing.assert_array_equal(pruned.parameters, whole.parameters[:, [0, 2]])


def test_first_epoch_equals_a_plain_loop():
    """One run in float64, written out: batches of 200, loss / (batch * classes)."""
    features, targets = blobs(num_clips=310)
    data = as_float64(group(features, targets, seed=7, num_valid=50))
    trained = classifier.train(
        [data], [1e-3], schedule=ClassifierSchedule(max_epochs=1)
    )[0][0]

    random = np.random.default_rng(7)
    size, num_classes = features.shape[1], targets.shape[1]
    bound = 1 / np.sqrt(size)
    parameters = random.uniform(-bound, bound, (size + 1, num_classes))
    order = random.permutation(data.train)
    mean, square = 0.0, 0.0
    for step, rows in enumerate((order[:200], order[200:]), 1):
        x = (data.features[rows] - data.standardizer.mean) / data.standardizer.scale
        x = np.concatenate([x, np.ones((len(x), 1))], axis=1)
        logits = x @ parameters
        probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        gradient = x.T @ (probabilities - targets[rows]) / (len(rows) * num_classes)
        gradient += 1e-8 * parameters
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        denominator = np.sqrt(square / (1 - 0.999**step)) + 1e-8
        parameters = parameters - 1e-3 * mean / (1 - 0.9**step) / denominator
    np.testing.assert_allclose(trained.parameters, parameters, atol=1e-12)


def test_runs_together_equal_runs_alone():
    features, targets = blobs(spread=6.0)
    groups = [as_float64(group(features, targets, seed)) for seed in (1, 2, 3)]
    rates = [3e-4, 1e-2, 3e-1]
    together = classifier.train(groups, rates)
    lengths = set()
    for data, runs in zip(groups, together, strict=True):
        for rate, run in zip(rates, runs, strict=True):
            alone = classifier.train([data], [rate], num_threads=1)[0][0]
            assert run.num_epochs == alone.num_epochs
            assert run.best_epoch == alone.best_epoch
            np.testing.assert_allclose(run.parameters, alone.parameters, atol=1e-9)
            lengths.add(run.num_epochs)
    assert len(lengths) > 1  # some stopped early, the others went on without them


def test_separable_classes_are_learnt_perfectly():
    features, targets = blobs(spread=0.1)
    for run in classifier.train([group(features, targets)], [1e-2])[0]:
        logits = run.logits(group(features, targets).standardizer(features))
        assert (logits.argmax(axis=1) == targets.argmax(axis=1)).all()


def scripted(scores):
    """An objective whose validation scores follow a script."""
    remaining = iter(scores)
    return classifier.Objective(
        "scripted",
        classifier.softmax,
        lambda logits, targets: np.full(logits.shape[1], next(remaining)),
    )


@pytest.mark.parametrize(
    "scores, best_epoch, num_epochs",
    [
        ([0.5] * 200, 200, 200),  # ties are improvements
        ([0.1, 0.9] + [0.8] * 198, 2, 22),
        ([0.9] + [0.8] * 20 + [0.9] * 179, 1, 21),
        ([0.9] + [0.8] * 19 + [0.9] + [0.8] * 179, 21, 41),
    ],
)
def test_stops_at_the_twentieth_worse_epoch(scores, best_epoch, num_epochs):
    features, targets = blobs(num_clips=80)
    data = group(features, targets, num_valid=20)
    run = classifier.train([data], [1e-3], scripted(scores))[0][0]
    assert (run.best_epoch, run.num_epochs) == (best_epoch, num_epochs)
    assert run.valid_score == max(scores)


def test_restores_the_weights_of_the_best_epoch():
    features, targets = blobs(num_clips=80)
    data = group(features, targets, num_valid=20)
    best = classifier.train([data], [1e-2], scripted([0.1, 0.9] + [0.2] * 198))[0][0]
    two_epochs = classifier.train(
        [data], [1e-2], schedule=ClassifierSchedule(max_epochs=2)
    )
    np.testing.assert_array_equal(best.parameters, two_epochs[0][0].parameters)


def test_initial_parameters_follow_pytorch():
    parameters = classifier.initial_parameters(np.random.default_rng(0), 100, 50)
    assert parameters.shape == (101, 50)
    assert parameters.dtype == np.float32
    assert 0.099 < np.abs(parameters[:-1]).max() <= 0.1
    assert 0.08 < np.abs(parameters[-1]).max() <= 0.1
    assert abs(parameters.std() - 0.1 / np.sqrt(3)) < 1e-3


class TestStandardizer:
    def test_equals_population_statistics_of_the_rows(self):
        random = np.random.default_rng(0)
        features = random.normal(5, 3, (10_000, 4)).astype(np.float32)
        rows = np.arange(0, 10_000, 2)
        standardized = Standardizer.fit(features, rows)(features[rows])
        np.testing.assert_allclose(standardized.mean(axis=0), 0, atol=1e-5)
        np.testing.assert_allclose(standardized.std(axis=0), 1, atol=1e-5)
        assert standardized.dtype == np.float32

    def test_leaves_constant_dimensions_unscaled(self):
        features = np.zeros((50, 3), np.float32)
        features[:, 1] = 0.1
        features[:, 2] = np.arange(50)
        standardizer = Standardizer.fit(features, np.arange(50))
        np.testing.assert_array_equal(standardizer.scale[:2], [1, 1])
        features[0, 0] = 2.0
        assert standardizer(features)[0, 0] == 2.0


class TestEvaluate:
    def folds(self, num_clips, num_folds=4):
        parts = np.arange(num_clips) // 4 % num_folds
        return [
            tasks.Fold(
                str(part),
                np.flatnonzero(parts != part),
                None,
                np.flatnonzero(parts == part),
            )
            for part in range(num_folds)
        ]

    def test_separable_classes_score_one(self):
        features, targets = blobs(spread=0.1)
        evaluation = protocol.evaluate(features, targets, self.folds(300))
        assert evaluation.mean == 1 and evaluation.std == 0 and evaluation.ci95 == 0
        assert len(evaluation.runs) == 12
        assert len(evaluation.search) == 12 * len(protocol.SEARCHED_RATES)
        np.testing.assert_array_equal(
            evaluation.confusion_matrix, np.diag([3 * 75] * 4)
        )

    def test_score_is_the_mean_of_folds_then_of_seeds(self):
        features, targets = blobs(num_clips=270, spread=6.0)
        evaluation = protocol.evaluate(features, targets, self.folds(270))
        by_seed = [
            np.mean([run.score for run in evaluation.runs if run.seed == seed])
            for seed in (42, 43, 44)
        ]
        np.testing.assert_allclose(evaluation.scores, by_seed)
        assert evaluation.mean == pytest.approx(np.mean(by_seed))
        assert evaluation.std == pytest.approx(np.std(by_seed, ddof=1))
        # t(0.975, 2) = 4.303
        assert evaluation.ci95 == pytest.approx(
            4.30265 * evaluation.std / np.sqrt(3), rel=1e-5
        )
        assert evaluation.confusion_matrix.sum() == 3 * 270

    def test_is_repeatable_and_one_seed_has_no_interval(self):
        features, targets = blobs(spread=6.0)
        first, again = (
            protocol.evaluate(features, targets, self.folds(300), seeds=[43])
            for _ in range(2)
        )
        assert first.runs == again.runs
        assert first.std is None and first.ci95 is None

    def test_learning_rate_never_sees_test(self):
        features, targets = blobs(spread=6.0)
        folds = self.folds(300)[:1]
        honest = protocol.evaluate(features, targets, folds)
        lying = targets.copy()
        lying[folds[0].test] = np.roll(lying[folds[0].test], 1, axis=1)
        fooled = protocol.evaluate(features, lying, folds)
        assert fooled.learning_rates == honest.learning_rates
        assert fooled.search == honest.search
        assert fooled.mean < honest.mean

    def test_takes_the_best_rate_on_validation(self):
        features, targets = blobs(spread=0.5, num_clips=400)
        rates = (1e-9, 1e-2)
        evaluation = protocol.evaluate(
            features, targets, self.folds(400), learning_rates=rates
        )
        assert evaluation.learning_rates == (1e-2,) * 4
        assert {run.learning_rate for run in evaluation.runs} == {1e-2}

    def test_takes_the_middle_one_of_equal_rates(self):
        features, targets = blobs(spread=0.1)
        evaluation = protocol.evaluate(
            features, targets, self.folds(300)[:1], learning_rates=(1e-9, 1e-3, 1e-2)
        )
        scores = [point["valid_mean"] for point in evaluation.learning_rate_curve()]
        assert scores[0] < 1 and scores[1:] == [1, 1]
        assert evaluation.learning_rates == (1e-2,)

    def test_standardises_on_train_and_validation_but_not_on_test(self):
        features, targets = blobs(spread=0.1)
        fold = self.folds(300)[0]
        moved = features.copy()
        moved[fold.test] += 1e6  # would dwarf the classes if it were counted
        evaluation = protocol.evaluate(moved, targets, [fold])
        assert {run.valid_score for run in evaluation.runs} == {1.0}


class TestAgainstScikitLearn:
    """The same embeddings, the same rows, another solver."""

    def gaussians(self, seed, num_clips=3000, size=32, num_classes=6):
        random = np.random.default_rng(seed)
        labels = np.arange(num_clips) % num_classes
        centres = random.standard_normal((num_classes, size))
        noise = 3 * random.standard_normal((num_clips, size))
        rows = np.arange(num_clips)
        fold = tasks.Fold("split", rows[:1500], rows[1500:2000], rows[2000:])
        return (centres[labels] + noise).astype(np.float32), labels, fold

    @pytest.mark.parametrize("seed", [0, 1])
    def test_accuracy_is_within_the_interval(self, seed):
        features, labels, fold = self.gaussians(seed)
        targets = labels[:, None] == np.arange(6)
        evaluation = protocol.evaluate(features, targets, [fold])

        model = pipeline.make_pipeline(
            preprocessing.StandardScaler(), LogisticRegression(max_iter=1000)
        )
        model.fit(features[fold.train], labels[fold.train])
        expected = model.score(features[fold.test], labels[fold.test])
        assert 0.6 < expected < 0.8  # neither trivial nor hopeless
        assert abs(evaluation.mean - expected) < evaluation.ci95

    def test_several_labels_are_within_the_interval(self):
        features, labels, fold = self.gaussians(2)
        targets = labels[:, None] == np.arange(6)
        targets[:, 0] |= labels == 3  # 3 and 4 imply 0
        targets[:, 0] |= labels == 4
        evaluation = protocol.evaluate(
            features,
            targets,
            [fold],
            objective=classifier.MULTI_LABEL,
            subsets={"some": np.array([0, 5])},
        )

        scaler = preprocessing.StandardScaler().fit(features[fold.train])
        train, test = (
            scaler.transform(features[rows]) for rows in (fold.train, fold.test)
        )
        models = [
            LogisticRegression(max_iter=1000).fit(train, column)
            for column in targets[fold.train].T
        ]
        scores = np.stack([model.decision_function(test) for model in models], axis=1)
        truth = targets[fold.test]
        by_class = sklearn.metrics.average_precision_score(truth, scores, average=None)
        area = sklearn.metrics.roc_auc_score(truth, scores, average="macro")
        found = evaluation.metrics
        assert evaluation.metric == "mAP" and evaluation.mean == found["mAP"].mean
        assert evaluation.mean == pytest.approx(by_class.mean(), abs=0.01)
        assert found["AUC"].mean == pytest.approx(area, abs=0.01)
        some = by_class[[0, 5]].mean()
        assert found["mAP_some"].mean == pytest.approx(some, abs=0.01)
        assert evaluation.confusion_matrix is None
        np.testing.assert_allclose(evaluation.by_class["AP"], by_class, atol=0.03)
        assert found["mAP"].mean == pytest.approx(evaluation.by_class["AP"].mean())
        assert found["mAP_some"].mean == pytest.approx(
            evaluation.by_class["AP"][[0, 5]].mean()
        )


def test_sigmoid_gradient_is_that_of_the_binary_cross_entropy():
    random = np.random.default_rng(0)
    parameters = random.standard_normal((5, 1, 3))
    features = random.standard_normal((8, 4))
    targets = random.random((8, 3)) < 0.5

    def loss(parameters):
        logits = features @ parameters[:-1, 0] + parameters[-1, 0]
        return np.mean(np.log1p(np.exp(np.where(targets, -logits, logits))))

    expected = np.zeros_like(parameters)
    for index in np.ndindex(parameters.shape):
        step = np.zeros_like(parameters)
        step[index] = 1e-6
        expected[index] = (loss(parameters + step) - loss(parameters - step)) / 2e-6
    gradient = classifier._gradient(
        parameters, features, targets, classifier.MULTI_LABEL
    )
    np.testing.assert_allclose(gradient, expected, atol=1e-9)


def test_two_classes_work():
    features, targets = blobs(num_classes=2, spread=0.1)
    rows = np.arange(300)
    fold = tasks.Fold("split", rows[:200], None, rows[200:])
    evaluation = protocol.evaluate(features, targets, [fold])
    assert evaluation.mean == 1
    np.testing.assert_array_equal(evaluation.confusion_matrix, [[150, 0], [0, 150]])


def stored(folder, features):
    """The same features as rows of a file."""
    with contextlib.closing(store.EmbeddingWriter(str(folder))) as writer:
        writer.append(features[:100])
        writer.append(features[100:])
    return store.open_rows(str(folder))


def test_embeddings_larger_than_memory_give_the_same_result(tmp_path, monkeypatch):
    features, targets = blobs(spread=6.0)
    features = features.astype(np.float32)
    np.testing.assert_array_equal(stored(tmp_path, features), features)
    monkeypatch.setattr(store, "_HELD_BYTES", 0)
    on_disk = stored(tmp_path, features)
    assert isinstance(on_disk, store.StoredRows) and on_disk.shape == features.shape
    for rows in ([5, 3, 3, 4, 299], [], slice(7, 90), features[:, 0] > 0):
        np.testing.assert_array_equal(on_disk[rows], features[rows])
    cubes = on_disk.reshape(300, -1, 2)
    np.testing.assert_array_equal(cubes[[8, 2]], features.reshape(300, -1, 2)[[8, 2]])
    rows = np.arange(300)
    fold = tasks.Fold("split", rows[:200], None, rows[200:])
    assert (
        protocol.evaluate(on_disk, targets, [fold], seeds=[1]).runs
        == protocol.evaluate(features, targets, [fold], seeds=[1]).runs
    )


def test_embeddings_that_are_cut_short_meanwhile_are_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "_HELD_BYTES", 0)
    features, _ = blobs()
    on_disk = stored(tmp_path, features)
    os.truncate(tmp_path / store.EMBEDDINGS, 500)
    with pytest.raises(OSError, match="ends before"):
        on_disk[:]
    with pytest.raises(ValueError, match="too short"):
        store.open_rows(str(tmp_path))


def test_learning_rate_curve_is_validation_alone():
    features, targets = blobs(spread=6.0)
    rows = np.arange(300)
    fold = tasks.Fold("split", rows[:150], rows[150:200], rows[200:])
    evaluation = protocol.evaluate(
        features, targets, [fold], learning_rates=[1e-3, 1e-2]
    )
    curve = evaluation.learning_rate_curve()
    assert [point["learning_rate"] for point in curve] == [1e-3, 1e-2]
    for point in curve:
        scores = [
            trial["valid_score"]
            for trial in evaluation.search
            if trial["learning_rate"] == point["learning_rate"]
        ]
        assert len(scores) == 3
        assert point["valid_mean"] == pytest.approx(np.mean(scores))
    best = max(curve, key=lambda point: point["valid_mean"])
    assert evaluation.learning_rates == (best["learning_rate"],)


def test_schedule_is_the_published_one():
    assert adam.ClassifierSchedule() == ClassifierSchedule(
        200, 200, 20, 0.9, 0.999, 1e-8, 1e-8
    )
