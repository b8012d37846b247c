"""Numbers in words, the same in the summary and on the page."""

from train_lib.doctor.schedule import Schedule


def flags(plan: Schedule) -> str:
    """The suggested schedule as command-line flags."""
    return (
        f"--config.train.batch_size={plan.batch_size} "
        f"--config.train.epochs={plan.epochs}"
    )


def count(items, noun: str) -> str:
    """ "1 file" or "12 files"; `items` is a number or has a length."""
    number = items if isinstance(items, int) else len(items)
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


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
