"""How much a model's embeddings, and a classifier on them, mind a disturbance."""

import contextlib
import dataclasses
import functools
import logging
import os
import tempfile
from collections.abc import Callable, Sequence

import numpy as np

from byola_tf import audio
from byola_tf.corpus.corpus import no_progress
from byola_tf.errors import UserError
from train_lib.pages import text
from train_lib.probe import embedding, linear, perturbations, store
from train_lib.probe.crops import AUDIO_SECONDS_PER_BATCH, unit_crop
from train_lib.probe.judging import classifier, modes, protocol
from train_lib.probe.judging.evaluation import Summary
from train_lib.probe.judging.neighbours import unit_length
from train_lib.probe.models import opening
from train_lib.probe.tasks import tasks

MAX_CLIPS = 1000
logger = logging.getLogger(__name__)

SEED = 42
_ROWS_AT_A_TIME = 2048


def measure(
    model,
    metadata: str,
    audio_folder: str,
    unit_seconds: float | None = None,
    *,
    noise: str | None = None,
    learning_rate: float | str | None = None,
    seeds: Sequence[int] = protocol.SEEDS,
    pooling: str | None = None,
    model_seed: int = 42,
    max_clips: int = MAX_CLIPS,
    cache: str | None = None,
    num_workers: int | None = None,
    progress: Callable = no_progress,
) -> dict:
    """Perturbs test clips and measures what becomes of them.

    The classifiers are trained on clean embeddings only. Each test clip is
    perturbed as the evaluation cuts it, embedded with the same statistics, and
    compared with its clean embedding.

    Args:
        model: text for `models.open_model`, or an embedder.
        metadata: CSV of the task.
        audio_folder: folder that its file names are relative to.
        unit_seconds: length of a crop; a published task's own when None.
        noise: folder of recordings to use as background; white and pink noise
            are generated when None.
        learning_rate: of the classifiers; see `linear.linear_probe`.
        seeds: of the classifiers.
        pooling: see `models.open_model`.
        model_seed: of the weights of `random`.
        max_clips: test clips used, a random choice where there are more.
        cache: see `linear.linear_probe`.
        num_workers: likewise.
        progress: called with (iterable, total, description), returns the
            iterable, e.g. wrapped in a progress bar.

    Returns:
        What the command writes as JSON; see `table`.

    Raises:
        UserError: the model, the table or the audio cannot be used.
    """
    task = tasks.read_task(metadata, audio_folder)
    unit_seconds = linear.checked_unit_seconds(task, unit_seconds)
    rates, _ = modes.learning_rates("linear", task, model, learning_rate)
    if isinstance(model, str | os.PathLike):
        opened = opening.open_model(model, pooling, seed=model_seed)
    else:
        opened = opening.as_model(model)
    conditions = perturbations.conditions(
        _noises(noise, opened.sample_rate), opened.sample_rate
    )
    embedded = embedding.embed_task(
        task,
        opened,
        unit_seconds,
        progress=progress,
        cache=cache,
        num_workers=num_workers,
    )
    if embedded.statistics is not None:
        statistics = embedded.statistics
        opened.with_statistics(statistics.mean, statistics.std)
    folds = linear.usable_folds(task, embedded.skipped)
    rows, folds = _some_tests([embedded.fold(fold) for fold in folds], max_clips)
    with tempfile.TemporaryDirectory(prefix="byola-robustness-") as folder:
        found = _embed_perturbed(
            folder, task, embedded, rows, opened, conditions, unit_seconds, progress
        )
        features = store.open_rows(folder)
        num_clean, num_clips = len(embedded.features), len(rows)
        task_rows = [embedded.rows, np.tile(embedded.rows[rows], len(conditions))]
        targets = task.targets(np.concatenate(task_rows))
        objective = (
            classifier.MULTI_LABEL if task.multi_label else classifier.SINGLE_LABEL
        )
        evaluation = protocol.evaluate(
            features,
            targets,
            [_with_copies(fold, rows, num_clean, len(conditions)) for fold in folds],
            seeds,
            rates,
            objective,
            progress=progress,
        )
        del features  # before its folder
    scores = _scores(evaluation, targets, folds, len(conditions), objective)
    for row, score in zip(found, scores[1:], strict=True):
        row.update(score)
    return {
        "task": task.name,
        "model": opened.name,
        "metric": evaluation.metric,
        "unit_seconds": unit_seconds,
        "num_clips": num_clips,
        "partial": task.partial,
        "noise": noise,
        "clean": scores[0],
        "other_clips_cosine": _cosine_of_others(embedded.features[rows]),
        "rows": found,
        "learning_rate": list(evaluation.learning_rates),
        "seeds": list(seeds),
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


def _noises(folder: str | None, sample_rate: int) -> dict[str, Callable]:
    if folder is None:
        return {
            "white": perturbations.white_noise,
            "pink": perturbations.pink_noise,
        }
    try:
        paths = audio.find_files(folder)
    except UserError as error:
        raise UserError(
            f"`noise` must be a folder of recordings. Received: {folder!r}. "
            f"Leave it out for generated noise. ({error})"
        ) from error

    @functools.lru_cache(maxsize=64)
    def load(path: str) -> np.ndarray:
        return audio.load(path, sample_rate)

    paths = _usable(paths, load)

    def background(seeds, num_samples):
        clips = []
        for seed in seeds:
            random = np.random.default_rng(seed)
            waveform = load(paths[random.integers(len(paths))])
            start = random.integers(len(waveform))
            clips.append(np.resize(np.roll(waveform, -start), num_samples))
        return np.stack(clips)

    return {"background": background}


def _usable(paths: list[str], load) -> list[str]:
    """The files that decode, found out before hours of work; the others are told.

    Raises:
        UserError: none does.
    """
    usable, reasons = [], []
    for path in paths:
        try:
            load(path)
            usable.append(path)
        except UserError as error:
            reasons.append(str(error))
            logger.warning("Left out of the noise: %s", error)
    if not usable:
        raise UserError(
            f"`noise` must hold readable recordings. Received: {len(paths)} files, "
            f"none of them usable. The first: {reasons[0]}"
        )
    return usable


def _some_tests(folds, max_clips: int):
    """At most so many tested rows, sorted, and the folds with these alone."""
    rows = np.unique(np.concatenate([fold.test for fold in folds]))
    rows = np.sort(np.random.default_rng(SEED).permutation(rows)[:max_clips])
    kept = [
        tasks.Fold(
            fold.name, fold.train, fold.valid, fold.test[np.isin(fold.test, rows)]
        )
        for fold in folds
    ]
    return rows, [fold for fold in kept if len(fold.test)]


def _with_copies(fold, rows, num_clean: int, num_conditions: int) -> tasks.Fold:
    """A fold that also tests the perturbed copies of its test rows."""
    position = np.searchsorted(rows, fold.test)
    copies = [
        num_clean + number * len(rows) + position for number in range(num_conditions)
    ]
    test = np.concatenate([fold.test, *copies])
    return tasks.Fold(fold.name, fold.train, fold.valid, test)


def _embed_perturbed(
    folder, task, embedded, rows, model, conditions, unit_seconds, progress
) -> list[dict]:
    """Writes clean embeddings, then those of every condition, into one file.

    Returns:
        a dict a condition: kind, setting, mean and deviation of the cosine.
    """
    found = []
    unit = int(model.sample_rate * unit_seconds)
    with contextlib.closing(store.EmbeddingWriter(folder)) as writer:
        for start in range(0, len(embedded.features), _ROWS_AT_A_TIME):
            writer.append(embedded.features[start : start + _ROWS_AT_A_TIME])
        crops = np.lib.format.open_memmap(
            os.path.join(folder, "crops.npy"), "w+", np.float32, (len(rows), unit)
        )
        for index, row in enumerate(embedded.rows[rows]):
            waveform = audio.load(task.path(row), model.sample_rate)
            crops[index] = unit_crop(waveform, 0, unit)
        size = int(np.clip(AUDIO_SECONDS_PER_BATCH / unit_seconds, 1, 256))
        steps = [
            (condition, start)
            for condition in conditions
            for start in range(0, len(rows), size)
        ]
        cosines = {condition: [] for condition in conditions}
        for condition, start in progress(steps, len(steps), "perturbing"):
            block = slice(start, start + size)
            seeds = [(SEED, int(row)) for row in embedded.rows[rows[block]]]
            moved = model.embed(conditions[condition](crops[block], seeds))
            moved = np.asarray(moved, np.float32)
            clean = unit_length(embedded.features[rows[block]])
            cosines[condition] += list((clean * unit_length(moved)).sum(axis=1))
            writer.append(moved)
    for (kind, setting), values in cosines.items():
        found.append(
            {
                "kind": kind,
                "setting": setting,
                "cosine": float(np.mean(values)),
                "cosine_std": float(np.std(values)),
            }
        )
    return found


def _scores(evaluation, targets, folds, num_conditions: int, objective) -> list[dict]:
    """Of clean clips, then of every condition: mean over folds, then over seeds."""
    num_seeds = len(evaluation.runs) // len(folds)
    by_run = []  # [runs] of [conditions + 1]
    for number, logits in enumerate(evaluation.logits):
        truth = targets[folds[number // num_seeds].test]
        parts = np.split(logits, num_conditions + 1)
        by_run.append([objective.score(part[:, None], truth)[0] for part in parts])
    by_seed = np.reshape(by_run, (len(folds), num_seeds, -1)).mean(axis=0)
    return [dataclasses.asdict(Summary.of(scores)) for scores in by_seed.T]


def _cosine_of_others(clean: np.ndarray) -> float:
    """Mean cosine of two different clips."""
    total = unit_length(clean).sum(axis=0, dtype=np.float64)
    count = len(clean)
    return float((total @ total - count) / max(count * (count - 1), 1))
