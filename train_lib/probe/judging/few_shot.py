"""Few labels a class: nearest class mean on frozen embeddings.

SimpleShot (Wang et al., 2019): embeddings are centred and scaled to length 1,
a class is the mean of its few examples, and the nearest mean wins. Nothing is
tuned, so no validation set is needed, which a few labels could not spare.
"""

from collections.abc import Sequence

import numpy as np

from byola_tf.errors import UserError
from byola_tf.progress import Progress, no_progress
from train_lib.probe.judging import classifier, metrics
from train_lib.probe.judging.evaluation import Evaluation, Run, concluded
from train_lib.probe.judging.neighbours import unit_length
from train_lib.probe.tasks import tasks

SHOTS = (1, 5, 10)
DRAWS = 10


def evaluate(
    features: np.ndarray,
    targets: np.ndarray,
    folds: Sequence[tasks.Fold],
    shots: Sequence[int] = SHOTS,
    draws: int = DRAWS,
    classes: Sequence[str] | None = None,
    progress: Progress = no_progress,
) -> Evaluation:
    """Draws a few training rows a class, many times, and classifies all test rows.

    Standardisation is fitted on the whole training part, whose labels it does
    not need. A draw's rows for few shots are among those for more.

    Args:
        features: float32 [rows, d].
        targets: bool [rows, classes], one class a row.
        folds: rows to draw from and to test.
        shots: examples a class.
        draws: repetitions; each takes another sample in every fold.
        classes: names, for messages.
        progress: see `byola_tf.progress`.

    Returns:
        The evaluation with the most shots; `details["few_shot"]` has `mean`,
        `std`, `ci95` and `scores` (one a draw) for every number of shots.

    Raises:
        UserError: a class has too few training rows.
    """
    shots, labels = sorted(shots), targets.argmax(axis=1)
    logits = {count: [] for count in shots}
    runs = {count: [] for count in shots}
    cases = list(enumerate(folds))
    for number, fold in progress(cases, len(cases), "few shots"):
        _check(fold, targets, shots[-1], classes)
        standardizer = classifier.Standardizer.fit(features, fold.train)
        test = unit_length(standardizer(features[fold.test]))
        for draw in range(draws):
            order = np.random.default_rng([draw, number]).permutation(fold.train)
            members = [
                order[labels[order] == label][: shots[-1]]
                for label in range(targets.shape[1])
            ]  # [class] of int [shots]
            rows = np.concatenate(members)
            chosen = unit_length(standardizer(features[rows]))
            chosen = chosen.reshape(len(members), shots[-1], -1)
            for count in shots:
                means = unit_length(chosen[:, :count].mean(axis=1))
                cosines = test @ means.T
                logits[count].append(cosines)
                score = float(metrics.accuracy(cosines[:, None], targets[fold.test])[0])
                runs[count].append(Run(fold.name, draw, None, score))
    evaluations = {
        count: concluded(
            folds,
            targets,
            runs[count],
            logits[count],
            classifier.SINGLE_LABEL,
            details={"mode": "few_shot"},
        )
        for count in shots
    }
    most = evaluations[shots[-1]]
    most.details["few_shot"] = {
        str(count): {
            "mean": found.mean,
            "std": found.std,
            "ci95": found.ci95,
            "scores": list(found.scores),
        }
        for count, found in evaluations.items()
    }
    return most


def _check(fold: tasks.Fold, targets, count: int, classes) -> None:
    members = targets[fold.train].sum(axis=0)
    if targets.sum(axis=1).max() > 1:
        raise UserError(
            "`mode=few_shot` must have one class a clip. Received: a multi-label "
            "task. Use --mode=linear or --mode=knn."
        )
    if members.min() < count:
        rare = int(members.argmin())
        name = classes[rare] if classes else rare
        raise UserError(
            f"Every class must have {count} training files for {count} shots. "
            f"Received: {members[rare]} of {name!r} in fold {fold.name!r}. Use fewer: "
            "--shots=1,5."
        )
