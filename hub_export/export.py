"""Exports a checkpoint as a TF-Hub SavedModel: waveform → embedding.

  python -m hub_export.export --workdir=runs/first --output=runs/model

The model is written beside its final place, loaded again and compared with the
checkpoint on silence, noise, tones and clicks; only then does it take the place
of `--output`. Use it with byola_tf.load, hub.load or hub.KerasLayer.
"""

from absl import flags

from hub_export import saved_model
from train_lib import command

WORKDIR = flags.DEFINE_string(
    "workdir", None, "Work directory of train_lib.pretrain, or one checkpoint folder."
)
OUTPUT = flags.DEFINE_string("output", None, "Folder of the model; replaced if one.")


def main() -> None:
    """Exports and says what was checked."""
    workdir = command.required("workdir", WORKDIR.value, "runs/first")
    output = command.required("output", OUTPUT.value, "runs/model")
    error = saved_model.export(workdir, output)
    print(
        f"Wrote {output}; reloaded, it differs by at most {error:.1e} of the "
        "largest entry from the checkpoint.\n"
        f"Evaluate: python -m train_lib.linear_probe --model={output} "
        "--metadata=TASK.csv --audio=DIR --unit_seconds=1 --output=probe.json"
    )


def cli() -> None:
    """Entry point of `byola-export`."""
    command.run(main)


if __name__ == "__main__":
    cli()
