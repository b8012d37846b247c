"""The commands of the project: their names, their modules, how to call them.

The table is read by the launcher (`./byola`) too, before there is a Python: keep
its form, "  NAME  MODULE  what it does", below the titles of the groups.
"""

import dataclasses
import os
import re
import shlex
import shutil
import sys
from collections.abc import Mapping

_TABLE = """\
See it work
  demo            train_lib.demo              sounds to report in minutes
Prepare sounds
  corpus          train_lib.corpus            what is wrong with a folder of sounds
  prepare         train_lib.prepare           a folder of sounds to training shards
Train an encoder
  pretrain        train_lib.pretrain          pre-train on a folder of sounds (BYOL-A)
  tune            train_lib.tune              search for better training values
  ablation        train_lib.ablation          the papers' ablation tables
  data-service    train_lib.data_service      serve shards to many training hosts
Use a model
  export          hub_export.export           a checkpoint to a SavedModel, published
  embed           hub_export.embed            a folder of sounds to a table of vectors
  tflite          hub_export.tflite           a model to files for phones, proved
  inspect         hub_export.inspect          what a model says about itself
  import-pytorch  hub_export.import_pytorch   a PyTorch checkpoint to a model
Evaluate a model
  tasks           train_lib.tasks             data sets to evaluation tasks
  probe           train_lib.linear_probe      accuracy of a linear classifier on a task
  robustness      train_lib.robustness        how much noise, gain and pitch matter
  compare         train_lib.compare           whether two results differ
  report          train_lib.report            one page of many results
Check this machine
  doctor          hub_export.doctor           whether the installation works
  benchmark       train_lib.benchmark         speed of training and embedding
  check-replicas  train_lib.check_replicas    whether several devices train alike
"""
# Set by the launcher: what the user typed to start it.
LAUNCHER = "BYOLA_LAUNCHER"


@dataclasses.dataclass(frozen=True)
class Command:
    """A command.

    Attributes:
        name: its word after `byola`.
        module: that `python -m` runs; it or its `__main__` has `cli()`.
        summary: what it does, in some words.
    """

    name: str
    module: str
    summary: str


def _read_table() -> dict[str, list[Command]]:
    groups, title = {}, ""
    for line in _TABLE.splitlines():
        if line.startswith("  "):
            groups[title].append(Command(*line.split(maxsplit=2)))
        else:
            title = line
            groups[title] = []
    return groups


# Title of a group → its commands.
GROUPS: Mapping[str, list[Command]] = _read_table()
# Name → command.
COMMANDS: Mapping[str, Command] = {
    command.name: command for group in GROUPS.values() for command in group
}


def invocation(name: str) -> str:
    """How the reader of a message calls a command in their shell.

    Args:
        name: of the command.

    Returns:
        e.g. "byola probe", "./byola probe" where the launcher was used, or
        "python -m train_lib.linear_probe" where a module was run.
    """
    specification = getattr(sys.modules["__main__"], "__spec__", None)
    top = specification.name.partition(".")[0] if specification else ""
    if top in ("train_lib", "hub_export") and not os.environ.get(LAUNCHER):
        return f"{shlex.quote(sys.orig_argv[0])} -m {COMMANDS[name].module}"
    return f"{program()} {name}"


def program() -> str:
    """What to type for `byola` in the reader's shell: the launcher, or the script.

    A script outside of the search path (`.venv/bin/byola`) is named by its path.
    """
    script = "".join(sys.orig_argv[1:2])
    if os.environ.get(LAUNCHER):
        return shlex.quote(os.environ[LAUNCHER])
    if os.path.basename(script) == "byola":
        found = shutil.which("byola")
        if not found or os.path.realpath(found) != os.path.realpath(script):
            return shlex.quote(script)
    return "byola"


def in_this_shell(text: str) -> str:
    """Rewrites every "byola NAME" of a text to its `invocation`."""
    names = "|".join(sorted(COMMANDS, key=len, reverse=True))
    return re.sub(
        rf"(?<![\w./-])byola ({names})\b", lambda found: invocation(found[1]), text
    )
