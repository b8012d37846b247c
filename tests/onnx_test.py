"""The exported model as ONNX, by tf2onnx and onnxruntime, as a user converts it."""

import os
import pathlib
import subprocess
import sys
import tomllib

import numpy as np
import pytest
import tensorflow as tf

from hub_export import check
from tests import tiny_model

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Variables with which a process finds the packages of the extra `onnx`."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    packages = str(tmp_path_factory.mktemp("onnx"))
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps"]
    pip += ["--target", packages, *extras["optional-dependencies"]["onnx"]]
    installed = subprocess.run(pip, capture_output=True, text=True)
    if installed.returncode:
        reason = installed.stderr.strip().splitlines()[-1:]
        pytest.skip(f"tf2onnx cannot be installed here: {reason}")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), packages])}


RUN = """
import sys
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1])
for path in sys.argv[2:]:
    (embedding,) = session.run(None, {"waveform": np.load(path)})
    np.save(path, embedding)
"""


@pytest.mark.slow
def test_the_onnx_signature_converts_and_agrees(environment, tmp_path):
    model = tiny_model.write(tmp_path / "model")
    output = str(tmp_path / "model.onnx")
    command = [sys.executable, "-m", "tf2onnx.convert", "--saved-model", model]
    command += ["--signature_def", "onnx", "--opset", "18", "--output", output]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr[-2000:]
    clips = {
        str(tmp_path / f"{seconds}.npy"): check.sounds(16000, seconds)
        for seconds in (0.02, 0.3, 1.0, 3.1)
    }
    for path, clip in clips.items():
        np.save(path, clip)
    subprocess.run(
        [sys.executable, "-c", RUN, output, *clips], env=environment, check=True
    )
    loaded = tf.saved_model.load(model)
    for path, clip in clips.items():
        expected = loaded(clip, training=False).numpy()
        np.testing.assert_allclose(
            np.load(path), expected, atol=1e-4 * np.abs(expected).max()
        )
