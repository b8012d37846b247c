"""The work directory: who owns it, and its log."""

import json
import os

from byola_tf import files
from byola_tf.config import Config
from byola_tf.errors import UserError
from train_lib.config_flag import flatten

CONFIG_FILE = "config.json"
LOG_FILE = "train_log.jsonl"

# Fields that may change between two runs on the same work directory.
_CHANGEABLE = {
    "data.cache_dir",
    "data.cache_limit_gb",
    "data.num_decode_threads",
    "data.service",
    "train.epochs",
    "train.steps",
    "train.seconds",
    "train.strategy",
    "train.probe_metadata",
    "train.probe_audio",
    "train.probe_unit_seconds",
    "train.probe_every_epochs",
    "train.probe_patience",
    "train.projector_every_epochs",
    "train.stop_on_collapse",
    "train.log_every_steps",
    "train.checkpoint_every_steps",
    "train.keep_checkpoints",
}


def claim(workdir: str, config: Config) -> None:
    """Makes the directory and writes `config.json`, or checks that it fits.

    Raises:
        UserError: it belongs to another configuration; names the fields.
    """
    path = os.path.join(workdir, CONFIG_FILE)
    if os.path.isfile(workdir):
        raise UserError(
            f"`--workdir` must be a folder. Received: {workdir!r}, which is a file."
        )
    os.makedirs(workdir, exist_ok=True)
    if os.path.exists(path):
        with open(path) as file:
            try:
                theirs = Config.from_json(file.read())
            except ValueError as error:
                raise UserError(
                    f"{path!r} must be the configuration of a run, but does not "
                    f"parse ({error}). Use another --workdir, or delete this one."
                ) from error
        changed = [
            f"config.{name} (there {old!r}, now {new!r})"
            for name, (old, new) in _differences(theirs, config).items()
            if name not in _CHANGEABLE
        ]
        if changed:
            raise UserError(
                f"`--workdir` {workdir!r} belongs to another configuration: it "
                f"differs in {', '.join(changed)}. Use another --workdir, or the "
                "configuration it was started with to resume it."
            )
    files.write_text(path, config.to_json())


def _differences(old: Config, new: Config) -> dict:
    flat_old, flat_new = flatten(old), flatten(new)
    return {
        name: (flat_old[name], flat_new[name])
        for name in flat_new
        if flat_old[name] != flat_new[name]
    }


class TrainLog:
    """`train_log.jsonl`: one line a logged step, cut back when resumed.

    Args:
        workdir: work directory.
        step: the run continues after this step; later and torn lines go.
    """

    def __init__(self, workdir: str, step: int):
        path = os.path.join(workdir, LOG_FILE)
        kept = [entry for entry in read_log(workdir) if entry["step"] <= step]
        files.write_text(path, "".join(json.dumps(entry) + "\n" for entry in kept))
        self._file = open(path, "a")

    def write(self, **entry) -> None:
        """Appends one line."""
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def read_log(workdir: str) -> list[dict]:
    """The entries of a run's log; a torn last line is left out."""
    path = os.path.join(workdir, LOG_FILE)
    entries = []
    if os.path.exists(path):
        with open(path) as file:
            for line in file:
                try:
                    entries.append(json.loads(line))
                except ValueError:
                    break
    return entries
