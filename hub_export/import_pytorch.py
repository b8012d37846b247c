r"""Turns a PyTorch checkpoint of BYOL-A into a model of this project.

  byola import-pytorch --checkpoint=encoder.pth \
      --mean=-9.66 --std=4.72 --output=MODEL

Reads v1 (any width) and v2 state dicts: features.{0,4,8} convolutions,
features.{1,5,9} batch normalisations, fc.0 and fc.3 linear layers, under any
prefix. v1 weights get the HTK mel scale they were trained with. `--mean` and
`--std` are the log-mel statistics of your corpus or of the training corpus.
Nothing in the file is executed. The weights keep their owner's licence: check
that it allows your use.
"""

from absl import flags

from train_lib.cli import command

CHECKPOINT = flags.DEFINE_string("checkpoint", None, "The .pth file.")
MEAN = flags.DEFINE_float("mean", None, "Mean of the log-mels.")
STD = flags.DEFINE_float("std", None, "Standard deviation of the log-mels.")
OUTPUT = flags.DEFINE_string("output", None, "Folder of the model.")
LICENCE = flags.DEFINE_string(
    "licence", "", "Licence that the owner gave the weights; goes into the metadata."
)


def main() -> None:
    """Imports and says what was found."""
    from byola_tf import metadata
    from hub_export.pytorch import state_dict

    path = command.required("checkpoint", CHECKPOINT.value, "encoder.pth")
    output = command.required("output", OUTPUT.value, "MODEL")
    mean = command.required("mean", MEAN.value, "-9.66")
    std = command.required("std", STD.value, "4.72")
    config = state_dict.import_checkpoint(path, mean, std, output, LICENCE.value)
    print(
        f"Wrote {output}: {metadata.method_version(config)}, "
        f"{config.encoder.embedding_size}-d, mel scale {config.frontend.mel_scale}. "
        "The weights keep their owner's licence."
    )


def cli() -> None:
    """Entry point of the command."""
    command.run(main)


if __name__ == "__main__":
    cli()
