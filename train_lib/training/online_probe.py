"""A linear probe of the encoder while it trains, and early stopping by it."""

import os

from byola_tf.config import Config
from byola_tf.embedder import Embedder
from byola_tf.normalize import Statistics
from train_lib.probe import linear
from train_lib.probe.tasks import tasks

_LEARNING_RATE = 1e-3
_SEEDS = (42,)


class OnlineProbe:
    """Probes on a labelled task and remembers the best accuracy.

    Args:
        config: `Config`; the `train.probe_…` fields are used.
        statistics: of the training corpus.
        best: the best accuracy so far, when resumed.
        stale: probes since then.

    Raises:
        UserError: the task cannot be read.
    """

    def __init__(self, config: Config, statistics: Statistics, best=None, stale=0):
        self._config, self._statistics = config, statistics
        self.best, self.stale = best, stale
        train = config.train
        self._audio = train.probe_audio or os.path.dirname(train.probe_metadata) or "."
        if self.enabled:
            tasks.read_task(train.probe_metadata, self._audio)  # now, not in an hour

    @property
    def enabled(self) -> bool:
        """Whether a task is configured."""
        return bool(self._config.train.probe_metadata)

    def run(self, encoder) -> float:
        """The test accuracy of an encoder's embeddings, in [0, 1].

        One seed, one learning rate: quick, for comparing epochs, not the
        published protocol.
        """
        train = self._config.train
        embedder = Embedder.from_encoder(encoder, self._config, self._statistics)
        probe = linear.linear_probe(
            embedder,
            train.probe_metadata,
            self._audio,
            train.probe_unit_seconds,
            learning_rate=_LEARNING_RATE,
            seeds=_SEEDS,
        )
        accuracy = probe.result["mean"]
        if self.best is None or accuracy > self.best:
            self.best, self.stale = accuracy, 0
        else:
            self.stale += 1
        return accuracy

    @property
    def exhausted(self) -> bool:
        """Whether early stopping is on and its patience used up."""
        patience = self._config.train.probe_patience
        return bool(patience) and self.stale >= patience
