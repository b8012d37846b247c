"""The training step: golden run, target network, fit, two replicas."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from byola_tf import BYOL, diagnostics, losses
from byola_tf.config import BYOLConfig, Config, EncoderConfig, TrainConfig
from hub_export.pytorch import state_dict

# their true gradient is zero, and Adam turns rounding noise into steps
NOISE = ("features.0.bias", "features.4.bias", "0.bias", "projector.3.bias")


def small_config(**train):
    return Config(
        encoder=EncoderConfig(channels=4, hidden_units=16, output_units=8, dropout=0.3),
        byol=BYOLConfig(hidden_units=32, projection_units=8),
        train=TrainConfig(batch_size=8, learning_rate=1e-3, **train),
    )


def random_views(count=8, seed=0):
    rng = np.random.default_rng(seed)
    return tuple(rng.normal(size=(count, 96, 64)).astype("f") for _ in range(2))


def load_head(head, state, prefix):
    names = [f"{prefix}{part}" for part in ("0.weight", "0.bias")]
    state_dict.set_layer(head.hidden, state, names, (1, 0))
    state_dict.set_normalization(head.normalization, state, f"{prefix}1.")
    names = [f"{prefix}{part}" for part in ("3.weight", "3.bias")]
    state_dict.set_layer(head.output_layer, state, names, (1, 0))


def named_weights(encoder, projector, prefix):
    """(state-dict name, our tensor in PyTorch's layout) of a network."""
    for block, convolution in enumerate(encoder.backbone.convolutions):
        kernel = convolution.kernel.numpy().transpose(3, 2, 1, 0)
        yield f"{prefix}encoder.features.{4 * block}.weight", kernel
    for layer, name in (
        (encoder.hidden, "encoder.fc.0"),
        (encoder.output_layer, "encoder.fc.3"),
        (projector.hidden, "projector.0"),
        (projector.output_layer, "projector.3"),
    ):
        yield f"{prefix}{name}.weight", layer.kernel.numpy().T
        yield f"{prefix}{name}.bias", layer.bias.numpy()
    normalizations = [
        (layer, f"encoder.features.{4 * block + 1}")
        for block, layer in enumerate(encoder.backbone.normalizations)
    ]
    normalizations.append((projector.normalization, "projector.1"))
    for layer, name in normalizations:
        yield f"{prefix}{name}.weight", layer.gamma.numpy()
        yield f"{prefix}{name}.bias", layer.beta.numpy()


@pytest.mark.newest_smoke
def test_five_steps_equal_golden(golden):
    config = Config(
        encoder=EncoderConfig(hidden_units=64, output_units=64, dropout=0.0),
        byol=BYOLConfig(hidden_units=128, projection_units=32),
        train=TrainConfig(learning_rate=1e-3, adam_epsilon=5e-10),
    )
    archive = golden("byol_initial.state.npz")
    state = {name: archive[name] for name in archive.files}
    encoder, _ = state_dict.encoder_from_state(
        {n: v for n, v in state.items() if n.startswith("online/encoder")}
    )
    model = BYOL(config)
    model.online_encoder.set_weights(encoder.get_weights())
    load_head(model.online_projector, state, "online/projector.")
    load_head(model.predictor, state, "predictor/")
    model.synchronize_target()
    model.compile()
    steps = golden("byol_steps.npz")
    train_step = tf.function(model.train_step)
    found = [float(train_step(tuple(views))["loss"]) for views in steps["views"]]
    np.testing.assert_allclose(found, steps["losses"], atol=1e-3)
    final = golden("byol_final.state.npz")
    checked = 0
    for encoder, projector, prefix in (
        (model.online_encoder, model.online_projector, "online/"),
        (model.target_encoder, model.target_projector, "target/"),
    ):
        for name, ours in named_weights(encoder, projector, prefix):
            if name.endswith(NOISE):
                continue
            error = np.linalg.norm(ours - final[name]) / np.linalg.norm(final[name])
            assert error < 1e-2, name
            checked += 1
    assert checked == 2 * 13


def test_loss_of_equal_directions_is_zero_and_of_opposite_ones_four():
    vectors = np.random.default_rng(0).normal(size=(5, 7)).astype("f")
    np.testing.assert_allclose(
        losses.regression_loss(vectors, 3 * vectors), 0, atol=1e-6
    )
    np.testing.assert_allclose(losses.regression_loss(vectors, -vectors), 4, atol=1e-6)


def test_target_starts_as_a_copy_and_moves_by_the_average_only():
    model = BYOL(small_config())
    model.compile()
    pairs = list(
        zip(
            model.target_encoder.trainable_variables,
            model.online_encoder.trainable_variables,
            strict=True,
        )
    )
    before = [target.numpy() for target, _ in pairs]
    for old, (_, online) in zip(before, pairs, strict=True):
        np.testing.assert_array_equal(old, online.numpy())
    model.train_step(random_views())
    for old, (target, online) in zip(before, pairs, strict=True):
        expected = np.float32(0.99) * old + np.float32(1 - 0.99) * online.numpy()
        np.testing.assert_allclose(target.numpy(), expected, atol=1e-7)
    moved = [
        np.abs(target.numpy() - old).max() > 0
        for old, (target, _) in zip(before, pairs, strict=True)
    ]
    # all but the two biases that feed a batch normalisation
    assert sum(moved) == len(pairs) - 2


def test_moving_statistics_of_the_target_are_its_own():
    model = BYOL(small_config())
    model.compile()
    moving = model.target_encoder.backbone.normalizations[0].moving_mean
    model.train_step(random_views())
    online = model.online_encoder.backbone.normalizations[0].moving_mean
    assert np.abs(moving.numpy()).max() > 0
    # first block, same weights, same views: equal batch statistics
    np.testing.assert_allclose(moving.numpy(), online.numpy(), rtol=1e-5)


def test_optimiser_knows_only_online_variables():
    model = BYOL(small_config())
    model.compile()
    online = len(model.online_variables)
    assert len(model.optimizer.variables) == 2 * online + 2


@pytest.mark.parametrize("predictor", [True, False])
def test_what_is_trained_is_what_changes_the_loss(predictor):
    config = small_config()
    config.byol.predictor, config.byol.ema_decay = predictor, 1.0
    config.byol.predictor, config.byol.ema_decay = predictor, 1.0
    config.train.learning_rate = config.encoder.dropout = 0.0
    keras.utils.set_random_seed(0)
    model = BYOL(config)
    model.compile()
    train_step = tf.function(model.train_step)

    def loss():
        return float(train_step(random_views())["loss"])

    networks = [model.online_encoder, model.online_projector, model.predictor]
    trained = {variable.path for variable in model.online_variables}
    before, effective, random = loss(), set(), np.random.default_rng(0)
    for network in filter(None, networks):
        for variable in network.trainable_variables:
            value = variable.numpy()
            variable.assign(value + random.normal(size=value.shape))
            if abs(loss() - before) > 1e-4:
                effective.add(variable.path)
            variable.assign(value)
    assert loss() == pytest.approx(before, abs=1e-6)
    assert trained == effective


def test_fit_learns_a_fixed_batch():
    keras.utils.set_random_seed(0)
    model = BYOL(small_config())
    model.compile()
    dataset = tf.data.Dataset.from_tensors(random_views()).repeat()
    history = model.fit(dataset, steps_per_epoch=10, epochs=3, verbose=0)
    assert history.history["loss"][-1] < history.history["loss"][0]
    assert {"loss", "gradient_norm", *diagnostics.NAMES} == set(history.history)
