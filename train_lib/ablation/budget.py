"""How long the rows of an ablation train."""

import copy
import dataclasses
import itertools
import json
import os
import re
import statistics
import tempfile

import keras

from byola_tf import files
from byola_tf.config import Config
from byola_tf.errors import UserError
from train_lib.training import trainer, workdir

_TIMED_STEPS = 12
_FIRST_TIMED = 4  # the steps before it trace the graph and fill the input's buffers
_STEPS_FILE = "steps.json"


@dataclasses.dataclass(frozen=True)
class Budget:
    """How long each row trains.

    Attributes:
        unit: "steps" of the base's batch size, "epochs" or "minutes".
        amount: so many.
    """

    unit: str
    amount: float

    @classmethod
    def parse(cls, text: str) -> "Budget":
        """Reads "steps:N", "epochs:N" or "minutes:N".

        Raises:
            UserError: it is none of these.
        """
        match = re.fullmatch(r"(steps|epochs):(\d+)|(minutes):(\d+(?:\.\d+)?)", text)
        amount = float((match[2] or match[4]) if match else 0)
        if not amount:
            raise UserError(
                "`--budget` must be steps:N, epochs:N or minutes:N, with N above "
                f"zero. Received: {text!r}. E.g. --budget=steps:500."
            )
        return cls(match[1] or match[3], amount)

    def apply(self, config: Config, base_batch: int) -> None:
        """Sets the configuration's length.

        Rows see as many crops, whatever their batch size, but for minutes: these
        stand in `train.seconds` until `timed` has made steps of them.
        """
        train = config.train
        train.steps = train.seconds = None
        if self.unit == "steps":
            train.steps = max(1, round(self.amount * base_batch / train.batch_size))
        elif self.unit == "epochs":
            train.epochs = int(self.amount)
        else:
            train.seconds = 60 * self.amount


def timed(config: Config, folder: str) -> Config:
    """A configuration whose minutes have become steps, for equal compute.

    Trains some steps to see how long one takes. Schedules (a cosine, a ramp) span
    the whole of a run, so its steps have to be known before it starts; they are
    kept in `folder`, so that a run that is resumed has as many.

    Args:
        config: `Config` with `train.seconds`, or any other: it stays as it is.
        folder: of the row.
    """
    if config.train.seconds is None:
        return config
    path = os.path.join(folder, _STEPS_FILE)
    if os.path.exists(path):
        with open(path) as file:
            found = json.load(file)
    else:
        seconds = _seconds_per_step(config)
        found = {
            "seconds_per_step": seconds,
            "steps": max(1, round(config.train.seconds / seconds)),
        }
        os.makedirs(folder, exist_ok=True)
        files.write_text(path, json.dumps(found) + "\n")
    config = copy.deepcopy(config)
    config.train.seconds, config.train.steps = None, found["steps"]
    return config


def _seconds_per_step(config: Config) -> float:
    """The median of some steps with their input, seconds."""
    config = copy.deepcopy(config)
    config.train.seconds, config.train.log_every_steps = None, 1
    config.train.steps, config.train.probe_metadata = _TIMED_STEPS, ""
    with tempfile.TemporaryDirectory(prefix="byola-timing-") as folder:
        trainer.pretrain(config, folder)
        times = [entry["time"] for entry in workdir.read_log(folder)]
    keras.backend.clear_session()
    return statistics.median(
        later - earlier for earlier, later in itertools.pairwise(times[_FIRST_TIMED:])
    )
