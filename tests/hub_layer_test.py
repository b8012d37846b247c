"""The Keras 3 layer over an exported model: frozen, fine-tuned, saved, misused."""

import os
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

import byola_tf
from byola_tf.errors import UserError
from tests import tiny_model


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    return tiny_model.write(tmp_path_factory.mktemp("hub_layer") / "model")


@pytest.fixture
def own_copy(exported, tmp_path):
    """A copy that a test may move."""
    return shutil.copytree(exported, tmp_path / "model")


def classifier(layer, length=None):
    waveform = keras.Input((length,))
    model = keras.Model(waveform, keras.layers.Dense(2)(layer(waveform)))
    compile_model(model)
    return model


def compile_model(model):
    model.compile(
        keras.optimizers.Adam(1e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )


def fit(model, epochs=4):
    losses = model.fit(
        *tiny_model.two_classes(), batch_size=8, epochs=epochs, verbose=0
    )
    return losses.history["loss"]


@pytest.mark.newest_smoke
def test_frozen_nothing_changes_and_trainable_everything_does(exported):
    layer = byola_tf.HubLayer(exported)
    model = classifier(layer)
    waveform, _ = tiny_model.two_classes()
    weights = layer.get_weights()
    embedding = byola_tf.load(exported)(waveform).numpy()

    frozen_losses = fit(model)

    assert frozen_losses[-1] < frozen_losses[0]
    assert layer.trainable_weights == []
    for old, new in zip(weights, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)
    for training in (False, True):
        output = layer(waveform, training=training)
        np.testing.assert_allclose(output, embedding, atol=1e-5)

    layer.trainable = True
    compile_model(model)
    losses = fit(model)

    assert losses[-1] < 0.7 * losses[0]
    assert (len(layer.trainable_weights), len(layer.weights)) == (12, 18)
    for old, weight in zip(weights[:16], layer.weights, strict=False):
        assert np.abs(old - weight.numpy()).max() > 1e-4, weight.path
    # the corpus statistics are no parameters
    np.testing.assert_array_equal(weights[16:], layer.get_weights()[16:])
    assert np.abs(layer(waveform) - embedding).max() > 0.01


@pytest.mark.newest_smoke
def test_inference_mode_trains_weights_and_keeps_statistics(exported, tmp_path):
    waveform, _ = tiny_model.two_classes()
    layer = byola_tf.HubLayer(exported, trainable=True, inference_mode=True)
    model = classifier(layer)
    before = {weight.path: weight.numpy() for weight in layer.weights}
    trained = {weight.path for weight in layer.trainable_weights}

    losses = fit(model)

    assert losses[-1] < losses[0]
    assert len(trained) == 12
    for weight in layer.weights:
        change = np.abs(before[weight.path] - weight.numpy()).max()
        assert (change > 1e-4) == (weight.path in trained), weight.path
    # what `fit` sees is what is seen afterwards
    np.testing.assert_array_equal(
        model(waveform, training=True), model(waveform, training=False)
    )
    model.save(tmp_path / "classifier.keras")
    reloaded = keras.saving.load_model(tmp_path / "classifier.keras")
    np.testing.assert_array_equal(
        reloaded(waveform, training=True), model(waveform, training=False)
    )


@pytest.mark.newest_smoke
def test_saved_keras_model_needs_no_exported_model(own_copy, tmp_path):
    waveform, _ = tiny_model.two_classes()
    model = classifier(byola_tf.HubLayer(own_copy, trainable=True))
    losses = fit(model)
    assert losses[-1] < 0.7 * losses[0]
    expected = model.predict(waveform, verbose=0)
    file_name = str(tmp_path / "classifier.keras")
    model.save(file_name)

    os.rename(own_copy, tmp_path / "elsewhere")
    gone = keras.saving.load_model(file_name)
    tiny_model.write(own_copy)
    with open(own_copy / "saved_model.pb", "ab") as file:
        file.write(b"\x08\x01")  # the schema version again: another file, same model
    replaced = keras.saving.load_model(file_name)

    for reloaded in (gone, replaced):
        np.testing.assert_array_equal(reloaded.predict(waveform, verbose=0), expected)
    saved, restored = model.optimizer.variables, gone.optimizer.variables
    assert len(saved) == 2 + 2 * 14
    for old, new in zip(saved, restored, strict=True):
        np.testing.assert_array_equal(new, old)


def test_configuration_alone_needs_the_exported_model(own_copy, tmp_path):
    waveform, _ = tiny_model.two_classes()
    layer = byola_tf.HubLayer(own_copy, trainable=True, name="sounds")
    config = layer.get_config()
    again = byola_tf.HubLayer.from_config(config)
    assert (again.name, again.trainable) == ("sounds", True)
    np.testing.assert_array_equal(again(waveform), layer(waveform))

    os.rename(own_copy, tmp_path / "elsewhere")
    empty = byola_tf.HubLayer.from_config(config)
    with pytest.raises(UserError, match="must be at '.*model'"):
        empty(waveform)
    empty.set_weights(layer.get_weights())
    np.testing.assert_array_equal(empty(waveform), layer(waveform))


def test_keras_export_of_the_whole_model(exported, tmp_path):
    waveform, _ = tiny_model.two_classes()
    model = classifier(byola_tf.HubLayer(exported))
    model.export(str(tmp_path / "served"), verbose=False)
    served = tf.saved_model.load(str(tmp_path / "served"))
    expected = model.predict(waveform, verbose=0)
    np.testing.assert_allclose(served.serve(waveform), expected, atol=1e-5)


@pytest.mark.parametrize("length", [None, 15200])
def test_batch_and_length(exported, length):
    layer = byola_tf.HubLayer(exported)
    output = layer(keras.Input((length,)))
    assert output.shape == (None, tiny_model.EMBEDDING_SIZE)
    assert output.dtype == "float32"
    model = classifier(layer, length)
    for batch in (1, 3):
        for num_samples in [length] if length else [1, 400, 15999]:
            waveform = np.zeros((batch, num_samples), np.float32)
            assert model.predict(waveform, verbose=0).shape == (batch, 2)


@pytest.mark.slow
def test_mixed_precision_leaves_the_layer_in_float32(exported):
    waveform, _ = tiny_model.two_classes()
    expected = byola_tf.HubLayer(exported)(waveform).numpy()
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        layer = byola_tf.HubLayer(exported, trainable=True)
        model = keras.Sequential([layer, keras.layers.Dense(2)])
        np.testing.assert_allclose(layer(waveform), expected, atol=1e-5)
        assert model(waveform).dtype == "float16"
        compile_model(model)
        losses = fit(model, epochs=3)
    finally:
        keras.config.set_dtype_policy(before)
    assert losses[-1] < losses[0]


def test_misuse_is_explained(exported, tmp_path):
    with pytest.raises(UserError, match="folder of an exported model"):
        byola_tf.HubLayer(str(tmp_path))
    tf.saved_model.save(tf.Module(), str(tmp_path / "other"))
    with pytest.raises(UserError, match="without __call__"):
        byola_tf.HubLayer(str(tmp_path / "other"))
    with pytest.raises(UserError, match="must be float32"):
        byola_tf.HubLayer(exported, dtype="mixed_bfloat16")
    layer = byola_tf.HubLayer(exported)
    for waveform in (np.zeros(100, "f"), np.zeros((1, 100), np.int16)):
        with pytest.raises(UserError, match=r"float \[batch, samples\]"):
            layer(waveform)
