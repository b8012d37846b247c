"""Checkpoints and models that others wrote: of another version, torn, naming code."""

import json
import os
import sys

import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

import byola_tf
from byola_tf import Encoder, checkpoint
from byola_tf.config import Config, EncoderConfig
from byola_tf.embedding import exported_model
from byola_tf.errors import UserError
from byola_tf.networks import backbones
from byola_tf.normalize import Statistics
from hub_export import inspection
from train_lib.cli import command

_SIZES = {"channels": 4, "hidden_units": 8, "output_units": 8}
_PROGRAM = """
import keras

print("imported", file=open("MARK", "w"))

def make(config):
    return keras.layers.Conv2D(4, 3, 4, padding="same", data_format="channels_last")
"""


@pytest.fixture
def folder(tmp_path):
    """A checkpoint of a small encoder."""
    config = Config(encoder=EncoderConfig(**_SIZES))
    opened = checkpoint.Checkpoint(
        Encoder(config.encoder), config, Statistics(-7.0, 4.5), {}
    )
    path = tmp_path / "checkpoint"
    path.mkdir()
    checkpoint.save(str(path), opened)
    return path


def _edit(path, section: str, **values):
    tree = json.loads(path.read_text())
    (tree[section] if section else tree).update(values)
    path.write_text(json.dumps(tree))


@pytest.fixture
def helper(tmp_path, monkeypatch):
    """Where `helper:make` writes when it is imported; nothing of it is allowed."""
    (tmp_path / "helper.py").write_text(_PROGRAM.replace("MARK", f"{tmp_path}/mark"))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(backbones, "_GIVEN", set())
    monkeypatch.delitem(sys.modules, "helper", raising=False)
    yield tmp_path / "mark"
    sys.modules.pop("helper", None)


_OPENINGS = {
    "load": byola_tf.load,
    "checkpoint": checkpoint.load,
    "inspect": inspection.read,
    "statistics": lambda path: (
        Config.from_json(
            open(os.path.join(path, "config.json")).read()
        ).encoder.embedding_size
    ),
}


@pytest.mark.parametrize("opening", _OPENINGS)
def test_a_checkpoint_that_names_code_is_refused_and_the_code_not_run(
    folder, helper, opening
):
    _edit(folder / "config.json", "encoder", architecture="helper:make")
    with pytest.raises(UserError, match=r"allow\('helper:make'\).*--allow_code=helper"):
        _OPENINGS[opening](str(folder))
    assert not helper.exists()


def test_a_model_that_names_code_opens_where_the_user_allows_it(tmp_path, helper):
    config = Config(encoder=EncoderConfig(architecture="helper:make", **_SIZES))
    own = checkpoint.Checkpoint(
        Encoder(config.encoder), config, Statistics(-7.0, 4.5), {}
    )
    os.mkdir(tmp_path / "saved")
    checkpoint.save(str(tmp_path / "saved"), own)
    exported_model.save(own, str(tmp_path / "model"))
    paths = [str(tmp_path / name) for name in ("saved", "model")]
    sound = np.random.default_rng(0).normal(0, 0.1, (1, 8000)).astype("f")
    # who named it in this process opens it again
    expected = [byola_tf.load(path)(sound) for path in paths]
    backbones._GIVEN.clear()
    for path in paths:
        for opening in (byola_tf.load, checkpoint.load, inspection.read):
            with pytest.raises(UserError, match="may not name code"):
                opening(path)
    backbones.allow("helper:make")
    for path, vector in zip(paths, expected, strict=True):
        np.testing.assert_array_equal(byola_tf.load(path)(sound), vector)
        assert inspection.read(path)["embedding_size"] == vector.shape[1]
    with pytest.raises(UserError, match="MODULE:FUNCTION"):
        backbones.allow("helper")


def test_a_configuration_in_the_user_s_own_words_may_name_code(folder, helper):
    _edit(folder / "config.json", "encoder", architecture="another:make")
    text = (folder / "config.json").read_text()
    assert Config.from_json(text, trusted=True).encoder.architecture == "another:make"
    with pytest.raises(UserError, match="can be imported"):
        Config.from_json(text, trusted=True).encoder.time_stride  # noqa: B018


@pytest.mark.parametrize("off", [None, False, 0, "", []])
def test_a_field_of_a_newer_version_that_is_off_is_ignored(folder, off):
    _edit(folder / "config.json", "byol", momentum_teacher=off)
    _edit(folder / "config.json", "", distillation=off)
    assert checkpoint.load(str(folder)).config.byol == Config().byol


@pytest.mark.parametrize(("section", "value"), [("byol", "vicreg2"), ("", {"a": 1})])
def test_a_field_of_a_newer_version_that_matters_is_named(folder, section, value):
    _edit(folder / "config.json", section, objective_of_2030=value)
    with pytest.raises(UserError) as caught:
        byola_tf.load(str(folder))
    text = str(caught.value)
    assert "objective_of_2030" in text and "newer version" in text
    assert str(folder) in text and "\n" not in text


@pytest.mark.parametrize(
    "content",
    ["", '{"seed": 4', "[1, 2]", "[" * 100_000, "\x00", b"\xff\xfe"],
)
@pytest.mark.parametrize("name", ["config.json", "statistics.json", "provenance.json"])
def test_a_torn_file_of_a_checkpoint_is_one_sentence_with_its_path(
    folder, name, content
):
    content = content if isinstance(content, bytes) else content.encode()
    (folder / name).write_bytes(content)
    with pytest.raises(UserError) as caught:
        byola_tf.load(str(folder))
    assert name in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "values",
    [
        {"mean": -7.0, "std": -1.0},
        {"mean": float("nan"), "std": 1.0},
        {"mean": "-7", "std": 1.0},
        {"mean": -7.0},
        {"mean": -7.0, "std": 4.0, "num_crops": "many"},
        {"mean": -7.0, "std": 4.0, "crops": 4},
    ],
)
def test_statistics_of_a_file_keep_the_rules(folder, tmp_path, values):
    (folder / "statistics.json").write_text(json.dumps(values))
    with pytest.raises(UserError, match="statistics.json"):
        checkpoint.load(str(folder))


def test_an_older_version_s_file_and_its_absent_fields_open(folder):
    tree = json.loads((folder / "config.json").read_text())
    del tree["augment"], tree["encoder"]["flatten_frames"]
    (folder / "config.json").write_text(json.dumps(tree))
    assert checkpoint.load(str(folder)).config.encoder.flatten_frames == 24


def test_a_command_s_allow_code_opens_what_names_code(folder, helper, monkeypatch):
    monkeypatch.chdir(helper.parent)
    _edit(folder / "config.json", "encoder", architecture="helper:make")
    if not flags.FLAGS.is_parsed():
        flags.FLAGS(["test"])
    with flagsaver.flagsaver(allow_code=["helper:make"]):
        command._allowing_code(lambda: None)()
    config = Config.from_json((folder / "config.json").read_text())
    assert config.encoder.time_stride == 4 and helper.exists()
