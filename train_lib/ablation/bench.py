"""Trains and probes the rows of an ablation table, one after the other."""

import dataclasses
import json
import logging
import os
import re
from collections.abc import Iterator, Sequence

import keras

from byola_tf import files
from byola_tf.config import Config
from byola_tf.encoder import Encoder
from byola_tf.errors import UserError
from train_lib import progress, trainer
from train_lib.ablation.tables import TABLES, Row, Table
from train_lib.probe import floors, linear, tasks

logger = logging.getLogger(__name__)


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
        """Sets the configuration's length; every row sees as many crops."""
        train = config.train
        train.steps = train.seconds = None
        if self.unit == "steps":
            train.steps = max(1, round(self.amount * base_batch / train.batch_size))
        elif self.unit == "epochs":
            train.epochs = int(self.amount)
        else:
            train.epochs, train.seconds = 10**6, 60 * self.amount


@dataclasses.dataclass(frozen=True)
class Bench:
    """What is trained on what, and measured by what.

    Attributes:
        table: key of `tables.TABLES`.
        base: `Config` that the rows change; its data section names the sounds.
        task_files: CSVs of the tasks, each beside its audio.
        unit_seconds: length of a clip, one a task; None where the task knows.
        budget: `Budget` of a row.
        workdir: where rows, cache and results go.
    """

    table: str
    base: Config
    task_files: Sequence[str]
    unit_seconds: Sequence[float | None]
    budget: Budget
    workdir: str

    def rows(self, names: Sequence[str] = ()) -> Sequence[Row]:
        """The table's rows whose name contains one of `names`; the base always.

        Raises:
            UserError: a name that no row contains.
        """
        table = self.definition
        for name in names:
            if not any(name in row.name for row in table.rows):
                raise UserError(
                    "`--rows` must be parts of the names of rows. Received: "
                    f"{name!r}; there are {', '.join(row.name for row in table.rows)}."
                )
        return [
            row
            for index, row in enumerate(table.rows)
            if not names or index == 0 or any(name in row.name for name in names)
        ]

    @property
    def definition(self) -> Table:
        """The `Table`."""
        if self.table not in TABLES:
            raise UserError(
                f"`--table` must be one of {', '.join(TABLES)}. "
                f"Received: {self.table!r}."
            )
        return TABLES[self.table]

    def config(self, row: Row) -> Config:
        """The configuration of a row.

        Raises:
            UserError: the base does not go with the row.
        """
        config = Config.from_json(self.base.to_json())
        for name, value in row.fields.items():
            section, field = name.split(".")
            setattr(getattr(config, section), field, value)
        config.data.cache_dir = config.data.cache_dir or os.path.join(
            self.workdir, "cache"
        )
        # a row that collapses is a result, not a failure
        config.train.stop_on_collapse = False
        self.budget.apply(config, self.base.train.batch_size)
        try:
            return config.validate()
        except ValueError as error:
            raise UserError(f"Row {row.name!r}: {error}") from error

    def folder(self, row: Row) -> str:
        """Where a row's run and results lie."""
        name = re.sub(r"[^a-z0-9.]+", "_", row.name.lower()).strip("_")
        return os.path.join(self.workdir, self.table, name)


def run(bench: Bench, rows: Sequence[Row]) -> Iterator[dict]:
    """Trains and probes what has not been; run again, it goes on.

    Yields:
        one dictionary a row as it is finished, see `measure`.

    Raises:
        UserError: a task or the work directory does not fit.
    """
    for path in bench.task_files:
        tasks.read_task(path, os.path.dirname(path) or ".")  # now, not in an hour
    configs = [bench.config(row) for row in rows]
    for number, (row, config) in enumerate(zip(rows, configs, strict=True), 1):
        logger.info("Row %d of %d: %s.", number, len(rows), row.name)
        yield measure(bench, row, config)


def measure(bench: Bench, row: Row, config: Config) -> dict:
    """Trains a row, probes it on every task; what is there is not done again.

    Returns:
        `name`, `published`, `steps`, `loss`, `parameters`, `embedding_size` and
        `tasks`, a probe's result by the name of its task.
    """
    folder = bench.folder(row)
    training = _trained(row, config, folder)
    results = {}
    for path, unit_seconds in zip(bench.task_files, bench.unit_seconds, strict=True):
        result = _probed(row, config, training, folder, path, unit_seconds)
        results[result["task"]] = result
    return {
        "name": row.name,
        "published": row.published,
        "fields": dict(row.fields),
        **training,
        "tasks": results,
    }


def _trained(row: Row, config: Config, folder: str) -> dict:
    path = os.path.join(folder, "training.json")
    wanted = config.to_json()
    if os.path.exists(path):
        with open(path) as file:
            training = json.load(file)
        if training.pop("config") != json.loads(wanted):
            raise UserError(
                f"`--workdir` holds row {row.name!r} of another configuration or "
                f"budget, in {folder!r}. Received: other settings now. Use another "
                "--workdir, or delete that folder."
            )
        return training
    keras.backend.clear_session()
    training = {"steps": 0, "epochs": 0.0, "loss": None, "checkpoint": None}
    if row.is_trained:
        summary = trainer.pretrain(config, os.path.join(folder, "run"))
        training = {name: getattr(summary, name) for name in training}
        # probes read the end of each run, as long as the others'
        training["checkpoint"] = summary.checkpoint
    encoder = Encoder(config.encoder)
    training["parameters"] = sum(
        int(variable.value.shape.num_elements())
        for variable in encoder.trainable_variables
    )
    training["embedding_size"] = config.encoder.embedding_size
    os.makedirs(folder, exist_ok=True)
    text = json.dumps({"config": json.loads(wanted), **training}, indent=1)
    files.write_text(path, text + "\n")
    return training


def _probed(row, config, training, folder, task_file, unit_seconds) -> dict:
    """A task's result, from the row's folder or by probing now."""
    audio = os.path.dirname(task_file) or "."
    name = tasks.read_task(task_file, audio).name
    path = os.path.join(folder, f"{name}.json")
    if os.path.exists(path):
        with open(path) as file:
            return json.load(file)
    model = training["checkpoint"]
    if not row.is_trained:
        model = floors.random_encoder(config.seed, config)
    probe = linear.linear_probe(
        model,
        task_file,
        audio,
        unit_seconds,
        model_name=row.name,
        progress=progress.bar,
    )
    files.write_text(path, json.dumps(probe.result, indent=1) + "\n")
    return probe.result
