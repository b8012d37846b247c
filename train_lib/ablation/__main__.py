r"""Trains and measures the rows of one of the papers' ablation tables.

  byola ablation --table=augmentation --config=byola_v2 \
      --data='sounds/**/*' --tasks=esc10/esc10.csv --unit_seconds=5 \
      --budget=steps:500 --workdir=runs/augmentation

Each row is the base configuration (`--config`, any field of which is a flag) with a
few fields changed; all rows have the same seed, data order and budget. A row is
trained, then probed on every task. Run again after an interruption: finished rows
are not done again, an unfinished one goes on. The table is written after each row,
as WORKDIR/table.md, .csv and .json, with the published averages beside it, and as
WORKDIR/table.png, the differences from the first row.

--budget=minutes:N gives every row as many steps as it does in N minutes, by the time
of some steps that are trained first; the same minutes are then equal compute, while
steps:N lets a costlier row have more of it.
"""

import os

from absl import flags

from train_lib.ablation.tables import TABLES
from train_lib.cli import command, config_flag, paths_flag, task_units

CONFIG = config_flag.define()
TABLE = flags.DEFINE_enum("table", None, list(TABLES), "The table of the paper.")
DATA = flags.DEFINE_string(
    "data", None, "Glob or folder of sounds, as --config.data.pattern."
)
TASKS = paths_flag.DEFINE_paths(
    "tasks", None, "CSVs of the tasks, with commas; a task's audio lies beside its CSV."
)
UNIT_SECONDS = flags.DEFINE_list("unit_seconds", [], task_units.HELP)
BUDGET = flags.DEFINE_string(
    "budget",
    None,
    "Length of a row: steps:N (of the base's batch size: a row of another one sees as "
    "many crops), epochs:N or minutes:N.",
)
LR = flags.DEFINE_string(
    "lr", None, "Learning rate of the probes, as --lr of byola probe."
)
WORKDIR = flags.DEFINE_string("workdir", None, "Folder for runs and results.")
RUNS = flags.DEFINE_string(
    "runs",
    None,
    "Folder of the runs and their probes. Tables that share it train a configuration "
    "once. Default: WORKDIR/runs.",
)
REPEAT_SEEDS = flags.DEFINE_list(
    "repeat_seeds",
    [],
    "Trains the first row again with each of these seeds, to show what chance alone "
    "does, e.g. 43,44.",
)
ROWS = flags.DEFINE_list(
    "rows", [], "Only rows whose name contains one of these, and the first one."
)


def main() -> None:
    """Runs the rows and prints the table."""
    base = CONFIG.value
    base.data.pattern = DATA.value or base.data.pattern
    command.required("data", base.data.pattern, "'sounds/**/*'")
    table = command.required("table", TABLE.value, "augmentation")
    task_files = command.required("tasks", TASKS.value, "esc10/esc10.csv")
    budget = command.required("budget", BUDGET.value, "steps:500")
    workdir = command.required("workdir", WORKDIR.value, "runs/augmentation")
    from train_lib.ablation import bench as benches
    from train_lib.ablation import summary
    from train_lib.ablation.budget import Budget
    from train_lib.pages import text
    from train_lib.probe import linear

    bench = benches.Bench(
        table,
        base,
        task_files,
        task_units.parse(UNIT_SECONDS.value, len(task_files)),
        Budget.parse(budget),
        RUNS.value or os.path.join(workdir, "runs"),
        LR.value,
        REPEAT_SEEDS.value and linear.checked_seeds(REPEAT_SEEDS.value, "repeat_seeds"),
    )
    rows = bench.rows(ROWS.value)
    facts = {
        "pre-training": f"{text.code(base.data.pattern)}, {budget}, batches of "
        f"{base.train.batch_size}, seed {base.seed}",
        "tasks": ", ".join(os.path.basename(path) for path in task_files),
    }
    results = []
    for result in benches.run(bench, rows):
        results.append(result)
        summaries = summary.summarise(results)
        summary.write(bench.definition, summaries, facts, workdir)
    print(summary.markdown(bench.definition, summaries, facts))
    print(f"Written: table.md, .csv, .json and .png in {workdir}.")


def cli() -> None:
    """Entry point of `byola ablation`."""
    command.run(main, prepare=config_flag.expand, help_tail=config_flag.help_text)


if __name__ == "__main__":
    cli()
