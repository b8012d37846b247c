"""The linear classifier of the evaluation protocol, many runs at a time.

One linear layer on frozen, standardised embeddings, trained as the published
protocol says: PyTorch's initialiser and Adam, batches of 200, at most 200
epochs, early stopping on the validation metric. All learning rates of a group
see the same batches, so that one matrix product serves them all; groups (the
seeds and folds) run side by side in threads. NumPy, because the matrices are
small: on 2 cores and 3,072 dimensions an epoch takes 0.6 of TensorFlow's time
with 10 classes and 1.3 of it with 50.
"""

import concurrent.futures
import dataclasses
import os
from collections.abc import Callable, Sequence

import numpy as np
import threadpoolctl
from sklearn import preprocessing

from byola_tf.progress import Progress, no_progress
from train_lib.probe.judging import metrics
from train_lib.probe.judging.adam import Adam, ClassifierSchedule

ROWS_AT_A_TIME = 2048


@dataclasses.dataclass(frozen=True)
class Objective:
    """What a task asks of its classifier.

    The loss is the mean over clips and classes of the cross-entropy that
    belongs to the activation. Its gradient with respect to the logits is
    (activation - targets) / (clips * classes), for a softmax as for a sigmoid.

    Attributes:
        metric: name of the metric in results.
        activation: logits [clips, runs, classes] to probabilities.
        score: (logits [clips, runs, classes], targets bool [clips, classes])
            to [runs]; larger is better. It also stops training early.
    """

    metric: str
    activation: Callable[[np.ndarray], np.ndarray]
    score: Callable[[np.ndarray, np.ndarray], np.ndarray]


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities over the last axis."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Probabilities, each for itself."""
    return (1 + np.tanh(logits / 2)) / 2  # without overflow


SINGLE_LABEL = Objective("accuracy", softmax, metrics.accuracy)
MULTI_LABEL = Objective("mAP", sigmoid, metrics.mean_average_precision)


@dataclasses.dataclass(frozen=True)
class Standardizer:
    """Shifts and scales every dimension by the training set's mean and deviation.

    Attributes:
        mean: float32 [d].
        scale: float32 [d], the population standard deviation; 1 where a
            dimension is constant, as many units after a ReLU are.
    """

    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def fit(cls, features: np.ndarray, rows: np.ndarray) -> "Standardizer":
        """Measures the given rows of `features` [clips, d]."""
        scaler = preprocessing.StandardScaler()
        for start in range(0, len(rows), ROWS_AT_A_TIME):
            block = features[rows[start : start + ROWS_AT_A_TIME]]
            scaler.partial_fit(block.astype(np.float64))
        dtype = features.dtype
        return cls(scaler.mean_.astype(dtype), scaler.scale_.astype(dtype))

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Standardises [clips, d]."""
        standardized = features - self.mean
        standardized /= self.scale
        return standardized


@dataclasses.dataclass(frozen=True)
class Group:
    """Data of the runs that see the same batches: one seed of one fold.

    Groups share their arrays: rows are taken and standardised batch by batch,
    so that `features` can be a file larger than memory.

    Attributes:
        seed: of the initial weights and the batch order; an int or a sequence
            of ints, as `numpy.random.default_rng` takes it.
        features: float32 [clips, d], as embedded.
        targets: bool [clips, classes].
        train: int, rows to train on.
        valid: int, rows for the choice of the best epoch.
        standardizer: fitted on training rows.
    """

    seed: int | Sequence[int]
    features: np.ndarray
    targets: np.ndarray
    train: np.ndarray
    valid: np.ndarray
    standardizer: Standardizer


@dataclasses.dataclass
class Classifier:
    """One trained linear layer, with the weights of its best epoch.

    Attributes:
        learning_rate: it was trained with.
        parameters: float32 [d + 1, classes]; the last row is the bias.
        valid_score: validation metric at the best epoch.
        best_epoch: counted from 1; the last of equally good ones.
        num_epochs: epochs trained.
    """

    learning_rate: float
    parameters: np.ndarray | None = None
    valid_score: float = -np.inf
    best_epoch: int = 0
    num_epochs: int = 0

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Maps standardised [clips, d] to [clips, classes]."""
        return features @ self.parameters[:-1] + self.parameters[-1]


