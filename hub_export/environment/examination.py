"""Examines the environment that the project runs in."""

import dataclasses
import importlib.metadata
import os
import platform
import re
import tempfile

import psutil
from packaging.requirements import Requirement

import byola_tf
from byola_tf import versions
from byola_tf.progress import Progress, no_progress
from hub_export.environment import compatibility, parts, trials
from hub_export.environment.compatibility import Problem

# What is of interest beside the package's own requirements.
_FURTHER = (
    "byola-tf h5py librosa numba protobuf setuptools tensorboard tensorflow-metadata "
    "torch"
).split()


def examine(try_parts: bool = True, progress: Progress = no_progress) -> dict:
    """Examines versions, combinations and parts.

    Args:
        try_parts: whether to try every part, which takes a minute.
        progress: wraps an iterable, e.g. in a progress bar.

    Returns:
        JSON-ready `system`, `versions`, `problems`, `parts`, and `broken`:
        whether something that the project needs does not work.
    """
    found = installed_versions()
    problems = compatibility.find_problems(found, platform.python_version())
    problems += surroundings(os.environ)
    outcomes = trials.run_all(parts.PARTS, progress=progress) if try_parts else []
    return {
        "system": system(),
        "versions": found,
        "problems": [dataclasses.asdict(problem) for problem in problems],
        "parts": [dataclasses.asdict(outcome) for outcome in outcomes],
        "broken": any(problem.severity == "broken" for problem in problems)
        or any(part.needed and part.status != "works" for part in outcomes),
    }


def system() -> dict[str, str]:
    """Python, operating system, processor, memory and this package's version."""
    return {
        "byola_tf": byola_tf.__version__,
        "python": f"{platform.python_version()} ({platform.python_implementation()})",
        "system": platform.platform(),
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0)))
        if hasattr(os, "sched_getaffinity")
        else str(os.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / 1e9:.0f} GB",
    }


def installed_versions() -> dict[str, str]:
    """Version of every installed package that this project may use."""
    try:
        lines = importlib.metadata.requires("byola-tf") or []
    except importlib.metadata.PackageNotFoundError:
        lines = []  # a checkout that is not installed
    names = {Requirement(line).name.lower() for line in lines}
    names |= {name for rule in compatibility.RULES for name in rule.when}
    return versions.installed(*sorted({*names, *_FURTHER} - {"python"}))


def surroundings(variables) -> list[Problem]:
    """Judges environment variables.

    Args:
        variables: such as `os.environ`.

    Returns:
        what is wrong with them.
    """
    problems = []
    cache = variables.get("TFHUB_CACHE_DIR")
    if not cache:
        problems.append(
            Problem(
                "note",
                f"hub.load keeps downloads in {tempfile.gettempdir()}, which systems "
                "empty in part: models then fail to open.",
                "Set TFHUB_CACHE_DIR to a folder of yours.",
            )
        )
    elif not os.access(cache if os.path.isdir(cache) else _parent(cache), os.W_OK):
        problems.append(
            Problem(
                "limited",
                f"TFHUB_CACHE_DIR={cache} cannot be written.",
                "Set it to a folder of yours.",
            )
        )
    backend = variables.get("KERAS_BACKEND", "tensorflow")
    if backend != "tensorflow":
        problems.append(
            Problem(
                "broken",
                f"KERAS_BACKEND={backend}: the networks need TensorFlow's.",
                "unset KERAS_BACKEND.",
            )
        )
    if variables.get("TF_USE_LEGACY_KERAS", "").lower() in ("1", "true"):
        problems.append(
            Problem(
                "limited",
                "TF_USE_LEGACY_KERAS is set: tf.keras is Keras 2 in this process.",
                "unset TF_USE_LEGACY_KERAS, unless your own model needs it.",
            )
        )
    return problems


def text(found: dict) -> str:
    """Sets what `examine` found as text."""
    lines = [f"{name:12} {value}" for name, value in found["system"].items()]
    lines += ["", "Versions"]
    lines += [f"  {name:22} {value}" for name, value in found["versions"].items()]
    lines += ["", "Known-bad combinations"]
    for problem in found["problems"]:
        lines.append(
            f"  {problem['severity']}: {problem['text']} -> {problem['way_out']}"
        )
    if not found["problems"]:
        lines.append("  none")
    if found["parts"]:
        lines += ["", "Parts, tried"]
    for part in found["parts"]:
        needed = " (needed)" if part["needed"] and part["status"] != "works" else ""
        lines.append(f"  {part['status']:7} {part['name']}{needed}: {part['detail']}")
    lines += ["", "Broken: see above." if found["broken"] else "What is needed works."]
    return "\n".join(lines)


def _parent(path: str) -> str:
    """The nearest folder above `path` that exists."""
    path = os.path.abspath(path)
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return path


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            lines = file.read().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    facts = dict(
        re.split(r"\s*:\s*", line, maxsplit=1) for line in lines if ":" in line
    )
    name = facts.get("model name", platform.machine())
    flags = facts.get("flags", "").split()
    native = [flag for flag in ("avx2", "avx512f", "avx512_bf16") if flag in flags]
    return f"{name} ({', '.join(native)})" if native else name
