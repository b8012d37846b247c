"""Two thousand mutations a format: read or refused, never a crash or a hang."""

import os
import pathlib
import subprocess
import sys

import pytest

from tests import fuzzing


@pytest.mark.slow
@pytest.mark.parametrize("name", fuzzing.FORMATS)
def test_mutated_files_are_read_or_refused(name):
    ended = subprocess.run(
        [sys.executable, "-m", "tests.fuzzing", name, "2000"],
        cwd=pathlib.Path(__file__).parents[1],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
