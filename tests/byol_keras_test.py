"""BYOL and Encoder as Keras models: files, callbacks, evaluation, other defaults."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from byola_tf import BYOL, Encoder, batch_shares, frontend
from byola_tf.config import (
    BYOLConfig,
    Config,
    EncoderConfig,
    FrontendConfig,
    TrainConfig,
)
from byola_tf.errors import UserError
from byola_tf.networks import backbones
from tests import commands

_VALUES = {"loss", "embedding_std", "projection_std", "effective_rank", "dead_units"}


def _config(**train) -> Config:
    return Config(
        encoder=EncoderConfig(channels=4, hidden_units=12, output_units=8, dropout=0.1),
        byol=BYOLConfig(hidden_units=16, projection_units=8),
        train=TrainConfig(**{"batch_size": 4, "steps": 6, **train}),
    )


def _model(**train) -> BYOL:
    keras.utils.set_random_seed(1)
    model = BYOL(_config(**train))
    model.compile()
    return model


def _views(count, seed=0):
    rng = np.random.default_rng(seed)
    return tuple(rng.normal(size=(count, 96, 64)).astype("f") for _ in range(2))


def _batches(count=8, batch_size=4):
    return tf.data.Dataset.from_tensor_slices(_views(count)).batch(batch_size)


def _assert_equal_weights(first, second):
    for one, other in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "train",
    [
        pytest.param({}, marks=pytest.mark.slow),
        {"schedule": "cosine", "weight_decay": 0.1},
        {"precision": "mixed_float16"},
    ],
)
def test_a_saved_byol_is_loaded_and_trains_on_as_if_it_had_not_stopped(tmp_path, train):
    model = _model(**train)
    model.fit(_batches(), verbose=0)
    model.save(tmp_path / "x.keras")
    loaded = keras.models.load_model(tmp_path / "x.keras")
    _assert_equal_weights(model, loaded)
    assert (loaded.config, loaded.total_steps) == (model.config, 6)
    for one in (model, loaded):
        one.fit(_batches(), verbose=0)
    _assert_equal_weights(model, loaded)


def test_a_saved_encoder_is_loaded_with_its_precision(tmp_path):
    encoder = Encoder(_config().encoder, dtype="bfloat16", name="mine")
    encoder.save(tmp_path / "x.keras")
    loaded = keras.models.load_model(tmp_path / "x.keras")
    assert (loaded.compute_dtype, loaded.name) == ("bfloat16", "mine")
    log_mel = _views(2)[0]
    np.testing.assert_array_equal(loaded(log_mel), encoder(log_mel))


def test_a_clone_has_the_shape_and_weights_of_its_own():
    for model in (_model(), Encoder(_config().encoder)):
        clone = keras.models.clone_model(model)
        assert clone.config == model.config
        kernels = [one.get_weights()[0] for one in (model, clone)]
        assert kernels[0].shape == kernels[1].shape
        assert np.abs(kernels[0] - kernels[1]).max() > 0


def test_model_checkpoint_keeps_whole_models(eager, tmp_path):
    path = str(tmp_path / "best.keras")
    keep = keras.callbacks.ModelCheckpoint(path, monitor="val_loss")
    model = _model()
    history = model.fit(
        _batches(), validation_data=_batches(4), epochs=2, callbacks=[keep], verbose=0
    ).history
    assert len(history["val_loss"]) == 2 and os.path.getsize(path) > 1000
    assert keras.models.load_model(path).evaluate(_batches(), verbose=0)[0] > 0


@pytest.mark.slow
def test_backup_and_restore_goes_on_after_a_failure(eager, tmp_path):
    class Fails(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                raise InterruptedError

    def backup():
        return keras.callbacks.BackupAndRestore(str(tmp_path / "backup"))

    whole = _model()
    whole.fit(_batches(), epochs=2, verbose=0)
    with pytest.raises(InterruptedError):
        _model().fit(_batches(), epochs=2, callbacks=[backup(), Fails()], verbose=0)
    again = _model()
    history = again.fit(_batches(), epochs=2, callbacks=[backup()], verbose=0)
    assert history.epoch == [1]
    _assert_equal_weights(whole, again)


def test_evaluate_measures_without_training():
    model = _model()
    before = model.get_weights()
    first = model.evaluate(_batches(), return_dict=True, verbose=0)
    assert set(first) == _VALUES
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    # a mean over clips, whatever the batches
    other = model.evaluate(_batches(batch_size=3), return_dict=True, verbose=0)
    assert other["loss"] == pytest.approx(first["loss"], rel=1e-5)


def test_history_has_the_means_of_the_epoch_and_steps_have_their_own(eager):
    class Steps(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            losses.append(float(logs["loss"]))

    losses = []
    history = (
        _model()
        .fit(
            _batches(10),
            validation_data=_batches(4),
            epochs=2,
            verbose=0,
            callbacks=[Steps()],
        )
        .history
    )
    expected = [np.average(losses[at : at + 3], weights=[4, 4, 2]) for at in (0, 3)]
    assert history["loss"] == pytest.approx(expected, rel=1e-5)
    assert {*_VALUES, "gradient_norm"} < set(history)
    # the same numbers as the step alone, which a loop of one's own calls
    model = _model()
    own = [float(model.train_step(views)["loss"]) for views in _batches(10)]
    assert own == pytest.approx(losses[:3], rel=1e-5)


def test_something_else_than_two_views_is_refused():
    with pytest.raises(UserError, match="two views"):
        _model().train_step(_views(2)[0])


@pytest.mark.parametrize("sizes", [(4, 0, 4), (4, 3)])
def test_an_empty_batch_and_a_short_one_leave_no_nan(sizes):
    model = _model(accumulate_steps=2)
    for seed, size in enumerate(sizes):
        logs = model.train_step(_views(size, seed))
        assert np.isfinite([float(value) for value in logs.values()]).all()
    assert all(np.isfinite(weights).all() for weights in model.get_weights())


def test_fit_passes_over_a_batch_without_clips(eager):
    none = tf.data.Dataset.from_tensors(_views(0))
    data = _batches(4).concatenate(none).concatenate(_batches(3))
    model = _model()
    history = model.fit(data, verbose=0).history
    assert np.isfinite([values[0] for values in history.values()]).all()
    assert all(np.isfinite(weights).all() for weights in model.get_weights())
    assert model.evaluate(none, return_dict=True, verbose=0) is not None


@pytest.mark.parametrize("num_parts", [1, 2, 3, 7])
def test_parts_count_by_their_clips(num_parts):
    values = tf.constant([1.0, 2.0, 4.0, 8.0, 16.0])
    total = batch_shares.count_everywhere(values)
    parts = batch_shares.split(values, num_parts)
    weights = [batch_shares.weight(part, total, num_parts) for part in parts]
    means = [
        batch_shares.mean(part, weight)
        for part, weight in zip(parts, weights, strict=True)
    ]
    assert float(sum(means)) / num_parts == pytest.approx(31 / 5)
    equal = batch_shares.split(tf.range(12.0), 3)
    shares = [batch_shares.weight(part, tf.constant(12.0), 3) for part in equal]
    assert [float(share) for share in shares] == [1.0] * 3  # exactly, so to the bit


_REPLICAS = """
import keras, numpy as np, tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * 4,
)
from byola_tf import BYOL
from tests.byol_keras_test import _config, _views

