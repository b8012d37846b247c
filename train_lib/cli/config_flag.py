"""The `--config` flag: a packaged name or a path, every field a flag."""

import dataclasses
import difflib
import inspect
import os
import re
import typing
from collections.abc import Mapping, Sequence

from absl import flags
from ml_collections import config_flags

import train_lib
from byola_tf.config import Config
from byola_tf.errors import UserError

_FOLDER = os.path.join(os.path.dirname(train_lib.__file__), "configs")


def define(flag_values: flags.FlagValues = flags.FLAGS):
    """Defines `--config`; `.value` is the `Config` after parsing."""
    for number, parser in ((int, flags.IntegerParser()), (float, flags.FloatParser())):
        config_flags.register_flag_parser_for_type(number, _OrNone(parser))
    return config_flags.DEFINE_config_file(
        "config",
        help_string="Packaged configuration or path of a file.",
        flag_values=flag_values,
    )


class _OrNone(flags.ArgumentParser):
    """Parses "None" too, which ml_collections refuses for `float | None`."""

    def __init__(self, parser: flags.ArgumentParser):
        self._parser = parser

    def parse(self, argument):
        """The number, or None."""
        return None if argument == "None" else self._parser.parse(argument)

    def flag_type(self) -> str:
        """The number's type."""
        return self._parser.flag_type()


def packaged() -> list[str]:
    """Names of the packaged configurations."""
    return sorted(
        name[: -len(".py")]
        for name in os.listdir(_FOLDER)
        if name.endswith(".py") and not name.startswith("_")
    )


def expand(arguments: Sequence[str]) -> list[str]:
    """Turns a packaged name into its path and checks fields of `--config.`.

    Args:
        arguments: program name and arguments.

    Raises:
        UserError: no configuration given, or no such file or field.
    """
    expanded, given = [], False
    arguments = iter(arguments)
    for argument in arguments:
        if argument in ("--config", "-config"):
            argument = f"--config={next(arguments, '')}"
        name, separator, value = argument.partition("=")
        if name in ("--config", "-config") and separator:
            given = True
            argument = f"--config={_locate(value)}"
        elif re.match("--?config[.]", name):
            _check_field(name.lstrip("-")[len("config.") :], value)
        expanded.append(argument)
    if not given:
        raise UserError(
            "`--config` must be given: a path, or one of "
            f"{', '.join(packaged())}. Received: none. E.g. --config=byola_v2."
        )
    return expanded


def _locate(value: str) -> str:
    path = os.path.join(_FOLDER, f"{value}.py")
    if os.path.isfile(path):
        return path
    if os.path.isfile(value.split(":", 1)[0]):
        return value
    raise UserError(
        "`--config` must be the path of a configuration file or one of "
        f"{', '.join(packaged())}. Received: {value!r}, which does not exist."
    )


def _check_field(name: str, value: str) -> None:
    names = list(flatten(Config()))
    if name in names:
        if value == "None" and not _is_optional(name):
            raise UserError(f"`--config.{name}` must have a value. Received: 'None'.")
        return
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(close)}?" if close else ""
    raise UserError(
        f"`--config.{name}` must name a field of the configuration. It has no "
        f"such field.{hint} --help lists them all."
    )


def _is_optional(name: str) -> bool:
    section, _, leaf = name.rpartition(".")
    owner = getattr(Config(), section) if section else Config()
    types = {field.name: field.type for field in dataclasses.fields(owner)}
    return type(None) in typing.get_args(types[leaf])


def flatten(config, prefix: str = "") -> dict:
    """Maps "section.field" to its value for every leaf of the tree."""
    leaves = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            leaves.update(flatten(value, f"{prefix}{field.name}."))
        else:
            leaves[prefix + field.name] = value
    return leaves


def assign(config: Config, values: Mapping) -> None:
    """Sets leaves of the tree.

    Args:
        config: changed in place.
        values: by the names of `flatten`; "section.field.0" is an element of a
            tuple.
    """
    for name, value in values.items():
        *sections, field = re.sub(r"[.]\d+$", "", name).split(".")
        owner = config
        for section in sections:
            owner = getattr(owner, section)
        index = re.search(r"[.](\d+)$", name)
        if index:
            elements = list(getattr(owner, field))
            elements[int(index[1])] = value
            value = elements
        setattr(owner, field, tuple(value) if isinstance(value, list) else value)


def help_text() -> str:
    """The configuration tree with its defaults and meanings."""
    config = Config()
    lines = [f"  --config.seed={config.seed}"]
    for field in dataclasses.fields(config):
        section = getattr(config, field.name)
        if not dataclasses.is_dataclass(section):
            continue
        meanings = _attribute_docs(type(section))
        lines += ["", f"{field.name}: {type(section).__doc__.splitlines()[0]}"]
        for leaf in dataclasses.fields(section):
            value = getattr(section, leaf.name)
            lines.append(f"  --config.{field.name}.{leaf.name}={value}")
            lines.append(f"      {meanings[leaf.name]}")
    head = "Configuration fields, with the defaults of byola_v2:"
    return "\n".join([head, *lines])


def _attribute_docs(section: type) -> dict[str, str]:
    """The "Attributes:" part of a docstring, name → text."""
    # cleandoc: Python 3.13 strips a docstring's indentation, older ones do not
    text = inspect.cleandoc(section.__doc__).split("Attributes:", 1)[1]
    entries = re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", text, re.MULTILINE)
    return {name: " ".join(meaning.split()) for name, meaning in entries}
