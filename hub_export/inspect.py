"""Prints what a model says about itself.

  python -m hub_export.inspect MODEL

MODEL is an exported model, a checkpoint, a work directory (its newest
checkpoint) or a .tflite file. Method version, input, dimensions, receptive
field, front-end hash, corpus statistics, training data and steps, licence,
versions; --json prints everything, the whole configuration too.
"""

import json

from absl import flags

from hub_export import inspection
from train_lib.cli import command

MODEL = flags.DEFINE_string("model", None, "The model, if not the first argument.")
JSON = flags.DEFINE_bool("json", False, "Print JSON instead of a table.")


def main() -> None:
    """Prints the table."""
    facts = inspection.read(command.required("model", MODEL.value, "runs/model"))
    print(json.dumps(facts, indent=2) if JSON.value else inspection.table(facts))


def positional(arguments):
    """Makes the one argument that is no flag the value of `--model`."""
    name, *rest = arguments
    paths = [text for text in rest if not text.startswith("-")]
    if len(paths) == 1 and "--model" not in rest:
        rest[rest.index(paths[0])] = f"--model={paths[0]}"
    return [name, *rest]


def cli() -> None:
    """Entry point of `byola-inspect`."""
    command.run(main, prepare=positional, prints_result=True)


if __name__ == "__main__":
    cli()
