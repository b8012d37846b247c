"""Every module stands on a floor of the import contracts (pyproject.toml)."""

import pathlib
import re
import tomllib

import pytest

ROOT = pathlib.Path(__file__).parents[1]


def contracts():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return settings["tool"]["importlinter"]["contracts"]


@pytest.mark.parametrize("top", ["train_lib", "hub_export"])
def test_every_room_and_command_has_a_floor(top):
    (layers,) = [one["layers"] for one in contracts() if one["type"] == "layers"]
    placed = re.findall(rf"\b{top}\.(\w+)", " ".join(layers))
    there = {
        path.stem
        for path in (ROOT / top).iterdir()
        if path.stem != "__init__" and (path.suffix == ".py" or any(path.glob("*.py")))
    }

    assert there <= set(placed), f"without a floor: {there - set(placed)}"
    assert len(placed) == len(set(placed))
