"""How much a model's embeddings, and a classifier on them, mind a disturbance."""

import contextlib
import dataclasses
import os
import tempfile
from collections.abc import Iterator, Sequence

import numpy as np

from byola_tf.errors import UserError
from byola_tf.progress import Progress, no_progress
from train_lib.pages import text
from train_lib.probe import background_noise, embedding, linear, perturbations, store
from train_lib.probe.crops import AUDIO_SECONDS_PER_BATCH, read_crops
from train_lib.probe.judging import classifier, modes, protocol
from train_lib.probe.judging.evaluation import Evaluation, ScoreSummary
from train_lib.probe.judging.neighbours import unit_length
from train_lib.probe.models import opening
from train_lib.probe.models.audio_model import AudioModel
from train_lib.probe.tasks import tasks

MAX_CLIPS = 1000
SEED = 42
_ROWS_AT_A_TIME = 2048


@dataclasses.dataclass(frozen=True)
class RobustnessOptions:
    """How a model is measured.

    Attributes:
        noise: folder of recordings to use as background; white and pink noise
            are generated when None.
        learning_rate: of the classifiers; see `linear.ProbeOptions`.
        seeds: of the classifiers.
        pooling: see `opening.open_model`.
        model_seed: of the weights of `random`.
        max_clips: test clips used, a random choice where there are more.
        cache: see `linear.ProbeOptions`.
        num_workers: likewise.
    """

    noise: str | None = None
    learning_rate: float | str | None = None
    seeds: Sequence[int] = protocol.SEEDS
    pooling: str | None = None
    model_seed: int = 42
    max_clips: int = MAX_CLIPS
    cache: str | None = None
    num_workers: int | None = None


@dataclasses.dataclass(frozen=True)
class TestedCopies:
    """Embeddings of a task's crops, and of perturbed copies of tested clips.

    Attributes:
        features: float32 [crops and copies, d], on disk.
        task_rows: int [crops and copies], the task's row of each.
        crops: int [clips], the row of `features` of each tested clip, sorted.
        copies: int [conditions, clips], those of its copies.
        cosines: float32 [conditions, clips], of a copy to its clean clip.
    """

    features: np.ndarray
    task_rows: np.ndarray
    crops: np.ndarray
    copies: np.ndarray
    cosines: np.ndarray

    def with_copies(self, fold: tasks.Fold) -> tasks.Fold:
        """A fold that tests the clean clips, then the copies by condition."""
        clips = np.searchsorted(self.crops, fold.test)
        test = np.concatenate([fold.test, *self.copies[:, clips]])
        return dataclasses.replace(fold, test=test)


def measure(
    model,
    metadata: str,
    audio_folder: str,
    unit_seconds: float | None = None,
    *,
    progress: Progress = no_progress,
    **options,
) -> dict:
    """Perturbs test clips and measures what becomes of them.

    The classifiers are trained on clean embeddings only. Each test clip is
    perturbed as the evaluation cuts it, embedded with the same statistics, and
    compared with its clean embedding.

    Args:
        model: text for `opening.open_model`, or an embedder.
        metadata: CSV of the task.
        audio_folder: folder that its file names are relative to.
        unit_seconds: length of a crop; a published task's own when None.
        progress: see `byola_tf.progress`.
        **options: fields of `RobustnessOptions`.

    Returns:
        What the command writes as JSON; see `table`.

    Raises:
        UserError: the model, the table or the audio cannot be used.
    """
    chosen = RobustnessOptions(**options)
    task = tasks.read_task(metadata, audio_folder)
    unit_seconds = linear.checked_unit_seconds(task, unit_seconds)
    rates, _ = modes.learning_rates("linear", task, model, chosen.learning_rate)
    opened = _open(model, chosen)
    rate = opened.sample_rate
    conditions = perturbations.conditions(
        background_noise.by_name(chosen.noise, rate, chosen.num_workers, progress), rate
    )
    embedded = embedding.embed_task(
        task,
        opened,
        unit_seconds,
        progress=progress,
        cache=chosen.cache,
        num_workers=chosen.num_workers,
    )
    if embedded.statistics is not None:  # the copies need them too
        opened.with_statistics(embedded.statistics.mean, embedded.statistics.std)
    folds = linear.usable_folds(task, embedded.skipped)
    crops, folds = _some_tests(
        [embedded.fold(fold) for fold in folds], chosen.max_clips
    )
    other_clips = _cosine_of_others(embedded.features[crops])
    with _temporary_folder() as folder:
        tested = _embed_copies(
            folder, task, embedded, crops, opened, conditions, unit_seconds, progress
        )
        evaluation, scores = _evaluate(
            task, tested, folds, chosen.seeds, rates, progress
        )
        found = _rows(conditions, tested.cosines, scores[1:])
        del tested  # it reads a file of the folder, which goes now
    return {
        "task": task.name,
        "model": opened.name,
        "metric": evaluation.metric,
        "unit_seconds": unit_seconds,
        "num_clips": len(crops),
        "partial": task.partial,
        "noise": chosen.noise,
        "clean": scores[0],
        "other_clips_cosine": other_clips,
        "rows": found,
        "learning_rate": list(evaluation.learning_rates),
        "seeds": list(chosen.seeds),
    }


