"""Files and folders are replaced whole; what a killed process left is put right."""

import os
import signal
import subprocess
import sys
import time

import pytest

from byola_tf import files
from byola_tf.errors import UserError


def dead_process():
    finished = subprocess.Popen([sys.executable, "-c", ""])
    finished.wait()
    return finished.pid


def left_by(path, pid, ending, host=None):
    """A name as a process of this host would have left it."""
    name = files._suffixed(str(path), ending)
    own, _, _ = name[len(str(path)) + 1 :].split("~")
    return name.replace(f"~{os.getpid()}~", f"~{pid}~").replace(own, host or own)


def test_a_text_has_the_same_bytes_everywhere(tmp_path):
    files.write_text(str(tmp_path / "x"), "ü\n")
    assert (tmp_path / "x").read_bytes() == b"\xc3\xbc\n"


def test_a_failed_replacement_leaves_what_was_there(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "whole").touch()
    with pytest.raises(RuntimeError), files.replacing_folder(f"{tmp_path}/model"):
        raise RuntimeError
    (tmp_path / "table").write_text("old")
    with pytest.raises(RuntimeError), files.replacing(f"{tmp_path}/table") as temporary:
        with open(temporary, "w") as file:
            file.write("half")
        raise RuntimeError
    assert sorted(os.listdir(tmp_path)) == ["model", "table"]
    assert (tmp_path / "table").read_text() == "old"
    assert os.listdir(tmp_path / "model") == ["whole"]


def test_what_a_killed_writer_left_goes_and_what_a_living_one_writes_stays(tmp_path):
    model = tmp_path / "model"
    dead = left_by(model, dead_process(), "tmp")
    living = left_by(model, os.getpid(), "tmp")
    elsewhere = left_by(model, 1, "tmp", host="other-host")
    ancient = left_by(model, 1, "tmp", host="old-host")
    other = left_by(tmp_path / "model.v2", dead_process(), "tmp")
    for path in (dead, living, elsewhere, ancient, other):
        os.mkdir(path)
    week_ago = time.time() - 7 * 24 * 3600
    os.utime(ancient, (week_ago, week_ago))
    with files.replacing_folder(str(model)):
        pass
    kept = {os.path.basename(path) for path in (living, elsewhere, other)}
    assert set(os.listdir(tmp_path)) == kept | {"model"}


def test_a_model_killed_between_two_renames_is_taken_back(tmp_path):
    program = (
        "import os, signal, sys\n"
        "from byola_tf import files\n"
        "rename = os.rename\n"
        "def once(old, new):\n"
        "    rename(old, new)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "os.rename = once\n"
        "with files.replacing_folder(sys.argv[1]):\n"
        "    pass\n"
    )
    model = tmp_path / "model"
    model.mkdir()
    (model / "saved_model.pb").touch()
    killed = subprocess.run([sys.executable, "-c", program, str(model)])
    assert killed.returncode == -signal.SIGKILL
    assert not model.exists()
    files.require_replaceable(str(model), "saved_model.pb", "--output")
    assert os.listdir(model) == ["saved_model.pb"]
    with files.replacing_folder(str(model)):
        pass
    assert os.listdir(tmp_path) == ["model"]


def test_only_a_folder_of_the_same_kind_is_replaced(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "marker").touch()
    for name in ("absent", "empty", "model"):
        files.require_replaceable(str(tmp_path / name), "marker", "--output")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "me.png").touch()
    os.symlink(tmp_path / "nowhere", tmp_path / "dangling")
    for name in ("photos", "photos/me.png", "dangling"):
        with pytest.raises(UserError, match="`--output` must be a new folder"):
            files.require_replaceable(str(tmp_path / name), "marker", "--output")
