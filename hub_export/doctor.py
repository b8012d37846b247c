"""Says whether this environment works: versions, bad combinations, trials.

  byola doctor

Prints Python, system and processor, the versions of all packages that matter,
the combinations of them that are known not to work, and whether each part
really works, tried in a process of its own. Exit status 1 if something that the
project needs is broken. --json prints the same as data: attach it to a report.
"""

import json
import sys

from absl import flags

from hub_export.environment import examination
from train_lib.cli import command, progress

JSON = flags.DEFINE_bool("json", False, "Print JSON instead of text.")
TRY = flags.DEFINE_bool("try", True, "Try the parts; --notry compares versions only.")


def main() -> None:
    """Examines and prints; exits with 1 if something needed is broken."""
    found = examination.examine(try_parts=TRY.value, progress=progress.bar)
    print(json.dumps(found, indent=2) if JSON.value else examination.text(found))
    if found["broken"]:
        sys.exit(1)


def cli() -> None:
    """Entry point of `byola doctor`."""
    command.run(main, prints_result=True)


if __name__ == "__main__":
    cli()
