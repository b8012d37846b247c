"""README.md and BUILD.md name what exists: commands, flags, fields, files."""

import ast
import pathlib
import re
import shlex
import tomllib

import pytest

from byola_tf.config import Config
from train_lib.cli.config_flag import flatten, packaged

ROOT = pathlib.Path(__file__).parent.parent
PAGES = ("README.md", "BUILD.md", "docs/ablations.md")
LAUNCHER_FLAGS = {"stack", "gpu", "help"}
FOREIGN_FLAGS = {"no-deps", "ignore-requires-python", "logdir"}  # pip, tensorboard


def read(page):
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page):
    """Language and content of every block of code."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", read(page), re.MULTILINE | re.DOTALL)


def commands(page):
    """Words of every command in the blocks without a language."""
    for language, block in blocks(page):
        if not language:
            for line in block.replace("\\\n", " ").splitlines():
                yield shlex.split(line, comments=True)


def module_calls():
    for page in PAGES:
        for words in commands(page):
            if "./byola" in words:  # maybe after variables of the environment
                words = words[words.index("./byola") + 1 :]
                if words[0] == "run" and words[1] != "MODULE":
                    yield words[1], words[2:]


def source_of(module):
    path = ROOT.joinpath(*module.split("."))
    return path / "__main__.py" if path.is_dir() else path.with_suffix(".py")


def flags_of(source):
    """Names of the flags that a module defines, read from its source."""
    names = set()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        if node.func.attr.startswith("DEFINE_"):
            names.add(node.args[0].value)
        elif ast.unparse(node.func) == "config_flag.define":
            names.add("config")
    return names


def flag_names(words):
    for word in words:
        if match := re.match(r"--?([a-z]\w*)", word):
            yield match[1]


CALLS = list(module_calls())


def test_there_are_commands_to_check():
    modules = {module for module, _ in CALLS}
    assert len(CALLS) > 30
    assert {"train_lib.pretrain", "hub_export.export"} <= modules
    assert "config" in flags_of(source_of("train_lib.pretrain"))


@pytest.mark.parametrize(
    ("module", "arguments"), CALLS, ids=[" ".join([m, *a])[:60] for m, a in CALLS]
)
def test_the_command_exists_with_its_flags(module, arguments):
    assert source_of(module).is_file()
    flags = flags_of(source_of(module))
    # `no`: how absl switches a flag off
    known = flags | {f"no{name}" for name in flags} | {"help", "helpfull"}
    assert set(flag_names(arguments)) <= known


def test_flags_in_the_text_belong_to_a_command():
    known = LAUNCHER_FLAGS | FOREIGN_FLAGS
    for top in ("train_lib", "hub_export"):
        for source in (ROOT / top).rglob("*.py"):
            flags = flags_of(source)
            known |= flags | {f"no{name}" for name in flags}
    for page in PAGES:
        text = re.sub(r"^```.*?^```", "", read(page), flags=re.MULTILINE | re.DOTALL)
        for code in re.findall(r"`([^`]+)`", text):
            for name in re.findall(r"(?:^|\s)--([a-z][\w-]*)", code):
                assert name in known, f"{page}: `{code}`"


def test_fields_and_configurations_exist():
    fields = set(flatten(Config()))
    for page in PAGES:
        for name in re.findall(r"--config\.([\w.]*\w)", read(page)):
            assert name in fields, f"{page}: --config.{name}"
        for name in re.findall(r"--config=(\w+)(?![\w./])", read(page)):
            assert name in packaged(), f"{page}: --config={name}"


def test_modules_and_files_of_the_project_exist():
    for page in PAGES:
        for code in re.findall(r"`([^`\n]+)`", read(page)):
            dotted = re.match(r"(?:byola_tf|train_lib|hub_export)((?:\.\w+)*)$", code)
            if dotted:
                module = ROOT.joinpath(*code.split("."))
                # a module, or what one has: byola_tf.audio.decode_op
                candidates = [module, module.with_suffix(".py")]
                candidates += [module.parent.with_suffix(".py"), module.parent]
                assert any(path.exists() for path in candidates), f"{page}: {code}"
            elif re.match(r"(?:docs|tests|byola_tf|train_lib|hub_export)/", code):
                assert (ROOT / code).exists(), f"{page}: {code}"
        for words in commands(page):
            if words[:2] == ["./byola", "python"] and words[2].endswith(".py"):
                assert (ROOT / words[2]).is_file() or words[2] == "script.py"


def test_console_scripts_in_the_text_exist():
    with open(ROOT / "pyproject.toml", "rb") as file:
        project = tomllib.load(file)["project"]
    for page in PAGES:
        for name in re.findall(r"\bbyola-[a-z-]+\b(?![./=])", read(page)):
            if name not in ("byola-tf", "byola-fsd50k"):
                assert name in project["scripts"], f"{page}: {name}"
        for extra in re.findall(r"byola-tf\[(\w+)\]", read(page)):
            assert extra in project["optional-dependencies"], f"{page}: {extra}"


def test_the_contents_of_build_have_every_section():
    text = read("BUILD.md")
    for _, block in blocks("BUILD.md"):
        text = text.replace(block, "")
    contents, _, rest = text.partition("\n## ")
    names = re.findall(r"^##+ (.*)$", "\n## " + rest, re.MULTILINE)
    assert re.findall(r"\[(.*?)\]", contents) == names


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    anchors = {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", read(page), re.MULTILINE)
    }
    links = re.findall(r"\]\(([^)\s]+)\)", read(page))
    assert links
    for link in links:
        if link.startswith("#"):
            assert link[1:] in anchors, link
        elif "://" not in link:
            assert (ROOT / page).parent.joinpath(link).exists(), link
