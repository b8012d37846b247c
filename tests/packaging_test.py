"""What is installed, and the launcher that installs it."""

import ast
import importlib
import importlib.metadata
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tomllib

import pytest
import setuptools
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from train_lib.cli import commands

ROOT = pathlib.Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUIREMENT_FILES = ("requirements.txt", "requirements-newest.txt")
CUDA_FILES = ("requirements-gpu.txt", "requirements-newest-gpu.txt")

needs_bash = pytest.mark.skipif(
    shutil.which("bash") is None, reason="the launcher needs bash"
)


def declared(*extras):
    """The requirements of the package and of some of its extras."""
    lines = list(PROJECT["dependencies"])
    for extra in extras:
        lines += PROJECT["optional-dependencies"][extra]
    return [Requirement(line) for line in lines]


def requirements(file_name):
    """The requirements of a file, each with its hashes."""
    text = (ROOT / file_name).read_text().replace("\\\n", " ")
    found = []
    for line in text.splitlines():
        line, *hashes = line.partition("#")[0].strip().split(" --hash=")
        if line:
            found.append((Requirement(line), [hash.strip() for hash in hashes]))
    return found


def pinned(file_name):
    """Name to version of the requirements that apply to this platform."""
    pins = {}
    for requirement, _ in requirements(file_name):
        (specifier,) = requirement.specifier
        assert specifier.operator == "==", f"{requirement} is not pinned"
        if requirement.marker is None or requirement.marker.evaluate():
            pins[canonicalize_name(requirement.name)] = specifier.version
    return pins


# --- What is declared ---


@pytest.mark.parametrize("top", ["byola_tf", "train_lib", "hub_export"])
def test_every_module_is_installed(top):
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    include = settings["tool"]["setuptools"]["packages"]["find"]["include"]
    packages = setuptools.find_packages(str(ROOT), include=include)

    modules = list((ROOT / top).rglob("*.py"))

    assert modules
    for module in modules:
        folder = module.parent.relative_to(ROOT)
        assert ".".join(folder.parts) in packages, f"{module} is left out"


def test_an_installed_package_has_the_templates_of_its_pages(tmp_path):
    (tmp_path / "pyproject.toml").symlink_to(ROOT / "pyproject.toml")
    for name in ("README.md", "LICENSE", "byola_tf", "train_lib", "hub_export"):
        (tmp_path / name).symlink_to(ROOT / name)
    build = "import setuptools; setuptools.setup()"
    subprocess.run(
        [
            sys.executable,
            "-c",
            build,
            "-q",
            "build_py",
            f"--build-lib={tmp_path}/built",
        ],
        cwd=tmp_path,
        check=True,
    )
    templates = pathlib.Path("train_lib/pages/templates")
    expected = sorted(path.name for path in (ROOT / templates).iterdir())
    assert expected == sorted(os.listdir(tmp_path / "built" / templates))


@pytest.mark.parametrize("name,target", PROJECT["scripts"].items())
def test_console_script_names_a_function(name, target):
    module_name, _, function_name = target.partition(":")
    path = ROOT / (module_name.replace(".", "/") + ".py")

    module = ast.parse(path.read_text())

    functions = [node.name for node in module.body if hasattr(node, "name")]
    assert function_name in functions, f"{name} calls {target}"


def test_every_requirement_is_bounded():
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]
    requirements = declared(*PROJECT["optional-dependencies"])
    requirements += [Requirement(line) for line in build["requires"]]

    for requirement in requirements:
        if requirement.name == PROJECT["name"]:
            continue
        operators = {specifier.operator for specifier in requirement.specifier}
        assert operators == {">=", "<"}, str(requirement)


@pytest.mark.parametrize("file_name", REQUIREMENT_FILES)
def test_pins_satisfy_the_package(file_name):
    # The launcher installs the package with --no-deps: the pins have to be all.
    extras = ["eval", "export", "dev"]
    if file_name == "requirements.txt":
        extras.append("io")
    pins = pinned(file_name)

    for requirement in declared(*extras):
        if requirement.marker is None or requirement.marker.evaluate():
            version = pins[canonicalize_name(requirement.name)]
            assert version in requirement.specifier, f"{version}: {requirement}"


@pytest.mark.parametrize("file_name", REQUIREMENT_FILES + CUDA_FILES)
def test_every_file_that_is_installed_has_its_hashes(file_name):
    found = requirements(file_name)

    assert len(found) > 10
    for requirement, hashes in found:
        assert hashes, f"{requirement} has no hash"
        for value in hashes:
            assert re.fullmatch("sha256:[0-9a-f]{64}", value), requirement


