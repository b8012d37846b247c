r"""Searches for better pre-training values with Optuna, as the paper did for its
augmentations.

  byola tune --config=byola_v2 --data='sounds/**/*' \
      --tasks=esc10/esc10.csv --unit_seconds=5 --steps=500 --trials=30 \
      --workdir=runs/search

Each trial draws values from the space, pre-trains and probes; its value is the
accuracy on the tasks' validation clips. It trains in parts (`--parts`): a trial
that falls behind after one is given up. The study lies in the work directory: run
the same command again to go on after an interruption, or with more `--trials`.
Writes WORKDIR/best.py (a configuration) and WORKDIR/search.html.

`--space` is 'augmentation' (the published chain's parameters) or a JSON file:

  {"augment.mixup_ratio": {"low": 0.0, "high": 0.6},
   "augment.crop_mel_range.0": {"low": 0.3, "high": 1.0},
   "train.learning_rate": {"low": 1e-5, "high": 1e-3, "log": true},
   "augment.blocks": {"choices": [["mixup", "resize_crop"], ["resize_crop"]]}}
"""

import os
import shlex

from absl import flags

from train_lib.cli import command, commands, config_flag, paths_flag, task_units

CONFIG = config_flag.define()
DATA = flags.DEFINE_string("data", None, "Glob or folder of sounds.")
TASKS = paths_flag.DEFINE_paths(
    "tasks", None, "CSVs of the tasks, with commas; a task's audio lies beside its CSV."
)
UNIT_SECONDS = flags.DEFINE_list("unit_seconds", [], task_units.HELP)
SPACE = flags.DEFINE_string("space", "augmentation", "The search space.")
STEPS = flags.DEFINE_integer("steps", None, "Steps of a trial.", lower_bound=1)
PARTS = flags.DEFINE_integer(
    "parts", 3, "Parts of a trial, with a probe after each.", lower_bound=1
)
TRIALS = flags.DEFINE_integer("trials", 20, "Trials in all.", lower_bound=1)
LR = flags.DEFINE_string(
    "lr",
    None,
    "Learning rate of the probes, as --lr of byola probe. A single one, "
    "such as 1e-3, saves trying seven.",
)
WORKDIR = flags.DEFINE_string("workdir", None, "Folder for study and trials.")


def main() -> None:
    """Runs the trials and writes the page."""
    base = CONFIG.value
    base.data.pattern = DATA.value or base.data.pattern
    command.required("data", base.data.pattern, "'sounds/**/*'")
    task_files = command.required("tasks", TASKS.value, "esc10/esc10.csv")
    steps = command.required("steps", STEPS.value, "500")
    workdir = command.required("workdir", WORKDIR.value, "runs/search")
    from byola_tf import files
    from train_lib.pages import html, text
    from train_lib.tune import page, space, study

    html.require_packages()
    search = study.Search(
        base,
        space.read(SPACE.value),
        task_files,
        task_units.parse(UNIT_SECONDS.value, len(task_files)),
        steps,
        min(PARTS.value, steps),
        workdir,
        LR.value,
    )
    found = study.run(search, TRIALS.value)
    states = [trial.state.name for trial in found.trials]
    if "COMPLETE" not in states:
        print("No trial was trained to the end: raise --trials.")
        return
    best = os.path.join(workdir, "best.py")
    train = (
        f"{commands.invocation('pretrain')} --config={shlex.quote(best)} "
        f"--workdir=runs/best --config.data.pattern={shlex.quote(base.data.pattern)}"
    )
    path = os.path.join(workdir, "search.html")
    files.write_text(path, page.render(found, train))
    print(
        f"Best of {len(states) - states.count('FAIL')} trials: "
        f"{text.percent(found.best_value)} % on validation clips.\n"
        f"Page: {path}\nTrain: {train}"
    )


def cli() -> None:
    """Entry point of `byola tune`."""
    command.run(main, prepare=config_flag.expand, help_tail=config_flag.help_text)


if __name__ == "__main__":
    cli()
