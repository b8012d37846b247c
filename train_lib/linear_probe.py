"""Measures a model by linear evaluation on a classification task.

Embeds each clip once with the frozen model, trains linear classifiers on the
embeddings and reports the accuracy on test clips: the published protocol of
BYOL-A (mean over folds, three seeds, 95 % interval). For example:

  python -m train_lib.linear_probe --model=MODEL --metadata=sounds.csv \\
      --audio=sounds/ --unit_seconds=5 --output=sounds.json

The metadata CSV has the columns file_name, label and either fold (each value is
held out once) or split (train, valid, test).
"""

import json
import os

import tqdm
from absl import flags

from byola_tf import files
from byola_tf.errors import UserError
from train_lib import command
from train_lib.probe import protocol
from train_lib.probe.linear import linear_probe, table

_MODEL = flags.DEFINE_string(
    "model",
    None,
    "An exported model, a checkpoint or a work directory; or one of the floors that a "
    "trained model has to beat: 'random' (the untrained v2 encoder, see --seed) or "
    "'logmel' (mean and standard deviation of the log-mel over time).",
)
_METADATA = flags.DEFINE_string(
    "metadata",
    None,
    "CSV with the columns file_name, label and fold, or file_name, label and split "
    "(train, valid, test). Its name is the task's; a published task's name (esc50, "
    "us8k, spcv2, ...) brings that task's learning rate and unit length.",
)
_AUDIO = flags.DEFINE_string(
    "audio", None, "Folder that file_name in the CSV is relative to."
)
_UNIT_SECONDS = flags.DEFINE_float(
    "unit_seconds",
    None,
    "Length of the crop that stands for a clip: the usual length of the task's clips. "
    "Longer clips are cut, shorter ones padded with zeros.",
)
_OUTPUT = flags.DEFINE_string("output", None, "JSON file to write.")
_LR = flags.DEFINE_string(
    "lr",
    None,
    "Learning rate of the classifier, or 'search': the best of 3e-4, 1e-3 and 3e-3 on "
    "validation, fold by fold. Default: the published one of a published task (but "
    "for --model=logmel), otherwise the search.",
)
_SEEDS = flags.DEFINE_list(
    "seeds",
    [str(seed) for seed in protocol.SEEDS],
    "Seeds of the classifiers: initial weights, batch order, drawn validation clips.",
)
_SEED = flags.DEFINE_integer("seed", 42, "Seed of the weights of --model=random.")
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size",
    None,
    "Clips embedded at a time; about 160 s of audio by default. Lower it if memory "
    "runs out. It does not change the result.",
    lower_bound=1,
)


def _progress_bar(iterable, total: int, description: str):
    return tqdm.tqdm(iterable, total=total, desc=description, unit="", leave=False)


def _check_output(path: str) -> None:
    """Raises UserError if the result could not be written, before the work."""
    folder = os.path.dirname(os.path.abspath(path))
    if os.path.isdir(path) or not path.endswith(".json"):
        raise UserError(
            f"`output` must be the name of a .json file. Received: {path!r}. Use e.g. "
            "--output=results/esc10.json."
        )
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"`output` must lie in a folder that can be made. Received: {path!r} "
            f"({error}). Choose another."
        ) from error
    if not os.access(folder, os.W_OK):
        raise UserError(
            f"`output` must lie in a folder that can be written to. Received: "
            f"{path!r}. Choose another."
        )


def main() -> None:
    """Runs the command."""
    _check_output(_OUTPUT.value)
    probe = linear_probe(
        _MODEL.value,
        _METADATA.value,
        _AUDIO.value,
        _UNIT_SECONDS.value,
        learning_rate=_LR.value,
        seeds=_SEEDS.value,
        model_seed=_SEED.value,
        batch_size=_BATCH_SIZE.value,
        progress=_progress_bar,
    )
    files.write_text(_OUTPUT.value, json.dumps(probe.result, indent=2) + "\n")
    print(table(probe.result))
    print(f"{'written to':14s} {_OUTPUT.value}")


def cli() -> None:
    """Console entry point."""
    flags.mark_flags_as_required(["model", "metadata", "audio", "output"])
    command.run(main)


if __name__ == "__main__":
    cli()