@pytest.mark.parametrize("file_name", REQUIREMENT_FILES + CUDA_FILES)
def test_what_is_installed_is_what_was_asked_for(file_name):
    asked = pinned(file_name.replace(".txt", ".in"))
    pins = pinned(file_name)

    outdated = {name for name in asked if pins.get(name) != asked[name]}
    head = (ROOT / file_name.replace(".txt", ".in")).read_text()
    command = re.search("uv pip compile .*", head)[0]
    assert not outdated, f"{outdated}: run {command}"
    assert command in (ROOT / file_name).read_text()


@pytest.mark.parametrize("file_name", REQUIREMENT_FILES)
def test_the_hashes_are_for_every_system(file_name):
    # compiled packages have a file for each system and Python
    number = {one.name: len(hashes) for one, hashes in requirements(file_name)}
    assert number["tensorflow"] >= 10 and number["numpy"] >= 20
    systems = {str(one.marker) for one, _ in requirements(file_name) if one.marker}
    assert any("win32" in marker for marker in systems)


@pytest.mark.parametrize(
    ("file_name", "cuda_file"), zip(REQUIREMENT_FILES, CUDA_FILES, strict=True)
)
def test_cuda_is_what_tensorflow_asks_for(file_name, cuda_file):
    version = pinned(file_name)["tensorflow"]
    if importlib.metadata.version("tensorflow") != version:
        pytest.skip(f"TensorFlow {version} is not installed here")
    pins = pinned(cuda_file)
    asked = map(Requirement, importlib.metadata.requires("tensorflow"))
    asked = [one for one in asked if one.marker and "and-cuda" in str(one.marker)]

    assert {one.name for one in asked} == set(pins)
    for one in asked:
        assert pins[one.name] in one.specifier


# --- What is installed ---


@pytest.mark.newest_smoke
def test_environment_holds_the_pinned_versions():
    if not (pathlib.Path(sys.prefix) / "byola.ready").exists():
        pytest.skip("not an environment of ./byola")
    newest = pathlib.Path(sys.prefix).name == ".venv-newest"
    pins = pinned(REQUIREMENT_FILES[newest])

    installed = {name: importlib.metadata.version(name) for name in pins}

    assert installed == pins


# pip cannot see every conflict: pyarrow 26 installs beside NumPy 1.26 and then
# refuses it.
@pytest.mark.newest_smoke
@pytest.mark.parametrize(
    "module",
    [
        "ai_edge_litert.interpreter",
        "h5py",
        "keras",
        "librosa.filters",
        "matplotlib.pyplot",
        "ml_collections.config_flags",
        "pyarrow.parquet",
        "sklearn.linear_model",
        "soundfile",
        "soxr",
        "tensorboard.main",
        "tensorflow_hub",
        "tf_keras",
    ],
)
def test_dependency_imports(module):
    importlib.import_module(module)


# --- The launcher ---

STUB_PYTHON = f"""#!/bin/sh
# A Python whose venv and pip only write down that they were called.
folder=$(dirname "$STUB_CALLS")
case "$1 $2" in
  "-m venv")
    mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
  "-m pip")
    echo "$*" >>"$STUB_CALLS"
    sleep "${{STUB_SECONDS:-0}}"
    if [ -e "$folder/no network" ]; then
      echo "ERROR: no index can be reached"
      exit 1
    fi ;;
  "-c "*"import tensorflow"*) ;;
  "-c "*"import ensurepip"*)
    if [ -n "$STUB_VERSION" ]; then
      echo "$STUB_VERSION complete $0"
    else
      exec "{sys.executable}" "$@"
    fi ;;
  "-m "*)
    if [ -n "$STUB_RUNS" ]; then
      exec "{sys.executable}" "$@"
    fi
    for argument; do echo "<$argument>"; done ;;
  *)
    exec "{sys.executable}" "$@" ;;
esac
"""


class Checkout:
    """A checkout in a path with a space, whose Python is the stub above."""

    def __init__(self, folder):
        self.root = folder / "a checkout"
        self.environment = self.root / ".venv-newest"
        self.ready = self.environment / "byola.ready"
        self.calls = folder / "calls"
        self.no_network = folder / "no network"
        self.requirements = self.root / "requirements-newest.txt"
        self.python = folder / "stub python"
        self.root.mkdir()
        table = pathlib.Path("train_lib", "cli", "commands.py")
        (self.root / table).parent.mkdir(parents=True)
        files = ("byola", "pyproject.toml", table, *REQUIREMENT_FILES, *CUDA_FILES)
        for name in files:
            shutil.copy(ROOT / name, self.root / name)
        self.python.write_text(STUB_PYTHON)
        self.python.chmod(0o755)
        # The stack that accepts every Python that these tests run on.
        self.variables = {
            "BYOLA_STACK": "newest",
            "BYOLA_PYTHON": str(self.python),
            "STUB_CALLS": str(self.calls),
        }

    def start(self, *arguments, program=None, **variables):
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("BYOLA_")
        }
        return subprocess.Popen(
            ["bash", str(program or self.root / "byola"), *arguments],
            env=inherited | self.variables | variables,
            cwd=self.root.parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments, **options):
        process = self.start(*arguments, **options)
        output, errors = process.communicate(timeout=60)
        return subprocess.CompletedProcess(
            arguments, process.returncode, output, errors
        )

    def num_installations(self):
        if not self.calls.exists():
            return 0
        return self.calls.read_text().count("--requirement")


