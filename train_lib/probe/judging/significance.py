"""How far a score can be trusted: resampled test clips, and paired tests.

The interval over seeds says how much a score depends on the classifier's
start. These say how much it depends on the clips that happened to be tested.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy import stats

from byola_tf import foreign
from byola_tf.corpus.file_names import comparable
from byola_tf.errors import UserError
from train_lib.pages import text

RESAMPLES = 10_000
SEED = 42
_MAX_RESULT_BYTES = 2**30  # predictions of AudioSet's clips are hundreds of MB
_RESULT_FIELDS = {
    "task": str,
    "model": str,
    "mean": float,
    "metric": str,
    "classes": list,
    "clips": (dict, None),
}
_CLIP_FIELDS = ("file_name", "fold", "label", "predictions")
_BLOCK_ENTRIES = 2**24  # counts drawn at a time: 128 MB


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The outcome of `compare`; differences are second minus first.

    Attributes:
        first, second: names of the models.
        task: its name.
        num_clips: tested by both.
        first_mean, second_mean: accuracy, mean over folds and seeds.
        difference: of the two.
        interval: 95 %, of the difference, by resampling clips.
        p_bootstrap: two-sided: how often resampling moves the difference, less
            its mean, as far from zero as it is.
        first_only, second_only: clips that the majority of seeds gets right
            with one model and wrong with the other.
        p_mcnemar: exact, two-sided, on these.
    """

    first: str
    second: str
    task: str
    num_clips: int
    first_mean: float
    second_mean: float
    difference: float
    interval: tuple[float, float]
    p_bootstrap: float
    first_only: int
    second_only: int
    p_mcnemar: float


