"""The script of the documentation, run as a reader would."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

from tests import tiny_model

ROOT = pathlib.Path(__file__).parents[1]


@pytest.mark.slow
def test_script_fine_tunes_a_classifier(shared, tmp_path):
    model = tiny_model.write(tmp_path / "model")
    result = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "fine_tune_esc10.py")]
        + [model, str(shared / "data" / "esc10"), "--epochs=3"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    frozen, tuned = map(float, re.findall(r": (\d+\.\d)%", result.stdout))
    # ten classes; a small untrained encoder. Fine-tuning must not spoil it
    assert frozen > 30, result.stdout
    assert tuned > frozen - 5, result.stdout  # four of 80 clips
    assert "calls the first held-out clip" in result.stdout
    assert (tmp_path / "esc10.keras").stat().st_size > 100_000
