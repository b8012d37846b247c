"""Tries parts of the environment, each in a process of its own.

`python -m hub_export.environment.trials MODULE:FUNCTION` is that process.
"""

import concurrent.futures
import dataclasses
import importlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterable

from byola_tf.progress import Progress, no_progress

_SECONDS = 300
_ABSENT = 3  # exit status


@dataclasses.dataclass(frozen=True)
class Trial:
    """A part that is tried.

    Attributes:
        name: of the part.
        function: tries it, at the top of a module; returns what to say, raises
            where the part fails, or `Absent`.
        needed: whether the project cannot work without it.
        modules: it is absent where one of these is not installed; one that is
            installed and does not import is a failure.
    """

    name: str
    function: Callable[[], str]
    needed: bool = False
    modules: tuple[str, ...] = ()


class Absent(Exception):
    """The part is not there; the message says what is missing."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a trial.

    Attributes:
        name: of the part.
        status: "works", "absent" or "fails".
        detail: what it returned, or the last line of its error.
        needed: see `Trial`.
    """

    name: str
    status: str
    detail: str
    needed: bool


def run_all(
    trials: Iterable[Trial],
    workers: int = 2,
    progress: Progress = no_progress,
) -> list[Outcome]:
    """Runs the trials; a crash of one, even of its process, is its outcome.

    Args:
        trials: what to try.
        workers: processes at a time.
        progress: wraps an iterable, e.g. in a progress bar.

    Returns:
        the outcomes, in order.
    """
    trials = list(trials)
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        return list(progress(pool.map(run, trials), len(trials), "trying"))


def run(trial: Trial) -> Outcome:
    """Runs one trial."""
    function = f"{trial.function.__module__}:{trial.function.__qualname__}"
    try:
        done = subprocess.run(
            [sys.executable, "-m", __spec__.name, function, *trial.modules],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            env={
                **os.environ,
                "TF_CPP_MIN_LOG_LEVEL": "3",
                "PYTHONWARNINGS": "ignore",
            },
        )
    except subprocess.TimeoutExpired:
        return Outcome(trial.name, "fails", f"nothing in {_SECONDS} s", trial.needed)
    status = {0: "works", _ABSENT: "absent"}.get(done.returncode, "fails")
    if status != "fails":
        detail = _last(done.stdout)
    elif done.returncode < 0:
        detail = f"killed by signal {-done.returncode}. {_last(done.stderr)}"
    else:
        detail = _last(done.stderr) or f"ended with status {done.returncode}"
    return Outcome(trial.name, status, detail, trial.needed)


def _last(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else ""


def _try(function: str, *modules: str) -> int:
    """Runs a function in this process, prints what it says; the exit status."""
    for name in modules:
        if importlib.util.find_spec(name) is None:
            print(f"{name} is not installed")
            return _ABSENT
    module, _, name = function.partition(":")
    try:
        print(getattr(importlib.import_module(module), name)())
    # by name: run by -m, this module is here twice
    except Exception as error:
        if type(error).__name__ != Absent.__name__:
            raise
        print(error)
        return _ABSENT
    return 0


if __name__ == "__main__":
    sys.exit(_try(*sys.argv[1:]))
