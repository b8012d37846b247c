"""The pages name what exists: commands, flags, fields, files; and stay current."""

import importlib.util
import pathlib
import re
import shlex
import subprocess
import sys
import tomllib

import pytest

from byola_tf.config import Config
from train_lib.cli.commands import COMMANDS
from train_lib.cli.config_flag import flatten, packaged

ROOT = pathlib.Path(__file__).parent.parent
PAGES = (
    "README.md",
    "BUILD.md",
    *sorted(
        f"docs/{path.name}"
        for path in (ROOT / "docs").glob("*.md")
        if path.name != "reference.md"
    ),
)
LAUNCHER_FLAGS = {"stack", "gpu", "help", "check"}
OF_THE_LAUNCHER = {
    *("run", "test", "setup", "python", "COMMAND", "--help"),
    ".",  # docker build -t byola .
}
# of pip, tensorboard and others
FOREIGN_FLAGS = {
    *("no-deps", "ignore-requires-python", "logdir", "requirement", "disable-pip"),
    *("require-hashes", "generate-hashes", "rm"),
}


def load_script(path):
    specification = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


REFERENCE = load_script(ROOT / "docs" / "make_reference.py")
source_of = REFERENCE.source_of


def flags_of(source):
    return {name for name, *_ in REFERENCE.flags_of(source)}


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
            words = [word for word in words if not word.startswith("--stack")]
            for place, word in enumerate(words[:-1]):
                if word.split("/")[-1] != "byola":
                    continue
                name, arguments = words[place + 1], words[place + 2 :]
                if name == "run" and arguments[0] != "MODULE":
                    yield arguments[0], arguments[1:]
                elif name in COMMANDS:
                    yield COMMANDS[name].module, arguments
                else:
                    assert name in OF_THE_LAUNCHER, f"{page}: {' '.join(words)}"


def flag_names(words):
    for word in words:
        if match := re.match(r"--?([a-z]\w*)", word):
            yield match[1]


CALLS = list(module_calls())


def test_there_are_commands_to_check():
    modules = {module for module, _ in CALLS}
    assert len(CALLS) > 30
    assert {command.module for command in COMMANDS.values()} <= modules
    assert "config" in flags_of(source_of("train_lib.pretrain"))


def test_the_reference_is_current():
    assert read("docs/reference.md") == REFERENCE.render()


def test_the_front_pages_are_short():
    assert len(read("README.md").splitlines()) <= 120
    assert len(read("BUILD.md").splitlines()) <= 300


def test_every_page_is_in_the_navigation():
    navigation = set(re.findall(r": (\w+\.md)$", read("mkdocs.yml"), re.MULTILINE))
    assert navigation == {path.name for path in (ROOT / "docs").glob("*.md")}


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("mkdocs")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    assert (tmp_path / "reference" / "index.html").is_file()


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
    assert re.findall(r"\[(.*?)\]\(#", contents) == names


def anchors_of(path):
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    }


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    anchors = anchors_of(ROOT / page)
    for link in re.findall(r"\]\(([^)\s]+)\)", read(page)):
        if link.startswith("#"):
            assert link[1:] in anchors, link
        elif "://" not in link:
            path, _, anchor = link.partition("#")
            target = (ROOT / page).parent / path
            assert target.exists(), link
            assert not anchor or anchor in anchors_of(target), link
