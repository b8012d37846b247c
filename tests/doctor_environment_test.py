"""The doctor of the environment finds what is broken, and nothing else."""

import json
import os
import platform
import subprocess
import sys

import pytest

from hub_export.environment import compatibility, examination, trials
from hub_export.environment.trials import Trial

DEFAULT = {
    "absl-py": "2.5.1",
    "google-crc32c": "1.9.0",
    "keras": "3.15.1",
    "ml-collections": "1.1.0",
    "numpy": "1.26.4",
    "pyarrow": "25.0.1",
    "setuptools": "80.8.0",
    "soundfile": "0.14.0",
    "soxr": "1.1.0",
    "tensorflow": "2.17.1",
    "tensorflow-hub": "0.16.1",
    "tensorflow-io": "0.37.1",
    "tensorflow-metadata": "1.17.3",
    "tf-keras": "2.17.0",
    "tqdm": "4.70.1",
}
NEWEST = {
    **{name: text for name, text in DEFAULT.items() if name != "tensorflow-io"},
    "numpy": "2.4.6",
    "tensorflow": "2.21.0",
    "tf-keras": "2.21.0",
}


@pytest.mark.parametrize(
    ("versions", "python"), [(DEFAULT, "3.12.4"), (NEWEST, "3.13.1")]
)
def test_tested_stacks_have_no_problems(versions, python):
    assert compatibility.find_problems(versions, python) == []


@pytest.mark.parametrize(
    ("changed", "severity", "words"),
    [
        ({"tensorflow": "2.18.1", "tf-keras": "2.18.0"}, "limited", "tensorflow-io"),
        ({"tensorflow": "2.16.2", "tf-keras": "2.16.0"}, "limited", "to TFLite"),
        ({"tensorflow": "2.15.1", "tf-keras": "2.15.0"}, "broken", "brings Keras 2"),
        ({"tf-keras": "2.18.0"}, "limited", "another TensorFlow than 2.17.1"),
        ({"tf-keras": None}, "limited", "needs tf-keras"),
        ({"pyarrow": "26.0.0"}, "limited", "refuses NumPy 1.26.4"),
        ({"setuptools": "82.0.1"}, "limited", "which setuptools 82.0.1 lacks"),
        ({"setuptools": None}, "limited", "which no setuptools lacks"),
        ({"setuptools": "81.0.0"}, "note", "warns whenever"),
        ({"keras": "3.9.2"}, "broken", "Keras 3.9.2"),
        ({"numpy": "2.0.0"}, "broken", "needs NumPy 1.26"),
        ({"tensorflow-metadata": "1.18.0"}, "limited", "newer protobuf"),
        ({"soxr": None}, "broken", "soxr is not installed"),
    ],
)
def test_each_bad_combination_is_found_alone(changed, severity, words):
    versions = {**DEFAULT, **changed}
    versions = {name: text for name, text in versions.items() if text}
    (problem,) = compatibility.find_problems(versions)
    assert problem.severity == severity
    assert words in problem.text
    assert problem.way_out


def test_combinations_that_the_newest_stack_allows():
    versions = {**NEWEST, "pyarrow": "26.0.0", "tensorflow-metadata": "1.18.0"}
    assert compatibility.find_problems(versions, "3.13") == []


def test_unfit_python_and_nothing_installed():
    problems = compatibility.find_problems({}, "3.10.2")
    assert {problem.severity for problem in problems} == {"broken"}
    assert "Python 3.10.2 is too old" in " ".join(p.text for p in problems)


def test_environment_variables_are_judged(tmp_path):
    assert examination.surroundings({"TFHUB_CACHE_DIR": str(tmp_path / "new")}) == []
    (problem,) = examination.surroundings({})
    assert (problem.severity, "TFHUB_CACHE_DIR" in problem.way_out) == ("note", True)
    variables = {"TFHUB_CACHE_DIR": str(tmp_path), "KERAS_BACKEND": "jax"}
    (problem,) = examination.surroundings(variables)
    assert problem.severity == "broken"


@pytest.mark.parametrize(
    ("program", "status", "detail"),
    [
        ("print('first'); print('all well')", "works", "all well"),
        ("needs('no_such_package')", "absent", "no_such_package is not installed"),
        ("import math; math.sqrt(-1)", "fails", "ValueError"),
        ("import os; os.abort()", "fails", "killed by signal 6"),
        ("sys.exit(9)", "fails", "status 9"),
    ],
)
def test_trial_says_what_happened(program, status, detail):
    (outcome,) = trials.run_all([Trial("part", True, program)])
    assert outcome.status == status
    assert detail in outcome.detail


@pytest.mark.parametrize("needed", [True, False])
def test_only_a_needed_part_makes_it_broken(monkeypatch, needed):
    monkeypatch.setattr(trials, "TRIALS", (Trial("part", needed, "sys.exit(9)"),))
    found = examination.examine()
    assert found["broken"] == needed
    report = examination.text(found)
    assert "fails   part" in report and ("(needed)" in report) == needed


def test_this_environment_is_described():
    found = examination.examine(try_parts=False)
    assert not found["broken"]
    assert found["versions"]["tensorflow"].startswith("2.")
    assert found["system"]["python"].startswith(platform.python_version())
    assert "What is needed works." in examination.text(found)


@pytest.mark.slow
@pytest.mark.newest_smoke
def test_command_tries_every_part(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "hub_export.doctor", "--json"],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "TFHUB_CACHE_DIR": str(tmp_path)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    outcomes = {part["name"]: part["status"] for part in found["parts"]}
    assert len(outcomes) == len(trials.TRIALS)
    optional = {"accelerators", "decode with tensorflow-io", "tensorflow-datasets"}
    for name, status in outcomes.items():
        assert status == "works" or name in optional, f"{name}: {status}"


def test_command_without_tensorflow_still_speaks(tmp_path):
    paths = [str(tmp_path), os.environ.get("PYTHONPATH", os.curdir)]
    (tmp_path / "tensorflow.py").write_text("raise ImportError('libcuda is broken')")
    done = subprocess.run(
        [sys.executable, "-m", "hub_export.doctor", "--notry"],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )
    assert "Known-bad combinations" in done.stdout, done.stderr
