"""The HEAR interface, by itself and under HEAR's own validator."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from byola_tf import hear
from byola_tf.errors import UserError
from tests import tiny_model

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    return tiny_model.write(tmp_path_factory.mktemp("hear") / "model")


@pytest.fixture(scope="module")
def model(exported):
    return hear.load_model(exported)


@pytest.mark.newest_smoke
def test_model_has_the_attributes(model):
    assert isinstance(model, tf.Module)
    sizes = (model.scene_embedding_size, model.timestamp_embedding_size)
    assert sizes == (tiny_model.EMBEDDING_SIZE,) * 2
    assert model.sample_rate == 16000
    assert {type(size) for size in (*sizes, model.sample_rate)} == {int}


def test_path_comes_from_the_environment(exported, model, monkeypatch):
    monkeypatch.delenv("BYOLA_MODEL", raising=False)
    with pytest.raises(UserError, match="BYOLA_MODEL"):
        hear.load_model()
    monkeypatch.setenv("BYOLA_MODEL", exported)
    waveform, _ = tiny_model.two_classes()
    np.testing.assert_array_equal(
        hear.get_scene_embeddings(waveform, hear.load_model()),
        hear.get_scene_embeddings(waveform, model),
    )


def test_scene_is_the_embedding_of_the_model(exported, model):
    waveform, _ = tiny_model.two_classes()
    loaded = tf.saved_model.load(exported)
    expected = loaded(waveform)
    scenes = hear.get_scene_embeddings(tf.constant(waveform), model)
    assert scenes.dtype == tf.float32
    np.testing.assert_allclose(scenes, expected, atol=1e-6)


# in ms: one sample, under half a frame, all remainders of four hops, validator's
@pytest.mark.parametrize(
    "milliseconds", [0.0625, 10, 20, 999, 1000, 1010, 1020, 1025, 1030, 1070, 1980]
)
def test_timestamps_are_centres_that_fill_the_clip(model, milliseconds):
    waveform, _ = tiny_model.two_classes(2, round(16 * milliseconds))
    embeddings, timestamps = hear.get_timestamp_embeddings(waveform, model)

    assert (embeddings.dtype, timestamps.dtype) == (tf.float32, tf.float32)
    assert embeddings.shape == (*timestamps.shape, tiny_model.EMBEDDING_SIZE)
    assert len(embeddings) == 2
    expected = np.arange(15, max(milliseconds, 15.01), 40)
    expected = np.minimum(expected, milliseconds)
    np.testing.assert_allclose(timestamps, [expected] * 2, rtol=1e-5)
    assert timestamps.numpy().max() <= milliseconds

    # but for the frames that see the end, these are the model's own
    frames = model.model.frames(waveform)["frame_embeddings"]
    inner = max(frames.shape[1] - 3, 0)
    np.testing.assert_allclose(embeddings[:, :inner], frames[:, :inner], atol=1e-5)


def test_int16_is_scaled_as_everywhere(model):
    waveform, _ = tiny_model.two_classes(2)
    pcm = np.rint(np.clip(waveform, -1, 1) * 32767).astype(np.int16)
    for function in (hear.get_scene_embeddings, hear.get_timestamp_embeddings):
        scaled = function(pcm.astype(np.float32) / 32768, model)
        np.testing.assert_array_equal(function(tf.constant(pcm), model)[0], scaled[0])
    with pytest.raises(UserError, match="int32. Scale 32-bit"):
        hear.get_scene_embeddings(pcm.astype(np.int32), model)


def test_wrong_audio_is_explained(model):
    for audio in (np.zeros(100, "f"), np.zeros((2, 0), "f"), np.zeros((1, 2, 9), "f")):
        with pytest.raises(UserError, match=r"\[n_sounds, n_samples\]"):
            hear.get_scene_embeddings(audio, model)


@pytest.fixture(scope="module")
def validator(tmp_path_factory):
    """Folder with hear-validator and the PyTorch that it imports."""
    folder = str(tmp_path_factory.mktemp("validator"))
    # The validator is of 2022 and says Python below 3.9; a plain installation
    # would take an older release, and PyTorch with gigabytes of CUDA.
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    install += ["--ignore-requires-python", "--no-compile", "--target", folder]
    install += ["--requirement", str(ROOT / "tests" / "requirements-hear.txt")]
    installed = subprocess.run(install, capture_output=True, text=True, timeout=400)
    if installed.returncode:
        pytest.skip(f"hear-validator cannot be installed: {installed.stderr[-300:]}")
    attempt = subprocess.run(
        [sys.executable, "-c", "import torch"],
        env=os.environ | {"PYTHONPATH": folder},
        capture_output=True,
        text=True,
    )
    if attempt.returncode:
        pytest.skip(f"PyTorch does not run here: {attempt.stderr[-300:]}")
    return folder


@pytest.mark.slow
def test_hear_validator_passes(validator, exported):
    result = subprocess.run(
        [sys.executable, "-m", "hearvalidator.validate", "byola_tf.hear"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": validator, "BYOLA_MODEL": exported},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    assert result.stdout.strip().endswith("Looks good!")
    # one warning is always printed, about hops that are no whole samples
    assert result.stderr.count("UserWarning") == 1, result.stderr
