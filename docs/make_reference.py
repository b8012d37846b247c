"""Writes docs/reference.md from the flags of the commands.

  ./byola python docs/make_reference.py            # write it
  ./byola python docs/make_reference.py --check    # say whether it is current

The flags are read from the sources, so that no command is run.
"""

import ast
import pathlib
import sys

from train_lib.cli import commands

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reference.md"
KINDS = {
    "boolean": "",
    "bool": "",
    "string": "TEXT",
    "integer": "NUMBER",
    "float": "NUMBER",
    "list": "A,B,...",
    "paths": "A,B,...",
    "multi_string": "TEXT",
    "multi_float": "NUMBER",
    "multi_integer": "NUMBER",
}


def source_of(module: str) -> pathlib.Path:
    """The file that `python -m module` runs."""
    path = ROOT.joinpath(*module.split("."))
    return path / "__main__.py" if path.is_dir() else path.with_suffix(".py")


def constants(tree: ast.Module) -> dict:
    """Names of a module that stand for plain values."""
    names = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                names[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:
                continue
    return names


def value(node: ast.expr, names: dict):
    """A default, a text or a list of choices as it is written in the source."""
    if isinstance(node, ast.Name) and node.id in names:
        return names[node.id]
    try:
        return ast.literal_eval(node)
    except ValueError:
        return ast.unparse(node)


def imported_text(node: ast.expr, tree: ast.Module):
    """The value of MODULE.NAME, for a help text that several commands share."""
    if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name):
        return None
    for statement in tree.body:
        if isinstance(statement, ast.ImportFrom):
            for alias in statement.names:
                if (alias.asname or alias.name) == node.value.id:
                    path = source_of(f"{statement.module}.{alias.name}")
                    other = ast.parse(path.read_text(encoding="utf-8"))
                    return constants(other).get(node.attr)
    return None


def flags_of(path: pathlib.Path) -> list[tuple[str, str, str, str]]:
    """Name, kind, default and help of every flag that a module defines."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names, rows = constants(tree), []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        called = ast.unparse(node.func)
        if called == "config_flag.define":
            rows.append(
                (
                    "config",
                    "NAME\\|FILE",
                    "",
                    "Packaged configuration or the path of a file. Every field is a "
                    "flag: `--config.train.steps=1000`. `--help` lists them.",
                )
            )
        elif node.func.attr == "DEFINE_alias":
            new, old = (value(argument, names) for argument in node.args[:2])
            rows.append((new, "", "", f"Another name of `--{old}`."))
        elif node.func.attr.startswith("DEFINE_"):
            rows.append(flag_of(node, tree, names))
    return sorted(rows)


def flag_of(node: ast.Call, tree: ast.Module, names: dict) -> tuple:
    """One row of the table."""
    kind = node.func.attr.removeprefix("DEFINE_")
    arguments = list(node.args)
    keywords = {word.arg: word.value for word in node.keywords}
    name = value(arguments[0], names)
    default = value(arguments[1], names) if len(arguments) > 1 else None
    if kind in ("enum", "multi_enum"):
        chosen = arguments[2] if len(arguments) > 2 else keywords["enum_values"]
        choices = value(chosen, names)
        shown = "\\|".join(choices) if isinstance(choices, (list, tuple)) else "NAME"
        help_node = arguments[3] if len(arguments) > 3 else keywords.get("help")
    else:
        shown = KINDS.get(kind, "VALUE")
        help_node = arguments[2] if len(arguments) > 2 else keywords.get("help")
    text = imported_text(help_node, tree)
    if text is None and help_node is not None:
        text = value(help_node, names)
    default = "" if default in (None, "", [], ()) else str(default)
    return name, shown, default, " ".join(str(text).split())


def render() -> str:
    """The whole page."""
    lines = [
        "# Reference",
        "",
        "Every command with its flags. `byola COMMAND --help` says the same, with "
        "examples.",
        "This page is written by `docs/make_reference.py`.",
    ]
    for title, group in commands.GROUPS.items():
        lines += ["", f"## {title}"]
        for command in group:
            path = source_of(command.module)
            lines += [
                "",
                f"### byola {command.name}",
                "",
                f"{command.summary[0].upper()}{command.summary[1:]}. "
                f"Module: `python -m {command.module}`.",
                "",
                "| flag | value | default | |",
                "|---|---|---|---|",
            ]
            for name, kind, default, text in flags_of(path):
                text = text.replace("|", "\\|").replace("<", "&lt;")
                default = f"`{default}`".replace("|", "\\|") if default else ""
                lines.append(f"| `--{name}` | {kind} | {default} | {text} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Writes the page, or compares it with `--check`."""
    text = render()
    if "--check" in sys.argv[1:]:
        if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
            sys.exit("It is old. Run ./byola python docs/make_reference.py")
        return
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
