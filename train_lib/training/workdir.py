"""The work directory: who owns it, its log, its summary."""

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterator

from byola_tf import files, foreign, ownership
from byola_tf.config import Config
from byola_tf.errors import UserError
from train_lib.cli.config_flag import flatten

CONFIG_FILE = "config.json"
LOG_FILE = "train_log.jsonl"
SUMMARY_FILE = "summary.json"

# Fields that may change between two runs on the same work directory.
_CHANGEABLE = {
    "data.cache_dir",
    "data.cache_limit_gb",
    "data.num_decode_threads",
    "data.decoder",
    "data.service",
    "data.wait_seconds",
    "train.epochs",
    "train.steps",
    "train.seconds",
    "train.strategy",
    "train.wait_seconds",
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


@contextlib.contextmanager
def claimed(workdir: str, config: Config) -> Iterator[None]:
    """Makes the directory, keeps other processes out, and writes `config.json`.

    Raises:
        UserError: it belongs to another configuration (names the fields), or
            another process is writing it (names that).
    """
    if os.path.isfile(workdir):
        raise UserError(
            f"`--workdir` must be a folder. Received: {workdir!r}, which is a file."
        )
    os.makedirs(workdir, exist_ok=True)
    with ownership.owned_folder(workdir, "`--workdir`"):
        _require_configuration(workdir, config)
        yield


def _require_configuration(workdir: str, config: Config) -> None:
    """Writes the configuration, or checks that it is the one that is there."""
    path = os.path.join(workdir, CONFIG_FILE)
    if os.path.exists(path):
        content = foreign.read_bytes(path, "A configuration", foreign.MAX_JSON_BYTES)
        try:
            theirs = Config.from_json(content.decode())
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
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                try:
                    entry = json.loads(line)
                    entry["step"] + 0  # of another kind: torn, or somebody else's
                    entries.append(entry)
                except (ValueError, TypeError, KeyError, RecursionError):
                    break
    return entries


@dataclasses.dataclass
class Summary:
    """What a run did.

    Attributes:
        steps: steps done in total.
        epochs: passes over the corpus, with fraction.
        samples: crops seen in total.
        hours: audio seen in total.
        loss: last logged loss.
        seconds: duration of this run's training loop.
        samples_per_s: crops per second in this run.
        input_wait: share of the loop's time spent waiting for input.
        skipped_files: number of unusable files.
        left_out: a sentence about files of other endings, or "".
        probe: best accuracy of the online probe, if there was one.
        stopped_by: "steps", "seconds" or "probe".
        checkpoint: the newest checkpoint's folder.
        best_checkpoint: the best one's.
    """

    steps: int
    epochs: float
    samples: int
    hours: float
    loss: float
    seconds: float
    samples_per_s: float
    input_wait: float
    skipped_files: int
    left_out: str
    probe: float | None
    stopped_by: str
    checkpoint: str
    best_checkpoint: str

    def write(self, workdir: str) -> None:
        """Writes `summary.json`."""
        text = json.dumps(dataclasses.asdict(self), indent=2)
        files.write_text(os.path.join(workdir, SUMMARY_FILE), text + "\n")
