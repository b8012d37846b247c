"""Makes evaluation tasks from data sets as they are downloaded.

  byola tasks list
  byola tasks prepare --task=esc50 --source=ESC-50-master \\
      --output=tasks/esc50
  byola probe --model=MODEL --task=esc50 \\
      --audio=tasks/esc50 --output=esc50.json

prepare writes OUTPUT/NAME.csv (file_name, label, split or fold), facts about it
(OUTPUT/NAME.task.json) and links to the sounds. --task is a published task, the
path of a metadata CSV (its file names relative to --source), or a name of your
own for a --source with a sub-folder a class.
"""

import os

from absl import flags

from train_lib.cli import command, commands, progress

ACTION = flags.DEFINE_enum(
    "action",
    None,
    ["prepare", "list"],
    "What to do; stands alone as the first argument, too.",
)
TASK = flags.DEFINE_string("task", None, "Name of the task, or a CSV; see `list`.")
SOURCE = flags.DEFINE_string("source", None, "Unpacked folder of the data set.")
OUTPUT = flags.DEFINE_string(
    "output", None, "Folder to write. One that this command made is replaced."
)
PARTIAL = flags.DEFINE_bool(
    "partial",
    False,
    "Goes on with an incomplete copy of the data set. Every result says so.",
)
SPLIT = flags.DEFINE_string(
    "split",
    None,
    "Where the published split is somebody's own file: voxforge, a CSV (file_name, "
    "label, split); surge, a CSV (tone, split); vc1, iden_split.txt; gtzan, the folder "
    "with *_filtered.txt. voxforge and surge draw one with seed 0 without it.",
)
SAMPLE_RATE = flags.DEFINE_integer(
    "sample_rate",
    None,
    "Makes 16-bit WAV copies at this rate, Hz, instead of links: decoding is faster. "
    "Models with a higher rate refuse them.",
    lower_bound=1000,
)
WORKERS = flags.DEFINE_integer(
    "workers", os.cpu_count(), "Threads that make copies.", lower_bound=1
)


def main() -> None:
    """Prepares a task and says what it is, or lists the presets."""
    if command.required("action", ACTION.value, "prepare") == "list":
        print(_preset_table())
        return
    task = command.required("task", TASK.value, "esc50")
    source = command.required("source", SOURCE.value, "ESC-50-master")
    output = command.required("output", OUTPUT.value, "tasks/esc50")
    from train_lib.probe.tasks.presets import prepare

    facts = prepare.prepare(
        task,
        source,
        output,
        partial=PARTIAL.value,
        split=SPLIT.value,
        sample_rate=SAMPLE_RATE.value,
        num_workers=WORKERS.value,
        progress=progress.bar,
    )
    print(_summary(facts))
    print(
        f"Evaluate: {commands.invocation('probe')} --model=MODEL "
        f"--task={facts['task']} --audio={output} --output={facts['task']}.json"
    )


def _summary(facts: dict) -> str:
    counts = ", ".join(f"{count:,} {part}" for part, count in facts["counts"].items())
    if not set(facts["counts"]) <= {"train", "valid", "test"}:
        total = sum(facts["counts"].values())
        counts = f"{total:,} in {len(facts['counts'])} folds"
    lines = [
        ("task", f"{facts['task']}: {facts['title']}"),
        ("clips", counts),
        ("classes", facts["num_classes"]),
        ("split", facts["split"]),
        ("unit", f"{facts['unit_seconds']:g} s"),
        *(("note", note) for note in facts["notes"]),
    ]
    if facts["partial"]:
        lines.append(("partial", "yes: an incomplete copy; every result says so"))
    return "\n".join(f"{name:8s} {value}" for name, value in lines)


def _preset_table() -> str:
    from train_lib.probe.tasks.presets import PRESETS

    rows = [("name", "classes", "train / valid / test", "unit s", "lr", "metric", "")]
    for preset in PRESETS.values():
        counts = [f"{count:,}" for count in preset.counts.values()]
        rate = preset.learning_rate
        rows.append(
            (
                preset.name,
                str(preset.num_classes),
                " / ".join(counts) or "what is on disk",
                f"{preset.unit_seconds:g}",
                f"{rate:g}" if rate else "search",
                preset.metric,
                preset.title,
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in rows
    )


def _action_first(arguments) -> list[str]:
    """Turns `tasks prepare --flag` into `tasks --action=prepare --flag`."""
    program, *rest = arguments
    if rest and not rest[0].startswith("-"):
        rest[0] = f"--action={rest[0]}"
    return [program, *rest]


def cli() -> None:
    """Entry point of `byola tasks`."""
    command.run(main, prepare=_action_first)


if __name__ == "__main__":
    cli()
