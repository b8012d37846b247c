"""Runs commands as real processes that need not import TensorFlow each time.

A server has imported the heavy libraries and has run nothing of them. It forks
one process a command, which has flags, signals and an exit status of its own.
Where a test is about the start of a command, it uses `subprocess` instead.
"""

import atexit
import functools
import json
import os
import pathlib
import runpy
import select
import subprocess
import sys
import tempfile
import traceback
import types

ROOT = pathlib.Path(__file__).parents[1]


def run(module, *arguments, cwd=ROOT, timeout=300):
    """Runs `python -m MODULE ARGUMENTS`, or `python -c PROGRAM ARGUMENTS`.

    Args:
        module: The command's module, such as "train_lib.pretrain"; or "-c".
        *arguments: Its flags and words, anything that `str` takes; behind "-c"
            first the text of the program.
        cwd: The folder in which it runs.
        timeout: Seconds after which it is killed and the test fails.

    Returns:
        `subprocess.CompletedProcess` with the text of stdout and stderr.
    """
    words = [module, *map(str, arguments)]
    if sys.platform != "linux":  # macOS does not bear a fork after such imports
        command = [sys.executable, *(["-m"] if module != "-c" else []), *words]
        return subprocess.run(
            command, capture_output=True, text=True, cwd=cwd, timeout=timeout
        )
    with tempfile.TemporaryDirectory() as folder:
        streams = [os.path.join(folder, name) for name in ("stdout", "stderr")]
        status = _server().ask(words, str(cwd), timeout, streams)
        texts = [pathlib.Path(path).read_text("utf-8") for path in streams]
    return subprocess.CompletedProcess(words, status, *texts)


@functools.cache
def _server():
    return _Server()


class _Server:
    """The client's side of the process that forks the commands."""

    def __init__(self):
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.commands"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        atexit.register(self._close)

    def ask(self, words, cwd, timeout, streams):
        request = words, cwd, timeout, streams, dict(os.environ)
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        status = json.loads(self._process.stdout.readline())
        if status is None:
            raise subprocess.TimeoutExpired(words, timeout)
        return status

    def _close(self):
        self._process.stdin.close()
        self._process.wait()  # so that its processor time counts as the tests'


def _serve():
    import keras  # noqa: F401
    import scipy.signal  # noqa: F401
    import soundfile  # noqa: F401
    import soxr  # noqa: F401
    import tensorflow  # noqa: F401

    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        words, cwd, timeout, streams, environment = json.loads(line)
        child = os.fork()
        if not child:
            _become(words, cwd, streams, environment)
        print(json.dumps(_wait(child, timeout)), file=answers, flush=True)


def _wait(child, timeout):
    """The status of `child` as `subprocess` gives it; None if it took too long."""
    waiting = os.pidfd_open(child)
    ready, _, _ = select.select([waiting], [], [], timeout)
    os.close(waiting)
    if not ready:
        os.kill(child, 9)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status if ready else None


def _become(words, cwd, streams, environment):
    """Turns this fork into `python -m WORDS`; does not return."""
    status = 1
    try:
        for number, path in enumerate([os.devnull, *streams]):
            mode = os.O_WRONLY | os.O_CREAT if number else os.O_RDONLY
            os.dup2(os.open(path, mode), number)
        sys.stdin = open(0, closefd=False)
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(cwd)
        sys.path.insert(0, cwd)
        sys.argv = list(words)
        if words[0] == "-c":
            sys.argv.pop(1)
            sys.modules["__main__"] = types.ModuleType("__main__")
            exec(words[1], sys.modules["__main__"].__dict__)
        else:
            sys.orig_argv[:] = [sys.executable, "-m", *words]
            runpy.run_module(words[0], run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(bool(ended.code))
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    _serve()
