"""The doctor of the environment finds what is broken, and nothing else."""

import importlib.metadata
import json
import math
import os
import pathlib
import platform
import subprocess
import sys
import tomllib
import types

import pytest
from packaging.requirements import Requirement

from byola_tf import versions
from hub_export.environment import compatibility, examination, parts, trials
from hub_export.environment.trials import Absent, Trial
from train_lib.training import distribution

ROOT = pathlib.Path(__file__).parents[1]
DEFAULT = {
    "absl-py": "2.5.1",
    "filelock": "4.3.1",
    "google-crc32c": "1.9.0",
    "keras": "3.15.1",
    "ml-collections": "1.1.0",
    "numpy": "1.26.4",
    "packaging": "26.4",
    "platformdirs": "4.14.8",
    "psutil": "7.2.2",
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
        ({"setuptools": None}, "limited", "setuptools, which is not installed"),
        ({"setuptools": "81.0.0"}, "note", "warns whenever"),
        ({"keras": "3.9.2"}, "broken", "Keras 3.9.2"),
        ({"numpy": "2.0.0"}, "broken", "needs NumPy 1.26"),
        ({"tensorflow-metadata": "1.18.0"}, "limited", "newer protobuf"),
        ({"soxr": None}, "broken", "soxr is not installed"),
        # what an installation may call itself
        ({"tensorflow": "2.16.0rc1", "tf-keras": "2.16.0"}, "limited", "to TFLite"),
        ({"tensorflow": "2.15.1+nv24.2", "tf-keras": "2.15.0"}, "broken", "Keras 2"),
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


def test_what_is_needed_is_what_the_package_declares():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = [Requirement(line).name for line in project["dependencies"]]
    assert sorted(compatibility.NEEDED) == sorted(declared)


def test_a_version_that_nobody_can_read_breaks_no_rule():
    found = {**DEFAULT, "keras": "my-own-build"}
    assert compatibility.find_problems(found) == []


def test_tensorflow_cpu_counts_as_tensorflow(monkeypatch):
    published = {"tensorflow-cpu": "2.17.1", "keras": "3.15.1"}

    def version(name):
        if name not in published:
            raise importlib.metadata.PackageNotFoundError(name)
        return published[name]

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert versions.installed("tensorflow", "keras", "soxr") == {
        "tensorflow": "2.17.1",
        "keras": "3.15.1",
    }


def test_memory_growth_of_a_gpu_in_use_stays_as_it_is(monkeypatch):
    import tensorflow as tf

    def refuse(gpu, growth):
        raise RuntimeError(
            "Physical devices cannot be modified after being initialized"
        )

    gpu = types.SimpleNamespace(name="GPU:0")
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [gpu])
    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", refuse)
    distribution.allow_memory_growth()


# Parts that are tried in a process of their own.


def works():
    print("first")
    return "all well"


def raises():
    return math.sqrt(-1)


def aborts():
    os.abort()


def ends():
    sys.exit(9)


def misses():
    raise Absent("no camera")


@pytest.fixture
def found_by_children(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.mark.parametrize(
    ("function", "modules", "status", "detail"),
    [
        (works, (), "works", "all well"),
        (works, ("no_such_package",), "absent", "no_such_package is not installed"),
        (misses, (), "absent", "no camera"),
        (raises, (), "fails", "ValueError"),
        (aborts, (), "fails", "killed by signal 6"),
        (ends, (), "fails", "status 9"),
    ],
)
def test_trial_says_what_happened(found_by_children, function, modules, status, detail):
    (outcome,) = trials.run_all([Trial("part", function, modules=modules)])
    assert outcome.status == status
    assert detail in outcome.detail


@pytest.mark.slow
@pytest.mark.parametrize("needed", [True, False])
def test_only_a_needed_part_makes_it_broken(monkeypatch, found_by_children, needed):
    monkeypatch.setattr(parts, "PARTS", (Trial("part", ends, needed),))
    found = examination.examine()
    assert found["broken"] == needed
    report = examination.text(found)
    assert "fails   part" in report and ("(needed)" in report) == needed


def test_the_parts_that_cost_little_work_here(found_by_children):
    for trial in parts.PARTS:
        if trial.name in ("decode with soundfile", "resample with soxr", "figures"):
            assert trials.run(trial).status == "works"


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
    assert len(outcomes) == len(parts.PARTS)
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
