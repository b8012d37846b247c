"""Rows of the benchmark for TFLite files: one window, one thread."""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from byola_tf import Encoder, checkpoint
from byola_tf.config import Config
from byola_tf.normalize import Statistics

FLAVOURS = ("float32", "float16", "dynamic", "int8")


def row_name(flavour: str) -> str:
    """The row of a flavour, after the PyTorch rendering's `embed_b1_1s`."""
    return f"tflite_{flavour}_b1_1s_audio_seconds_per_s"


_INT8_FILE = "int8_frontend.tflite"
ROWS = tuple(row_name(flavour) for flavour in FLAVOURS)


def tflite_rates(_=None, config: Config | None = None) -> Iterator[tuple[str, float]]:
    """Exports an untrained encoder, converts it and yields its rates.

    The rate is a second of audio over the median latency of a window of one
    second on one thread, from the report of byola tflite. No rows without
    ai-edge-litert.

    Args:
        config: `Config` of another encoder than the paper's v2.
    """
    if importlib.util.find_spec("ai_edge_litert") is None:
        return
    config = config or Config()
    opened = checkpoint.Checkpoint(
        Encoder(config.encoder), config, Statistics(-8.0, 5.0), {}
    )
    with tempfile.TemporaryDirectory() as folder:
        weights, model, mobile = (
            os.path.join(folder, name) for name in ("checkpoint", "model", "mobile")
        )
        os.mkdir(weights)
        checkpoint.save(weights, opened)
        _run("hub_export.export", workdir=weights, output=model)
        _run("hub_export.tflite", model=model, output=mobile)
        with open(os.path.join(mobile, "report.json")) as file:
            report = json.load(file)
    seconds = report["window_samples"] / report["sample_rate"]
    rows = {row["files"][0]: row for row in report["artefacts"]}
    for flavour in FLAVOURS:
        row = rows.get(f"{flavour}.tflite", rows[_INT8_FILE])
        yield row_name(flavour), 1e3 * seconds / row["latency_ms_1_thread"]


def _run(module: str, **flags) -> None:
    """Runs a command, which prints its error itself."""
    arguments = [f"--{name}={value}" for name, value in flags.items()]
    command = [sys.executable, "-m", module, *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
