"""Faults around a training run: two at once, dead sources, full disks, odd names."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time

import keras
import pytest

import byola_tf
from byola_tf import fetching, ownership
from byola_tf.corpus import corpus as corpora
from hub_export import saved_model
from tests import commands
from tests.smoke_run import make_config
from train_lib.training import checkpoints, interruption, trainer, workdir


def saved_steps(path):
    return sorted(os.listdir(os.path.join(path, "checkpoints")))


def test_a_second_run_on_a_work_directory_is_told_who_has_it(folder, tmp_path):
    path = str(tmp_path / "run")
    with ownership.owned_folder(path, "`--workdir`"):
        with pytest.raises(byola_tf.UserError, match=f"process {os.getpid()} on"):
            trainer.pretrain(make_config(folder, 2), path)


@pytest.mark.slow
def test_a_work_directory_may_have_the_characters_of_a_pattern(folder, tmp_path):
    path = str(tmp_path / "[v2] {first}*?")
    trainer.pretrain(make_config(folder, 2), path)
    trained = workdir.read_log(path)
    assert trainer.pretrain(make_config(folder, 2), path).steps == 2
    assert workdir.read_log(path) == trained  # the checkpoint was found
    saved_model.export(path, str(tmp_path / "[model]"))
    for model in (path, str(tmp_path / "[model]")):
        assert byola_tf.load(model)([[0.0] * 16000]).shape == (1, 160)


@pytest.mark.parametrize("how", ["killed source", "SIGTERM"])
def test_a_source_that_gives_no_more_ends_the_run_with_a_checkpoint(
    folder, tmp_path, monkeypatch, how
):
    path = str(tmp_path / "run")
    draw, never = corpora.Corpus._draw, threading.Event()

    def draw_or_wait(self, step):
        if step >= 12:  # beyond what is fetched ahead of step 4
            never.wait()
        return draw(self, step)

    monkeypatch.setattr(corpora.Corpus, "_draw", draw_or_wait)
    if how == "SIGTERM":
        expected = interruption.Interrupted

        def terminate():
            while not workdir.read_log(path):
                time.sleep(0.05)
            time.sleep(2)
            os.kill(os.getpid(), signal.SIGTERM)

        threading.Thread(target=terminate, daemon=True).start()
    else:
        expected = fetching.NoAnswerError
        opened = corpora.Corpus.__init__

        def impatient(self, *arguments):
            opened(self, *arguments)
            self.wait_seconds = 8.0

        monkeypatch.setattr(corpora.Corpus, "__init__", impatient)
    try:
        with pytest.raises(expected):
            trainer.pretrain(make_config(folder, 40), path)
    finally:
        never.set()
    last = workdir.read_log(path)[-1]["step"]
    assert 4 <= last <= 12
    assert saved_steps(path)[-1] == f"step_{last:08d}"


def test_a_full_disk_of_the_log_does_not_end_the_run(
    eager, folder, tmp_path, monkeypatch, caplog
):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(workdir.TrainLog, "write", full)
    assert trainer.pretrain(make_config(folder, 4), str(tmp_path / "run")).steps == 4
    assert caplog.text.count("No space left on device") == 1


@pytest.mark.slow
def test_another_length_under_a_cosine_is_said(eager, folder, tmp_path, caplog):
    path = str(tmp_path / "run")
    for steps in (4, 4, 8):
        config = make_config(folder, steps)
        config.train.schedule = "cosine"
        trainer.pretrain(config, path, until_step=steps - 1)
        assert ("span 8 steps now, 4 before" in caplog.text) == (steps == 8)


def test_the_best_of_an_older_version_was_the_smallest_loss_and_is_none(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    best = tmp_path / "checkpoints" / "best.json"
    kept = checkpoints.Checkpoints.__new__(checkpoints.Checkpoints)
    kept._work_directory = str(tmp_path)
    for content, expected in {
        '{"step": 3, "score": -0.41}': None,
        '{"step": 3, "score": 0.9}': {"step": 3, "score": 0.9},
        '{"step": "3", "score": 0.9}': None,
        "{": None,
    }.items():
        best.write_text(content)
        assert kept.best() == expected


def test_variables_of_equal_path_are_all_saved():
    variables = [keras.Variable(float(n), name="kernel") for n in range(3)]
    named = checkpoints._named(variables)
    assert [float(value) for value in named.values()] == [0.0, 1.0, 2.0]


WAIT = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's & ignores it
from train_lib.training import partners
with partners.waited_for(["localhost:1", "localhost:2"], 0, float(sys.argv[1])):
    print("waiting", flush=True)
    time.sleep(60)
"""


def test_partners_that_do_not_start_are_named_and_given_up():
    ended = commands.run("-c", WAIT, 1, timeout=60)
    assert ended.returncode == 2
    assert "Waiting for worker 1 (localhost:2) ..." in ended.stderr
    assert "--config.train.wait_seconds). Received: nothing from" in ended.stderr


def test_ctrl_c_ends_the_wait_for_partners():
    process = subprocess.Popen(
        [sys.executable, "-c", WAIT, "50"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Stopped by Ctrl-C" in said
