"""The configuration tree: JSON, validation, packaged experiments."""

import importlib
import json

import pytest

from byola_tf import Encoder, validation
from byola_tf.config import Config, EncoderConfig
from byola_tf.errors import UserError
from tests.conftest import GOLDEN
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


def test_every_field_has_a_rule_so_that_a_new_one_cannot_lack_it():
    assert list(config_flag.flatten(Config())) == list(validation.FIELDS)


_WRONG = {
    int: (-1, 2**40, 1.5, True, "3", None, float("nan")),
    float: (float("nan"), float("-inf"), -1.0, True, "0.5", None),
    bool: (1, 0.0, "yes", None),
    str: (3, None, "a\0b", b"a"),
    tuple: (0.6, (), "ab", (None, 1.0), ("pitch", "shift")),
}


@pytest.mark.parametrize("name", validation.FIELDS)
def test_a_value_of_another_kind_is_refused_by_the_name_of_its_field(name):
    default = validation.value_of(Config(), name)
    kind = {"train.steps": int, "train.seconds": float}.get(name, type(default))
    for wrong in _WRONG[kind]:
        if wrong is None and default is None or wrong == () and name.endswith("blocks"):
            continue
        config = Config()
        config_flag.assign(config, {name: wrong})
        with pytest.raises(UserError) as caught:
            config.validate()
        assert f"`config.{name}` must" in str(caught.value), wrong
        assert "\n" not in str(caught.value) and "Received: " in str(caught.value)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("seed", -1),
        ("seed", 2**32),
        ("augment.crop_mel_range", (0.6,)),
        ("augment.crop_mel_range", (1.5, 0.6)),
        ("augment.crop_time_range", (0.0, 1.0)),
        ("augment.crop_time_range", (0.6, float("inf"))),
        ("augment.fade_range", float("inf")),
        ("encoder.channels", 0),
        ("encoder.num_blocks", 10**9),
        ("encoder.num_blocks", 0),
        ("encoder.hidden_units", 0),
        ("data.num_decode_threads", 0),
        ("data.unit_seconds", float("inf")),
        ("train.learning_rate", float("inf")),
        ("train.learning_rate", 0.0),
        ("train.adam_epsilon", 0.0),
        ("train.seconds", float("inf")),
        ("train.warmup_steps", 0.5),
        ("frontend.hop_length", 0),
        ("frontend.sample_rate", 0),
        ("frontend.n_fft", 0),
        ("frontend.f_min", float("nan")),
        ("frontend.f_max", float("nan")),
        ("byol.projection_units", 0),
        ("encoder.architecture", ""),
    ],
)
def test_a_flag_out_of_range_is_refused_and_no_other_field_blamed(name, wrong):
    config = Config()
    config_flag.assign(config, {name: wrong})
    with pytest.raises(UserError, match=f"^`config.{name}` must .*Received: "):
        config.validate()


def test_sizes_that_no_memory_holds_are_refused_before_anything_is_built():
    config = Config(encoder=EncoderConfig(hidden_units=2**16, output_units=2**16))
    with pytest.raises(UserError, match="`config.encoder.hidden_units` must keep"):
        config.validate()
    config = Config(encoder=EncoderConfig(num_blocks=12))
    with pytest.raises(UserError, match="leave a bin after 12 halvings"):
        config.validate()


def test_what_0_1_0_did_not_know_is_left_out_where_it_is_the_default():
    """So that older versions open what they can compute."""
    known = json.loads((GOLDEN / "config_0_1_0.json").read_text())
    written = json.loads(Config().to_json())
    assert {name: set(part) for name, part in written.items() if name != "seed"} == {
        name: set(part) for name, part in known.items() if name != "seed"
    }
    changed = Config()
    changed.data.max_hours = 1.0
    assert Config.from_json(changed.to_json()) == changed
