"""A padded batch gives every clip what it gets alone."""

import numpy as np
import pytest
import tensorflow as tf

from byola_tf import Embedder, Encoder
from byola_tf.config import Config, EncoderConfig, FrontendConfig
from byola_tf.embedding import exported_model
from byola_tf.errors import UserError
from byola_tf.networks import pooling
from byola_tf.normalize import Statistics

LENGTHS = [1, 2, 159, 480, 512, 513, 514, 1119, 1120, 1121, 3999, 4000]
SMALL = {"channels": 8, "hidden_units": 24, "output_units": 16}
VARIANTS = {
    "v2": EncoderConfig(**SMALL),
    "v1": EncoderConfig(**SMALL, num_blocks=3, concatenate_local=False),
    "one_block": EncoderConfig(**SMALL, num_blocks=1),
    "five_blocks": EncoderConfig(**SMALL, num_blocks=5),
    "mean": EncoderConfig(**SMALL, pooling="mean"),
    "max": EncoderConfig(**SMALL, pooling="max"),
}


def embedder(encoder_config, policy="float32", frontend=None):
    """An untrained encoder whose features are nowhere zero for silence."""
    config = Config(encoder=encoder_config, frontend=frontend or FrontendConfig())
    network = Encoder(encoder_config, dtype=policy)
    rng = np.random.default_rng(0)
    for normalization in network.backbone.normalizations:
        size = normalization.moving_mean.shape
        normalization.moving_mean.assign(rng.normal(0, 0.5, size))
        normalization.beta.assign(rng.normal(0, 0.5, size))
    return Embedder.from_encoder(network, config, Statistics(-7.0, 4.5))


def padded_batch(lengths, rest=0.0):
    """Noise of growing loudness, and `rest` after each clip's end."""
    rng = np.random.default_rng(1)
    waveform = np.full((len(lengths), max(lengths) + 700), rest, np.float32)
    for row, length in zip(waveform, lengths, strict=True):
        row[:length] = rng.normal(0, 0.05, length) + np.linspace(-0.4, 0.4, length)
    return waveform, np.array(lengths, np.int32)


def assert_same_vectors(actual, expected, tolerance=1e-5):
    scale = np.abs(expected).max()
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * scale)


@pytest.mark.newest_smoke
@pytest.mark.parametrize("variant", VARIANTS)
def test_each_clip_gets_the_vector_that_it_has_alone(variant):
    opened = embedder(VARIANTS[variant])
    waveform, num_samples = padded_batch(LENGTHS)
    vectors = opened.embed_padded(waveform, num_samples).numpy()
    frames = opened.frames_padded(waveform, num_samples)
    for row, length in enumerate(LENGTHS):
        clip = waveform[row : row + 1, :length]
        assert_same_vectors(vectors[row], opened(clip)[0].numpy())
        alone = opened.frames(clip)
        count = int(frames["num_frames"][row])
        assert count == alone["frame_embeddings"].shape[1]
        for name in ("frame_embeddings", "timestamps"):
            assert_same_vectors(frames[name][row, :count], alone[name][0].numpy())
            assert not np.any(frames[name][row, count:])


def test_what_follows_a_clip_has_no_influence():
    opened = embedder(VARIANTS["v2"])
    clean = opened.embed_padded(*padded_batch(LENGTHS)).numpy()
    for rest in (0.9, np.inf, np.nan):
        dirty = opened.embed_padded(*padded_batch(LENGTHS, rest))
        np.testing.assert_array_equal(dirty, clean)
    waveform, num_samples = padded_batch(LENGTHS, np.nan)
    frames = opened.frames_padded(waveform, num_samples)["frame_embeddings"]
    assert np.all(np.isfinite(frames))


def test_another_front_end():
    frontend = FrontendConfig(
        sample_rate=8000, n_fft=400, win_length=320, hop_length=100, f_max=3900.0
    )
    opened = embedder(VARIANTS["v2"], frontend=frontend)
    waveform, num_samples = padded_batch([1, 150, 201, 333, 1000])
    vectors = opened.embed_padded(waveform, num_samples).numpy()
    for row, length in enumerate(num_samples):
        alone = opened(waveform[row : row + 1, :length])[0].numpy()
        assert_same_vectors(vectors[row], alone)


def test_bfloat16_differs_by_its_rounding_only():
    wide = embedder(VARIANTS["v2"])
    narrow = embedder(VARIANTS["v2"], "mixed_bfloat16")
    narrow.model._encoder.set_weights(wide.model._encoder.get_weights())
    waveform, num_samples = padded_batch(LENGTHS)
    vectors = narrow.embed_padded(waveform, num_samples)
    assert vectors.dtype == tf.float32
    assert_same_vectors(vectors, wide.embed_padded(waveform, num_samples), 2e-2)
    alone = narrow(waveform[8:9, : LENGTHS[8]])[0].numpy()
    assert_same_vectors(vectors[8].numpy(), alone, 1e-2)


def test_the_exported_model_has_both_functions(tmp_path):
    opened = embedder(VARIANTS["v2"])
    waveform, num_samples = padded_batch(LENGTHS)
    saved = exported_model.ExportedModel(_checkpoint(opened))
    tf.saved_model.save(saved, str(tmp_path / "model"), signatures=saved.signatures())
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    np.testing.assert_allclose(
        loaded.embed_padded(waveform, num_samples),
        opened.embed_padded(waveform, num_samples),
        atol=1e-6,
    )
    frames = loaded.frames_padded(waveform, num_samples)
    expected = opened.frames_padded(waveform, num_samples)
    assert sorted(frames) == ["frame_embeddings", "num_frames", "timestamps"]
    for name, value in frames.items():
        np.testing.assert_allclose(value, expected[name], atol=1e-6)


@pytest.mark.parametrize("num_samples", [[0, 5], [5, 101], [-1, 5]])
def test_lengths_that_the_batch_does_not_have_are_refused(num_samples):
    opened = embedder(VARIANTS["v2"])
    with pytest.raises((tf.errors.InvalidArgumentError, UserError), match="must be 1"):
        opened.embed_padded(np.zeros((2, 100), np.float32), num_samples)


def test_pooling_counts_valid_frames_only():
    frames = tf.constant([[[-3.0], [-1.0], [9.0]]])
    for how, expected in (("mean", -2), ("max", -1), ("mean+max", -3)):
        pooled = pooling.pool_time(frames, how, tf.constant([2]))
        assert float(pooled[0, 0]) == expected


def _checkpoint(opened):
    from byola_tf.checkpoint import Checkpoint

    return Checkpoint(
        opened.model._encoder, opened.config, opened.statistics, opened.provenance
    )
