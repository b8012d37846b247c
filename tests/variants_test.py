"""The papers' encoder variants: sizes, shapes, training, padding, own networks."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import byola_tf
from byola_tf import Encoder
from byola_tf.config import (
    AugmentConfig,
    BYOLConfig,
    Config,
    EncoderConfig,
    TrainConfig,
)
from byola_tf.embedding import long_recordings
from byola_tf.errors import UserError
from byola_tf.networks import backbones, pooling
from byola_tf.normalize import Statistics
from tests import one_step

FREQUENCY_MEAN = {"local_features": "frequency_mean"}
RESNET = {"architecture": "resnet18", "mlp": False}

# evaluation: section 4; name: configuration, size, parameters, [mel, time] of a crop
PUBLISHED = {
    "base": ({}, 3072, 6_333_376, (16, 24)),
    "conv=1, released": (
        {"num_blocks": 1, "output_units": 1024},
        3072,
        6_295_296,
        (32, 48),
    ),
    "conv=1, table": ({"num_blocks": 1}, 4096, 8_393_472, (32, 48)),
    "conv=3, released": (
        {"num_blocks": 3, "output_units": 2560},
        3072,
        6_370_944,
        (8, 12),
    ),
    "conv=3, table": ({"num_blocks": 3}, 2560, 5_321_856, (8, 12)),
    "mlp 8192": (
        {"hidden_units": 8192, "output_units": 8192},
        9216,
        75_551_680,
        (16, 24),
    ),
    "mlp 4096": (
        {"hidden_units": 4096, "output_units": 4096},
        5120,
        21_017_536,
        (16, 24),
    ),
    "mlp 1024": (
        {"hidden_units": 1024, "output_units": 1024},
        2048,
        2_137_024,
        (16, 24),
    ),
    "mlp 512": ({"hidden_units": 512, "output_units": 512}, 1536, 825_280, (16, 24)),
    "v1 2048": (
        {"num_blocks": 3, "concatenate_local": False},
        2048,
        5_321_856,
        (8, 12),
    ),
    "v1 1024": (
        {
            "num_blocks": 3,
            "concatenate_local": False,
            "hidden_units": 1024,
            "output_units": 1024,
        },
        1024,
        512 * 1024 + 1024 + 1024 * 1024 + 1024 + 74_880,
        (8, 12),
    ),
    "v1 512": (
        {
            "num_blocks": 3,
            "concatenate_local": False,
            "hidden_units": 512,
            "output_units": 512,
        },
        512,
        2 * (512 * 512 + 512) + 74_880,
        (8, 12),
    ),
    "(2) frequency mean": (FREQUENCY_MEAN, 2112, 4_367_296, (16, 24)),
    "(3) channel mean": (
        {"local_features": "channel_mean"},
        2064,
        4_268_992,
        (16, 24),
    ),
    "(4) global only": ({"concatenate_local": False}, 2048, 6_333_376, (16, 24)),
    "(5) local only": ({"mlp": False}, 1024, 37_824, (16, 24)),
    "(6) temporal mean": ({"pooling": "mean"}, 3072, 6_333_376, (16, 24)),
    "(7) temporal max": ({"pooling": "max"}, 3072, 6_333_376, (16, 24)),
    "resnet-18, plain": (
        {
            **RESNET,
            **FREQUENCY_MEAN,
            "pooling": "mean",
            "narrow_receptive_field": False,
        },
        512,
        11_170_240,
        (2, 3),
    ),
    "resnet-18, ReGP": (
        {**RESNET, "narrow_receptive_field": False},
        1024,
        11_170_240,
        (2, 3),
    ),
    "resnet-18, ReGP, narrow": (RESNET, 4096, 11_170_240, (8, 6)),
    "resnet-50, ReGP, narrow": (
        {**RESNET, "architecture": "resnet50"},
        16_384,
        23_501_760,
        (8, 6),
    ),
}


@pytest.mark.parametrize("row", PUBLISHED)
def test_sizes_equal_the_published_ones(row):
    options, size, parameters, (mel_bins, num_frames) = PUBLISHED[row]
    config = EncoderConfig(**options)
    encoder = Encoder(config)
    assert encoder.geometry.mel_bins == mel_bins
    assert config.embedding_size == size
    assert sum(int(np.prod(v.shape)) for v in encoder.trainable_variables) == parameters
    frames = encoder.frames(tf.zeros([1, 96, 64]))
    assert frames.shape == (1, num_frames, config.frame_embedding_size)
    assert encoder(tf.zeros([2, 96, 64])).shape == (2, size)


SMALL = {"channels": 4, "hidden_units": 12, "output_units": 8}
VARIANTS = {
    "flatten": {"pooling": "flatten"},
    "attention": {"pooling": "attention"},
    "COLA": {**FREQUENCY_MEAN, "mlp": False, "pooling": "mean"},
    "TRILL": {"local_features": "frequency_max", "mlp": False, "pooling": "max"},
    "PANNs": {**FREQUENCY_MEAN, "concatenate_local": False},
    "channel mean": {"local_features": "channel_mean"},
    "attention, alone": {"pooling": "attention", "concatenate_local": False},
    "whole mel": {"last_block_halves_mel": False},
    "resnet": RESNET,
}


@pytest.fixture(scope="module", params=VARIANTS)
def variant(request):
    """A small encoder whose moving statistics are not those of its start."""
    encoder = Encoder(EncoderConfig(**{**SMALL, **VARIANTS[request.param]}))
    encoder(tf.random.stateless_normal([4, 48, 64], [1, 2]) * 2 + 1, training=True)
    return encoder


def test_padding_changes_no_vector(variant):
    num_frames = [9, 40, 101]
    log_mel = tf.random.stateless_normal([3, 101, 64], [3, 4])
    padded = variant.embed_padded(log_mel, tf.constant(num_frames))
    frames = variant.frames(log_mel, num_frames=tf.constant(num_frames)).numpy()
    for clip, length in enumerate(num_frames):
        alone = variant(log_mel[clip : clip + 1, :length])
        np.testing.assert_allclose(
            padded[clip], alone[0], atol=1e-5 * np.abs(alone).max()
        )
        count = int(variant.geometry.num_frames(length))
        expected = variant.frames(log_mel[clip : clip + 1, :length])[0]
        assert len(expected) == count and not frames[clip, count:].any()
        np.testing.assert_allclose(frames[clip, :count], expected, atol=1e-4)


def test_windows_of_a_long_recording_equal_the_whole(variant):
    config = Config(encoder=variant.config)
    embedder = byola_tf.Embedder.from_encoder(variant, config, Statistics(-8.0, 5.0))
    waveform = np.random.default_rng(0).normal(0, 0.1, 16_000 * 12).astype("f")
    whole = embedder.model.frames(waveform[None])["frame_embeddings"][0].numpy()
    blocks = long_recordings.frame_blocks(
        lambda window: embedder.model.frames(window)["frame_embeddings"],
        np.split(waveform, [9_999, 80_000]),
        1,  # the shortest window that is possible
        config,
    )
    rows = np.concatenate(list(blocks))
    np.testing.assert_allclose(rows, whole, atol=1e-5 * np.abs(whole).max())


def test_mixed_precision_gives_float32(variant):
    config = variant.config
    encoder = Encoder(config, dtype="mixed_bfloat16")
    assert encoder(tf.ones([1, 96, 64])).dtype == tf.float32


def test_long_clips_are_means_of_flattened_parts():
    frames = tf.reshape(tf.range(10, dtype=tf.float32), [1, 5, 2])
    vector = pooling.concatenate_time(frames, 2).numpy()
    parts = [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 0, 0]]
    np.testing.assert_allclose(vector[0], np.mean(parts, axis=0))


def test_attention_ignores_order_but_not_content():
    attention = pooling.Attention(3)
    frames = tf.random.stateless_normal([1, 6, 3], [5, 6])
    pooled = attention(frames)
    np.testing.assert_allclose(attention(frames[:, ::-1]), pooled, atol=1e-6)
    weights = tf.nn.softmax(attention.score(frames), axis=1)
    np.testing.assert_allclose(pooled, tf.reduce_sum(weights * frames, 1), atol=1e-6)
    assert np.ptp(weights.numpy()) > 0


def make_own(encoder_config):
    """A network of a user's: two strided convolutions."""
    layers = [keras.layers.Conv2D(6, 3, 2, padding="same") for _ in range(3)]
    return keras.Sequential([keras.Input((None, encoder_config.n_mels, 1)), *layers])


