"""Options of training: schedules, decay, clipping, parts, probe, budgets."""

import csv
import dataclasses
import json
import math
import os

import keras
import numpy as np
import pytest
import tensorflow as tf
from absl import flags

from byola_tf import BYOL, schedules
from byola_tf.config import BYOLConfig, Config, EncoderConfig, TrainConfig
from byola_tf.errors import UserError
from tests import sounds
from train_lib import pretrain
from train_lib.cli import config_flag
from train_lib.configs import smoke
from train_lib.training import distribution, trainer, workdir

SPLITS = ("train", "valid", "test")


def small_config(**train):
    return Config(
        encoder=EncoderConfig(channels=4, hidden_units=16, output_units=8, dropout=0.0),
        byol=BYOLConfig(hidden_units=32, projection_units=8),
        train=TrainConfig(**{"batch_size": 8, "learning_rate": 1e-3, **train}),
    )


def random_views(count=8, seed=0):
    rng = np.random.default_rng(seed)
    return tuple(rng.normal(size=(count, 96, 64)).astype("f") for _ in range(2))


def weights(model):
    return [variable.numpy() for variable in model.online_variables]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twenty sounds with `labels.csv`, a task of two classes."""
    path = sounds.write_folder(tmp_path_factory.mktemp("data") / "sounds", 20)
    with open(os.path.join(path, "labels.csv"), "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file_name", "label", "split"])
        for index in range(20):
            name = f"tone_{index:03d}.wav"
            table.writerow([name, "ab"[index % 2], SPLITS[index // 2 % 3]])
    return path


def make_config(folder, steps=6):
    config = smoke.get_config()
    config.data.pattern = folder
    config.train.steps = steps
    return config


def probing_config(folder, steps, every_epochs=1):
    config = make_config(folder, steps)
    config.train.probe_metadata = os.path.join(folder, "labels.csv")
    config.train.probe_every_epochs = every_epochs
    return config


def scalars(path, name):
    from tensorboard.backend.event_processing import event_accumulator

    folder = os.path.join(path, "tensorboard")
    events = event_accumulator.EventAccumulator(folder).Reload()
    return {
        event.step: float(tf.make_ndarray(event.tensor_proto))
        for event in events.Tensors(name)
    }


# Schedules.


def test_warm_up_then_cosine_has_these_values():
    config = small_config(learning_rate=0.1, warmup_steps=10, schedule="cosine")
    rate = schedules.learning_rate(config, 110)
    for step, expected in (
        (0, 0.01),
        (4, 0.05),
        (9, 0.1),
        (10, 0.1),
        (60, 0.05),
        (109, 0.1 * (0.5 + 0.5 * math.cos(math.pi * 0.99))),
        (110, 0.0),
        (200, 0.0),
    ):
        assert float(rate(step)) == pytest.approx(expected, abs=1e-7), step


def test_warm_up_alone_stays_at_the_top():
    rate = schedules.learning_rate(small_config(warmup_steps=4), None)
    found = [float(rate(step)) for step in (0, 3, 4, 10_000)]
    np.testing.assert_allclose(found, [0.25e-3, 1e-3, 1e-3, 1e-3])


def test_the_published_rate_is_a_plain_number():
    assert schedules.learning_rate(Config(), None) == 1e-4


@pytest.mark.parametrize("section", ["train", "byol"])
def test_a_cosine_of_unknown_length_is_refused(section):
    config = small_config()
    if section == "train":
        config.train.schedule = "cosine"
    else:
        config.byol.ema_schedule = "cosine"
    with pytest.raises(ValueError, match="needs the length of the run"):
        BYOL(config).compile()


def test_ema_ramps_from_its_value_to_one():
    config = small_config()
    config.byol.ema_schedule = "cosine"
    found = [float(schedules.ema_decay(step, config, 100)) for step in (0, 50, 100)]
    np.testing.assert_allclose(found, [0.99, 0.995, 1.0], atol=1e-6)


def test_target_follows_by_the_ramped_decay():
    config = small_config(steps=2)
    config.byol.ema_decay, config.byol.ema_schedule = 0.5, "cosine"
    model = BYOL(config)
    model.compile()
    target = model.target_encoder.hidden.kernel
    online = model.online_encoder.hidden.kernel
    for step, decay in enumerate((0.5, 0.75)):
        before = target.numpy()
        model.train_step(random_views(seed=step))
        expected = decay * before + (1 - decay) * online.numpy()
        np.testing.assert_allclose(target.numpy(), expected, atol=1e-6)


# Optimiser.


def test_weight_decay_shrinks_kernels_only():
    config = small_config(weight_decay=0.1, learning_rate=0.5)
    model = BYOL(config)
    model.compile()
    before = weights(model)
    zeros = [tf.zeros_like(variable.value) for variable in model.online_variables]
    model.optimizer.apply(zeros, model.online_variables)
    names = set()
    for variable, old in zip(model.online_variables, before, strict=True):
        names.add(variable.name)
        factor = 1 - 0.1 * 0.5 if variable.name == "kernel" else 1.0
        np.testing.assert_allclose(variable.numpy(), factor * old, rtol=1e-6)
    assert names == {"kernel", "bias", "gamma", "beta"}


def test_clipping_bounds_the_gradient_and_logs_the_whole_norm():
    def step(clip_norm):
        keras.utils.set_random_seed(0)
        model = BYOL(small_config(clip_norm=clip_norm))
        # plain steps, to read the gradient off the weights
        optimizer = keras.optimizers.SGD(1.0, global_clipnorm=clip_norm or None)
        model.compile(optimizer)
        before = weights(model)
        norm = float(model.train_step(random_views())["gradient_norm"])
        moved = [new - old for new, old in zip(weights(model), before, strict=True)]
        return norm, math.sqrt(sum(float(np.square(part).sum()) for part in moved))

    norm, moved = step(0.0)
    assert moved == pytest.approx(norm, rel=1e-4) and norm > 0.02
    assert step(0.01) == pytest.approx((norm, 0.01), rel=1e-4)


def test_clipping_and_decay_are_the_optimiser_s():
    adam = schedules.make_optimizer(small_config(clip_norm=0.5, weight_decay=0.02))
    assert (adam.global_clipnorm, adam.weight_decay) == (0.5, 0.02)
    plain = schedules.make_optimizer(Config())
    assert (plain.global_clipnorm, plain.weight_decay) == (None, None)


def test_accumulation_averages_the_gradients_of_the_parts():
    """The parts see batch normalisation of their own, as the field's text says."""

    def gradients(views, parts):
        keras.utils.set_random_seed(0)
        model = BYOL(small_config(accumulate_steps=parts))
        model.compile(keras.optimizers.SGD(1.0))
        before = weights(model)
        loss = float(model.train_step(views)["loss"])
        return loss, [
            old - new for new, old in zip(weights(model), before, strict=True)
        ]

    views = random_views()
    first = gradients(tuple(view[:4] for view in views), 1)
    second = gradients(tuple(view[4:] for view in views), 1)
    loss, found = gradients(views, 2)
    assert loss == pytest.approx((first[0] + second[0]) / 2, abs=1e-5)
    for both, one, other in zip(found, first[1], second[1], strict=True):
        np.testing.assert_allclose(both, (one + other) / 2, atol=2e-6)
    assert "batch normalisation sees the parts" in TrainConfig.__doc__


