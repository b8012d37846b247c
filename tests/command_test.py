"""What every command does with faults that are not its own."""

import errno
import logging
import os
import signal
import subprocess
import sys

import pytest

from byola_tf.errors import Stopped, UserError
from train_lib.cli import command, config_flag, faults, progress
from train_lib.training import health, interruption


def run(capsys, main, **options):
    """Runs `main` as a command; returns its exit status and stderr's lines."""
    with pytest.raises(SystemExit) as ended:
        command.run(main, argv=["command"], **options)
    return ended.value.code, capsys.readouterr().err.splitlines()


def raising(error):
    def main():
        raise error

    return main


# --- The environment's faults ---


def test_a_folder_below_a_file_is_one_line(capsys, tmp_path):
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "output"

    status, lines = run(capsys, lambda: os.makedirs(path))

    assert status == 2 and len(lines) == 1
    assert str(path) in lines[0] and "Not a directory" in lines[0]
    assert "name another place" in lines[0]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_names_the_file_that_was_written(capsys):
    def main():
        with open("/dev/full", "w") as file:
            file.write("x" * 100_000)

    status, lines = run(capsys, main)

    assert status == 2
    assert lines == [
        "error: '/dev/full': No space left on device. Free some space there, or "
        "name another place."
    ]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.EROFS, os.strerror(errno.EROFS), "o/x"), ["'o/x'", "Read-only"]),
        (PermissionError(errno.EACCES, "Permission denied", "o"), ["permissions"]),
        (OSError(errno.EMFILE, "Too many open files", "o"), ["ulimit -n"]),
        (OSError("5 requested and 0 written"), ["5 requested and 0 written"]),
        (MemoryError("Unable to allocate 8 GiB"), ["memory is used up", "8 GiB"]),
    ],
)
def test_a_fault_of_the_system_is_one_line(capsys, error, words):
    status, lines = run(capsys, raising(error))

    assert status == 2 and len(lines) == 1
    for word in words:
        assert word in lines[0]


def test_tensorflow_s_faults_are_one_line(tmp_path):
    import tensorflow as tf

    (tmp_path / "file").touch()
    below = str(tmp_path / "file" / "x")
    absent = str(tmp_path / "absent" / "x")
    for work, path, reason in (
        (lambda: tf.io.gfile.GFile(below, "w").write("x"), below, "Not a directory"),
        (lambda: tf.io.gfile.GFile(absent, "w").write("x"), absent, "No such file"),
        (lambda: tf.io.read_file(absent), absent, "No such file"),
        (lambda: tf.saved_model.save(tf.Module(), below), "file", "not a directory"),
        (lambda: tf.zeros([1 << 44]), "memory is used up", "OOM when allocating"),
    ):
        with pytest.raises(tf.errors.OpError) as raised:
            work()
        text = faults.describe(raised.value)
        assert path in text and reason in text and "\n" not in text
        assert "{{" not in text and "[Op:" not in text


def test_a_fault_of_the_program_keeps_its_traceback(capsys):
    with pytest.raises(ZeroDivisionError):
        command.run(lambda: 1 / 0, argv=["command"])


# --- Statuses ---


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (UserError("`x` must be 1."), 2, "error: `x` must be 1."),
        (health.Unhealthy("It collapsed."), 3, "stopped: It collapsed."),
        (interruption.Interrupted(15, "SIGTERM: stopped"), 143, "SIGTERM: stopped"),
        (Stopped("Enough."), 1, "Enough."),
        (KeyboardInterrupt(), 130, "Stopped by Ctrl-C."),
    ],
)
def test_each_end_has_its_status(capsys, error, status, line):
    assert run(capsys, raising(error)) == (status, [line])