@pytest.mark.parametrize("name", ["own", "tests.variants_test:make_own"])
def test_a_network_of_one_s_own_plugs_in(name, monkeypatch, request):
    monkeypatch.syspath_prepend(str(request.config.rootpath))
    backbones.register("own", make_own)
    config = EncoderConfig(architecture=name, hidden_units=12, output_units=8)
    assert (config.time_stride, config.embedding_size) == (8, 8 * 6 + 8)
    assert Encoder(config)(tf.zeros([2, 96, 64])).shape == (2, 56)
    restored = Config.from_json(Config(encoder=config).to_json()).encoder
    assert restored.embedding_size == 56


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_padded_clips_through_a_network_of_one_s_own(padding):
    # strided convolutions round up, pooling without padding rounds down
    backbones.register(
        "pooled", lambda _: keras.layers.MaxPooling2D(4, padding=padding)
    )
    config = Config(
        encoder=EncoderConfig(architecture="pooled", hidden_units=12, output_units=8)
    )
    embedder = byola_tf.Embedder.from_encoder(
        Encoder(config.encoder), config, Statistics(-7.0, 4.0)
    )
    rng = np.random.default_rng(0)
    clips = [rng.normal(0, 0.1, size).astype("f") for size in (9000, 8530, 8000, 7690)]
    for clip, vector in zip(clips, embedder(clips), strict=True):
        np.testing.assert_allclose(vector, embedder(clip)[0], atol=1e-4)


