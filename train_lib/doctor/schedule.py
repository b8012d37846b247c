"""How long to train on how much data, and such numbers in words.

Two published runs anchor it: FSD50K (40,966 clips) needs about 500 epochs,
AudioSet (1,963,807 clips) 100, both with batches of 256; between batches of 64
and 1,024 the score moves by less than one point (TASLP table XIII).
"""

import dataclasses
import math

_ANCHORS = ((40_966, 500), (1_963_807, 100))  # clips, epochs
_BATCH_SIZES = (256, 128, 64)
_STEPS_AN_EPOCH = 4  # wanted, so that an epoch is more than one or two draws
_EPOCHS = (20, 5000)
# crops per second -> where that rate was measured
RATES = {
    40: "two CPU cores (measured, full-size model)",
    400: "ten times that",
    4000: "a hundred times that",
}


@dataclasses.dataclass(frozen=True)
class TrainingPlan:
    """A suggested length of training.

    Attributes:
        batch_size: crops a step.
        epochs: passes over the files, one crop of each.
        steps: of the whole run.
        crops: of the whole run.
        times_heard: how often each second of sound is heard on average.
        is_extrapolated: whether the corpus is smaller or larger than those of
            the published runs.
    """

    batch_size: int
    epochs: int
    steps: int
    crops: int
    times_heard: float
    is_extrapolated: bool


def suggest(num_files: int, seconds: float, unit_seconds: float) -> TrainingPlan | None:
    """Suggests batch size and epochs; None for fewer than two files.

    Args:
        num_files: usable files.
        seconds: their total duration.
        unit_seconds: length of a crop.
    """
    if num_files < 2:
        return None
    batch_size = _batch_size(num_files)
    epochs = _epochs(num_files)
    steps = epochs * (num_files // batch_size)
    crops = steps * batch_size
    return TrainingPlan(
        batch_size,
        epochs,
        steps,
        crops,
        crops * unit_seconds / seconds,
        not _ANCHORS[0][0] <= num_files <= _ANCHORS[1][0],
    )


def _batch_size(num_files: int) -> int:
    for size in _BATCH_SIZES:
        if num_files >= _STEPS_AN_EPOCH * size:
            return size
    return min(_BATCH_SIZES[-1], 2 ** int(math.log2(num_files)))


def _epochs(num_files: int) -> int:
    """A straight line through the anchors in log-log, two digits."""
    (few, many_epochs), (many, few_epochs) = _ANCHORS
    slope = math.log(few_epochs / many_epochs) / math.log(many / few)
    epochs = many_epochs * (num_files / few) ** slope
    epochs = min(max(epochs, _EPOCHS[0]), _EPOCHS[1])
    digits = 1 - int(math.log10(epochs))
    return int(round(epochs, digits))


def flags(plan: TrainingPlan) -> str:
    """The suggestion as command-line flags."""
    return (
        f"--config.train.batch_size={plan.batch_size} "
        f"--config.train.epochs={plan.epochs}"
    )


def length(measurements) -> str:
    """Total duration in words."""
    return time_span(sum(m.seconds for m in measurements))


def time_span(seconds: float) -> str:
    """A duration in a unit that suits it."""
    if seconds < 90:
        return f"{seconds:.1f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.1f} min"
    if seconds < 72 * 3600:
        return f"{seconds / 3600:,.1f} h"
    return f"{seconds / 86400:,.1f} days"
