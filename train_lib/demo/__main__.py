"""Shows the whole way in minutes: sounds, pre-training, export, probe, report.

  byola demo
  byola demo --audio DIR

Without `--audio` the sounds are generated. With it they are yours: DIR holds a
sub-folder per class, at least two with four files each. In the folder --output
it leaves the exported model, the probes' results and report.html.
"""

import os
import shlex

from absl import flags

from byola_tf.errors import UserError
from train_lib.cli import command, commands

AUDIO = flags.DEFINE_string(
    "audio", None, "Folder with a sub-folder of audio files per class."
)
OUTPUT = flags.DEFINE_string("output", "demo", "Folder for everything it makes.")
MINUTES = flags.DEFINE_float(
    "minutes",
    2.5,
    "Time for pre-training; everything else takes one or two minutes more.",
    lower_bound=0.0,
)


def main() -> None:
    """Runs the demo and says where the report is."""
    output = command.required("output", OUTPUT.value, "demo")
    if os.path.exists(output) and not os.path.isdir(output):
        raise UserError(
            f"`--output` must be a folder. Received: {output!r}, which is a file. "
            "Choose another."
        )
    print("Loading TensorFlow ...", flush=True)
    from train_lib.demo import stages

    finished = stages.run(output, AUDIO.value, MINUTES.value)
    print(
        f"\n{finished.table}\n\n"
        f"Report:  {os.path.abspath(finished.report)}\n"
        f"Model:   {finished.model}   (byola_tf.load({finished.model!r}))\n"
        f"Embed:   {commands.invocation('embed')} "
        f"--model={shlex.quote(finished.model)} --audio=DIR --output=embeddings.npz"
    )


def cli() -> None:
    """Entry point of the demo."""
    command.run(main)


if __name__ == "__main__":
    cli()