@pytest.fixture
def checkout(tmp_path):
    return Checkout(tmp_path)


@needs_bash
@pytest.mark.parametrize("arguments", [["--help"], ["help"], [], ["setup", "--help"]])
def test_help_teaches_without_installing(checkout, arguments):
    result = checkout.run(*arguments)

    assert result.returncode == 0
    for command in ("demo", "test", "run", "python", "setup"):
        assert f"./byola {command}" in result.stdout
    for title, group in commands.GROUPS.items():
        part = result.stdout[result.stdout.index(f"\n{title}\n") :]
        for one in group:
            assert re.search(rf"^  {one.name} +{re.escape(one.summary)}$", part, re.M)
    assert not checkout.environment.exists()


@needs_bash
@pytest.mark.parametrize(
    "arguments,expected",
    [
        (["tset"], "no command 'tset'"),
        (["test", "--stack=old"], "'default' or 'newest'. Received: 'old'"),
        (["setup", "--cuda"], "Received: '--cuda'"),
        (["run"], "needs a module"),
    ],
)
def test_wrong_call_exits_2_with_a_sentence(checkout, arguments, expected):
    result = checkout.run(*arguments)

    assert result.returncode == 2
    assert expected in result.stderr
    assert result.stderr.count("\n") == 1


@needs_bash
def test_unfit_python_is_named(checkout):
    broken = checkout.root / "broken"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)

    result = checkout.run("setup", BYOLA_PYTHON=str(broken))

    assert result.returncode == 2
    assert "BYOLA_PYTHON must name a Python 3.11, 3.12 or 3.13" in result.stderr
    assert str(broken) in result.stderr


@needs_bash
def test_python_without_venv_is_told_apart(checkout):
    # As on Debian without python3-venv.
    (checkout.root / "ensurepip.py").write_text("raise ImportError")

    result = checkout.run("setup", PYTHONPATH=str(checkout.root))

    assert result.returncode == 2
    assert "without its venv module" in result.stderr
    assert re.search(r"apt-get install python3\.\d\d-venv\b", result.stderr)


@needs_bash
def test_no_python_at_all(checkout):
    # An empty search path, but for the programs that the launcher itself uses.
    programs = checkout.root / "programs"
    programs.mkdir()
    for name in ("bash", "cat", "cksum", "dirname"):
        (programs / name).symlink_to(shutil.which(name))

    result = checkout.run(
        "setup", BYOLA_PYTHON="", PATH=str(programs), PYENV_ROOT="/nowhere"
    )

    assert result.returncode == 2
    assert "needs Python 3.11, 3.12 or 3.13. Found: no Python 3" in result.stderr
    assert "Install one" in result.stderr


@needs_bash
def test_second_call_installs_nothing(checkout):
    first = checkout.run("run", "some.module", "an argument", "--stack=theirs")
    second = checkout.run("run", "some.module")

    assert first.returncode == 0, first.stderr
    assert first.stdout.split("\n")[:4] == [
        "<-m>",
        "<some.module>",
        "<an argument>",
        "<--stack=theirs>",
    ]
    assert second.stdout == "<-m>\n<some.module>\n"
    assert second.stderr == ""
    assert checkout.num_installations() == 1


@needs_bash
def test_a_command_help_makes_no_environment(checkout):
    result = checkout.run("probe", "--help")

    assert result.returncode == 0 and "./byola COMMAND" in result.stdout
    assert not checkout.environment.exists()


@needs_bash
def test_every_word_of_byola_is_one_of_the_launcher(checkout):
    checkout.run("setup")
    for name in ("probe", "import-pytorch"):
        result = checkout.run(name, "--model=my model")
        expected = ["<-m>", "<train_lib.cli.byola>", f"<{name}>", "<--model=my model>"]
        assert result.stdout.splitlines() == expected


