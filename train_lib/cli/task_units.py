"""The flag `--unit_seconds` of commands that take several tasks."""

from collections.abc import Sequence

from byola_tf.errors import UserError

HELP = (
    "Length of a task's clips, seconds: one for all tasks, or one a task. Default: "
    "what a published or prepared task says."
)


def parse(texts: Sequence[str], num_tasks: int) -> list[float | None]:
    """One length a task; None where the task has to know.

    Args:
        texts: numbers as text: none, one for all, or one a task.
        num_tasks: number of tasks.

    Raises:
        UserError: another number of them, or no positive numbers.
    """
    try:
        values = [float(text) for text in texts]
    except ValueError:
        values = [0.0]
    if len(values) not in (0, 1, num_tasks) or not all(value > 0 for value in values):
        raise UserError(
            "`--unit_seconds` must be a positive number, or one a task "
            f"({num_tasks}). Received: {','.join(texts)!r}."
        )
    return (values or [None]) * (num_tasks if len(values) < 2 else 1)
