"""The command that trains: run, resume, refuse; through real processes."""

import json
import os
import shutil

import numpy as np
import pytest

from byola_tf.errors import UserError
from tests import commands
from tests.smoke_run import make_config
from train_lib.training import health, trainer, workdir


@pytest.fixture(scope="module")
def finished(folder, tmp_path_factory):
    """A work directory after six steps."""
    path = str(tmp_path_factory.mktemp("finished") / "run")
    summary = trainer.pretrain(make_config(folder, 6), path)
    return path, summary


def losses(path):
    return [(entry["step"], entry["loss"]) for entry in workdir.read_log(path)]


def test_run_leaves_everything_that_belongs_to_it(finished):
    path, summary = finished
    assert summary.steps == 6 and summary.samples == 48
    assert np.isfinite(summary.loss)
    assert {"config.json", "statistics.json", "summary.json", "train_log.jsonl"} <= set(
        os.listdir(path)
    )
    assert [step for step, _ in losses(path)] == [1, 2, 3, 4, 5, 6]
    # without a probe nothing tells which checkpoint is the best: the newest are kept
    kept = os.listdir(os.path.join(path, "checkpoints"))
    assert sorted(kept) == ["step_00000004", "step_00000006"]
    assert summary.best_checkpoint == summary.checkpoint
    with open(os.path.join(summary.checkpoint, "provenance.json")) as file:
        assert json.load(file)["steps"] == 6


def test_tensorboard_holds_scalars_spread_and_pictures(finished):
    from tensorboard.backend.event_processing import event_accumulator

    folder = os.path.join(finished[0], "tensorboard")
    events = event_accumulator.EventAccumulator(folder).Reload()
    tags = set(events.Tags()["tensors"])
    assert {
        "loss",
        "learning_rate",
        "views/mean_before",
        "views/std_before",
        "views/mean_after",
        "views/std_after",
        "embedding/std_per_dimension",
        "clip: log_mel, view_1, view_2",
    } <= tags
    assert len(events.Tensors("loss")) == 6
    assert len(events.Tensors("embedding/std_per_dimension")) == 3


@pytest.mark.slow
def test_resumed_run_equals_the_uninterrupted_one(folder, finished, tmp_path):
    path = str(tmp_path / "run")
    trainer.pretrain(make_config(folder, 4), path)
    trainer.pretrain(make_config(folder, 6), path)
    assert losses(path) == losses(finished[0])


@pytest.mark.slow
def test_a_run_in_parts_follows_the_schedules_of_the_whole(folder, tmp_path):
    config = make_config(folder, 6)
    config.train.schedule = config.byol.ema_schedule = "cosine"
    config.train.warmup_steps = 1
    whole, parts = str(tmp_path / "whole"), str(tmp_path / "parts")
    trainer.pretrain(config, whole)
    for until_step in (2, 6):
        summary = trainer.pretrain(config, parts, until_step)
        assert summary.steps == until_step
        assert os.path.isdir(summary.checkpoint)
    assert losses(parts) == losses(whole)


def test_finished_run_does_nothing_more(folder, finished, tmp_path):
    path = str(tmp_path / "run")
    shutil.copytree(finished[0], path)
    assert trainer.pretrain(make_config(folder, 6), path).steps == 6
    assert losses(path) == losses(finished[0])


def test_log_is_cut_back_to_the_checkpoint(finished, tmp_path):
    path = str(tmp_path / "run")
    shutil.copytree(finished[0], path)
    with open(os.path.join(path, "train_log.jsonl"), "a") as file:
        file.write('{"step": 7, "lo')
    log = workdir.TrainLog(path, 4)
    log.write(step=5, loss=1.0)
    log.close()
    assert [step for step, _ in losses(path)] == [1, 2, 3, 4, 5]


def test_work_directory_of_another_configuration_is_refused(folder, finished):
    config = make_config(folder, 6)
    config.encoder.hidden_units = 48
    with pytest.raises(
        UserError, match=r"config.encoder.hidden_units \(there 32, now 48"
    ):
        trainer.pretrain(config, finished[0])


def test_lost_loss_stops_the_run_and_keeps_the_checkpoint(folder, tmp_path):
    config = make_config(folder, 8)
    config.train.learning_rate = 1e30
    with pytest.raises(health.Unhealthy, match="LARS-scale"):
        trainer.pretrain(config, str(tmp_path / "run"))


def test_command_trains_exports_and_prints_what_next(folder, tmp_path):
    work, model = str(tmp_path / "work"), str(tmp_path / "model")
    trained = commands.run(
        "train_lib.pretrain",
        "--config=smoke",
        f"--config.data.pattern={folder}/**/*",
        "--config.train.steps=3",
        "--config.augment.blocks=('resize_crop','fade')",
        f"--workdir={work}",
    )
    assert trained.returncode == 0, trained.stderr
    assert "Done: 3 steps" in trained.stdout and "hub_export.export" in trained.stdout
    with open(os.path.join(work, "config.json")) as file:
        assert json.load(file)["augment"]["blocks"] == ["resize_crop", "fade"]
    exported = commands.run(
        "hub_export.export", f"--workdir={work}", f"--output={model}"
    )
    assert exported.returncode == 0, exported.stderr
    assert os.path.isfile(os.path.join(model, "saved_model.pb"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config=smoke", "--config.data.patern=x"], "Did you mean data.pattern"),
        (["--config=smok"], "byola_v1, byola_v2, demo"),
        (["--workdir=x"], "`--config` must be given"),
        (["--config=smoke", "--config.train.batch_size=many"], "invalid literal"),
        (["--config=smoke", "--config.data.pattern=absent"], "`--workdir` must be"),
        (["--config=smoke", "sounds"], "Unexpected argument 'sounds'"),
        (
            ["--config=smoke", "--workdir=never", "--config.data.pattern=absent/*"],
            "'absent' is not a folder",
        ),
        (
            ["--config=smoke", "--workdir=never", "--config.data.pattern=tests/*.py"],
            "match at least one audio file",
        ),
        (
            ["--config=smoke", "--workdir=never", "--config.byol.ema_decay=2"],
            "`config.byol.ema_decay` must lie in",
        ),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(arguments, message):
    refused = commands.run("train_lib.pretrain", *arguments)
    assert refused.returncode == 2
    lines = refused.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ") and message in lines[0]
    assert not os.path.exists("never")


def test_help_teaches_every_field_at_once():
    shown = commands.run("train_lib.pretrain", "--help")
    assert shown.returncode == 0
    assert "--config.augment.mixup_ratio=0.2" in shown.stdout
    assert "--workdir" in shown.stdout