@needs_bash
def test_launched_commands_run_no_file_of_the_current_folder(checkout):
    checkout.run("setup")
    for name in ("numpy.py", "difflib.py"):
        (checkout.root.parent / name).write_text("raise SystemExit('ran')")

    numpy = checkout.run("run", "numpy.version", STUB_RUNS="yes")
    # a checkout that is not installed here: by PYTHONPATH
    path = {"STUB_RUNS": "yes", "PYTHONPATH": str(ROOT)}
    mistyped = checkout.run("run", "train_lib.cli.byola", "proeb", **path)

    assert numpy.returncode == 0 and "ran\n" not in numpy.stderr, numpy.stderr
    launcher = shlex.quote(str(checkout.root / "byola"))
    assert f"Did you mean probe or prepare? See {launcher} --help" in mistyped.stderr


@needs_bash
def test_only_python_3_13_takes_the_newest_stack_and_says_so(checkout):
    options = {"BYOLA_STACK": "", "STUB_VERSION": "3.13"}
    made = checkout.run("run", "some.module", **options)
    again = checkout.run("run", "some.module", **options)
    asked = checkout.run("setup", "--stack=default", **options)

    assert made.returncode == 0, made.stderr
    assert "Only Python 3.13 is found" in made.stderr
    assert "newest stack" in made.stderr and checkout.ready.exists()
    assert (again.stdout, again.stderr) == ("<-m>\n<some.module>\n", "")
    assert asked.returncode == 2 and "is Python 3.13" in asked.stderr


@needs_bash
def test_demo_and_test_pass_arguments_on(checkout):
    demo = checkout.run("demo", "--audio", "my sounds", "--stack=newest")
    test = checkout.run("test", "-k", "fade or crop")

    assert demo.stdout.split() == (
        "<-m> <train_lib.cli.byola> <demo> <--audio> <my sounds>".split()
    )
    assert test.stdout.endswith("<-m>\n<not slow>\n<-k>\n<fade or crop>\n")


@needs_bash
def test_failed_installation_is_told_and_made_anew(checkout):
    checkout.no_network.touch()
    failed = checkout.run("setup")
    (checkout.environment / "left over").touch()
    checkout.no_network.unlink()
    repeated = checkout.run("setup")

    assert failed.returncode == 1
    assert "ERROR: no index can be reached" in failed.stderr
    assert "Call again" in failed.stderr
    assert repeated.returncode == 0, repeated.stderr
    assert checkout.ready.exists()
    assert not (checkout.environment / "left over").exists()


@needs_bash
def test_changed_requirements_update_in_place(checkout):
    checkout.run("setup")
    (checkout.environment / "left over").touch()
    checkout.requirements.write_text(checkout.requirements.read_text() + "six==1.17.0")

    result = checkout.run("setup")

    assert "Updating" in result.stderr
    assert checkout.num_installations() == 2
    assert (checkout.environment / "left over").exists()


@needs_bash
def test_moved_checkout_is_made_anew(checkout):
    checkout.run("setup")
    moved = checkout.root.rename(checkout.root.parent / "elsewhere")

    result = checkout.run("setup", program=moved / "byola")

    assert "Making" in result.stderr
    assert str(moved) in (moved / ".venv-newest" / "byola.ready").read_text()


@needs_bash
def test_environment_of_the_user_is_left_alone(checkout):
    checkout.environment.mkdir()
    (checkout.environment / "precious").touch()

    result = checkout.run("setup")

    assert result.returncode == 2
    assert "not an environment that this launcher made" in result.stderr
    assert (checkout.environment / "precious").exists()


@needs_bash
def test_two_callers_at_once_install_once(checkout):
    processes = [
        checkout.start("run", "some.module", STUB_SECONDS="0.5") for _ in range(2)
    ]
    outputs = [process.communicate(timeout=60) for process in processes]

    assert [process.returncode for process in processes] == [0, 0], outputs
    assert [output for output, _ in outputs] == ["<-m>\n<some.module>\n"] * 2
    assert checkout.num_installations() == 1


@needs_bash
def test_runs_through_a_symbolic_link(checkout):
    link = checkout.root.parent / "byola"
    link.symlink_to(pathlib.Path("a checkout") / "byola")

    result = checkout.run("setup", program=link)

    assert result.returncode == 0, result.stderr
    assert checkout.ready.exists()


@needs_bash
@pytest.mark.skipif(sys.platform != "linux", reason="CUDA is for Linux")
def test_gpu_adds_cuda_of_the_same_version_and_keeps_it(checkout):
    checkout.run("setup", "--gpu")
    checkout.run("setup")
    with checkout.requirements.open("a") as file:
        file.write("six==1.17.0\n")
    checkout.run("setup")

    installations = re.findall(r".*--requirement.*", checkout.calls.read_text())
    assert len(installations) == 2
    for installation in installations:
        assert "--require-hashes" in installation
        assert installation.endswith("requirements-newest-gpu.txt")
