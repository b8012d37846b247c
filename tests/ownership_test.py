"""Two processes at once, and what a killed one leaves."""

import multiprocessing
import os
import signal
import threading

import pytest

from byola_tf import ownership
from byola_tf.errors import UserError

_spawn = multiprocessing.get_context("spawn")


def _own(path, ready, end, folder):
    own = ownership.owned_folder if folder else ownership.owned
    with own(path, "`--output`"):
        ready.set()
        end.wait(60)


@pytest.fixture
def start():
    """Starts a process that owns a path; returns it and what ends it."""
    started = []

    def start(path, folder=False):
        ready, end = _spawn.Event(), _spawn.Event()
        process = _spawn.Process(target=_own, args=(str(path), ready, end, folder))
        process.start()
        started.append(process)
        assert ready.wait(60)
        return process, end

    yield start
    for process in started:
        process.kill()
        process.join()


@pytest.mark.parametrize("folder", [False, True])
def test_the_second_process_is_told_who_writes_and_takes_over_from_a_killed_one(
    tmp_path, start, folder
):
    path = tmp_path / "out"
    own = ownership.owned_folder if folder else ownership.owned
    process, _ = start(path, folder)
    with pytest.raises(UserError, match=f"process {process.pid} on .* since 2"):
        with own(str(path), "`--output`"):
            pass
    assert ownership.owner(str(path)).pid == process.pid

    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert ownership.owner(str(path)) is None
    with own(str(path), "`--output`"):
        assert ownership.owner(str(path)).pid == os.getpid()
    left = os.listdir(path) if folder else os.listdir(tmp_path)
    assert left == []


def test_a_second_thread_is_refused(tmp_path):
    path = str(tmp_path / "out")
    refused = []

    def second():
        try:
            with ownership.owned(path, "`--output`"):
                pass
        except ownership.OwnedError as error:
            refused.append(str(error))

    with ownership.owned(path, "`--output`"):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    assert f"process {os.getpid()}" in refused[0]


def test_who_waits_goes_on_when_the_owner_has_ended(tmp_path, start):
    path = tmp_path / "out"
    process, end = start(path)
    timer = threading.Timer(0.3, end.set)
    timer.start()
    with ownership.owned(str(path), "`--cache`", wait_seconds=60):
        assert ownership.owner(str(path)).pid == os.getpid()
    timer.join()


def test_an_owned_folder_may_be_removed_by_its_owner(tmp_path):
    path = tmp_path / "parts"
    for _ in range(2):
        with ownership.owned_folder(str(path), "`--output`"):
            (path / "a").write_text("a")
            (path / "a").unlink()
            for name in os.listdir(path):
                (path / name).unlink()
            path.rmdir()
        assert not path.exists()


def test_what_a_killed_owner_left_is_cleaned_and_nothing_else(tmp_path):
    path = tmp_path / "model[1]"
    (tmp_path / "model[1].host~1~0123abcd.tmp").mkdir()
    (tmp_path / "model[1].host~1~0123abcd.tmp" / "half").write_text("half")
    (tmp_path / "model[1].host~1~89ab0123.old").mkdir()
    (tmp_path / "model[1].host~1~89ab0123.old" / "whole").write_text("whole")
    others = {"model[1].b.host~1~0123abcd.tmp", "model1.host~1~0123abcd.tmp"}
    others.add("model[1].tmp")
    for name in others:
        (tmp_path / name).write_text("another's")
    with ownership.owned(str(path), "`--output`"):
        assert (path / "whole").read_text() == "whole"
    assert set(os.listdir(tmp_path)) == {*others, "model[1]"}


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        with ownership.owned(str(tmp_path / "file" / "out"), "`--output`"):
            pass


def test_remote_paths_have_no_owner():
    with ownership.owned("gs://bucket/out", "`--output`"):
        pass
