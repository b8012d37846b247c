"""The configuration tree: JSON, validation, packaged experiments."""

import importlib

import pytest

from byola_tf import Encoder
from byola_tf.config import Config
from train_lib.cli import config_flag
from train_lib.configs import byola_mobile

pytestmark = pytest.mark.newest_smoke


def test_json_round_trip_keeps_every_field():
    config = Config(seed=7)
    config.augment.blocks = ("mixup",)
    config.train.steps = 3
    assert Config.from_json(config.to_json()) == config


def test_unknown_json_field_is_named_with_the_known_ones():
    with pytest.raises(ValueError, match="`config.train` has no field named 'bach'"):
        Config.from_json('{"train": {"bach": 1}}')


@pytest.mark.parametrize("name", config_flag.packaged())
def test_packaged_configuration_is_valid(name):
    config = importlib.import_module(f"train_lib.configs.{name}").get_config()
    assert config.validate() is config


def test_v2_defaults_are_the_published_sizes():
    config = Config()
    assert (config.unit_samples, config.unit_frames) == (15200, 96)
    assert config.encoder.embedding_size == 3072


def test_a_mobile_encoder_in_int8_takes_less_than_1_5_megabytes():
    config = byola_mobile.get_config()
    weights = Encoder(config.encoder).count_params()
    assert weights == 1_415_872
    # a full-integer file of it had 49,920 bytes beside the weights
    assert weights + 50_000 < 1_500_000
    v2 = Config()
    v2.encoder.hidden_units = v2.encoder.output_units = 768
    assert config == v2


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("frontend.mel_scale", "bark"),
        ("augment.blocks", ("mixup", "pitch")),
        ("encoder.pooling", "median"),
        ("byol.ema_decay", 1.5),
        ("train.batch_size", 1),
        ("data.unit_seconds", 0.001),
    ],
)
def test_out_of_range_values_are_refused_by_name(field, value):
    config = Config()
    section, leaf = field.split(".")
    setattr(getattr(config, section), leaf, value)
    with pytest.raises(ValueError, match=f"`config.{field}` must"):
        config.validate()


def test_help_explains_every_field():
    text = config_flag.help_text()
    for name in config_flag.flatten(Config()):
        assert f"--config.{name}=" in text