def table(result: dict) -> str:
    """A result as a Markdown table."""
    clean = result["clean"]["mean"]
    head = ("perturbation", "", "cosine to clean", f"{result['metric']}, %", "change")
    rows = [("none", "", "1.000", text.score(result["clean"]), "")]
    rows += [
        (
            row["kind"],
            row["setting"],
            f"{row['cosine']:.3f}",
            text.score(row),
            text.percent(row["mean"] - clean, sign="+"),
        )
        for row in result["rows"]
    ]
    return (
        f"# {text.markdown(result['model'])} on {text.markdown(result['task'])}\n\n"
        f"{result['num_clips']} test clips of {result['unit_seconds']:g} s; the "
        "classifiers are trained on clean clips. Two different clean clips have a "
        f"cosine of {result['other_clips_cosine']:.3f} on average.\n\n"
        f"{text.markdown_table(head, rows)}\n"
    )


def _open(model, options: RobustnessOptions) -> AudioModel:
    if isinstance(model, str | os.PathLike):
        return opening.open_model(model, options.pooling, seed=options.model_seed)
    return opening.as_model(model)


@contextlib.contextmanager
def _temporary_folder() -> Iterator[str]:
    try:
        with tempfile.TemporaryDirectory(
            prefix="byola-robustness-", ignore_cleanup_errors=True
        ) as folder:
            yield folder
    except OSError as error:
        raise UserError(
            "Embeddings of perturbed clips must fit on disk. Received: "
            f"{error}. Free some space, or choose another folder with TMPDIR."
        ) from error


def _some_tests(folds, max_clips: int) -> tuple[np.ndarray, list[tasks.Fold]]:
    """At most so many tested rows, sorted, and the folds with these alone."""
    rows = np.unique(np.concatenate([fold.test for fold in folds]))
    rows = np.sort(np.random.default_rng(SEED).permutation(rows)[:max_clips])
    kept = [
        dataclasses.replace(fold, test=fold.test[np.isin(fold.test, rows)])
        for fold in folds
    ]
    return rows, [fold for fold in kept if len(fold.test)]


