"""One exported folder behind every door: hub, tf_keras, Keras 3, the command line."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from hub_export import check
from tests import tiny_model

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    return tiny_model.write(tmp_path_factory.mktemp("doors") / "model")


def run(*command, **variables):
    """Runs a program in the checkout; returns what it printed."""
    result = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout


@pytest.mark.slow
@pytest.mark.newest_smoke
def test_keras_layer_in_a_tf_keras_model(exported, tmp_path):
    hub = pytest.importorskip("tensorflow_hub")
    import tf_keras

    waveform, labels = tiny_model.two_classes()

    def fit(trainable):
        layer = hub.KerasLayer(exported, trainable=trainable)
        model = tf_keras.Sequential([layer, tf_keras.layers.Dense(2)])
        model.compile(
            tf_keras.optimizers.Adam(1e-3),
            tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        before, embedding = layer.get_weights(), layer(waveform).numpy()
        losses = model.fit(waveform, labels, batch_size=8, epochs=4, verbose=0)
        assert losses.history["loss"][-1] < losses.history["loss"][0]
        changes = [
            np.abs(old - new).max()
            for old, new in zip(before, layer.get_weights(), strict=True)
        ]
        return model, changes, np.abs(layer(waveform) - embedding).max()

    _, changes, difference = fit(trainable=False)
    assert (len(changes), max(changes), difference) == (18, 0, 0)

    model, changes, difference = fit(trainable=True)
    assert min(changes[:16]) > 1e-4 and max(changes[16:]) == 0
    assert difference > 0.01
    model.save(str(tmp_path / "classifier"), save_format="tf")
    reloaded = tf_keras.models.load_model(str(tmp_path / "classifier"))
    np.testing.assert_array_equal(
        reloaded.predict(waveform, verbose=0), model.predict(waveform, verbose=0)
    )


def test_clip_alone_equals_clip_in_a_batch_of_any_size(exported):
    model = tf.saved_model.load(exported)
    for num_samples in (1, 513, 8000, 15999):
        waveform, _ = tiny_model.two_classes(7, num_samples)
        together = model(waveform)
        assert together.shape == (7, tiny_model.EMBEDDING_SIZE)
        for index in (0, 6):
            alone = model(waveform[index : index + 1])
            np.testing.assert_allclose(alone[0], together[index], atol=1e-5)


@pytest.mark.newest_smoke
def test_fixed_length_call_compiles_with_xla(exported):
    model = tf.saved_model.load(exported)
    waveform, _ = tiny_model.two_classes(4, 15200)
    compiled = tf.function(
        lambda waveform: model(waveform, training=False),
        input_signature=[tf.TensorSpec([4, 15200], tf.float32)],
        jit_compile=True,
    )
    np.testing.assert_allclose(compiled(waveform), model(waveform), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("signature", ["serving_default", "frames"])
def test_saved_model_cli_agrees_with_python(exported, tmp_path, signature):
    waveform = check.sounds(16000, 0.7)
    np.save(tmp_path / "waveform.npy", waveform)
    output = run(
        os.path.join(os.path.dirname(sys.executable), "saved_model_cli"),
        "run",
        f"--dir={exported}",
        "--tag_set=serve",
        f"--signature_def={signature}",
        f"--inputs=waveform={tmp_path / 'waveform.npy'}",
        f"--outdir={tmp_path / 'out'}",
    )
    model = tf.saved_model.load(exported)
    if signature == "frames":
        expected = model.frames(waveform)
        assert set(expected) == {"frame_embeddings", "timestamps"}
    else:
        expected = {"embedding": model(waveform)}
    for name, values in expected.items():
        assert f"Result for output key {name}" in output
        written = np.load(tmp_path / "out" / f"{name}.npy")
        np.testing.assert_allclose(written, values, atol=1e-5)


REPLICAS = """
import sys, numpy as np, keras, tensorflow as tf, tf_keras, tensorflow_hub as hub
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import byola_tf
from tests import tiny_model

path, folder = sys.argv[1:]
waveform, labels = tiny_model.two_classes()
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert strategy.num_replicas_in_sync == 2

