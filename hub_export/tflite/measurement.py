"""Latency and memory of TFLite files, in a fresh process without TensorFlow.

`python -m hub_export.tflite.measurement PATH SAMPLES` prints one line of JSON;
`measure` calls it.
"""

import json
import subprocess
import sys
import time

import numpy as np

from byola_tf.hardware import peak_memory
from hub_export.tflite import conversion
from hub_export.tflite.runner import Runner

_REPEATS = 15
_WARM_UP = 3


def measure(path: str, num_samples: int) -> dict:
    """Measures what a phone would spend on one window.

    Args:
        path: see `runner.Runner`.
        num_samples: length of the window.

    Returns:
        `latency_ms_1_thread` and `latency_ms_2_threads`, medians after a warm-up;
        `peak_memory_mb`, the growth of the process from before the files were
        opened to the end of the single-threaded runs, MiB.
    """
    finished = subprocess.run(
        conversion.command("hub_export.tflite.measurement", path, str(num_samples)),
        capture_output=True,
        text=True,
        env=conversion.environment(),
    )
    if finished.returncode:
        raise RuntimeError(f"Measuring {path} failed: {finished.stderr[-2000:]}")
    return json.loads(finished.stdout.splitlines()[-1])


def _latency_ms(path: str, num_threads: int, num_samples: int) -> float:
    runner = Runner(path, num_threads)
    noise = np.random.default_rng(0).normal(0, 0.1, num_samples)
    runner(noise)
    times = []
    for repeat in range(_WARM_UP + _REPEATS):
        start = time.perf_counter()
        runner.invoke()
        if repeat >= _WARM_UP:
            times.append(time.perf_counter() - start)
    return 1e3 * float(np.median(times))


def _main(path: str, num_samples: int) -> None:
    import ai_edge_litert.interpreter  # noqa: F401  part of what was there before

    before = peak_memory()
    one = _latency_ms(path, 1, num_samples)
    grown = peak_memory() - before
    two = _latency_ms(path, 2, num_samples)
    print(
        json.dumps(
            {
                "latency_ms_1_thread": one,
                "latency_ms_2_threads": two,
                "peak_memory_mb": grown,
            }
        )
    )


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]))
