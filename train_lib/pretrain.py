r"""Pre-trains an audio encoder on a folder of sounds (BYOL-A).

  byola pretrain --config=byola_v2 --workdir=runs/first \
      --config.data.pattern='sounds/**/*'

`--config` takes a packaged configuration (byola_v2, byola_v1, smoke) or the
path of a file with `get_config()`. Any field of the tree is a flag:
`--config.train.batch_size=64 --config.train.steps=1000`. Run the same command
again to resume after an interruption. Then export and evaluate:

  byola export --workdir=runs/first --output=runs/model
"""

from absl import flags

from train_lib.cli import command, commands, config_flag

CONFIG = config_flag.define()
WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder for statistics, checkpoints, logs; made when absent."
)


def main() -> None:
    """Runs `trainer.pretrain` and prints its summary."""
    config = CONFIG.value
    workdir = command.required("workdir", WORKDIR.value, "runs/first")
    from train_lib.training import trainer

    summary = trainer.pretrain(config, workdir)
    print(describe(summary, workdir))


def describe(summary, workdir: str) -> str:
    """A `workdir.Summary` in words, with what to do next."""
    probe = "" if summary.probe is None else f"best probe {summary.probe:.1%}, "
    reason = {
        "seconds": "Stopped by --config.train.seconds; run again to go on.\n",
        "probe": "Stopped early: the probe did not improve for "
        f"--config.train.probe_patience probes. Best: {summary.best_checkpoint}\n",
    }.get(summary.stopped_by, "")
    left_out = summary.left_out and f"{summary.left_out}\n"
    return (
        f"Done: {summary.steps} steps ({summary.epochs:.1f} epochs, "
        f"{summary.samples} crops, {summary.hours:.2f} h), loss {summary.loss:.4f}, "
        f"{probe}{summary.samples_per_s:.1f} samples/s, {summary.input_wait:.0%} of "
        f"the time waiting for input, {summary.skipped_files} files skipped.\n"
        f"{left_out}{reason}"
        f"Checkpoint: {summary.checkpoint}\n"
        f"Export: {commands.invocation('export')} --workdir={workdir} --output=MODEL"
    )


def cli() -> None:
    """Entry point of `byola pretrain`."""
    command.run(main, prepare=config_flag.expand, help_tail=config_flag.help_text)


if __name__ == "__main__":
    cli()
