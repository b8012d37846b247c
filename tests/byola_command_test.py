"""One command: its words, its help, and hints that work where they are read."""

import ast
import importlib
import logging
import os
import pathlib
import re
import subprocess
import sys
import types

import pytest

from byola_tf import user_code
from byola_tf.errors import UserError
from train_lib.cli import byola, command, commands

ROOT = pathlib.Path(__file__).parents[1]


def call(capsys, *words):
    """Runs `byola WORDS`; returns its exit status and what it printed."""
    status = 0
    try:
        byola.run(["byola", *words])
    except SystemExit as ended:
        status = ended.code
    printed = capsys.readouterr()
    return status, printed.out, printed.err


@pytest.fixture
def as_module(monkeypatch):
    """Makes this process look like `python -m MODULE`."""

    def pretend(module):
        main = types.ModuleType("__main__")
        main.__spec__ = types.SimpleNamespace(name=module)
        monkeypatch.setitem(sys.modules, "__main__", main)
        monkeypatch.setattr(sys, "orig_argv", ["python3", "-m", module])

    return pretend


# --- Words ---


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["help"], []])
def test_help_lists_every_command_in_its_group(capsys, words):
    status, text, _ = call(capsys, *words)

    assert status == 0
    for title, group in commands.GROUPS.items():
        part = text[text.index(title) :]
        for one in group:
            assert re.search(rf"^  {one.name} +{re.escape(one.summary)}$", part, re.M)


def test_the_words_are_those_of_the_guide():
    asked = (
        "pretrain prepare corpus export tflite embed probe tasks report compare "
        "robustness ablation tune import-pytorch inspect doctor benchmark "
        "check-replicas data-service demo"
    )
    assert set(commands.COMMANDS) == set(asked.split())


@pytest.mark.parametrize(
    ("word", "nearest"),
    [
        ("proeb", "probe"),
        ("import_pytorch", "import-pytorch"),
        ("train", "pretrain"),
        ("Embed", "embed"),
        ("abl", "ablation"),
    ],
)
def test_a_mistyped_word_gets_the_nearest(capsys, word, nearest):
    status, _, errors = call(capsys, word)

    assert status == 2 and errors.count("\n") == 1
    assert f"no command {word!r}" in errors
    assert nearest in errors.partition("Did you mean")[2]


def test_a_word_like_no_other_gets_the_help(capsys):
    assert "Did you mean" not in call(capsys, "xyzzy")[2]


@pytest.mark.parametrize("one", commands.COMMANDS.values(), ids=lambda one: one.name)
def test_every_command_is_there_and_shows_how_to_call_it(one):
    # by its source: two commands in one process would define the same flags
    path = ROOT.joinpath(*one.module.split("."))
    path = path / "__main__.py" if path.is_dir() else path.with_suffix(".py")
    module = ast.parse(path.read_text())

    assert "cli" in [getattr(node, "name", None) for node in module.body]
    assert f"  byola {one.name}" in ast.get_docstring(module)


@pytest.mark.parametrize(
    ("name", "module"),
    [("tune", "train_lib.tune.__main__"), ("probe", "train_lib.linear_probe")],
)
def test_a_command_gets_its_arguments(monkeypatch, name, module):
    ran, real = [], importlib.import_module
    command_module = types.SimpleNamespace(cli=lambda: ran.append(list(sys.argv)))
    stand_ins = {module: command_module}
    monkeypatch.setattr(
        importlib, "import_module", lambda name: stand_ins.get(name) or real(name)
    )
    monkeypatch.setattr(sys, "argv", [])

    byola.run(["byola", name, "--flag", "rest"])

    assert ran == [[f"byola {name}", "--flag", "rest"]]