def _embed_copies(
    folder, task, embedded, crops, model, conditions, unit_seconds, progress
) -> TestedCopies:
    """Writes clean embeddings, then those of every clip's copies, into one file.

    Clips come in blocks, and a block's copies condition by condition: so each file
    is decoded once and no waveform goes to disk.
    """
    num_clean, num_conditions = len(embedded.features), len(conditions)
    copies = np.empty((num_conditions, len(crops)), np.int64)
    cosines = np.empty((num_conditions, len(crops)), np.float32)
    size = int(np.clip(AUDIO_SECONDS_PER_BATCH / unit_seconds, 1, 256))
    steps = _perturbed_blocks(
        task, embedded.rows[crops], model, conditions, unit_seconds, size
    )
    num_steps = num_conditions * -(-len(crops) // size)
    order = []  # the clip of each copy, as they are written
    with contextlib.closing(store.EmbeddingWriter(folder)) as writer:
        for start in range(0, num_clean, _ROWS_AT_A_TIME):
            rows = np.arange(start, min(start + _ROWS_AT_A_TIME, num_clean))
            writer.append(embedded.features[rows])
        for number, block, waveform in progress(steps, num_steps, "perturbing"):
            moved = np.asarray(model.embed(waveform), np.float32)
            clean = embedded.features[crops[block]]
            likeness = unit_length(clean) * unit_length(moved)
            cosines[number, block] = likeness.sum(axis=1)
            copies[number, block] = num_clean + len(order) + np.arange(len(moved))
            order += embedded.rows[crops[block]].tolist()
            writer.append(moved)
    return TestedCopies(
        features=store.open_rows(folder),
        task_rows=np.concatenate([embedded.rows, order]).astype(int),
        crops=crops,
        copies=copies,
        cosines=cosines,
    )


def _perturbed_blocks(
    task, rows, model, conditions, unit_seconds: float, size: int
) -> Iterator[tuple[int, slice, np.ndarray]]:
    """Yields number of a condition, clips, and their copies [clips, samples]."""
    rate = model.sample_rate
    unit = int(rate * unit_seconds)
    for start in range(0, len(rows), size):
        block = slice(start, start + size)
        waveform = np.concatenate(
            [
                read_crops(task.path(row), rate, unit, lambda _: [0])
                for row in rows[block]
            ]
        )
        # by the task's row, so that a clip's noise is the same for every model and
        # whichever other clips are chosen
        seeds = [(SEED, int(row)) for row in rows[block]]
        for number, perturb in enumerate(conditions.values()):
            yield number, block, perturb(waveform, seeds)


def _evaluate(
    task, tested: TestedCopies, folds, seeds, rates, progress
) -> tuple[Evaluation, list[dict]]:
    """Trains on clean clips; scores of the clean ones, then of every condition."""
    targets = task.targets(tested.task_rows)
    objective = classifier.MULTI_LABEL if task.multi_label else classifier.SINGLE_LABEL
    evaluation = protocol.evaluate(
        tested.features,
        targets,
        [tested.with_copies(fold) for fold in folds],
        seeds,
        rates,
        objective,
        progress=progress,
    )
    return evaluation, _scores(evaluation, targets, folds, objective, tested)


def _scores(
    evaluation: Evaluation, targets, folds, objective, tested: TestedCopies
) -> list[dict]:
    """Of clean clips, then of every condition: mean over folds, then over seeds."""
    num_parts, num_seeds = 1 + len(tested.copies), len(evaluation.runs) // len(folds)
    by_run = []  # [runs] of [conditions + 1]
    for number, logits in enumerate(evaluation.logits):
        # the runs are all seeds of the first fold, then of the next; a run's logits
        # are the clean clips', then the copies' of every condition
        truth = targets[folds[number // num_seeds].test]
        parts = np.split(logits, num_parts)
        by_run.append([objective.score(part[:, None], truth)[0] for part in parts])
    by_seed = np.reshape(by_run, (len(folds), num_seeds, num_parts)).mean(axis=0)
    return [dataclasses.asdict(ScoreSummary.of(scores)) for scores in by_seed.T]


def _rows(conditions, cosines: np.ndarray, scores: list[dict]) -> list[dict]:
    """The rows of the table: what a condition does to cosine and score."""
    return [
        {
            "kind": kind,
            "setting": setting,
            "cosine": float(np.mean(values)),
            "cosine_std": float(np.std(values)),
            **score,
        }
        for (kind, setting), values, score in zip(
            conditions, cosines, scores, strict=True
        )
    ]


def _cosine_of_others(clean: np.ndarray) -> float:
    """Mean cosine of two different clips."""
    # the sum over all pairs is the square of the sum of unit vectors: no [n, n]
    total = unit_length(clean).sum(axis=0, dtype=np.float64)
    count = len(clean)
    return float((total @ total - count) / max(count * (count - 1), 1))
