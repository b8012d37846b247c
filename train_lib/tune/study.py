"""An Optuna study over pre-training: on disk, resumable, with pruning.

A trial trains in parts and is probed after each: its value is the accuracy on the
tasks' validation clips, never on the test clips. Trials that fall behind the median
of the others after the same part are given up.
"""

import copy
import dataclasses
import hashlib
import json
import logging
import os
from collections.abc import Mapping, Sequence

import keras
import numpy as np

from byola_tf import files
from byola_tf.config import Config
from byola_tf.errors import UserError
from train_lib.cli import config_flag, progress
from train_lib.probe import linear
from train_lib.training import trainer
from train_lib.tune import space as spaces

_NAME = "byola"
_SEED = 0
_STARTUP_TRIALS = 4  # before trials are given up

_BEST = '''"""Trial {number} of a search: {score:.1f} % on validation clips."""

from byola_tf.config import Config

_JSON = (
{lines}
)


def get_config() -> Config:
    """The configuration of the best trial, with the base's length."""
    return Config.from_json(_JSON, trusted=True)
'''

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Search:
    """What is tried, on what, for how long.

    Attributes:
        base: `Config` whose fields the trials change; names the sounds.
        space: see `space`.
        task_files: CSVs of the tasks, each beside its audio.
        unit_seconds: length of a clip, one a task.
        steps: training steps of a trial.
        parts: parts in which a trial trains, with a probe after each.
        workdir: where the study, trials, cache and results go.
        learning_rate: of the probes, as `linear_probe` takes it.
    """

    base: Config
    space: Mapping[str, Mapping]
    task_files: Sequence[str]
    unit_seconds: Sequence[float | None]
    steps: int
    parts: int
    workdir: str
    learning_rate: str | None = None


def open_study(search: Search):
    """Opens the work directory's study, or starts one.

    Raises:
        UserError: Optuna is missing, or the study there is another search's.
    """
    try:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend
    except ImportError as error:
        raise UserError(
            "The search needs the package optuna, which is not installed. Install "
            "it: pip install 'byola-tf[search]'."
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    os.makedirs(search.workdir, exist_ok=True)
    study = optuna.create_study(
        study_name=_NAME,
        storage=JournalStorage(
            JournalFileBackend(os.path.join(search.workdir, "study.log"))
        ),
        direction="maximize",
        pruner=optuna.pruners.MedianPruner(n_startup_trials=_STARTUP_TRIALS),
        load_if_exists=True,
    )
    facts = {
        "space": dict(search.space),
        "base": json.loads(search.base.to_json()),
        "tasks": list(search.task_files),
        "unit_seconds": list(search.unit_seconds),
        "steps": search.steps,
        "parts": search.parts,
        "lr": search.learning_rate,
    }
    known = study.user_attrs.get("search")
    if known is not None and known != facts:
        changed = ", ".join(name for name in facts if known.get(name) != facts[name])
        raise UserError(
            f"`--workdir` {search.workdir!r} holds another search's study: it differs "
            f"in {changed}. Use another --workdir, or the settings it started with."
        )
    study.set_user_attr("search", facts)
    for trial in study.trials:
        if trial.state == optuna.trial.TrialState.RUNNING:  # it was cut short
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
    return study


def run(search: Search, num_trials: int):
    """Runs trials until the study has so many; run again, it goes on.

    A trial's draws depend on how many finished before it and on what they found,
    not on the process that runs it. One that was cut short is drawn again with the
    same values, and goes on where it stopped.

    Returns:
        the Optuna study.
    """
    import optuna

    study = open_study(search)
    while (finished := _num_finished(study)) < num_trials:
        study.sampler = optuna.samplers.TPESampler(seed=_SEED + finished)
        study.optimize(lambda trial: _value(trial, search), n_trials=1)
        write_best(study, search)
    return study


def _num_finished(study) -> int:
    return len([t for t in study.trials if t.state.name in ("COMPLETE", "PRUNED")])


def write_best(study, search: Search) -> None:
    """Writes the best configuration so far as WORKDIR/best.py, for `--config`."""
    if not [trial for trial in study.trials if trial.state.name == "COMPLETE"]:
        return
    config = copy.deepcopy(search.base)
    config_flag.assign(config, values_of(study.best_trial))
    text = _BEST.format(
        score=100 * study.best_value,
        number=study.best_trial.number,
        lines="\n".join(f"    {line!r}" for line in config.to_json().splitlines()),
    )
    files.write_text(os.path.join(search.workdir, "best.py"), text)


def values_of(trial) -> dict:
    """The field values of a trial that has run."""
    return json.loads(trial.user_attrs["values"])


def _value(trial, search: Search) -> float:
    import optuna

    values = spaces.suggest(trial, search.space)
    trial.set_user_attr("values", json.dumps(values))
    config = copy.deepcopy(search.base)
    config_flag.assign(config, values)
    config.train.steps = search.steps
    config.train.stop_on_collapse = False
    config.train.keep_checkpoints = 1
    config.data.cache_dir = config.data.cache_dir or os.path.join(
        search.workdir, "cache"
    )
    try:
        config.validate()
    except ValueError as error:
        logger.info("Trial %d is impossible: %s", trial.number, error)
        raise optuna.TrialPruned from error
    # a trial of the same values goes on, whatever its number
    name = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]
    folder = os.path.join(search.workdir, "trials", name)
    for part in range(1, search.parts + 1):
        keras.backend.clear_session()
        until_step = round(search.steps * part / search.parts)
        summary = trainer.pretrain(config, folder, until_step)
        score = _score(summary.checkpoint, search)
        logger.info(
            "Trial %d, %d steps: %.1f %%.", trial.number, summary.steps, 100 * score
        )
        trial.report(score, part)
        if part < search.parts and trial.should_prune():
            raise optuna.TrialPruned
    return score


def _score(model: str, search: Search) -> float:
    """Mean accuracy over the tasks, on their validation clips."""
    scores = []
    for path, unit_seconds in zip(search.task_files, search.unit_seconds, strict=True):
        result = linear.linear_probe(
            model,
            path,
            os.path.dirname(path) or ".",
            unit_seconds,
            learning_rate=search.learning_rate,
            progress=progress.bar,
        ).result
        scores.append(np.mean([run["valid_score"] for run in result["runs"]]))
    return float(np.mean(scores))