def resampled_means(
    values: np.ndarray, folds: Sequence, resamples: int = RESAMPLES, seed: int = SEED
) -> np.ndarray:
    """Means over folds of the means over resampled clips.

    Args:
        values: float [clips], e.g. the share of seeds that got a clip right.
        folds: name of the fold that tests a clip; clips are drawn with
            replacement within their fold.
        resamples: repetitions.
        seed: of the draws.

    Returns:
        float64 [resamples].
    """
    random = np.random.default_rng(seed)
    folds = np.asarray(folds)
    names = np.unique(folds)
    total = np.zeros(resamples)
    for name in names:
        members = np.asarray(values, np.float64)[folds == name]
        # clips with the same value are exchangeable: draw counts of values
        levels, counts = np.unique(members, return_counts=True)
        block = max(1, _BLOCK_ENTRIES // len(levels))
        for start in range(0, resamples, block):
            size = min(block, resamples - start)
            drawn = random.multinomial(
                len(members), counts / len(members), size=size
            )  # [resamples, levels]
            total[start : start + size] += drawn @ levels / len(members)
    return total / len(names)


def bootstrap_interval(
    correct: np.ndarray, folds: Sequence, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """95 % percentile interval of an accuracy over resampled test clips.

    Args:
        correct: bool [seeds, clips].
        folds: see `resampled_means`.
        resamples: repetitions.
    """
    means = resampled_means(np.mean(correct, axis=0), folds, resamples)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def interval_of(clips: dict) -> tuple[float, float]:
    """`bootstrap_interval` of the `clips` of a result."""
    correct = np.array(clips["predictions"]) == np.array(clips["label"])
    return bootstrap_interval(correct, clips["fold"])


def compare(first: dict, second: dict, resamples: int = RESAMPLES) -> Comparison:
    """Tests whether two models differ on the same clips.

    Args:
        first: result of `train_lib.probe.linear.linear_probe`.
        second: likewise.
        resamples: repetitions of the bootstrap.

    Raises:
        UserError: the results are not of the same task and clips.
    """
    correct = [_correct(result) for result in (first, second)]
    _check_same(first, second)
    names = [_names(result) for result in (first, second)]
    order = {name: index for index, name in enumerate(names[1])}
    correct[1] = correct[1][:, [order[name] for name in names[0]]]
    folds = np.array(first["clips"]["fold"])
    shares = [matrix.mean(axis=0) for matrix in correct]
    gain = shares[1] - shares[0]
    difference = float(_fold_mean(gain, folds))
    resampled = resampled_means(gain, folds, resamples)
    low, high = np.percentile(resampled, [2.5, 97.5])
    extreme = np.abs(resampled - difference) >= abs(difference) - 1e-12
    majority = [share > 0.5 for share in shares]
    first_only = int((majority[0] & ~majority[1]).sum())
    second_only = int((majority[1] & ~majority[0]).sum())
    discordant = first_only + second_only
    return Comparison(
        first=str(first["model"]),
        second=str(second["model"]),
        task=first["task"],
        num_clips=len(names[0]),
        first_mean=float(_fold_mean(shares[0], folds)),
        second_mean=float(_fold_mean(shares[1], folds)),
        difference=difference,
        interval=(float(low), float(high)),
        p_bootstrap=float((1 + extreme.sum()) / (1 + len(resampled))),
        first_only=first_only,
        second_only=second_only,
        p_mcnemar=float(stats.binomtest(first_only, discordant).pvalue)
        if discordant
        else 1.0,
    )


def read_result(path: str) -> dict:
    """Reads the JSON of a probe and checks what `compare` needs of it.

    Raises:
        UserError: it is none.
    """
    what = "A result must be a JSON file of byola probe, and"
    result = foreign.read_json(path, what, _MAX_RESULT_BYTES)
    foreign.fields(result, _RESULT_FIELDS, path, what)
    clips = result.get("clips")
    if clips is None:
        return result
    foreign.fields(clips, dict.fromkeys(_CLIP_FIELDS, list), path, what)
    count = len(clips["file_name"])
    columns = [clips["file_name"], clips["fold"], clips["label"], *clips["predictions"]]
    kinds = [str, str, int, *[int] * len(clips["predictions"])]
    for column, kind in zip(columns, kinds, strict=True):
        is_whole = isinstance(column, list) and len(column) == count
        if not is_whole or not all(type(value) is kind for value in column):
            raise foreign.refused(
                path, what, "its `clips` must be lists of one text or number a clip"
            )
    if not count or not clips["predictions"]:
        raise foreign.refused(path, what, "its `clips` are empty")
    return result


def table(comparison: Comparison) -> str:
    """A comparison as a few lines of text."""
    found = comparison
    difference, low, high = (
        text.percent(value, sign="+") for value in (found.difference, *found.interval)
    )
    significant = found.p_bootstrap < 0.05 and found.p_mcnemar < 0.05
    lines = [
        ("task", f"{found.task}: {found.num_clips} clips"),
        ("A", f"{text.percent(found.first_mean)} %  {found.first}"),
        ("B", f"{text.percent(found.second_mean)} %  {found.second}"),
        (
            "B - A",
            f"{difference} points, 95 % over test clips [{low}, {high}]",
        ),
        ("bootstrap", f"p = {found.p_bootstrap:.4f}"),
        (
            "McNemar",
            f"p = {found.p_mcnemar:.4f} ({found.first_only} clips right with A "
            f"alone, {found.second_only} with B alone)",
        ),
        (
            "",
            "A difference that other test clips would confirm (both p < 0.05)."
            if significant
            else "No difference that these clips can prove.",
        ),
    ]
    return text.aligned(lines)


def _names(result: dict) -> list[str]:
    """Names of the clips, as they are compared: macOS spells accents otherwise."""
    return list(map(comparable, result["clips"]["file_name"]))


def _fold_mean(values: np.ndarray, folds: np.ndarray) -> float:
    return float(np.mean([values[folds == name].mean() for name in np.unique(folds)]))


def _correct(result: dict) -> np.ndarray:
    """Whether each clip was right with each seed, bool [seeds, clips]."""
    clips = result.get("clips")
    if not clips:
        raise UserError(
            "A result must hold its predictions to be compared. Received: that of "
            f"{result['model']!r} on {result['task']!r} without them (an older file, "
            "or a multi-label task). Run the probe again."
        )
    return np.array(clips["predictions"]) == np.array(clips["label"])


def _check_same(first: dict, second: dict) -> None:
    for name in ("task", "metric", "classes"):
        if first[name] != second[name]:
            raise UserError(
                f"Two results must have the same {name} to be compared. Received: "
                f"{_short(first[name])} and {_short(second[name])}. Probe both models "
                "with the same --metadata."
            )
    keys = [
        set(
            zip(
                _names(result),
                result["clips"]["label"],
                result["clips"]["fold"],
                strict=True,
            )
        )
        for result in (first, second)
    ]
    if keys[0] != keys[1]:
        odd = sorted(keys[0] ^ keys[1])
        raise UserError(
            "Two results must be of the same test clips, labels and folds. Received: "
            f"{len(odd)} that differ, the first {odd[0][0]!r}. Probe both models with "
            "the same --metadata and --audio."
        )


def _short(value) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
