"""The encoder against the golden vectors; sizes; initial weights."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from byola_tf import Encoder
from byola_tf.config import EncoderConfig
from byola_tf.networks import pooling
from hub_export.pytorch import state_dict

ATOL = 1e-4


@pytest.mark.newest_smoke
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_embeddings_and_frames_equal_golden(golden, version):
    state = golden(f"encoder_{version}.state.npz")
    model, _ = state_dict.encoder_from_state({n: state[n] for n in state.files})
    vectors = golden(f"encoder_{version}.npz")
    for name in ("t96", "t101", "t501"):
        log_mel = vectors[f"{name}/input"]
        np.testing.assert_allclose(
            model(log_mel), vectors[f"{name}/embedding"], atol=ATOL
        )
        if f"{name}/frames" in vectors.files:
            np.testing.assert_allclose(
                model.frames(log_mel), vectors[f"{name}/frames"], atol=ATOL
            )


@pytest.fixture(scope="module")
def small():
    return Encoder(EncoderConfig(channels=4, hidden_units=16, output_units=8))


@pytest.mark.parametrize("frames", [4, 7, 96, 101])
def test_any_length_gives_floor_of_a_quarter_of_the_frames(small, frames):
    log_mel = np.random.default_rng(0).normal(size=(2, frames, 64)).astype("f")
    assert small.frames(log_mel).shape == (2, frames // 4, 64 + 8)


def test_pooling_is_the_sum_of_mean_and_maximum():
    frames = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("f")
    np.testing.assert_allclose(
        pooling.pool_time(frames), frames.mean(1) + frames.max(1), rtol=1e-6
    )
    np.testing.assert_allclose(
        pooling.pool_time(frames, "mean"), frames.mean(1), rtol=1e-6
    )
    np.testing.assert_allclose(pooling.pool_time(frames, "max"), frames.max(1))


def test_initial_weights_are_uniform_within_one_over_root_fan_in():
    model = Encoder(EncoderConfig())
    for layer, fan_in in (
        (model.backbone.convolutions[0], 9),
        (model.backbone.convolutions[1], 9 * 64),
        (model.hidden, 1024),
        (model.output_layer, 2048),
    ):
        limit = fan_in**-0.5
        kernel, bias = (v.numpy() for v in (layer.kernel, layer.bias))
        assert 0.9 * limit < np.abs(kernel).max() <= limit
        assert 0.5 * limit < np.abs(bias).max() <= limit
        assert kernel.std() == pytest.approx(limit / 3**0.5, rel=0.1)


def test_dropout_is_a_function_of_its_seed(small):
    log_mel = np.random.default_rng(0).normal(size=(2, 16, 64)).astype("f")
    embed = lambda seed: small(log_mel, training=True, dropout_seed=seed)  # noqa: E731
    np.testing.assert_array_equal(embed([1, 2]), embed([1, 2]))
    assert np.abs(embed([1, 2]) - embed([1, 3])).max() > 0


def test_wrong_number_of_mel_bins_is_named(small):
    with pytest.raises(ValueError, match="64 mel bins. Received"):
        small(np.zeros((1, 96, 32), "f"))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_inference_equals_the_layers_one_by_one(dtype):
    keras.utils.set_random_seed(0)
    config = EncoderConfig(channels=8, hidden_units=16, output_units=16)
    encoder = Encoder(config, dtype=dtype)
    rng = np.random.default_rng(0)
    for layer in encoder.backbone.normalizations:
        layer.set_weights([rng.uniform(0.3, 3, 8) for _ in range(4)])
        assert all(weight.dtype == "float32" for weight in layer.weights)
    log_mel = rng.normal(size=(2, 41, 64)).astype(np.float32)
    features = log_mel[..., None]
    layers = zip(
        encoder.backbone.convolutions, encoder.backbone.normalizations, strict=True
    )
    for convolution, normalization in layers:
        features = normalization(convolution(features), training=False)
        features = encoder.backbone.pools[0](tf.nn.relu(features))
    expected = tf.cast(tf.reshape(features, [2, 10, 128]), tf.float32)
    actual = tf.cast(encoder.local_features(log_mel), tf.float32)
    tolerance = {"float32": 1e-6, "bfloat16": 2e-2}[dtype]
    largest = tf.reduce_max(tf.abs(expected))
    assert tf.reduce_max(tf.abs(actual - expected)) < tolerance * largest