def test_a_network_that_is_unknown_or_odd_says_so():
    with pytest.raises(UserError, match="backbones.register first"):
        Encoder(EncoderConfig(architecture="transformer"))
    with pytest.raises(UserError, match="can be imported"):
        Encoder(EncoderConfig(architecture="no.such.module:make"))
    with pytest.raises(UserError, match="new one"):
        backbones.register("resnet18", make_own)
    backbones.register("flat", lambda _: keras.layers.GlobalAveragePooling2D())
    with pytest.raises(UserError, match="must map"):
        byola_tf.Encoder(EncoderConfig(architecture="flat"))
    backbones.register("unpadded", lambda _: keras.layers.Conv2D(4, 5, strides=2))
    with pytest.raises(UserError, match="rounded down or up"):
        byola_tf.Encoder(EncoderConfig(architecture="unpadded"))


def _step(encoder=None, byol=None, augment=None):
    config = Config(
        encoder=EncoderConfig(**{**SMALL, **(encoder or {})}),
        byol=BYOLConfig(hidden_units=16, projection_units=8, **(byol or {})),
        train=TrainConfig(batch_size=4, steps=1),
        augment=AugmentConfig(**(augment or {})),
    ).validate()
    return one_step.train(config)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_encoder_trains(name):
    _step(VARIANTS[name])


def test_mixing_log_mels_is_a_weighted_mean():
    log_mel, background = tf.fill([1, 2, 3], 1.0), tf.fill([1, 2, 3], 5.0)
    mixed = byola_tf.augment.mixup(log_mel, background, [0.25])
    np.testing.assert_allclose(mixed, np.full((1, 2, 3), 2.0))
    _step(augment={"mixup_domain": "log"})


@pytest.mark.parametrize("decay", [0.0, 0.5, 1.0])
def test_every_decay_moves_the_target_by_its_share(decay):
    model, _ = _step(byol={"ema_decay": decay})
    online = model.online_encoder.output_layer.kernel.numpy()
    target = model.target_encoder.output_layer.kernel.numpy()
    if decay == 0:
        np.testing.assert_array_equal(target, online)
    else:
        assert np.abs(target - online).max() > 0


def test_one_sided_loss_is_half_of_the_symmetric_one_at_the_start():
    keras.utils.set_random_seed(0)
    _, both = _step({"dropout": 0.0})
    keras.utils.set_random_seed(0)
    _, one = _step({"dropout": 0.0}, byol={"symmetric": False})
    assert one < both < 4 * one


def test_a_random_target_stays_another_network():
    model, _ = _step(byol={"target_start": "random", "ema_decay": 1.0})
    online = model.online_encoder.output_layer.kernel.numpy()
    target = model.target_encoder.output_layer.kernel.numpy()
    assert np.corrcoef(online.ravel(), target.ravel())[0, 1] < 0.5
