"""Which versions do not work together, as a function of the versions alone."""

import dataclasses
import re


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


def find_problems(versions: dict[str, str], python: str = "3.11") -> list[Problem]:
    """Finds the combinations that are known to be bad.

    Each was met while the two tested stacks were put together; the reasons are
    beside the pins in pyproject.toml and requirements.txt.

    Args:
        versions: package name → version of what is installed.
        python: version of Python.

    Returns:
        the problems, worst first.
    """
    installed = {name: _Version(text) for name, text in versions.items()}
    installed["python"] = _Version(python)
    problems = [problem for rule in _RULES for problem in rule(installed)]
    order = ("broken", "limited", "note")
    return sorted(problems, key=lambda problem: order.index(problem.severity))


def _needed(installed):
    for name in _NEEDED:
        if name not in installed:
            yield Problem(
                "broken",
                f"{name} is not installed.",
                "pip install byola-tf, or ./byola setup.",
            )
    if installed["python"] < (3, 11):
        yield Problem(
            "broken",
            f"Python {installed['python']} is too old for Keras 3.15.",
            "Use Python 3.11 to 3.13.",
        )


def _keras(installed):
    keras = installed.get("keras")
    if keras and keras < (3, 10):
        yield Problem(
            "broken",
            f"Keras {keras} lacks what checkpoints and layers here use.",
            "pip install 'keras>=3.15,<4'.",
        )


def _tensorflow_io(installed):
    tensorflow = installed.get("tensorflow")
    io = installed.get("tensorflow-io")
    if tensorflow and io and tensorflow >= (2, 18):
        yield Problem(
            "limited",
            f"The native operations of tensorflow-io {io} do not load with "
            f"TensorFlow {tensorflow}; soundfile decodes instead.",
            "pip uninstall tensorflow-io, or use TensorFlow 2.17.1.",
        )
    if io and installed["python"] >= (3, 13):
        yield Problem(
            "limited",
            f"tensorflow-io {io} has no wheels for Python {installed['python']}.",
            "pip uninstall tensorflow-io, or use Python 3.11 or 3.12.",
        )


def _tensorflow(installed):
    tensorflow = installed.get("tensorflow")
    if tensorflow and tensorflow[:2] == (2, 16):
        yield Problem(
            "limited",
            f"TensorFlow {tensorflow} aborts when it converts Keras models to TFLite.",
            "pip install tensorflow==2.17.1.",
        )
    elif tensorflow and tensorflow < (2, 16):
        yield Problem(
            "broken",
            f"TensorFlow {tensorflow} brings Keras 2; this project needs Keras 3.",
            "pip install tensorflow==2.17.1.",
        )


def _tf_keras(installed):
    tensorflow, tf_keras = installed.get("tensorflow"), installed.get("tf-keras")
    if tensorflow and tf_keras and tensorflow[:2] != tf_keras[:2]:
        yield Problem(
            "limited",
            f"tf-keras {tf_keras} belongs to another TensorFlow than {tensorflow}: "
            "hub.KerasLayer may fail, and pip may replace TensorFlow.",
            f"pip install 'tf-keras=={tensorflow[0]}.{tensorflow[1]}.*'.",
        )
    if installed.get("tensorflow-hub") and not tf_keras:
        yield Problem(
            "limited",
            "tensorflow-hub needs tf-keras, which is not installed.",
            "pip install 'byola-tf[export]'.",
        )


def _hub(installed):
    hub, setuptools = installed.get("tensorflow-hub"), installed.get("setuptools")
    if not hub:
        return
    if not setuptools or setuptools >= (82,):
        found = f"setuptools {setuptools}" if setuptools else "no setuptools"
        yield Problem(
            "limited",
            f"tensorflow-hub {hub} imports pkg_resources, which {found} lacks.",
            "pip install 'setuptools<80.9'.",
        )
    elif setuptools >= (80, 9):
        yield Problem(
            "note",
            f"setuptools {setuptools} warns whenever tensorflow-hub is imported.",
            "pip install 'setuptools<80.9'.",
        )


def _pyarrow(installed):
    pyarrow, numpy = installed.get("pyarrow"), installed.get("numpy")
    if pyarrow and numpy and pyarrow >= (26,) and numpy < (2,):
        yield Problem(
            "limited",
            f"pyarrow {pyarrow} refuses NumPy {numpy} on import: no Parquet tables.",
            "pip install 'pyarrow<26'.",
        )


def _numpy(installed):
    tensorflow, numpy = installed.get("tensorflow"), installed.get("numpy")
    if tensorflow and numpy and tensorflow < (2, 18) and numpy >= (2,):
        yield Problem(
            "broken",
            f"TensorFlow {tensorflow} needs NumPy 1.26, not {numpy}.",
            "pip install numpy==1.26.4.",
        )


def _datasets(installed):
    tensorflow = installed.get("tensorflow")
    metadata = installed.get("tensorflow-metadata")
    if tensorflow and metadata and tensorflow < (2, 18) and metadata >= (1, 18):
        yield Problem(
            "limited",
            f"tensorflow-metadata {metadata} needs a newer protobuf than TensorFlow "
            f"{tensorflow}: tensorflow-datasets does not import.",
            "pip install 'tensorflow-metadata<1.18'.",
        )


class _Version(tuple):
    """The numbers of a version, which compare as tuples do and print as given."""

    def __new__(cls, text: str):
        version = super().__new__(cls, map(int, re.findall(r"\d+", text)[:3]))
        version.text = text
        return version

    def __str__(self):
        return self.text


_NEEDED = (
    "absl-py",
    "google-crc32c",
    "keras",
    "ml-collections",
    "numpy",
    "soundfile",
    "soxr",
    "tensorflow",
    "tqdm",
)
_RULES = (
    _needed,
    _keras,
    _tensorflow,
    _numpy,
    _tensorflow_io,
    _tf_keras,
    _hub,
    _pyarrow,
    _datasets,
)
