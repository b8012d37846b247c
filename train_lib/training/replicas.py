"""Do several replicas train the model that one would? Real processes, compared."""

import dataclasses
import json
import os
import socket
import subprocess
import sys
import tempfile

import numpy as np

LOSS_TOLERANCE = 1e-4
WEIGHT_TOLERANCE = 1e-4
_TIMEOUT_S = 900


@dataclasses.dataclass
class Comparison:
    """One way of running against one device.

    Attributes:
        name: the strategy.
        loss_error: largest absolute difference of a step's loss.
        weight_error: relative difference of the final weights (norm of the
            difference over norm), of the online or the target network,
            whichever is larger.
        replica_spread: largest difference between replicas.
    """

    name: str
    loss_error: float
    weight_error: float
    replica_spread: float

    @property
    def passed(self) -> bool:
        """Whether the runs agree and the replicas are equal."""
        return (
            self.loss_error <= LOSS_TOLERANCE
            and self.weight_error <= WEIGHT_TOLERANCE
            and self.replica_spread == 0
        )


def compare(
    strategies: tuple[str, ...] = ("mirrored", "multi_worker"),
    replicas: int = 2,
    steps: int = 20,
) -> list[Comparison]:
    """Trains the same small model in each way, without dropout.

    Args:
        strategies: "mirrored" (replicas in one process), "multi_worker"
            (processes on this machine, one replica each).
        replicas: their number, where there are no accelerators.
        steps: length of the runs.

    Raises:
        RuntimeError: a process failed; its last words are in the message.
    """
    with tempfile.TemporaryDirectory() as folder:
        (alone,) = train("one", 1, steps, 0.0, os.path.join(folder, "one"))
        comparisons = []
        for name in strategies:
            output = os.path.join(folder, name)
            runs = train(name, replicas, steps, 0.0, output)
            comparisons.append(_compare(name, alone, runs))
    return comparisons


def train(
    strategy: str, replicas: int, steps: int, dropout: float, output: str
) -> list[dict]:
    """Runs `train_lib.training.replica_run` in a process of its own, or one a worker.

    Returns:
        per process: `losses`, `spread` and the weights by path.
    """
    workers = replicas if strategy == "multi_worker" else 1
    devices = 1 if strategy == "multi_worker" else replicas
    addresses = [f"localhost:{port}" for port in free_ports(workers)]
    arguments = [strategy, str(devices), str(steps), str(dropout), output]
    processes = []
    for index in range(workers):
        environment = dict(os.environ)
        environment.pop("TF_CONFIG", None)
        if strategy == "multi_worker":
            environment["TF_CONFIG"] = json.dumps(
                {
                    "cluster": {"worker": addresses},
                    "task": {"type": "worker", "index": index},
                }
            )
        processes.append(
            subprocess.Popen(
                [sys.executable, "-m", "train_lib.training.replica_run", *arguments],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    try:
        for process in processes:
            said, _ = process.communicate(timeout=_TIMEOUT_S)
            if process.returncode:
                raise RuntimeError(f"A {strategy} run failed:\n{said[-3000:]}")
    finally:
        for process in processes:
            process.kill()
    return [dict(np.load(f"{output}.{index}.npz")) for index in range(workers)]


def _compare(name: str, alone: dict, runs: list[dict]) -> Comparison:
    loss_error, weight_error, spread = 0.0, 0.0, 0.0
    for run in runs:
        loss_error = max(loss_error, np.abs(run["losses"] - alone["losses"]).max())
        spread = max(spread, float(run["spread"]))
        for network in ("online", "target"):
            paths = [path for path in alone if path.startswith(f"{network}_")]
            theirs = np.concatenate([run[path].ravel() for path in paths])
            ours = np.concatenate([alone[path].ravel() for path in paths])
            first = np.concatenate([runs[0][path].ravel() for path in paths])
            error = np.linalg.norm(theirs - ours) / np.linalg.norm(ours)
            weight_error = max(weight_error, float(error))
            spread = max(spread, float(np.abs(theirs - first).max()))
    return Comparison(name, float(loss_error), weight_error, spread)


def free_ports(count: int) -> list[int]:
    """Different ports of this machine on which nobody listens."""
    sockets = [socket.socket() for _ in range(count)]
    for free in sockets:
        free.bind(("localhost", 0))
    ports = [free.getsockname()[1] for free in sockets]
    for free in sockets:
        free.close()
    return ports
