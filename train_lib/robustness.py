"""Measures how much a model minds noise, gain, pitch and time shift.

Trains the classifiers of byola probe on clean clips, then perturbs
the test clips: background noise (20, 10, 0 dB), gain (6, 12 dB up and down),
pitch (1, 2 semitones up and down), time shift (10, 25, 50 % of the clip). Writes
the cosine to the clean embedding and the accuracy of each as JSON, and the same
as a Markdown table beside it. For example:

  byola robustness --model=MODEL --metadata=sounds.csv \\
      --audio=sounds/ --unit_seconds=5 --output=robustness.json
"""

import json
import os

from absl import flags

from byola_tf import files
from train_lib.cli import command, progress

MODEL = flags.DEFINE_string("model", None, "What to measure, as for byola probe.")
METADATA = flags.DEFINE_string("metadata", None, "CSV of the task, as for byola probe.")
AUDIO = flags.DEFINE_string(
    "audio", None, "Folder that file_name in the CSV is relative to."
)
UNIT_SECONDS = flags.DEFINE_float(
    "unit_seconds", None, "Length of the crop that stands for a clip."
)
NOISE = flags.DEFINE_string(
    "noise",
    None,
    "Folder of recordings to mix in as background. Default: generated white noise and "
    "pink noise, both.",
)
OUTPUT = flags.DEFINE_string(
    "output", None, "JSON file to write; the table goes beside it as .md."
)
LR = flags.DEFINE_string("lr", None, "As for byola probe.")
SEED = flags.DEFINE_integer("seed", 42, "Seed of the weights of --model=random.")
SEEDS = flags.DEFINE_list("seeds", ["42", "43", "44"], "Seeds of the classifiers.")
POOLING = flags.DEFINE_enum(
    "pooling",
    None,
    ["mean+max", "mean", "max"],
    "How a model's frames become one vector. Default: the model's own.",
)
MAX_CLIPS = flags.DEFINE_integer(
    "max_clips",
    1000,
    "Test clips that are perturbed, a random choice where there are more.",
    lower_bound=2,
)
CACHE = flags.DEFINE_string(
    "cache", None, "Folder for clean embeddings, as for byola probe."
)
NO_CACHE = flags.DEFINE_bool("no_cache", False, "Embeds anew and keeps nothing.")
WORKERS = flags.DEFINE_integer(
    "workers", os.cpu_count(), "Threads that decode audio.", lower_bound=1
)


def main() -> None:
    """Measures, writes JSON and Markdown, and prints the table."""
    model = command.required("model", MODEL.value, "runs/model")
    metadata = command.required("metadata", METADATA.value, "sounds.csv")
    audio = command.required("audio", AUDIO.value, "sounds")
    output = command.required("output", OUTPUT.value, "robustness.json")
    from train_lib.probe import linear, results, robustness, store

    results.check_output(output)
    result = robustness.measure(
        model,
        metadata,
        audio,
        UNIT_SECONDS.value,
        noise=NOISE.value,
        learning_rate=LR.value,
        seeds=linear.checked_seeds(SEEDS.value),
        pooling=POOLING.value,
        model_seed=SEED.value,
        max_clips=MAX_CLIPS.value,
        cache=None if NO_CACHE.value else CACHE.value or store.default_folder(),
        num_workers=WORKERS.value,
        progress=progress.bar,
    )
    table = robustness.table(result)
    # a full disk costs the files, not the numbers
    print(table, flush=True)
    files.write_text(output, json.dumps(result, indent=2) + "\n")
    files.write_text(f"{os.path.splitext(output)[0]}.md", table)


def cli() -> None:
    """Entry point of the command."""
    command.run(main)


if __name__ == "__main__":
    cli()
