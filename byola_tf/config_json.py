"""A tree of dataclasses as JSON, and back, across versions of this program."""

import dataclasses
import json
from typing import Any

import byola_tf
from byola_tf.errors import UserError


class NameInFile(str):
    """A network MODULE:FUNCTION that a file names.

    What a file names is not run; see `networks.backbones.allow`.
    """

    __slots__ = ()


def write(tree) -> str:
    """The tree as indented JSON text.

    Args:
        tree: dataclass of values and further dataclasses. A field whose metadata
            have `since` is left out at its default: older versions lack it.
    """
    return json.dumps(_to_dict(tree), indent=2) + "\n"


def read(cls: type, text: str) -> Any:
    """Reads what `write` wrote; absent fields keep their defaults.

    Args:
        cls: the dataclass at the root.
        text: JSON.

    Raises:
        UserError: it is no JSON, no tree of sections, or names a field that this
            version does not know and that is not off.
    """
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(
            "A configuration must be JSON as `Config.to_json` writes it. "
            f"Received: {len(text)} characters that do not parse ({error}). Is "
            "the file cut short?"
        ) from error
    return _from_dict(cls, values, "config")


def _to_dict(tree) -> dict:
    values = {}
    for field in dataclasses.fields(tree):
        value = getattr(tree, field.name)
        if dataclasses.is_dataclass(value):
            values[field.name] = _to_dict(value)
        elif "since" not in field.metadata or value != field.default:
            values[field.name] = value
    return values


def _from_dict(cls: type, values: dict, path: str) -> Any:
    fields = {field.name: field for field in dataclasses.fields(cls)}
    if not isinstance(values, dict):
        raise UserError(
            f"`{path}` must be a section, name by name. Received: {values!r:.100}."
        )
    _refuse_unknown(values, fields, path)
    arguments = {}
    for name in fields.keys() & values.keys():
        value, default = values[name], fields[name].default_factory
        if dataclasses.is_dataclass(default):
            value = _from_dict(default, value, f"{path}.{name}")
        elif isinstance(value, list):
            value = tuple(value)
        arguments[name] = value
    return cls(**arguments)


def _refuse_unknown(values: dict, fields: dict, path: str) -> None:
    # what is off (None, False, 0, "", empty) changes nothing: a field that is added
    # is off by default, or left out by `to_json`
    unknown = sorted(name for name in set(values) - set(fields) if values[name])
    if unknown:
        name = unknown[0]
        raise UserError(
            f"`{path}` has no field named {name!r} in byola-tf "
            f"{byola_tf.__version__}. Received: {values[name]!r:.100}. It was made by "
            "a newer version (pip install --upgrade byola-tf) or is misspelt; the "
            f"fields are {', '.join(fields)}."
        )
