"""Export: the SavedModel computes what the checkpoint computes, everywhere."""

import json
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf

import byola_tf
from byola_tf import Encoder, checkpoint, files
from byola_tf.config import Config, EncoderConfig
from byola_tf.errors import UserError
from byola_tf.normalize import Statistics
from hub_export import check, saved_model
from tests import commands


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A checkpoint folder and the model exported from it."""
    folder = tmp_path_factory.mktemp("export")
    config = Config(encoder=EncoderConfig(channels=8, hidden_units=24, output_units=16))
    encoder = Encoder(config.encoder)
    for normalization in encoder.backbone.normalizations:
        normalization.moving_mean.assign(np.random.default_rng(0).normal(size=8))
    opened = checkpoint.Checkpoint(
        encoder, config, Statistics(-7.0, 4.5, 10), {"steps": 3}
    )
    path = str(folder / "checkpoints" / "step_00000003")
    with files.replacing_folder(path) as temporary:
        checkpoint.save(temporary, opened)
    saved_model.export(str(folder), str(folder / "model"))
    return str(folder), str(folder / "model")


@pytest.fixture(scope="module")
def in_memory(trained):
    return byola_tf.load(trained[0])


@pytest.mark.newest_smoke
@pytest.mark.parametrize("seconds", [0.3, 0.95, 1.0, 10.0])
def test_hub_load_and_keras_layer_equal_the_model_in_memory(
    trained, in_memory, seconds
):
    hub = pytest.importorskip("tensorflow_hub")
    waveform = check.sounds(16000, seconds)
    expected = in_memory(waveform).numpy()
    for model in (hub.load(trained[1]), hub.KerasLayer(trained[1])):
        np.testing.assert_allclose(model(waveform), expected, atol=1e-5)


@pytest.mark.newest_smoke
def test_signatures_and_methods_agree(trained):
    model = tf.saved_model.load(trained[1])
    waveform = tf.constant(check.sounds(16000, 1.0))
    embedding = model.signatures["serving_default"](waveform=waveform)["embedding"]
    np.testing.assert_allclose(embedding, model(waveform, training=False), atol=1e-5)
    portable = model.signatures["onnx"](waveform=waveform)["embedding"]
    np.testing.assert_allclose(portable, embedding, rtol=1e-5, atol=1e-5)
    frames = model.signatures["frames"](waveform=waveform)
    assert frames["frame_embeddings"].shape == (5, 25, 16 * 8 + 16)
    np.testing.assert_allclose(
        embedding,
        byola_tf.networks.pooling.pool_time(frames["frame_embeddings"]),
        atol=1e-5,
    )
    centres = 0.015 + 0.04 * np.arange(25)
    np.testing.assert_allclose(
        frames["timestamps"], np.tile(centres, (5, 1)), atol=1e-6
    )
    assert model.log_mel(waveform).shape == (5, 101, 64)


def test_reusable_attributes_are_complete(trained):
    model = tf.saved_model.load(trained[1])
    assert len(model.trainable_variables) == 12
    assert len(model.variables) == 12 + 4 + 2
    assert list(model.regularization_losses) == []
    metadata = json.loads(model.metadata().numpy())
    assert metadata["sample_rate"] == 16000
    assert metadata["statistics"] == {"mean": -7.0, "std": 4.5, "num_crops": 10}
    assert metadata["provenance"] == {"steps": 3}


def test_every_weight_is_stored_once(trained):
    reader = tf.train.load_checkpoint(os.path.join(trained[1], "variables/variables"))
    shapes = reader.get_variable_to_shape_map()
    stored = [shape for name, shape in shapes.items() if "VARIABLE_VALUE" in name]
    weights = checkpoint.load(trained[0]).encoder.weights
    expected = [list(weight.shape) for weight in weights] + [[], []]
    assert sorted(stored) == sorted(expected)


def test_what_hub_load_is_given_by_mistake_is_refused(trained):
    hub = pytest.importorskip("tensorflow_hub")
    model = hub.load(trained[1])
    clip = 0.5 * check.sounds(16000, 0.3)[1:2]
    np.testing.assert_allclose(model(clip.astype("float64")), model(clip), atol=1e-6)
    pcm = np.rint(clip * 32767).astype(np.int16)
    with pytest.raises(tf.errors.InvalidArgumentError, match="16-bit samples by 32768"):
        model(pcm)
    for wrong in (clip[0], clip[..., None], tf.constant(clip, tf.float64)):
        with pytest.raises(TypeError, match=r"shape=\(None, None\), dtype=tf.float32"):
            model(wrong)


def test_clips_of_many_lengths_cost_no_trace_a_length(trained):
    hub = pytest.importorskip("tensorflow_hub")
    model = hub.load(trained[1])
    embedder = byola_tf.load(trained[1])
    for num_samples in range(100, 4100, 100):
        clip = np.zeros((1, num_samples), np.float32)
        model(clip)
        model(clip, training=False)
        embedder(clip)
        embedder.frames(clip)
    for loaded in (model, embedder.model):
        for name in ("__call__", "embed", "frames_padded", "log_mel"):
            count = getattr(loaded, name).experimental_get_tracing_count()
            assert count <= 1, name


def test_keras_layer_fine_tunes(trained):
    hub = pytest.importorskip("tensorflow_hub")
    import tf_keras

    layer = hub.KerasLayer(trained[1], trainable=True)
    model = tf_keras.Sequential([layer, tf_keras.layers.Dense(2)])
    model.build((None, 16000))
    before = [v.numpy() for v in layer.trainable_weights]
    loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss)
    waveform = check.sounds(16000, 1.0)
    model.fit(waveform, np.arange(5) % 2, epochs=2, verbose=0)
    assert len(before) == 12
    for old, new in zip(before, layer.trainable_weights, strict=True):
        assert np.abs(old - new.numpy()).max() > 0


@pytest.mark.parametrize("which", [0, 1], ids=["checkpoint", "exported"])
def test_load_opens_both(trained, in_memory, which):
    embedder = byola_tf.load(trained[which])
    assert (embedder.embedding_size, embedder.sample_rate) == (144, 16000)
    assert embedder.provenance == {"steps": 3}
    waveform = check.sounds(16000, 0.5)
    np.testing.assert_allclose(embedder(waveform), in_memory(waveform), atol=1e-5)


@pytest.mark.parametrize("which", [0, 1], ids=["checkpoint", "exported"])
def test_other_statistics_change_the_normalisation(trained, which):
    embedder = byola_tf.load(trained[which])
    waveform = check.sounds(16000, 0.3)
    before = embedder.log_mel(waveform).numpy()
    after = embedder.with_statistics(-9.0, 2.0).log_mel(waveform).numpy()
    np.testing.assert_allclose(before * 4.5 - 7.0, after * 2.0 - 9.0, atol=1e-4)


@pytest.mark.slow
def test_a_model_is_exported_again_with_the_statistics_of_another_corpus(
    trained, in_memory, tmp_path
):
    output = str(tmp_path / "model")
    flags = [f"--workdir={trained[1]}", f"--output={output}", "--mean=-9", "--std=2"]
    run = commands.run("hub_export.export", *flags)
    assert run.returncode == 0, run.stderr
    opened = byola_tf.load(output)
    assert opened.statistics == Statistics(-9.0, 2.0, 0)
    training = {"mean": -7.0, "std": 4.5, "num_crops": 10}
    assert opened.provenance == {"steps": 3, "training_statistics": training}
    waveform = check.sounds(16000, 0.3)
    expected = in_memory.log_mel(waveform).numpy() * 4.5 - 7.0
    log_mel = opened.log_mel(waveform).numpy() * 2.0 - 9.0
    np.testing.assert_allclose(log_mel, expected, atol=1e-4)


def test_the_training_corpus_stays_the_first(trained):
    opened = checkpoint.load(trained[0])
    for mean in (-9.0, -8.0):
        opened = checkpoint.with_statistics(opened, Statistics(mean, 2.0))
    assert opened.statistics.mean == -8.0
    assert opened.provenance["training_statistics"]["mean"] == -7.0


def test_a_path_that_is_no_model_says_what_is_there(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(UserError, match="holds notes.txt"):
        byola_tf.load(str(tmp_path))
    with pytest.raises(UserError, match="does not exist"):
        byola_tf.load(str(tmp_path / "absent"))


def test_output_that_is_no_model_is_not_touched(trained, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="holds something else"):
        saved_model.export(trained[0], str(tmp_path))
    assert os.listdir(tmp_path) == ["thesis.tex"]


def test_failed_check_keeps_the_old_model(trained, tmp_path, monkeypatch):
    output = tmp_path / "model"
    shutil.copytree(trained[1], output)
    old = (output / "saved_model.pb").read_bytes()

    def fail(*_, **__):
        raise check.ParityError("no")

    monkeypatch.setattr(check, "assert_same_embeddings", fail)
    with pytest.raises(check.ParityError):
        saved_model.export(trained[0], str(output))
    assert (output / "saved_model.pb").read_bytes() == old
    assert os.listdir(tmp_path) == ["model"]


def test_check_notices_a_different_model(in_memory):
    with pytest.raises(check.ParityError, match="must agree"):
        check.assert_same_embeddings(
            lambda waveform: in_memory(waveform) + 0.1, in_memory, 16000
        )


def test_the_encoder_of_an_exported_model_can_be_rebuilt(trained, in_memory):
    opened = checkpoint.load(trained[1])
    assert (opened.statistics.mean, opened.provenance) == (-7.0, {"steps": 3})
    rebuilt = byola_tf.Embedder.from_encoder(
        opened.encoder, opened.config, opened.statistics
    )
    waveform = check.sounds(16000, 0.5)
    np.testing.assert_allclose(rebuilt(waveform), in_memory(waveform), atol=1e-6)
