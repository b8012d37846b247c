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
    reloaded = keras.saving.load_model(tmp_path / "classifier.keras", safe_mode=False)
    np.testing.assert_array_equal(
        reloaded(waveform, training=True), model(waveform, training=False)
    )


@pytest.mark.slow
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
    gone = keras.saving.load_model(file_name, safe_mode=False)
    tiny_model.write(own_copy)
    with open(own_copy / "saved_model.pb", "ab") as file:
        file.write(b"\x08\x01")  # the schema version again: another file, same model
    replaced = keras.saving.load_model(file_name, safe_mode=False)

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
    with pytest.raises(UserError, match="one of embedding, frames"):
        byola_tf.HubLayer(exported, output="frame")
    layer = byola_tf.HubLayer(exported)
    for waveform in (np.zeros(100, "f"), np.zeros((1, 100), np.int16)):
        with pytest.raises(UserError, match=r"float \[batch, samples\]"):
            layer(waveform)


def test_a_saved_model_without_our_signatures_is_named(tmp_path):
    class Foreign(tf.Module):
        variables = trainable_variables = ()

        @tf.function(input_signature=[tf.TensorSpec([None, None])])
        def __call__(self, waveform):
            return waveform

    foreign = Foreign()
    foreign.variables = foreign.trainable_variables = []
    tf.saved_model.save(foreign, str(tmp_path / "foreign"))
    with pytest.raises(UserError, match="without the signature 'serving_default'"):
        byola_tf.HubLayer(str(tmp_path / "foreign"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"shape": (16000, 1)},
        {"shape": (16000,), "dtype": "int16"},
        {"shape": ()},
    ],
)
def test_an_input_of_another_kind_is_refused_when_the_model_is_built(exported, wrong):
    layer = byola_tf.HubLayer(exported)
    with pytest.raises(UserError, match=r"float \[batch, samples\].*channel axis"):
        layer(keras.Input(**wrong))
    with pytest.raises(UserError, match=r"int \[batch\], a length for each clip"):
        layer(keras.Input((None,)), keras.Input((1,), dtype="int32"))


def test_clips_of_unequal_length_get_what_they_get_alone(exported, tmp_path):
    waveform, _ = tiny_model.two_classes(3)
    lengths = np.array([8000, 3000, 200])
    waveform[1, 3000:] = np.nan  # what follows has no influence
    layer = byola_tf.HubLayer(exported)
    inputs = keras.Input((None,)), keras.Input((), dtype="int32")
    model = keras.Model(inputs, layer(*inputs))
    found = model.predict((waveform, lengths), verbose=0)
    for row, clip, length in zip(found, waveform, lengths, strict=True):
        np.testing.assert_allclose(row, layer(clip[None, :length])[0], atol=1e-4)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=False)
    np.testing.assert_array_equal(again.predict((waveform, lengths), verbose=0), found)


@pytest.mark.slow
def test_frames_feed_a_recurrent_network(exported, tmp_path):
    waveform, labels = tiny_model.two_classes(4)
    layer = byola_tf.HubLayer(
        exported, trainable=True, inference_mode=True, output="frames"
    )
    expected = byola_tf.load(exported).frames(waveform)["frame_embeddings"]
    np.testing.assert_allclose(layer(waveform), expected, atol=1e-5)
    short = layer(waveform, np.full(4, 4000))
    assert not short.numpy()[:, 13:].any()
    inputs = keras.Input((None,))
    frames = layer(inputs)
    assert frames.shape == (None, None, tiny_model.EMBEDDING_SIZE)
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.GRU(4)(frames)))
    compile_model(model)
    before = [weight.numpy() for weight in layer.trainable_weights]
    model.fit(waveform, labels, verbose=0)
    for old, new in zip(before, layer.trainable_weights, strict=True):
        assert np.abs(old - new.numpy()).max() > 0
    with pytest.raises(UserError, match="`inference_mode` must be True"):
        byola_tf.HubLayer(exported, trainable=True, output="frames")(
            waveform, training=True
        )


@pytest.mark.slow
def test_a_fine_tuned_layer_becomes_a_model_again(exported, tmp_path):
    waveform, _ = tiny_model.two_classes()
    layer = byola_tf.HubLayer(exported, trainable=True)
    fit(classifier(layer), epochs=1)
    layer.export(str(tmp_path / "tuned"))
    embedder = byola_tf.load(str(tmp_path / "tuned"))
    np.testing.assert_allclose(embedder(waveform), layer(waveform), atol=1e-5)
    original = byola_tf.load(exported)
    assert np.abs(embedder(waveform) - original(waveform)).max() > 0.01
    assert embedder.provenance == {"fine_tuned": True}
    assert embedder.statistics == original.statistics
    byola_tf.HubLayer(str(tmp_path / "tuned"), trainable=True)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="`folder` must be a new folder"):
        layer.export(str(tmp_path / "thesis"))


def test_the_encoder_of_a_keras_file_is_exported(exported, tmp_path):
    from hub_export import saved_model

    waveform, _ = tiny_model.two_classes(2)
    inputs = keras.Input((None,))
    layers = [
        byola_tf.HubLayer(exported, trainable=True, name=name)
        for name in ("ears", "other")
    ]
    layers[0].weights[0].assign_add(keras.ops.ones_like(layers[0].weights[0]))
    model = keras.Model(inputs, [layer(inputs) for layer in layers])
    nested = keras.Sequential([keras.Input((None,)), model])
    path = str(tmp_path / "model.keras")
    nested.save(path)
    found = saved_model.read_keras(path, "ears")
    embedder = byola_tf.Embedder.from_encoder(
        found.encoder, found.config, found.statistics
    )
    np.testing.assert_allclose(embedder(waveform), layers[0](waveform), atol=1e-5)
    assert np.abs(embedder(waveform) - layers[1](waveform)).max() > 0.01
    with pytest.raises(UserError, match="None; .* has (ears, other|other, ears)"):
        saved_model.read_keras(path)
    (tmp_path / "broken.keras").write_bytes(b"broken")
    with pytest.raises(UserError, match="a .keras file that Keras opens"):
        saved_model.read_keras(str(tmp_path / "broken.keras"))
    doubling = keras.layers.Lambda(lambda x: 2 * x)
    keras.Sequential([keras.Input((3,)), doubling]).save(tmp_path / "lambda.keras")
    with pytest.raises(UserError, match="Lambda.*call layer.export"):
        saved_model.read_keras(str(tmp_path / "lambda.keras"))


def test_keras_safe_mode_refuses_the_graph_of_a_file(exported, tmp_path):
    model = classifier(byola_tf.HubLayer(exported))
    model.save(tmp_path / "classifier.keras")
    with pytest.raises(UserError, match="`safe_mode` must be False"):
        keras.saving.load_model(tmp_path / "classifier.keras")
    copy = keras.models.clone_model(model)  # of what is in memory, nothing to refuse
    assert copy.count_params() == model.count_params()


def test_clips_of_many_lengths_are_embedded_by_one_trace(exported):
    layer = byola_tf.HubLayer(exported)
    graphs = count_graphs()
    layer(np.zeros((1, 4000), np.float32))
    first = count_graphs() - graphs
    for num_samples in range(100, 4000, 100):
        layer(np.zeros((1, num_samples), np.float32))
    assert count_graphs() - graphs == first


def count_graphs() -> int:
    """Functions that TensorFlow's eager context has been given."""
    from tensorflow.python.eager import context

    return len(context.context().list_function_names())
