"""Tests whether two models differ: a paired test on the same test clips.

Takes two results of byola probe on the same task:

  byola compare first.json second.json

prints both scores, their difference with its 95 % interval over resampled test
clips (paired bootstrap), and McNemar's exact test.
"""

import dataclasses
import json
import os
from collections.abc import Sequence

from absl import flags

from byola_tf import files
from byola_tf.errors import UserError
from train_lib.cli import command, paths_flag

RESULTS = paths_flag.DEFINE_paths(
    "results", [], "The two JSON files; they may stand on their own, as above."
)
OUTPUT = flags.DEFINE_string("output", None, "JSON file to write the comparison to.")


def _as_flags(argv: Sequence[str]) -> list[str]:
    """Gathers the arguments that are no flags into `--results`."""
    plain = [argument for argument in argv[1:] if not argument.startswith("-")]
    others = [argument for argument in argv[1:] if argument.startswith("-")]
    gathered = [f"--results={paths_flag.quoted(path)}" for path in plain]
    return [argv[0], *others, *gathered]


def main() -> None:
    """Compares and prints a table."""
    if len(RESULTS.value) != 2:
        raise UserError(
            f"`results` must be two JSON files. Received: {len(RESULTS.value)}. "
            "E.g. byola compare first.json second.json."
        )
    from train_lib.probe.judging import significance

    first, second = (significance.read_result(path) for path in RESULTS.value)
    comparison = significance.compare(first, second)
    # a full disk costs the file, not the numbers
    print(significance.table(comparison), flush=True)
    if OUTPUT.value:
        folder = os.path.dirname(os.path.abspath(OUTPUT.value))
        os.makedirs(folder, exist_ok=True)
        text = json.dumps(dataclasses.asdict(comparison), indent=2)
        files.write_text(OUTPUT.value, text + "\n")


def cli() -> None:
    """Entry point of the command."""
    command.run(main, prepare=_as_flags, prints_result=True)


if __name__ == "__main__":
    cli()
