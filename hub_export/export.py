r"""Exports a checkpoint as a TF-Hub SavedModel: waveform → embedding.

  python -m hub_export.export --workdir=runs/first --output=runs/model

The model is written beside its final place, loaded again and compared with the
checkpoint on silence, noise, tones and clicks; only then does it take the place
of `--output`. Use it with byola_tf.load, hub.load or hub.KerasLayer.

--mean and --std normalise with the statistics of another corpus, since those of
the audio to come differ from the training corpus's. --workdir may then be a
model that was exported before:

  python -m hub_export.export --workdir=runs/model --output=runs/model_speech \
      --mean=-9.03 --std=5.04
"""

from absl import flags

from byola_tf import normalize
from hub_export import saved_model
from train_lib import command

WORKDIR = flags.DEFINE_string(
    "workdir",
    None,
    "Work directory of train_lib.pretrain, one checkpoint folder, or a model.",
)
OUTPUT = flags.DEFINE_string("output", None, "Folder of the model; replaced if one.")
MEAN = flags.DEFINE_float(
    "mean", None, "Mean of another corpus's log-mels; with --std. The model's own else."
)
STD = flags.DEFINE_float("std", None, "Their standard deviation.")


def main() -> None:
    """Exports and says what was checked."""
    workdir = command.required("workdir", WORKDIR.value, "runs/first")
    output = command.required("output", OUTPUT.value, "runs/model")
    statistics = normalize.optional_statistics(MEAN.value, STD.value)
    error = saved_model.export(workdir, output, statistics)
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
