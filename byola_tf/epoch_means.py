"""What `fit` and `evaluate` report of a whole epoch."""

import keras


class EpochMeans:
    """Means over the clips of an epoch of what a step returns.

    Keras resets and reads `metrics`. They are kept in an object of no Keras class:
    so they are no part of the model, its checkpoints and its files.

    Args:
        names: of the values of a step.
    """

    def __init__(self, names: tuple[str, ...]):
        self.metrics = [keras.metrics.Mean(name, dtype="float32") for name in names]

    def update(self, logs: dict, count) -> None:
        """Adds a step.

        Args:
            logs: float32 scalars by name; names may be missing.
            count: clips of this replica, scalar.
        """
        for metric in self.metrics:
            if metric.name in logs:
                metric.update_state(logs[metric.name], sample_weight=count)

    def results(self) -> dict:
        """The means of what was added since the last reset, float32 scalars."""
        return {
            metric.name: metric.result() for metric in self.metrics if metric.count > 0
        }