# Flags.


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("train.seconds=90", 90.0),
        ("train.seconds=1.5", 1.5),
        ("train.seconds=None", None),
        ("train.steps=7", 7),
        ("train.steps=None", None),
        ("train.schedule=cosine", "cosine"),
        ("train.warmup_steps=10", 10),
        ("train.weight_decay=0.01", 0.01),
        ("train.clip_norm=1", 1.0),
        ("train.accumulate_steps=2", 2),
        ("train.strategy=mirrored", "mirrored"),
        ("train.precision=mixed_bfloat16", "mixed_bfloat16"),
        ("train.keep_checkpoints=3", 3),
        ("train.stop_on_collapse=False", False),
        ("train.stop_on_collapse=true", True),
        ("train.probe_metadata=labels.csv", "labels.csv"),
        ("train.probe_audio=sounds", "sounds"),
        ("train.probe_unit_seconds=5", 5.0),
        ("train.probe_every_epochs=2", 2),
        ("train.probe_patience=4", 4),
        ("train.projector_every_epochs=5", 5),
        ("byol.ema_schedule=cosine", "cosine"),
        ("byol.predictor=False", False),
        ("data.sharding=worker", "worker"),
        ("data.unit_seconds=2", 2.0),
    ],
)
def test_every_option_parses_from_the_command_line(monkeypatch, argument, value):
    values = flags.FlagValues()
    holder = config_flag.define(values)
    arguments = ["x", "--config=byola_v2", f"--config.{argument}"]
    # config_flags looks there for the fields that need a flag
    monkeypatch.setattr("sys.argv", config_flag.expand(arguments))
    values(config_flag.expand(arguments))
    name = argument.partition("=")[0]
    found = config_flag.flatten(holder.value)[name]
    assert found == value and type(found) is type(value)
    holder.value.validate()


