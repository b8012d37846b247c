"""Checkpoints of a run: everything that the next step depends on.

A step's folder holds the encoder's checkpoint (see `byola_tf.checkpoint`), every
variable of model and optimiser, what the loop remembers (`run_state.json`) and
checksums. The input needs no state of its own: batches, views and dropout masks
are functions of (seed, step), and the bank is filled again by replaying the
batches before the step.
"""

import contextlib
import hashlib
import json
import logging
import os
import shutil

import tensorflow as tf

from byola_tf import checkpoint, files, foreign
from byola_tf.errors import UserError

logger = logging.getLogger(__name__)

STATE_PREFIX = "training_state"
RUN_STATE_FILE = "run_state.json"
CHECKSUM_FILE = "checksums.json"
BEST_FILE = "best.json"
_NUMBER = (float, None)
_RUN_STATE = {"loss": _NUMBER, "probe_best": _NUMBER, "probe_stale": (int, None)}


class Checkpoints:
    """Saves and restores a run; keeps the newest ones and the best one.

    Args:
        work_directory: work directory.
        model: compiled `BYOL`.
        keep: number of newest checkpoints kept.
    """

    def __init__(self, work_directory: str, model, keep: int):
        self._work_directory, self._keep = work_directory, keep
        variables = [*model.variables, *model.optimizer.variables]
        self._state = tf.train.Checkpoint(**_named(variables))

    def save(
        self,
        step: int,
        encoder_checkpoint: checkpoint.Checkpoint,
        run_state: dict,
        score: float | None = None,
    ) -> str:
        """Writes the checkpoint of a step, then drops the oldest ones.

        Args:
            step: number of steps done.
            encoder_checkpoint: what `byola_tf.load` will open.
            run_state: JSON-ready memory of the loop.
            score: of a probe, higher is better; decides which checkpoint is the
                best. None where it was not probed.

        Returns:
            the checkpoint's folder.
        """
        folder = checkpoint.step_folder(self._work_directory, step)
        with files.replacing_folder(folder) as temporary:
            checkpoint.save(temporary, encoder_checkpoint)
            with files.plain_path(temporary) as plain:
                self._state.write(os.path.join(plain, STATE_PREFIX))
            with open(os.path.join(temporary, RUN_STATE_FILE), "w") as file:
                json.dump(run_state, file)
            _write_checksums(temporary)
        best = self.best()
        if score is not None and (best is None or score >= best["score"]):
            best = {"step": step, "score": score}
            files.write_text(self._best_path(), json.dumps(best) + "\n")
        self._drop_old(best["step"] if best else step)
        return folder

    def best(self) -> dict | None:
        """`step` and `score` of the best checkpoint, if one was probed."""
        if not os.path.exists(self._best_path()):
            return None
        with contextlib.suppress(UserError):
            found = foreign.fields(
                foreign.read_json(self._best_path(), "A note of the best"),
                {"step": int, "score": float},
                *(self._best_path(), "A note of the best"),
            )
            # until version 0.1 the smallest loss, negative, counted as best
            if 0 <= found["score"] <= 1:
                return found
        return None

    def restore(self) -> tuple[int, dict]:
        """Loads the newest whole checkpoint.

        Returns:
            its step (0 when there is none yet) and the run's state.

        Raises:
            UserError: there are checkpoints, but none of them is whole, or the
                newest is another version's.
        """
        self._remove_leftovers()
        folders = checkpoint.step_folders(self._work_directory)
        for folder in reversed(folders):
            fault = _find_fault(folder)
            if fault:
                logger.warning(
                    "The checkpoint %s is damaged (%s); trying the one before.",
                    folder,
                    fault,
                )
                continue
            try:
                with files.plain_path(folder) as plain:
                    status = self._state.read(os.path.join(plain, STATE_PREFIX))
                    status.assert_consumed()
            except AssertionError as error:
                raise UserError(
                    "A checkpoint must hold what this version trains to be resumed. "
                    f"Received: {folder!r}, of another version. Start again in a new "
                    "--workdir; byola export still exports this one."
                ) from error
            path = os.path.join(folder, RUN_STATE_FILE)
            run_state = foreign.fields(
                foreign.read_json(path, "The state of a run"),
                _RUN_STATE,
                path,
                "The state of a run",
            )
            for newer in folders[folders.index(folder) + 1 :]:
                # the other workers of a job do the same
                shutil.rmtree(newer, ignore_errors=True)
            return checkpoint.step_of(folder), run_state
        if folders:
            raise UserError(
                "A work directory must hold a whole checkpoint to resume. Received: "
                f"{self._work_directory!r} with {len(folders)} damaged ones. Start "
                "again in a new --workdir."
            )
        return 0, {}

    def _best_path(self) -> str:
        parent = os.path.join(self._work_directory, checkpoint.STEPS_FOLDER)
        return os.path.join(parent, BEST_FILE)

    def _drop_old(self, best_step: int) -> None:
        for folder in checkpoint.step_folders(self._work_directory)[: -self._keep]:
            if checkpoint.step_of(folder) != best_step:
                shutil.rmtree(folder)

    def _remove_leftovers(self) -> None:
        """Deletes what a killed process left half-written.

        All workers of a job do it at once, before any of them saves.
        """
        parent = os.path.join(self._work_directory, checkpoint.STEPS_FOLDER)
        for name in os.listdir(parent) if os.path.isdir(parent) else []:
            path = os.path.join(parent, name)
            if name.endswith((".tmp", ".old")):
                if os.path.isdir(path):
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    with contextlib.suppress(FileNotFoundError):
                        os.remove(path)


def _named(variables) -> dict:
    """The variables by path; those of equal path get a number, none is lost."""
    named = {}
    for variable in variables:
        path = name = variable.path.replace("/", ".")
        number = 1
        while name in named:
            number += 1
            name = f"{path}.{number}"
        named[name] = variable.value
    return named


def _write_checksums(folder: str) -> None:
    sums = {name: _checksum(os.path.join(folder, name)) for name in os.listdir(folder)}
    with open(os.path.join(folder, CHECKSUM_FILE), "w") as file:
        json.dump(sums, file, indent=2)


def _find_fault(folder: str) -> str:
    """What is wrong with a checkpoint's files; "" when nothing is."""
    try:
        path = os.path.join(folder, CHECKSUM_FILE)
        sums = foreign.read_json(path, "A list of checksums")
        for name, expected in foreign.fields(sums, {}, path, "A list").items():
            if _checksum(os.path.join(folder, name)) != expected:
                return f"{name} does not have its checksum"
    except (OSError, ValueError) as error:
        return str(error)
    return ""


def _checksum(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()
