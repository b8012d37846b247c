"""Prints what a model says about itself.

  byola inspect MODEL

MODEL is an exported model, a checkpoint, a work directory (its newest
checkpoint) or a .tflite file. Method version, input, dimensions, receptive
field, front-end hash, corpus statistics, training data and steps, licence,
versions; --json prints everything, the whole configuration too.
"""

import json
import os
import sys

if __name__ == "inspect":
    # A script of this folder was run by its path, so that Python looks here first
    # and takes this file for the standard library's: make way for that.
    _FOLDER = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [path for path in sys.path if os.path.abspath(path) != _FOLDER]
    del sys.modules["inspect"]
    import inspect  # noqa: F401  takes the freed place in sys.modules
else:
    from absl import flags

    from train_lib.cli import command

    MODEL = flags.DEFINE_string("model", None, "The model, if not the first argument.")
    JSON = flags.DEFINE_bool("json", False, "Print JSON instead of a table.")


def main() -> None:
    """Prints the table."""
    from hub_export import inspection

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
    """Entry point of `byola inspect`."""
    command.run(main, prepare=positional, prints_result=True)


if __name__ == "__main__":
    cli()