def train(keras, make_layer):
    with strategy.scope():
        layer = make_layer()
        model = keras.Sequential([layer, keras.layers.Dense(2)])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(1e-3), loss)
    before, embedding = layer.get_weights(), layer(waveform).numpy()
    losses = model.fit(waveform, labels, batch_size=8, epochs=4, verbose=0)
    losses = losses.history["loss"]
    assert losses[-1] < losses[0], losses
    after = layer.get_weights()
    changes = [np.abs(a - b).max() for a, b in zip(before, after)]
    return layer, model, changes, np.abs(layer(waveform) - embedding).max()

for make in (lambda: byola_tf.HubLayer(path), lambda: hub.KerasLayer(path)):
    kind = keras if isinstance(make(), keras.layers.Layer) else tf_keras
    _, _, changes, difference = train(kind, make)
    assert (len(changes), max(changes), difference) == (18, 0, 0), changes

layer, model, changes, difference = train(
    keras, lambda: byola_tf.HubLayer(path, trainable=True))
assert min(changes[:16]) > 1e-4 and max(changes[16:]) == 0, changes
assert difference > 0.01
for weight in model.weights:
    one, two = (replica.numpy() for replica in weight.value.values)
    np.testing.assert_array_equal(one, two, err_msg=weight.path)
expected = model.predict(waveform, verbose=0)
model.save(folder + "/classifier.keras")
def load():
    return keras.saving.load_model(folder + "/classifier.keras", safe_mode=False)
with strategy.scope():
    mirrored = load()
for reloaded in (mirrored, load()):
    np.testing.assert_allclose(
        reloaded.predict(waveform, verbose=0), expected, atol=1e-5)

layer, model, changes, difference = train(
    tf_keras, lambda: hub.KerasLayer(path, trainable=True))
assert min(changes[:16]) > 1e-4 and max(changes[16:]) == 0, changes
assert difference > 0.01
model.save(folder + "/classifier", save_format="tf")
reloaded = tf_keras.models.load_model(folder + "/classifier").layers[0]
for weight, saved in zip(layer.weights, reloaded.weights, strict=True):
    mean = np.mean([replica.numpy() for replica in weight.values], axis=0)
    np.testing.assert_allclose(saved.numpy(), mean, rtol=1e-5, err_msg=weight.name)
print("EQUAL")
"""


@pytest.mark.slow
@pytest.mark.newest_smoke
def test_both_layers_under_two_replicas(exported, tmp_path):
    # the number of logical devices is fixed once TensorFlow has started
    output = run(sys.executable, "-c", REPLICAS, exported, str(tmp_path))
    assert output.strip().endswith("EQUAL")


# Writes a model if there is none, and what the model makes of the sounds.
OTHER_STACK = """
import os, sys, numpy as np, tensorflow as tf
from hub_export import check
from tests import tiny_model

path, result = sys.argv[1:]
if not os.path.exists(path):
    tiny_model.write(path)
model = tf.saved_model.load(path)
waveform = check.sounds(16000, 1.0)
frames = model.frames(waveform)
np.savez(
    result,
    version=tf.__version__,
    embedding=model(waveform),
    training=model(waveform, training=True),
    **frames,
)
"""


def other_python():
    """The Python of the other stack, or a reason to skip."""
    named = os.environ.get("BYOLA_OTHER_PYTHON")
    if named:
        return named
    other = (
        ".venv" if pathlib.Path(sys.prefix).name == ".venv-newest" else ".venv-newest"
    )
    python = ROOT / other / "bin" / "python"
    if not python.exists():
        pytest.skip(f"needs the other stack, in {other} or named in BYOLA_OTHER_PYTHON")
    return str(python)


@pytest.mark.slow
@pytest.mark.newest_smoke
@pytest.mark.parametrize("writer", ["this stack", "the other stack"])
def test_model_opens_on_the_other_stack(tmp_path, writer):
    pythons = [sys.executable, other_python()]
    if writer == "the other stack":
        pythons.reverse()
    results = []
    for python in pythons:
        result = tmp_path / f"{len(results)}.npz"
        run(python, "-c", OTHER_STACK, str(tmp_path / "model"), str(result))
        results.append(np.load(result))
    written, opened = results
    assert written["version"] != opened["version"]
    for name in ("embedding", "frame_embeddings", "timestamps"):
        np.testing.assert_allclose(opened[name], written[name], atol=1e-5)
    assert opened["training"].shape == written["training"].shape
    assert np.abs(opened["training"] - opened["embedding"]).max() > 1e-3
