"""Measures a model by linear evaluation on a classification task.

Embeds each clip once with the frozen model, trains linear classifiers on the
embeddings and reports the accuracy on test clips: the published protocol of
BYOL-A (mean over folds, three seeds, 95 % interval). For example:

  byola probe --model=MODEL --metadata=sounds.csv \\
      --audio=sounds/ --unit_seconds=5 --output=sounds.json

The metadata CSV has the columns file_name, label and either fold (each value is
held out once) or split (train, valid, test). A comma in any label makes a
multi-label task, scored by mean average precision. Of a folder that
`byola tasks prepare` made, the task's name is enough:

  byola probe --model=MODEL --task=esc50 \\
      --audio=tasks/esc50 --output=esc50.json
"""

import os

from absl import flags

from byola_tf.errors import UserError
from train_lib.cli import command, progress
from train_lib.probe.tasks import table

MODEL = flags.DEFINE_string(
    "model",
    None,
    "An exported model, a checkpoint or a work directory; a model of others (see "
    "below); or one of the floors that a trained model has to beat: 'random' (the "
    "untrained v2 encoder, see --seed; 'random:v1') or 'logmel' (mean and standard "
    "deviation of the log-mel over time).",
)
MODE = flags.DEFINE_enum(
    "mode",
    "linear",
    ["linear", "knn", "few_shot", "finetune"],
    "What is done with the frozen embeddings: a linear classifier (the published "
    "protocol), nearest neighbours, a few examples a class, or training the encoder "
    "too (models of ours only).",
)
POOLING = flags.DEFINE_enum(
    "pooling",
    None,
    ["mean+max", "mean", "max"],
    "How a model's frames become one vector. Default: the model's own; mean+max for "
    "foreign frames, mean for hf: models.",
)
LAYERS = flags.DEFINE_list(
    "layers",
    None,
    "Inner layers whose features are concatenated instead of the output: conv1, conv2, "
    "mlp1, mlp2 or all for our encoders, numbers of hidden states for hf: models.",
)
SHOTS = flags.DEFINE_list(
    "shots", ["1", "5", "10"], "Examples a class of --mode=few_shot."
)
METADATA = flags.DEFINE_string(
    "metadata",
    None,
    "CSV with the columns file_name, label and fold, or file_name, label and split "
    "(train, valid, test). Its name is the task's; a published task's name (esc50, "
    "us8k, spcv2, ...) brings that task's learning rate and unit length.",
)
TASK = flags.DEFINE_string(
    "task", None, "Instead of --metadata: AUDIO/TASK.csv, as prepared."
)
AUDIO = flags.DEFINE_string(
    "audio", None, "Folder that file_name in the CSV is relative to."
)
UNIT_SECONDS = flags.DEFINE_float(
    "unit_seconds",
    None,
    "Length of the crop that stands for a clip: the usual length of the task's clips. "
    "Longer clips are cut, shorter ones padded with zeros. Default: that of a "
    "published or prepared task.",
)
OUTPUT = flags.DEFINE_string("output", None, "JSON file to write.")
LR = flags.DEFINE_string(
    "lr",
    None,
    "Learning rate of the classifier; several, with commas: the best on validation, "
    "fold by fold; 'search': of the seven from 1e-5, 3e-5 to 1e-2. Default: the "
    "published one of a published task (but for --model=logmel), otherwise the search.",
)
SEEDS = flags.DEFINE_list(
    "seeds",
    ["42", "43", "44"],
    "Seeds of the classifiers: initial weights, batch order, drawn validation clips.",
)
SEED = flags.DEFINE_integer("seed", 42, "Seed of the weights of --model=random.")
BATCH_SIZE = flags.DEFINE_integer(
    "batch_size",
    None,
    "Clips embedded at a time; about 160 s of audio by default. Lower it if memory "
    "runs out. It does not change the result.",
    lower_bound=1,
)
CACHE = flags.DEFINE_string(
    "cache",
    None,
    "Folder for embeddings, which later runs with the same model and files find "
    "there. Nothing in it is ever deleted. Default: byola-tf/embeddings in the user's "
    "cache; $BYOLA_CACHE moves it.",
)
NO_CACHE = flags.DEFINE_bool("no_cache", False, "Embeds anew and keeps nothing.")
WORKERS = flags.DEFINE_integer(
    "workers", os.cpu_count(), "Threads that decode audio.", lower_bound=1
)


def _shots(values: list[str]) -> list[int]:
    if not values or not all(value.isdigit() and int(value) for value in values):
        raise UserError(
            "`shots` must be positive integers. Received: "
            f"{','.join(values)!r}. E.g. --shots=1,5,10."
        )
    return [int(value) for value in values]


def _help_tail() -> str:
    from train_lib.probe.models import opening

    return opening.__doc__


def _metadata(audio: str) -> str:
    """The CSV that the flags name."""
    if TASK.value and METADATA.value:
        raise UserError(
            "Either `--task` or `--metadata` must be given. Received: "
            f"{TASK.value!r} and {METADATA.value!r}."
        )
    if not TASK.value:
        return command.required("metadata", METADATA.value, "sounds.csv")
    return table.of_prepared(TASK.value, audio)


def main() -> None:
    """Evaluates, writes the JSON and prints a table."""
    model = command.required("model", MODEL.value, "runs/model")
    audio = command.required("audio", AUDIO.value, "sounds")
    metadata = _metadata(audio)
    output = command.required("output", OUTPUT.value, "sounds.json")
    from train_lib.probe import linear, results, store

    results.check_output(output)
    probe = linear.linear_probe(
        model,
        metadata,
        audio,
        UNIT_SECONDS.value,
        learning_rate=LR.value,
        seeds=SEEDS.value,
        model_seed=SEED.value,
        batch_size=BATCH_SIZE.value,
        cache=None if NO_CACHE.value else CACHE.value or store.default_folder(),
        num_workers=WORKERS.value,
        mode=MODE.value,
        pooling=POOLING.value,
        layers=LAYERS.value,
        shots=_shots(SHOTS.value),
        progress=progress.bar,
    )
    print(results.table(probe.result), flush=True)
    results.write(output, probe)
    print(f"{'written to':14s} {output}")


def cli() -> None:
    """Entry point of `byola probe`."""
    command.run(main, help_tail=_help_tail)


if __name__ == "__main__":
    cli()