def test_help_starts_at_once():
    # what costs time: TensorFlow, NumPy, absl; not measured in seconds
    code = (
        "import sys; from train_lib.cli import byola; byola.run(['byola']); "
        "print('loaded', *sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    loaded = done.stdout.splitlines()[-1].split()

    assert "train_lib.cli.commands" in loaded
    assert not {"tensorflow", "numpy", "absl", "difflib", "keras"} & set(loaded)


# --- Hints ---


def test_hints_name_the_console_script(monkeypatch):
    monkeypatch.delenv(commands.LAUNCHER, raising=False)
    assert commands.invocation("probe") == "byola probe"


def test_hints_name_the_module_that_was_run(monkeypatch, as_module):
    monkeypatch.delenv(commands.LAUNCHER, raising=False)
    as_module("train_lib.tune.__main__")
    assert commands.invocation("probe") == "python3 -m train_lib.linear_probe"


def test_hints_name_the_launcher(monkeypatch, as_module):
    as_module("train_lib.pretrain")
    monkeypatch.setenv(commands.LAUNCHER, "./byola")
    assert commands.invocation("probe") == "./byola probe"
    monkeypatch.setenv(commands.LAUNCHER, "../my checkout/byola")
    assert commands.invocation("export") == "'../my checkout/byola' export"


def test_hints_name_a_script_outside_of_the_search_path(monkeypatch, tmp_path):
    monkeypatch.delenv(commands.LAUNCHER, raising=False)
    script = tmp_path / "byola"
    script.touch(mode=0o755)
    monkeypatch.setattr(sys, "orig_argv", ["python", str(script), "report"])
    monkeypatch.setenv("PATH", os.defpath)
    assert commands.invocation("probe") == f"{script} probe"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commands.invocation("probe") == "byola probe"


def test_only_commands_are_rewritten(monkeypatch):
    monkeypatch.setenv(commands.LAUNCHER, "./byola")
    text = (
        "byola probe, `byola check-replicas`; ./byola probe byola-tf "
        "byola_tf byola probes byola.load runs/byola probe"
    )
    assert commands.in_this_shell(text) == (
        "./byola probe, `./byola check-replicas`; ./byola probe byola-tf "
        "byola_tf byola probes byola.load runs/byola probe"
    )


def test_help_errors_and_messages_suit_the_shell(capsys, monkeypatch):
    monkeypatch.setenv(commands.LAUNCHER, "./byola")

    def main():
        logging.getLogger("byola_tf").info("Prepare shards once (byola prepare).")
        raise UserError("Write it with byola export.")

    with pytest.raises(SystemExit):
        command.run(main, argv=["x"])
    assert capsys.readouterr().err.splitlines() == [
        "Prepare shards once (./byola prepare).",
        "error: Write it with ./byola export.",
    ]
    own = types.ModuleType("own_command")
    own.__doc__ = "Does it.\n\n  byola report --results=results/"
    monkeypatch.setitem(sys.modules, "own_command", own)
    main.__module__ = "own_command"
    with pytest.raises(SystemExit):
        command.run(main, argv=["x", "--help"])
    assert "\n  ./byola report --results=" in capsys.readouterr().out


def test_no_message_names_a_module_for_a_command():
    modules = "|".join(re.escape(one.module) for one in commands.COMMANDS.values())
    for top in ("byola_tf", "train_lib", "hub_export"):
        for path in (ROOT / top).rglob("*.py"):
            found = re.findall(rf"python -m (?:{modules})(?!\.?\w)", path.read_text())
            assert not found or path.name == "commands.py", f"{path}: {found}"


# --- Started by path ---


def test_a_command_run_by_its_path_finds_the_standard_inspect():
    done = subprocess.run(
        [sys.executable, str(ROOT / "hub_export" / "inspect.py"), "--help"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    assert "Prints what a model says about itself." in done.stdout


def test_named_modules_of_the_current_folder_are_found_last(tmp_path, monkeypatch):
    (tmp_path / "my_network_of_this_test.py").write_text("found = True")
    (tmp_path / "colorsys.py").write_text("raise RuntimeError('shadowed')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    before = list(sys.path)

    assert user_code.import_module("my_network_of_this_test").found
    assert user_code.import_module("colorsys").rgb_to_hsv
    assert sys.path == before
    with pytest.raises(ImportError):
        user_code.import_module("absent_module_of_this_test")