def test_none_is_for_optional_fields_only():
    with pytest.raises(UserError, match="train.learning_rate` must have a value"):
        config_flag.expand(["x", "--config=smoke", "--config.train.learning_rate=None"])


# Devices.


@pytest.mark.parametrize(
    ("tf_config", "said"),
    [
        (None, "Received: 'nothing'"),
        ("{", "Received: '{'"),
        ('{"cluster": {"worker": ["a:1"]}}', "must describe the cluster"),
        (
            '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
            "must be one of its workers. Received: 1 of 1",
        ),
        (
            '{"cluster": {"chief": ["b:1"], "worker": ["a:1"]}, '
            '"task": {"type": "chief", "index": 0}}',
            "must all be of type 'worker'",
        ),
    ],
)
def test_multi_worker_wants_a_cluster(monkeypatch, tf_config, said):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if tf_config is not None:
        monkeypatch.setenv("TF_CONFIG", tf_config)
    with pytest.raises(UserError) as refused:
        distribution.make_strategy(small_config(strategy="multi_worker"))
    assert said in str(refused.value) and "TF_CONFIG" in str(refused.value)


def test_batch_must_divide_over_replicas_and_parts():
    message = "Received: 8 over 1 x 3. Use a multiple of 3."
    with pytest.raises(UserError, match=message):
        distribution.make_strategy(small_config(accumulate_steps=3))
    with pytest.raises(UserError, match="accumulate_steps` must divide"):
        trainer.pretrain(small_config(accumulate_steps=3), "never")
    assert not os.path.exists("never")


# Whole runs.


def test_scheduled_rate_is_what_tensorboard_shows(folder, tmp_path):
    config = make_config(folder)
    config.train.warmup_steps, config.train.schedule = 2, "cosine"
    path = str(tmp_path / "run")
    trainer.pretrain(config, path)
    rate = schedules.learning_rate(config, 6)
    # the first step's rate is the schedule's at 0 steps done
    expected = {step: float(rate(step - 1)) for step in range(1, 7)}
    assert scalars(path, "learning_rate") == pytest.approx(expected)
    assert expected[1] == pytest.approx(0.5e-3)
    entries = workdir.read_log(path)
    assert [entry["step"] for entry in entries] == [1, 2, 3, 4, 5, 6]
    assert all(math.isfinite(entry["loss"]) for entry in entries)


def test_all_options_together_train_and_write_the_projector(folder, tmp_path):
    def configured(steps):
        config = make_config(folder, steps)
        config.data.unit_seconds = 2.0  # longer than the files, which are padded
        config.byol.predictor = False
        config.byol.ema_schedule = "cosine"
        train = dataclasses.replace(
            config.train,
            weight_decay=0.01,
            clip_norm=1.0,
            accumulate_steps=2,
            warmup_steps=2,
            projector_every_epochs=1,
        )
        return dataclasses.replace(config, train=train)

    path = str(tmp_path / "run")
    summary = trainer.pretrain(configured(4), path)
    assert summary.hours == pytest.approx(4 * 8 * 2.0 / 3600)
    assert all(math.isfinite(entry["loss"]) for entry in workdir.read_log(path))
    board = os.path.join(path, "tensorboard")
    for step in (2, 4):
        points = np.loadtxt(os.path.join(board, f"embedding_{step:08d}.tsv"))
        assert points.shape == (8, configured(4).encoder.embedding_size)
    with open(os.path.join(board, "projector_config.pbtxt")) as file:
        text = file.read()
    assert text.count("tensor_path") == 2 and "embedding_00000004.tsv" in text


