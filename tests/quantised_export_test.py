"""A phone developer quantises our model, or a classifier made with our layer."""

import csv
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

import byola_tf
from byola_tf import Encoder, audio, checkpoint
from byola_tf.config import Config
from byola_tf.embedding import exported_model
from byola_tf.normalize import Statistics
from hub_export import check
from tests import tiny_model

LITERT = pytest.importorskip("ai_edge_litert.interpreter")
INTERPRETERS = {"LiteRT": LITERT.Interpreter, "tf.lite": tf.lite.Interpreter}


def quantised(saved_model, half_precision=False):
    """The SavedModel under the converter's default optimisation."""
    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if half_precision:
        converter.target_spec.supported_types = [tf.float16]
    return converter.convert()


def run(content, clips, interpreter, signature):
    """Outputs of one signature, a clip at a time: the resized length is the clip's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tf.lite.Interpreter is deprecated
        opened = interpreter(model_content=content)
    signatures = opened.get_signature_list()
    (argument,) = signatures[signature]["inputs"]
    call = opened.get_signature_runner(signature)
    return np.stack(
        [next(iter(call(**{argument: clip[None]}).values()))[0] for clip in clips]
    )


def worst_cosine(found, expected):
    products = np.sum(found * expected, axis=1)
    return np.min(
        products / np.linalg.norm(found, axis=1) / np.linalg.norm(expected, axis=1)
    )


def keras_classifier(model, weights):
    """HubLayer and a dense layer; returns the model and what exports it."""
    waveform = keras.Input((None,))
    dense = keras.layers.Dense(weights[0].shape[1])
    classifier = keras.Model(waveform, dense(byola_tf.HubLayer(model)(waveform)))
    dense.set_weights(weights)
    return classifier, lambda path: classifier.export(path, verbose=False)


def tf_keras_classifier(model, weights):
    """The same of hub.KerasLayer and tf_keras."""
    hub = pytest.importorskip("tensorflow_hub")
    import tf_keras

    dense = tf_keras.layers.Dense(weights[0].shape[1])
    classifier = tf_keras.Sequential(
        [tf_keras.Input((None,)), hub.KerasLayer(model), dense]
    )
    dense.set_weights(weights)
    return classifier, classifier.export


CLASSIFIERS = {"Keras 3": keras_classifier, "tf_keras": tf_keras_classifier}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_model.write(tmp_path_factory.mktemp("quantised") / "model")


@pytest.mark.newest_smoke
def test_the_quantised_model_embeds_as_the_model(tiny):
    loaded = tf.saved_model.load(tiny)
    quiet = 1e-3 * check.sounds(16000, 1.3)[1:]
    clips = [*check.sounds(16000, 1.0), *quiet]
    content = quantised(tiny)
    for name, interpreter in INTERPRETERS.items():
        for clip in clips:
            expected = loaded(clip[None], training=False).numpy()
            for signature in ("serving_default", "onnx"):
                found = run(content, [clip], interpreter, signature)
                assert worst_cosine(found, expected) > 0.999, (name, signature)


@pytest.mark.newest_smoke
@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_a_quantised_classifier_keeps_its_outputs(tiny, tmp_path, kind):
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=(tiny_model.EMBEDDING_SIZE, 5)), np.zeros(5)]
    classifier, export = CLASSIFIERS[kind](tiny, weights)
    clips, _ = tiny_model.two_classes(4, 12345)
    expected = classifier.predict(clips, verbose=0)
    export(str(tmp_path / "served"))
    content = quantised(tmp_path / "served")
    for name, interpreter in INTERPRETERS.items():
        found = run(content, clips, interpreter, "serving_default")
        assert worst_cosine(found, expected) > 0.999, name
        np.testing.assert_array_equal(found.argmax(1), expected.argmax(1))


def test_half_precision_leaves_the_front_end_exact(tiny):
    loaded = tf.saved_model.load(tiny)
    module = tf.Module()
    module.loaded = loaded
    module.log_mel = tf.function(
        lambda waveform: {"log_mel": loaded.log_mel(waveform)},
        input_signature=[tf.TensorSpec([1, None], tf.float32, name="waveform")],
    )
    path = tiny + "_front_end"
    tf.saved_model.save(module, path, {"log_mel": module.log_mel})
    content = quantised(path, half_precision=True)
    for clip in check.sounds(16000, 0.5)[1:]:
        found = run(content, [clip], LITERT.Interpreter, "log_mel")
        np.testing.assert_allclose(found, loaded.log_mel(clip[None]), atol=1e-3)


@pytest.mark.slow
def test_every_label_of_esc10_is_kept(shared, tmp_path):
    from sklearn.linear_model import LogisticRegression

    keras.utils.set_random_seed(0)
    config = Config()
    opened = checkpoint.Checkpoint(
        Encoder(config.encoder), config, Statistics(-7.0, 4.5), {}
    )
    model = str(tmp_path / "model")
    exported_model.save(opened, model)
    clips, labels, folds = read_esc10(shared / "data" / "esc10")
    embedder = byola_tf.load(model)
    vectors = np.concatenate([embedder(clip).numpy() for clip in clips])
    training = folds != 1
    probe = LogisticRegression(C=0.01, max_iter=300)
    probe.fit(vectors[training], labels[training])
    assert probe.score(vectors[~training], labels[~training]) > 0.6
    weights = [probe.coef_.T, probe.intercept_]
    clips = [clip for clip, fold in zip(clips, folds, strict=True) if fold == 1]
    content = quantised(model)
    for interpreter in INTERPRETERS.values():
        found = run(content, clips, interpreter, "serving_default")
        assert worst_cosine(found, vectors[~training]) > 0.999
    for kind, make in CLASSIFIERS.items():
        classifier, export = make(model, weights)
        expected = classifier.predict(np.stack(clips), verbose=0)
        export(str(tmp_path / kind))
        content = quantised(tmp_path / kind)
        for interpreter in INTERPRETERS.values():
            found = run(content, clips, interpreter, "serving_default")
            assert worst_cosine(found, expected) > 0.999
            np.testing.assert_array_equal(found.argmax(1), expected.argmax(1))


def read_esc10(folder):
    """Clips of five seconds, numbers of their classes, and folds."""
    with open(folder / "esc10.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    names = sorted({row["label"] for row in rows})
    clips = [audio.load(str(folder / row["file_name"]), 16000) for row in rows]
    clips = [np.resize(clip, 80000) for clip in clips]
    labels = np.array([names.index(row["label"]) for row in rows])
    return clips, labels, np.array([int(row["fold"]) for row in rows])
