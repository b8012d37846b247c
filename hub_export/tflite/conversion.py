"""SavedModels to TFLite files, in a process of its own.

The converter can abort the whole process ("LLVM ERROR: …"). In a child process,
that is an error message. `python -m hub_export.tflite.conversion JOBS.json` is the
child; users call `byola tflite`.
"""

import dataclasses
import functools
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence

from byola_tf.errors import UserError
from byola_tf.progress import Progress, no_progress

_LOG_LINES = 8


def command(module: str, *arguments: str) -> list[str]:
    """The command line of a module that has a main part."""
    return [sys.executable, "-m", module, *arguments]


def environment() -> dict[str, str]:
    """Variables with which a child process finds this package."""
    root = str(pathlib.Path(__file__).resolve().parents[2])
    search = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(search)}


WORKER = command("hub_export.tflite.conversion")


@dataclasses.dataclass(frozen=True)
class Job:
    """One file to make.

    Attributes:
        saved_model: folder.
        output: path of the `.tflite` file.
        flavour: "float32", "float16", "dynamic" or "int8".
        calibration: of "int8": `.npy` file, float32 [examples, ...], the inputs
            whose ranges fix the scales.
    """

    saved_model: str
    output: str
    flavour: str
    calibration: str | None = None


def convert(jobs: Sequence[Job], progress: Progress = no_progress) -> None:
    """Converts in a child process.

    Args:
        jobs: what to make.
        progress: wraps an iterable, e.g. in a progress bar.

    Raises:
        UserError: the child failed or was killed; with the end of its log.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "jobs.json")
        with open(path, "w") as file:
            json.dump([dataclasses.asdict(job) for job in jobs], file)
        log_path = os.path.join(folder, "log.txt")
        with open(log_path, "w") as log:
            bar = functools.partial(progress, total=len(jobs), description="converting")
            status = _run(path, log, bar)
        if status != 0:
            with open(log_path, errors="replace") as log:
                raise UserError(_failure(status, log.read()))
    absent = [job.output for job in jobs if not os.path.isfile(job.output)]
    if absent:
        raise UserError(
            f"The TFLite converter must write every file. Received: no {absent[0]}. "
            "Please report it."
        )


def _run(jobs_path: str, log, progress: Progress) -> int:
    """Waits for the child, which prints a line a job; its exit status."""
    process = subprocess.Popen(
        [*WORKER, jobs_path],
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        env=environment(),
    )
    try:
        with process.stdout as lines:
            for _ in progress(lines):
                pass
        return process.wait()
    finally:
        process.kill()
        process.wait()


def _failure(status: int, log: str) -> str:
    how = f"exit status {status}"
    if status < 0:
        how = f"signal {signal.Signals(-status).name}"
    lines = [line for line in log.splitlines() if line.strip()]
    started = [line for line in lines if line.startswith(_STARTED)]
    what = started[-1].removeprefix(_STARTED) if started else "nothing yet"
    tail = [line for line in lines if not _is_noise(line)][-_LOG_LINES:]
    return (
        f"The TFLite converter must finish. Received: {how} while it made {what}. "
        f"The end of its log: {' | '.join(tail) or '(empty)'}. Leave that flavour "
        "out with --flavours, or convert with the other TensorFlow of BUILD.md."
    )


_STARTED = "converting "


def _is_noise(line: str) -> bool:
    return bool(re.match(r"(WARNING: |[IW]\d{4} |\d{4}-\d\d-\d\d .*: [IW] )", line))


def _convert_one(job: Job) -> None:
    import numpy as np
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(job.saved_model)
    if job.flavour != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if job.flavour == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if job.flavour == "int8":
        examples = np.load(job.calibration)
        converter.representative_dataset = lambda: ([row[None]] for row in examples)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.int8
        converter.inference_output_type = tf.int8
    content = converter.convert()
    with open(job.output, "wb") as file:
        file.write(content)


def _main(jobs_path: str) -> None:
    with open(jobs_path) as file:
        jobs = [Job(**job) for job in json.load(file)]
    for job in jobs:
        print(f"{_STARTED}{os.path.basename(job.output)}", file=sys.stderr, flush=True)
        _convert_one(job)
        print(job.output, flush=True)


if __name__ == "__main__":
    _main(sys.argv[1])