def test_online_probe_is_logged_shown_and_summarised(folder, tmp_path, caplog):
    path = str(tmp_path / "run")
    caplog.set_level("INFO", logger="train_lib")
    other = os.path.join(folder, "other.webm")
    open(other, "wb").close()
    summary = trainer.pretrain(probing_config(folder, 8, 2), path)
    os.remove(other)
    accuracies = scalars(path, "probe/accuracy")
    assert list(accuracies) == [4, 8]
    assert summary.probe == pytest.approx(max(accuracies.values()))
    with open(os.path.join(path, "summary.json")) as file:
        assert json.load(file)["probe"] == summary.probe
    logged = [
        f"Probe after epoch {n}: {100 * a:.1f} %."
        for n, a in zip((2, 4), accuracies.values(), strict=True)
    ]
    assert all(line in caplog.text for line in logged)
    said = pretrain.describe(summary, path)
    assert f"best probe {summary.probe:.1%}" in said
    assert "2 files were left out by ending (1 .csv, 1 .webm). Convert" in said


class ScriptedProbe:
    """In place of the linear evaluation: accuracies in this order."""

    def __init__(self, accuracies):
        self.left = list(accuracies)

    def __call__(self, *_, **__):
        class Probe:
            result = {"mean": self.left.pop(0)}

        return Probe


def test_patience_stops_the_run_and_the_best_probe_is_kept(
    eager, folder, tmp_path, monkeypatch
):
    config = probing_config(folder, 40)
    config.train.probe_patience = 2
    config.train.checkpoint_every_steps = 3
    monkeypatch.setattr("train_lib.training.monitor.Monitor.epoch", lambda *_: None)
    path = str(tmp_path / "run")
    script = ScriptedProbe([0.5, 0.7, 0.6, 0.7])
    monkeypatch.setattr("train_lib.probe.linear.linear_probe", script)
    summary = trainer.pretrain(config, path)
    assert (summary.steps, summary.stopped_by, summary.probe) == (8, "probe", 0.7)
    assert "did not improve for" in pretrain.describe(summary, path)
    assert summary.best_checkpoint.endswith("step_00000004")
    assert os.path.isdir(summary.best_checkpoint)
    # run again, it stays stopped; with more patience it goes on
    assert trainer.pretrain(config, path).steps == 8
    config.train.probe_patience = 3
    script.left = [0.1]
    summary = trainer.pretrain(config, path)
    assert (summary.steps, summary.stopped_by) == (10, "probe")


def test_a_probe_that_cannot_run_is_refused_before_training(folder, tmp_path):
    config = make_config(folder)
    config.train.probe_metadata = os.path.join(folder, "absent.csv")
    with pytest.raises(UserError, match=r"absent\.csv"):
        trainer.pretrain(config, str(tmp_path / "run"))


def test_a_metadata_csv_in_this_folder_needs_no_path(folder, monkeypatch):
    from train_lib.training import online_probe

    config = Config()
    config.train.probe_metadata = "labels.csv"
    monkeypatch.chdir(folder)
    assert online_probe.OnlineProbe(config, None).enabled


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("probe_unit_seconds", 0.0),
        ("projector_every_epochs", -1),
        ("checkpoint_every_steps", -1),
        ("clip_norm", -1.0),
        ("seconds", 0.0),
        ("precision", "float64"),
        ("strategy", "tpu"),
    ],
)
def test_options_out_of_range_are_named(field, value):
    config = small_config(**{field: value})
    with pytest.raises(ValueError, match=f"`config.train.{field}` must"):
        config.validate()