def test_command_needs_nothing_of_the_training_loop():
    code = "import sys, train_lib.cli.command as c; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()

    assert "train_lib.training" not in modules and "tensorflow" not in modules


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no SIGHUP")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_closed_terminal_asks_to_stop_as_sigterm_does(number):
    before = signal.signal(number, signal.SIG_DFL)  # nohup ignores it
    try:
        with interruption.StopRequest() as request:
            os.kill(os.getpid(), number)
        assert request.signal == number
    finally:
        signal.signal(number, before)


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no SIGHUP")
def test_nohup_stays_in_force():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruption.StopRequest() as request:
            os.kill(os.getpid(), signal.SIGHUP)
        assert request.signal is None
    finally:
        signal.signal(signal.SIGHUP, before)


# --- A user's own configuration file ---


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("config.train.stepz", "line 4, in get_config: AttributeError"),
        ("{}['lost']", "line 4, in get_config: KeyError: 'lost'"),
        ("int('x')", "line 4, in get_config: ValueError: invalid literal"),
        ("unknown", "line 4, in get_config: NameError"),
        ("open('absent')", "line 4, in get_config: FileNotFoundError"),
        ("1 +", "line 4: SyntaxError"),
    ],
)
def test_own_config_file_that_raises_is_told_with_its_line(
    capsys, tmp_path, line, words
):
    path = tmp_path / "mine.py"
    path.write_text(
        "from byola_tf import Config\n"
        f"def get_config():\n    config = Config()\n    {line}\n    return config\n"
    )
    flag_values = command.flags.FlagValues()
    config = config_flag.define(flag_values)

    def parse(arguments):
        flag_values(config_flag.expand([*arguments, f"--config={path}"]))
        return arguments

    with pytest.raises(SystemExit) as ended:
        command.run(lambda: config.value.train, argv=["command"], prepare=parse)

    message = capsys.readouterr().err
    assert ended.value.code == 2
    assert f"{path}, {words}" in message and message.count("\n") == 1


# --- Telling is not the work ---

_PROGRAM = """
import logging, os, sys
from train_lib.cli import command, progress

def main():
    for step in progress.bar(range(3), 3, "working", mininterval=0):
        print("step", step, flush=True)
        logging.getLogger("train_lib").warning("at step %d", step)
    sys.stdout.write("x" * 100_000)
    with open(sys.argv[1][len("--made="):], "w") as file:
        file.write("done")

command.flags.DEFINE_string("made", None, "")
command.run(main, prints_result=len(sys.argv) > 2 and bool(sys.argv.pop()))
"""


def start(tmp_path, redirection, *arguments):
    """Runs the program above under a shell; returns status and stderr."""
    program = tmp_path / "program.py"
    program.write_text(_PROGRAM)
    made = tmp_path / "made"
    done = subprocess.run(
        [
            "bash",
            "-c",
            f'set -o pipefail; "$@" {redirection}',
            "bash",
            sys.executable,
            str(program),
            f"--made={made}",
            *arguments,
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return done.returncode, done.stderr, made


@pytest.mark.skipif(sys.platform == "win32", reason="needs bash")
@pytest.mark.parametrize(
    "redirection",
    ["2>&1 | true", "| true", ">/dev/full 2>&1", "2>/dev/full", ">&- 2>&-", "<&- 2>&-"],
)
def test_work_goes_on_when_nobody_can_be_told(tmp_path, redirection):
    status, errors, made = start(tmp_path, redirection)

    assert made.read_text() == "done", errors
    assert status == 0, errors
    assert "Traceback" not in errors and "Exception ignored" not in errors


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_result_lost_on_a_full_disk_is_a_failure(tmp_path):
    status, errors, _ = start(tmp_path, ">/dev/full", "result")

    assert status == 2
    assert "error: standard output: No space left on device" in errors


@pytest.mark.parametrize("stream", [None, "closed"])
def test_progress_without_stderr_counts_on(monkeypatch, tmp_path, stream):
    if stream:
        stream = open(tmp_path / "log", "w")
        stream.close()
    monkeypatch.setattr(sys, "stderr", stream)

    assert list(progress.bar(range(3), 3, "x", unit="step", disable=False)) == [0, 1, 2]


def test_messages_are_printed_once_however_often_a_command_runs(capsys):
    def main():
        logging.getLogger("byola_tf").info("told")

    run(capsys, main)
    assert run(capsys, main) == (None, ["told"])
