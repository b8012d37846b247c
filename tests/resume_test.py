"""Killed, stopped and damaged runs go on exactly where they were."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from byola_tf import BYOL, checkpoint
from byola_tf.errors import UserError
from tests import commands, smoke_run
from train_lib.training import (
    checkpoints as training_state,
)
from train_lib.training import (
    replicas,
    trainer,
    workdir,
)

STEPS = 40


def make_config(folder, steps=STEPS):
    config = smoke_run.make_config(folder, steps)
    config.train.checkpoint_every_steps = 5
    return config


@pytest.fixture(scope="module")
def uninterrupted(folder, tmp_path_factory):
    path = str(tmp_path_factory.mktemp("whole") / "run")
    trainer.pretrain(make_config(folder), path)
    return losses(path)


def losses(path):
    return [(entry["step"], entry["loss"]) for entry in workdir.read_log(path)]


def start(folder, path):
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "train_lib.pretrain",
            "--config=smoke",
            f"--config.data.pattern={folder}",
            f"--config.train.steps={STEPS}",
            "--config.train.checkpoint_every_steps=5",
            f"--workdir={path}",
        ],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def wait_for(condition, process):
    while not condition():
        assert process.poll() is None, process.stderr.read()[-2000:]
        time.sleep(0.001)


def last_step(path):
    logged = losses(path)
    return logged[-1][0] if logged else 0


def is_writing_a_checkpoint(path):
    parent = os.path.join(path, "checkpoints")
    names = os.listdir(parent) if os.path.isdir(parent) else []
    return any(name.endswith(".tmp") for name in names)


@pytest.mark.slow
def test_killed_three_times_the_losses_are_those_of_one_run(
    folder, uninterrupted, tmp_path
):
    path = str(tmp_path / "run")
    moments = (
        lambda: last_step(path) >= 8,
        lambda: last_step(path) >= 13 and is_writing_a_checkpoint(path),
        lambda: last_step(path) >= 27,
    )
    for moment in moments:
        process = start(folder, path)
        wait_for(moment, process)
        process.kill()
        process.communicate()
    process = start(folder, path)
    assert process.wait(timeout=300) == 0, process.stderr.read()[-2000:]
    assert losses(path) == uninterrupted
    assert not is_writing_a_checkpoint(path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)]
)
def test_a_stop_signal_leaves_a_checkpoint_and_a_message(
    folder, uninterrupted, tmp_path, number, status
):
    path = str(tmp_path / "run")
    process = start(folder, path)
    wait_for(lambda: last_step(path) >= 7, process)
    process.send_signal(number)
    _, said = process.communicate(timeout=120)
    assert process.returncode == status
    assert "with a checkpoint. Run the same command to go on." in said
    stopped = last_step(path)
    assert os.path.isdir(os.path.join(path, "checkpoints", f"step_{stopped:08d}"))
    trainer.pretrain(make_config(folder), path)
    assert losses(path) == uninterrupted


@pytest.mark.slow
def test_damaged_newest_checkpoint_falls_back_to_the_one_before(
    folder, uninterrupted, tmp_path, caplog
):
    path = str(tmp_path / "run")
    trainer.pretrain(make_config(folder, 10), path)
    newest = os.path.join(path, "checkpoints", "step_00000010")
    (data,) = [n for n in os.listdir(newest) if ".data-" in n]
    with open(os.path.join(newest, data), "rb+") as file:
        file.seek(1000)
        file.write(b"flip")
    trainer.pretrain(make_config(folder, 12), path)
    assert "does not have its checksum" in caplog.text
    assert losses(path) == uninterrupted[:12]


def test_a_checkpoint_of_another_version_says_what_to_do(
    eager, folder, tmp_path, monkeypatch
):
    path = str(tmp_path / "run")
    trainer.pretrain(make_config(folder, 2), path)
    trained = BYOL.online_variables.fget
    monkeypatch.setattr(
        BYOL, "online_variables", property(lambda model: trained(model)[1:])
    )
    with pytest.raises(UserError, match="of another version. Start again"):
        trainer.pretrain(make_config(folder, 4), path)
    assert checkpoint.load(path).encoder.built


def test_the_best_checkpoint_outlives_newer_ones(tmp_path):
    class Model:
        variables = ()

        class optimizer:  # noqa: N801
            variables = ()

    class Encoder:
        def save_weights(self, path):
            with open(path, "w") as file:
                file.write("weights")

    from byola_tf import checkpoint
    from byola_tf.config import Config
    from byola_tf.normalize import Statistics

    checkpoints = training_state.Checkpoints(str(tmp_path), Model, 2)
    opened = checkpoint.Checkpoint(Encoder(), Config(), Statistics(0.0, 1.0), {})
    for step, score in ((1, 0.1), (2, 0.9), (3, 0.2), (4, 0.3), (5, 0.4)):
        checkpoints.save(step, opened, {}, score)
    kept = [checkpoint.step_of(path) for path in checkpoint.step_folders(str(tmp_path))]
    assert kept == [2, 4, 5]
    assert checkpoints.best() == {"step": 2, "score": 0.9}


@pytest.mark.slow
def test_a_time_budget_stops_the_run_which_can_go_on(folder, uninterrupted, tmp_path):
    path = str(tmp_path / "run")
    config = make_config(folder)
    config.train.seconds = 0.001
    summary = trainer.pretrain(config, path)
    assert (summary.steps, summary.stopped_by) == (1, "seconds")
    config.train.seconds = None
    assert trainer.pretrain(config, path).steps == STEPS
    assert losses(path) == uninterrupted


@pytest.mark.slow
def test_one_mirrored_and_two_workers_train_the_same_model():
    for comparison in replicas.compare():
        assert comparison.loss_error <= 1e-4, comparison
        assert comparison.weight_error <= 1e-4, comparison
        assert comparison.replica_spread == 0, comparison


@pytest.mark.slow
def test_replicas_draw_different_dropout_masks(tmp_path):
    """With equal masks on both replicas, equal halves would have equal losses."""
    (alone,) = replicas.train("one", 1, 2, 0.0, str(tmp_path / "a"))
    (dropped,) = replicas.train("mirrored", 2, 2, 0.5, str(tmp_path / "b"))
    (again,) = replicas.train("mirrored", 2, 2, 0.5, str(tmp_path / "c"))
    assert abs(dropped["losses"][0] - alone["losses"][0]) > 1e-3
    assert list(dropped["losses"]) == list(again["losses"])


@pytest.mark.slow
def test_work_directory_moves_between_numbers_of_devices(folder, tmp_path):
    path = str(tmp_path / "run")
    trainer.pretrain(make_config(folder, 3), path)
    moved = str(tmp_path / "moved")
    shutil.copytree(path, moved)
    program = (
        "import tensorflow as tf\n"
        "tf.config.set_logical_device_configuration("
        "tf.config.list_physical_devices('CPU')[0], "
        "[tf.config.LogicalDeviceConfiguration()] * 2)\n"
        "from tests.resume_test import make_config\n"
        "from train_lib.training import trainer\n"
        f"config = make_config({folder!r}, 6)\n"
        "config.train.strategy = 'mirrored'\n"
        f"print(trainer.pretrain(config, {moved!r}).steps)\n"
    )
    run = commands.run("-c", program)
    assert run.stdout.strip() == "6", run.stderr[-2000:]
    assert losses(moved)[:3] == losses(path)