def fit(size, replicas):
    devices = [f"CPU:{index}" for index in range(replicas)]
    with tf.distribute.MirroredStrategy(devices).scope():
        keras.utils.set_random_seed(1)
        config = _config(batch_size=8)
        config.encoder.dropout = 0.0
        model = BYOL(config)
        model.compile()
    data = tf.data.Dataset.from_tensor_slices(_views(8 + size)).batch(8)
    history = model.fit(data, epochs=1, verbose=0).history
    weights = model.get_weights()
    assert all(np.isfinite(part).all() for part in weights), size
    return history["loss"][0], weights

for size in (1, 5, 6):  # shares of the last batch: 1,0,0,0; 2,2,1,0; 2,2,2,0
    four, one = fit(size, 4), fit(size, 1)
    assert abs(four[0] / one[0] - 1) < 1e-3, (size, four[0], one[0])
    moving = [part for part in four[1] if part.ndim == 1]
    for first, second in zip(four[1], one[1]):
        if first.ndim == 1:
            np.testing.assert_allclose(first, second, atol=2e-2)
print("done")
"""


@pytest.mark.slow
def test_replicas_with_fewer_clips_or_none_train_as_one_does():
    finished = commands.run("-c", _REPLICAS)
    assert finished.stdout.endswith("done\n"), finished.stderr[-3000:]


def test_no_clips_give_no_vectors():
    config = FrontendConfig()
    empty = tf.zeros([0, 8000])
    assert frontend.log_mel_spectrogram(empty, config).shape == (0, 51, 64)
    padded, frames = frontend.padded_log_mel_spectrogram(
        empty, tf.zeros([0], tf.int32), config
    )
    assert (padded.shape, frames.shape) == ((0, 51, 64), (0,))
    for architecture in ("convolutional", "resnet18"):
        encoder = Encoder(
            EncoderConfig(architecture=architecture, hidden_units=8, output_units=8)
        )
        log_mel, size = tf.zeros([0, 51, 64]), encoder.config.embedding_size
        assert encoder(log_mel).shape == (0, size)
        assert encoder.embed_padded(log_mel, tf.zeros([0], tf.int32)).shape == (0, size)


@pytest.fixture
def odd_defaults():
    """What a program may have set for networks of its own."""
    found = (
        keras.mixed_precision.dtype_policy(),
        keras.config.floatx(),
        keras.config.image_data_format(),
    )
    keras.mixed_precision.set_global_policy("mixed_float16")
    keras.config.set_floatx("float16")
    keras.config.set_image_data_format("channels_first")
    yield
    keras.mixed_precision.set_global_policy(found[0])
    keras.config.set_floatx(found[1])
    keras.config.set_image_data_format(found[2])


@pytest.mark.parametrize(
    "encoder",
    [
        {},
        {"architecture": "resnet18", "hidden_units": 8, "output_units": 8},
        {"pooling": "attention"},
    ],
)
def test_keras_defaults_of_the_program_reach_no_layer_of_ours(
    odd_defaults, encoder, tmp_path
):
    def compute():
        keras.utils.set_random_seed(1)
        config = _config()
        for name, value in encoder.items():
            setattr(config.encoder, name, value)
        made = Encoder(config.encoder)
        model = BYOL(config)
        model.compile()
        logs = model.train_step(_views(4))
        assert {w.dtype for w in model.weights + made.weights} <= {"float32", "uint32"}
        assert model.optimizer.learning_rate.dtype == "float32"
        return made(_views(2)[0]), float(logs["loss"]), model.get_weights()

    odd = compute()
    keras.mixed_precision.set_global_policy("float32")
    keras.config.set_floatx("float32")
    keras.config.set_image_data_format("channels_last")
    usual = compute()
    np.testing.assert_array_equal(odd[0], usual[0])
    assert odd[1] == usual[1]
    for one, other in zip(odd[2], usual[2], strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "program",
    [
        "import byola_tf; byola_tf.load('x')",
        "from byola_tf import Encoder",
        "from byola_tf import HubLayer",
        "import byola_tf; byola_tf.networks",
    ],
)
def test_another_backend_of_keras_is_one_sentence(program):
    finished = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, "KERAS_BACKEND": "jax"},
    )
    last = finished.stderr.strip().splitlines()[-1]
    assert "UserError: byola_tf needs Keras's TensorFlow backend" in last


def test_a_command_has_its_own_backend():
    finished = subprocess.run(
        [sys.executable, "-m", "hub_export.inspect", "--model=absent"],
        capture_output=True,
        text=True,
        env={**os.environ, "KERAS_BACKEND": "jax"},
        cwd=os.path.dirname(os.path.dirname(__file__)),
    )
    assert finished.returncode == 2 and "Traceback" not in finished.stderr


def test_a_keras_file_names_no_code(tmp_path, monkeypatch):
    made = Encoder(_config().encoder)
    description = made.get_config()
    description["encoder_config"]["architecture"] = "helper:make"
    with pytest.raises(UserError, match="may not name code"):
        Encoder.from_config(description)
    description["encoder_config"] |= {"architecture": "convolutional", "channels": 0}
    with pytest.raises(UserError, match="`config.encoder.channels` must"):
        Encoder.from_config(description)
    whole = _model().get_config()
    whole["config"]["encoder"]["architecture"] = "helper:make"
    with pytest.raises(UserError, match="may not name code"):
        BYOL.from_config(whole)
    assert "helper" not in sys.modules and not backbones._REGISTERED.get("helper:make")
