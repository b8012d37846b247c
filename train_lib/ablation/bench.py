"""Trains and probes the rows of an ablation table, one after the other.

A training run lies in a folder named after its configuration, its probes beside it:
rows that are alike, of the same table or of others, share them.
"""

import copy
import dataclasses
import hashlib
import json
import logging
import os
from collections.abc import Iterator, Sequence

import keras

from byola_tf import checkpoint, files
from byola_tf.config import Config
from byola_tf.errors import UserError
from byola_tf.networks.encoder import Encoder
from train_lib.ablation.budget import Budget, timed
from train_lib.ablation.tables import TABLES, Row, Table
from train_lib.cli import config_flag, progress
from train_lib.probe import linear
from train_lib.probe.models import floors
from train_lib.probe.tasks import tasks
from train_lib.training import trainer

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Bench:
    """What is trained on what, and measured by what.

    Attributes:
        table: key of `tables.TABLES`.
        base: `Config` that the rows change; its data section names the sounds.
        task_files: CSVs of the tasks, each beside its audio.
        unit_seconds: length of a clip, one a task; None where the task knows.
        budget: `Budget` of a row.
        runs: folder of runs, probes and cache.
        learning_rate: of the classifiers, as `linear_probe` takes it.
        repeat_seeds: the first row is trained again with each of these, which
            shows how much a table would differ from itself.
    """

    table: str
    base: Config
    task_files: Sequence[str]
    unit_seconds: Sequence[float | None]
    budget: Budget
    runs: str
    learning_rate: str | None = None
    repeat_seeds: Sequence[int] = ()

    def rows(self, names: Sequence[str] = ()) -> Sequence[Row]:
        """The table's rows whose name contains one of `names`; the base always.

        Raises:
            UserError: a name that no row contains, or a repeat that is none.
        """
        table = self.definition
        for name in names:
            if not any(name in row.name for row in table.rows):
                raise UserError(
                    "`--rows` must be parts of the names of rows. Received: "
                    f"{name!r}; there are {', '.join(row.name for row in table.rows)}."
                )
        if self.base.seed in self.repeat_seeds:
            raise UserError(
                "`--repeat_seeds` must be other seeds than the first row's own. "
                f"Received: {self.base.seed}, which is --config.seed."
            )
        first, *others = table.rows
        repeats = [
            Row(
                f"first row, seed {seed}",
                {**first.fields, "seed": seed},
                is_repeat=True,
            )
            for seed in self.repeat_seeds
        ]
        if names:
            others = [row for row in others if any(name in row.name for name in names)]
        return [first, *repeats, *others]

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
        config = copy.deepcopy(self.base)
        config_flag.assign(config, row.fields)
        config.data.cache_dir = config.data.cache_dir or os.path.join(
            self.runs, "cache"
        )
        # a row that collapses is a result, not a failure
        config.train.stop_on_collapse = False
        config.train.keep_checkpoints = 1
        self.budget.apply(config, self.base.train.batch_size)
        _fit_warmup(config, row)
        try:
            return config.validate()
        except ValueError as error:
            raise UserError(f"Row {row.name!r}: {error}") from error

    def folder(self, row: Row) -> str:
        """Where a row's run and probes lie, the same for rows that are alike."""
        fields = config_flag.flatten(self.config(row))
        del fields["data.cache_dir"]
        if not row.is_trained:
            fields["is_trained"] = False
        return os.path.join(self.runs, _key(fields))


def run(bench: Bench, rows: Sequence[Row]) -> Iterator[dict]:
    """Trains and probes what has not been; run again, it goes on.

    Yields:
        one dictionary a row as it is finished, see `measure`.

    Raises:
        UserError: a task or a row does not fit.
    """
    for path in bench.task_files:
        tasks.read_task(path, os.path.dirname(path) or ".")  # now, not in an hour
    folders = [bench.folder(row) for row in rows]
    for number, (row, folder) in enumerate(zip(rows, folders, strict=True), 1):
        logger.info("Row %d of %d: %s, in %s.", number, len(rows), row.name, folder)
        yield measure(bench, row)


def measure(bench: Bench, row: Row) -> dict:
    """Trains a row, probes it on every task; what is there is not done again.

    Returns:
        `name`, `published`, `fields`, `is_repeat`, `steps`, `epochs`, `loss`,
        `parameters`, `checkpoint`, `embedding_size` and `tasks`, a probe's result
        by the name of its task.
    """
    folder = bench.folder(row)
    training = _trained(row, bench.config(row), folder)
    model = None
    if row.is_trained:
        # the end of the run, as long as the others', not its best checkpoint
        model = checkpoint.step_folder(_run_folder(folder), training["steps"])
    results = {}
    for path, unit_seconds in zip(bench.task_files, bench.unit_seconds, strict=True):
        result = _probed(bench, row, model, path, unit_seconds)
        results[result["task"]] = result
    return {
        "name": row.name,
        "published": row.published,
        "fields": dict(row.fields),
        "is_repeat": row.is_repeat,
        **training,
        "checkpoint": model,
        "embedding_size": next(iter(results.values()))["embedding_size"],
        "tasks": results,
    }


def _trained(row: Row, config: Config, folder: str) -> dict:
    path = os.path.join(folder, "training.json")
    if os.path.exists(path):
        with open(path) as file:
            return json.load(file)
    keras.backend.clear_session()
    training = {"steps": 0, "epochs": 0.0, "loss": None}
    if row.is_trained:
        config = timed(config, folder)
        _fit_warmup(config, row)
        summary = trainer.pretrain(config, _run_folder(folder))
        training = {name: getattr(summary, name) for name in training}
    encoder = Encoder(config.encoder)
    training["parameters"] = sum(
        int(variable.value.shape.num_elements())
        for variable in encoder.trainable_variables
    )
    os.makedirs(folder, exist_ok=True)
    files.write_text(path, json.dumps(training, indent=1) + "\n")
    return training


def _probed(bench: Bench, row: Row, model, task_file: str, unit_seconds) -> dict:
    """A task's result, from the row's folder or by probing now."""
    audio = os.path.dirname(task_file) or "."
    with open(task_file, "rb") as file:
        facts = [hashlib.sha256(file.read()).hexdigest()]
    facts += [unit_seconds, bench.learning_rate, row.layers]
    name = tasks.read_task(task_file, audio).name
    path = os.path.join(bench.folder(row), f"{name}-{_key(facts)}.json")
    if os.path.exists(path):
        with open(path) as file:
            return json.load(file)
    if not row.is_trained:
        model = floors.random_encoder(bench.base.seed, bench.config(row))
    probe = linear.linear_probe(
        model,
        task_file,
        audio,
        unit_seconds,
        learning_rate=bench.learning_rate,
        model_name=row.name,
        layers=row.layers,
        progress=progress.bar,
    )
    files.write_text(path, json.dumps(probe.result, indent=1) + "\n")
    return probe.result


def _fit_warmup(config: Config, row: Row) -> None:
    if row.warmup_share and config.train.steps:
        config.train.warmup_steps = round(row.warmup_share * config.train.steps)


def _run_folder(folder: str) -> str:
    return os.path.join(folder, "run")


def _key(facts) -> str:
    text = json.dumps(facts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
