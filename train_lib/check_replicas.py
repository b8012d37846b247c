"""Checks that several devices train the same model as one, on this machine.

  byola check-replicas

Trains a small model for 20 steps on one device, on all accelerators (two logical
CPU devices where there is none) and in two worker processes, with the same seed
and global batch, and compares losses and weights. Worth its minute before a long
job on new hardware.
"""

import sys

from absl import flags

from train_lib.cli import command
from train_lib.training import replicas

REPLICAS = flags.DEFINE_integer(
    "replicas", 2, "Logical CPU devices, and workers.", lower_bound=2
)
STEPS = flags.DEFINE_integer("steps", 20, "Steps to compare.", lower_bound=1)


def main() -> None:
    """Prints a line a strategy; exit status 1 if one differs."""
    comparisons = replicas.compare(replicas=REPLICAS.value, steps=STEPS.value)
    for one in comparisons:
        print(
            f"{one.name:14s} {'equal' if one.passed else 'DIFFERENT':10s} "
            f"losses differ by {one.loss_error:.1e}, weights by "
            f"{one.weight_error:.1e}, replicas by {one.replica_spread:.1e}"
        )
    if not all(one.passed for one in comparisons):
        sys.exit(1)


def cli() -> None:
    """Entry point of the command."""
    command.run(main)


if __name__ == "__main__":
    cli()
