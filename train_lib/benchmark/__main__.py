"""Times the stages of training and embedding on this machine.

  byola benchmark --json=rows.json

Prints a row a stage, of synthetic sound: crops of 0.95 s at 16 kHz (64 mel bins,
96 frames), full-size v2 networks. The rows that a PyTorch rendering of the method
has too carry the same names, so that two runs in turn on one idle machine can be
compared. `--only` takes a part of a name; `--peer` the JSON of the other run.
"""

import json

from absl import flags

from train_lib.cli import command

JSON = flags.DEFINE_string("json", None, "File for the rows, name → number.")
ONLY = flags.DEFINE_string("only", "", "Only rows whose name contains this.")
BATCH = flags.DEFINE_integer("batch", 64, "Crops per training step.", lower_bound=2)
PEER = flags.DEFINE_string("peer", None, "JSON of another run: adds ratios to it.")


def main() -> None:
    """Measures, prints, and writes the JSON."""
    from byola_tf import files
    from train_lib.benchmark import measurements

    peer = {}
    if PEER.value:
        with open(PEER.value) as file:
            peer = json.load(file)
    rows = {}
    for name, value in measurements.measure(ONLY.value, BATCH.value):
        rows[name] = value
        ratio = f"{value / peer[name]:8.2f} x" if peer.get(name) else ""
        print(f"{name:48s} {value:12.2f} {ratio}", flush=True)
    if JSON.value:
        files.write_text(JSON.value, json.dumps(rows, indent=1) + "\n")


def cli() -> None:
    """Entry point of the command."""
    command.run(main)


if __name__ == "__main__":
    cli()
