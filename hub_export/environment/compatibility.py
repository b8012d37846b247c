"""Which versions do not work together, as a table over the versions alone."""

import dataclasses
from collections.abc import Mapping

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

ABSENT = "absent"  # in place of a specifier: the package is not installed
ANY = ""  # whatever its version

# What this project cannot do without: the dependencies in pyproject.toml.
NEEDED = (
    "absl-py",
    "filelock",
    "google-crc32c",
    "keras",
    "ml-collections",
    "numpy",
    "packaging",
    "platformdirs",
    "psutil",
    "soundfile",
    "soxr",
    "tensorflow",
    "tqdm",
)


@dataclasses.dataclass(frozen=True)
class Problem:
    """Two packages, or a package and its surroundings, that do not fit.

    Attributes:
        severity: "broken" where something that this project needs does not
            work, "limited" where an optional part does not, "note" otherwise.
        text: what is wrong, in one sentence.
        way_out: what to do.
    """

    severity: str
    text: str
    way_out: str


@dataclasses.dataclass(frozen=True)
class Rule:
    """A combination that is known to be bad.

    Attributes:
        severity: see `Problem`.
        when: package (or "python") → specifier of versions, `ANY` or `ABSENT`;
            the rule applies where all hold. Fields in braces are versions of
            other packages.
        text: see `Problem`; fields in braces are versions.
        way_out: see `Problem`; likewise.
    """

    severity: str
    when: Mapping[str, str]
    text: str
    way_out: str


# Each was met while the two tested stacks were put together; the reasons are
# beside the pins in pyproject.toml and the requirements.
RULES = (
    *(
        Rule(
            "broken",
            {name: ABSENT},
            f"{name} is not installed.",
            "pip install byola-tf, or ./byola setup.",
        )
        for name in NEEDED
    ),
    Rule(
        "broken",
        {"python": "<3.11"},
        "Python {python} is too old for Keras 3.15.",
        "Use Python 3.11 to 3.13.",
    ),
    Rule(
        "broken",
        {"keras": "<3.10"},
        "Keras {keras} lacks what checkpoints and layers here use.",
        "pip install 'keras>=3.15,<4'.",
    ),
    Rule(
        "broken",
        {"tensorflow": "<2.16"},
        "TensorFlow {tensorflow} brings Keras 2; this project needs Keras 3.",
        "pip install tensorflow==2.17.1.",
    ),
    Rule(
        "limited",
        {"tensorflow": "==2.16.*"},
        "TensorFlow {tensorflow} aborts when it converts Keras models to TFLite.",
        "pip install tensorflow==2.17.1.",
    ),
    Rule(
        "broken",
        {"tensorflow": "<2.18", "numpy": ">=2"},
        "TensorFlow {tensorflow} needs NumPy 1.26, not {numpy}.",
        "pip install numpy==1.26.4.",
    ),
    Rule(
        "limited",
        {"tensorflow": ">=2.18", "tensorflow-io": ANY},
        "The native operations of tensorflow-io {tensorflow-io} do not load with "
        "TensorFlow {tensorflow}; soundfile decodes instead.",
        "pip uninstall tensorflow-io, or use TensorFlow 2.17.1.",
    ),
    Rule(
        "limited",
        {"python": ">=3.13", "tensorflow-io": ANY},
        "tensorflow-io {tensorflow-io} has no wheels for Python {python}.",
        "pip uninstall tensorflow-io, or use Python 3.11 or 3.12.",
    ),
    Rule(
        "limited",
        {
            "tensorflow": ANY,
            "tf-keras": "!={tensorflow.major}.{tensorflow.minor}.*",
        },
        "tf-keras {tf-keras} belongs to another TensorFlow than {tensorflow}: "
        "hub.KerasLayer may fail, and pip may replace TensorFlow.",
        "pip install 'tf-keras=={tensorflow.major}.{tensorflow.minor}.*'.",
    ),
    Rule(
        "limited",
        {"tensorflow-hub": ANY, "tf-keras": ABSENT},
        "tensorflow-hub {tensorflow-hub} needs tf-keras, which is not installed.",
        "pip install 'byola-tf[export]'.",
    ),
    Rule(
        "limited",
        {"tensorflow-hub": ANY, "setuptools": ABSENT},
        "tensorflow-hub {tensorflow-hub} imports pkg_resources of setuptools, which "
        "is not installed.",
        "pip install 'setuptools<80.9'.",
    ),
    Rule(
        "limited",
        {"tensorflow-hub": ANY, "setuptools": ">=82"},
        "tensorflow-hub {tensorflow-hub} imports pkg_resources, which setuptools "
        "{setuptools} lacks.",
        "pip install 'setuptools<80.9'.",
    ),
    Rule(
        "note",
        {"tensorflow-hub": ANY, "setuptools": ">=80.9,<82"},
        "setuptools {setuptools} warns whenever tensorflow-hub is imported.",
        "pip install 'setuptools<80.9'.",
    ),
    Rule(
        "limited",
        {"pyarrow": ">=26", "numpy": "<2"},
        "pyarrow {pyarrow} refuses NumPy {numpy} on import: no Parquet tables.",
        "pip install 'pyarrow<26'.",
    ),
    Rule(
        "limited",
        {"tensorflow": "<2.18", "tensorflow-metadata": ">=1.18"},
        "tensorflow-metadata {tensorflow-metadata} needs a newer protobuf than "
        "TensorFlow {tensorflow}: tensorflow-datasets does not import.",
        "pip install 'tensorflow-metadata<1.18'.",
    ),
)


def find_problems(versions: Mapping[str, str], python: str = "3.11") -> list[Problem]:
    """Finds the combinations that are known to be bad.

    Args:
        versions: package name → version of what is installed.
        python: version of Python.

    Returns:
        the problems, worst first.
    """
    installed = _parse({**versions, "python": python})
    problems = [
        Problem(
            rule.severity,
            rule.text.format_map(installed),
            rule.way_out.format_map(installed),
        )
        for rule in RULES
        if all(
            _holds(installed.get(name), specifier, installed)
            for name, specifier in rule.when.items()
        )
    ]
    order = ("broken", "limited", "note")
    return sorted(problems, key=lambda problem: order.index(problem.severity))


def _parse(versions: Mapping[str, str]) -> dict[str, Version]:
    installed = {}
    for name, text in versions.items():
        try:
            installed[name] = Version(text)
        except InvalidVersion:  # somebody's own build: no rule knows it
            installed[name] = Version("0+unknown")
    return installed


def _holds(version: Version | None, specifier: str, installed: dict) -> bool:
    if specifier == ABSENT or version is None:
        return specifier == ABSENT and version is None
    if version.local == "unknown":
        return specifier == ANY
    # a release candidate counts as what it is a candidate for
    return SpecifierSet(specifier.format_map(installed)).contains(
        version.base_version, prereleases=True
    )