def train(
    groups: Sequence[Group],
    learning_rates: Sequence[float],
    objective: Objective = SINGLE_LABEL,
    schedule: ClassifierSchedule | None = None,
    num_threads: int | None = None,
    progress: Progress = no_progress,
) -> list[list[Classifier]]:
    """Trains a classifier for every group and learning rate.

    Each comes out as if it had been trained alone.

    Args:
        groups: data and seeds.
        learning_rates: constant rates, tried on every group.
        objective: loss and early-stopping metric.
        schedule: the protocol's when None.
        num_threads: groups trained at a time; the number of cores when None.
        progress: see `byola_tf.progress`.

    Returns:
        Classifiers by group, then by learning rate.
    """
    schedule = schedule or ClassifierSchedule()
    num_threads = max(1, min(num_threads or os.cpu_count() or 1, len(groups)))
    # BLAS threads within a product lose to whole groups side by side
    with (
        threadpoolctl.threadpool_limits(_blas_threads(num_threads), "blas"),
        concurrent.futures.ThreadPoolExecutor(num_threads) as pool,
    ):
        trained = pool.map(
            lambda group: _train_group(group, learning_rates, objective, schedule),
            groups,
        )
        return list(progress(trained, len(groups), "training classifiers"))


def _blas_threads(num_threads: int) -> int:
    return max(1, (os.cpu_count() or 1) // num_threads)


def _train_group(
    group: Group,
    learning_rates: Sequence[float],
    objective: Objective,
    schedule: ClassifierSchedule,
) -> list[Classifier]:
    random = np.random.default_rng(group.seed)
    dtype = group.features.dtype
    size, num_classes = group.features.shape[1], group.targets.shape[1]
    initial = initial_parameters(random, size, num_classes, dtype)
    parameters = np.repeat(initial[:, None], len(learning_rates), axis=1)
    adam = Adam(parameters, learning_rates, schedule)
    classifiers = [Classifier(rate) for rate in learning_rates]
    active = list(classifiers)
    valid_targets = group.targets[group.valid]
    batch_size = min(schedule.batch_size, len(group.train))
    for epoch in range(1, schedule.max_epochs + 1):
        order = random.permutation(group.train)
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            batch = group.standardizer(group.features[rows])
            adam.step(_gradient(adam.parameters, batch, group.targets[rows], objective))
        logits = predict(
            adam.parameters, group.features, group.valid, group.standardizer
        )
        scores = objective.score(logits, valid_targets)
        going_on = []
        for run, (classifier, score) in enumerate(zip(active, scores, strict=True)):
            classifier.num_epochs = epoch
            if score >= classifier.valid_score:
                classifier.valid_score, classifier.best_epoch = float(score), epoch
                classifier.parameters = adam.parameters[:, run].copy()
            if epoch - classifier.best_epoch < schedule.patience:
                going_on.append(run)
        if len(going_on) < len(active):
            active = [active[run] for run in going_on]
            adam.keep(going_on)
        if not active:
            break
    return classifiers


def initial_parameters(
    random: np.random.Generator, size: int, num_classes: int, dtype=np.float32
) -> np.ndarray:
    """PyTorch's initial linear layer: U(-1, 1) / sqrt(fan in), bias included.

    Returns:
        [size + 1, num_classes]; the last row is the bias.
    """
    bound = 1 / np.sqrt(size)
    return random.uniform(-bound, bound, (size + 1, num_classes)).astype(dtype)


def predict(
    parameters: np.ndarray,
    features: np.ndarray,
    rows: np.ndarray,
    standardizer: Standardizer,
) -> np.ndarray:
    """Logits of some clips, computed in blocks.

    Args:
        parameters: [d + 1, runs, classes]; the last row is the bias.
        features: [clips, d], as embedded.
        rows: int, of `features`.
        standardizer: of the training rows.

    Returns:
        [rows, runs, classes].
    """
    logits = np.empty((len(rows), *parameters.shape[1:]), parameters.dtype)
    for start in range(0, len(rows), ROWS_AT_A_TIME):
        block = slice(start, start + ROWS_AT_A_TIME)
        taken = features[rows[block]]
        logits[block] = _logits(parameters, standardizer(taken))
    return logits


def _logits(parameters: np.ndarray, features: np.ndarray) -> np.ndarray:
    """[d + 1, runs, classes] and [clips, d] to [clips, runs, classes]."""
    _, runs, classes = parameters.shape
    weights = parameters[:-1].reshape(-1, runs * classes)
    return (features @ weights).reshape(-1, runs, classes) + parameters[-1]


def _gradient(parameters, features, targets, objective: Objective) -> np.ndarray:
    """Of the loss, shaped as `parameters` [d + 1, runs, classes]."""
    residual = objective.activation(_logits(parameters, features))
    residual -= targets[:, None]
    residual /= targets.size
    gradient = np.empty_like(parameters)
    columns = residual.reshape(len(residual), -1)
    np.matmul(features.T, columns, out=gradient[:-1].reshape(-1, columns.shape[1]))
    gradient[-1] = residual.sum(axis=0)
    return gradient
