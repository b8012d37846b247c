"""The rules that the values of a configuration keep.

`FIELDS` has one rule for every field; `_together` has those between fields. What
a file brings keeps the same rules as what the user writes, so the sizes of a
network have upper limits: they are checked before anything is built.
"""

import dataclasses
import math
import numbers
from collections.abc import Callable
from typing import Any

from byola_tf.errors import UserError

_MOST_WEIGHTS = 2**31  # of an encoder: 8 GiB


@dataclasses.dataclass(frozen=True)
class Rule:
    """What one value must be.

    Attributes:
        holds: value → whether it is.
        words: "must ..." in words.
    """

    holds: Callable[[Any], bool]
    words: str


def validate(config):
    """Checks every rule.

    Args:
        config: `Config`.

    Returns:
        the same `config`.

    Raises:
        UserError: names the first field that breaks one, with its value.
    """
    for name, rule in FIELDS.items():
        _require(name, value_of(config, name), rule.holds, rule.words)
    for name, holds, words in _together(config):
        _require(name, value_of(config, name), lambda _, holds=holds: holds, words)
    return config


def validate_section(section, name: str):
    """Checks the fields of one section, each by itself, and an encoder's size.

    Args:
        section: e.g. an `EncoderConfig`.
        name: its name in `Config`.

    Returns:
        the same `section`.

    Raises:
        UserError: see `validate`.
    """
    for field, rule in FIELDS.items():
        owner, _, leaf = field.rpartition(".")
        if owner == name:
            _require(field, getattr(section, leaf), rule.holds, rule.words)
    if name == "encoder":
        for field, holds, words in _of_encoder(section):
            leaf = field.rpartition(".")[2]
            value = getattr(section, leaf)
            _require(field, value, lambda _, holds=holds: holds, words)
    return section


def value_of(config, name: str) -> Any:
    """The value of "section.field"."""
    value = config
    for part in name.split("."):
        value = getattr(value, part)
    return value


def _require(name: str, value, holds: Callable, words: str) -> None:
    if not holds(value):
        raise UserError(f"`config.{name}` must {words}. Received: {value!r:.100}.")


def _integer(least: int, most: int) -> Rule:
    def holds(value):
        whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
        return whole and least <= value <= most

    return Rule(holds, f"be a whole number from {least} to {most}")


def _is_number(value) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _number(least: float, words: str, most: float = math.inf) -> Rule:
    """A finite number in [least, most]."""

    def holds(value):
        return _is_number(value) and math.isfinite(value) and least <= value <= most

    return Rule(holds, words)


def _positive(or_infinite: bool = False) -> Rule:
    def holds(value):
        return _is_number(value) and 0 < value and (or_infinite or math.isfinite(value))

    return Rule(holds, "be positive" if or_infinite else "be positive and finite")


def _share() -> Rule:
    return Rule(lambda value: _is_number(value) and 0 <= value < 1, "lie in [0, 1)")


def _one_of(*choices: str) -> Rule:
    return Rule(
        lambda value: isinstance(value, str) and value in choices,
        f"be one of {choices}",
    )


def _or_none(rule: Rule) -> Rule:
    return Rule(
        lambda value: value is None or rule.holds(value), f"{rule.words}, or None"
    )


def _range(most: float) -> Rule:
    def holds(value):
        pair = isinstance(value, tuple | list) and len(value) == 2
        return pair and all(map(_is_number, value)) and 0 < value[0] <= value[1] <= most

    return Rule(
        holds, f"be two numbers, the lower one first, above 0 and at most {most:g}"
    )


def _some_of(*choices: str) -> Rule:
    def holds(value):
        return isinstance(value, tuple | list) and all(
            part in choices for part in value
        )

    return Rule(holds, f"be a subset of {choices}")


_SWITCH = Rule(lambda value: isinstance(value, bool), "be True or False")
# a text that is free: a path, a name; who uses it says what is wrong with it
_TEXT = Rule(lambda value: isinstance(value, str) and "\0" not in value, "be a text")
_NOT_NEGATIVE = _number(0, "be finite and not negative")
_COUNT = _integer(1, 2**31 - 1)
_COUNT_OR_ZERO = _integer(0, 2**31 - 1)
_WIDTH = _integer(1, 2**16)

FIELDS: dict[str, Rule] = {
    "seed": _integer(0, 2**31 - 1),
    "frontend.sample_rate": _integer(1, 10**6),
    "frontend.n_fft": _integer(2, 2**20),
    "frontend.win_length": _integer(1, 2**20),
    "frontend.hop_length": _integer(1, 2**20),
    "frontend.n_mels": _integer(1, 2**12),
    "frontend.f_min": _NOT_NEGATIVE,
    "frontend.f_max": _positive(),
    "frontend.mel_scale": _one_of("slaney", "htk"),
    "data.pattern": _TEXT,
    "data.exclude": _TEXT,
    "data.tfds": _TEXT,
    "data.service": _TEXT,
    "data.wait_seconds": _positive(or_infinite=True),
    "data.unit_seconds": Rule(
        lambda value: _is_number(value) and 0 < value <= 3600,
        "be above 0 and at most 3600",
    ),
    "data.num_segments": _integer(1, 2),
    "data.cache_dir": _TEXT,
    "data.cache_limit_gb": Rule(
        lambda value: _is_number(value) and value >= 0, "not be negative"
    ),
    "data.statistics_samples": _COUNT,
    "data.num_decode_threads": _integer(1, 1024),
    "data.decoder": _one_of("auto", "soundfile", "tensorflow_io"),
    "data.max_hours": _positive(or_infinite=True),
    "data.sharding": _one_of("global", "worker"),
    "augment.blocks": _some_of("mixup", "resize_crop", "fade", "gaussian"),
    "augment.mixup_ratio": _share(),
    "augment.mixup_domain": _one_of("power", "log"),
    "augment.bank_size": _COUNT_OR_ZERO,
    "augment.canvas_time_scale": _number(1, "be from 1 to 100", most=100),
    "augment.crop_mel_range": _range(100),
    "augment.crop_time_range": _range(100),
    "augment.fade_range": _NOT_NEGATIVE,
    "augment.gaussian_ratio": _number(0, "lie in [0, 1]", most=1),
    "augment.post_normalize": _SWITCH,
    "encoder.n_mels": _integer(1, 2**12),
    "encoder.architecture": Rule(
        lambda value: isinstance(value, str) and 0 < len(value) <= 1000,
        "be the name of a network, or MODULE:FUNCTION",
    ),
    "encoder.num_blocks": _integer(1, 12),
    "encoder.channels": _WIDTH,
    "encoder.last_block_halves_mel": _SWITCH,
    "encoder.narrow_receptive_field": _SWITCH,
    "encoder.local_features": _one_of(
        "flatten", "frequency_mean", "frequency_max", "channel_mean"
    ),
    "encoder.mlp": _SWITCH,
    "encoder.hidden_units": _WIDTH,
    "encoder.output_units": _WIDTH,
    "encoder.dropout": _share(),
    "encoder.concatenate_local": _SWITCH,
    "encoder.pooling": _one_of("mean+max", "mean", "max", "attention", "flatten"),
    "encoder.flatten_frames": _integer(1, 2**16),
    "byol.hidden_units": _WIDTH,
    "byol.projection_units": _WIDTH,
    "byol.ema_decay": _number(0, "lie in [0, 1]", most=1),
    "byol.ema_schedule": _one_of("constant", "cosine"),
    "byol.predictor": _SWITCH,
    "byol.symmetric": _SWITCH,
    "byol.target_start": _one_of("online", "random"),
    "train.batch_size": _integer(2, 2**24),
    "train.epochs": _COUNT,
    "train.steps": _or_none(_COUNT),
    "train.seconds": _or_none(_positive()),
    "train.learning_rate": _positive(),
    "train.adam_epsilon": _positive(),
    "train.schedule": _one_of("constant", "cosine"),
    "train.warmup_steps": _COUNT_OR_ZERO,
    "train.weight_decay": _NOT_NEGATIVE,
    "train.clip_norm": _NOT_NEGATIVE,
    "train.accumulate_steps": _COUNT,
    "train.strategy": _one_of("auto", "one", "mirrored", "multi_worker"),
    "train.wait_seconds": _positive(or_infinite=True),
    "train.precision": _one_of("float32", "mixed_bfloat16", "mixed_float16", "auto"),
    "train.log_every_steps": _COUNT,
    "train.checkpoint_every_steps": _COUNT_OR_ZERO,
    "train.keep_checkpoints": _COUNT,
    "train.stop_on_collapse": _SWITCH,
    "train.probe_metadata": _TEXT,
    "train.probe_audio": _TEXT,
    "train.probe_unit_seconds": _positive(),
    "train.probe_every_epochs": _COUNT,
    "train.probe_patience": _COUNT_OR_ZERO,
    "train.projector_every_epochs": _COUNT_OR_ZERO,
}


def _together(config):
    """Yields (field, whether it holds, rule in words) of rules between fields."""
    front, data, train = config.frontend, config.data, config.train
    yield (
        "frontend.win_length",
        front.win_length <= front.n_fft,
        f"be between 1 and `config.frontend.n_fft` ({front.n_fft})",
    )
    yield (
        "frontend.f_max",
        front.f_min < front.f_max <= front.sample_rate / 2,
        f"lie between `config.frontend.f_min` ({front.f_min:g}) and half of "
        f"`config.frontend.sample_rate` ({front.sample_rate})",
    )
    yield (
        "encoder.n_mels",
        config.encoder.n_mels == front.n_mels,
        f"equal `config.frontend.n_mels` ({front.n_mels})",
    )
    yield from _of_encoder(config.encoder)
    yield (
        "data.unit_seconds",
        config.unit_frames >= config.encoder.time_stride,
        f"cover at least {config.encoder.time_stride} log-mel frames",
    )
    yield (
        "data.num_segments",
        data.num_segments == 1 or not data.service,
        "be 1, or 2 without a data service",
    )
    yield (
        "train.accumulate_steps",
        train.batch_size % train.accumulate_steps == 0,
        f"divide `config.train.batch_size` ({train.batch_size})",
    )


def _of_encoder(encoder):
    yield (
        "encoder.n_mels",
        encoder.local_units > 0,
        f"leave a bin after {encoder.num_blocks} halvings "
        "(`config.encoder.num_blocks`)",
    )
    yield (
        "encoder.hidden_units",
        _num_weights(encoder) <= _MOST_WEIGHTS,
        f"keep the encoder below {_MOST_WEIGHTS} weights, as "
        "`config.encoder.channels` and `config.encoder.output_units`",
    )


def _num_weights(encoder) -> int:
    """Weights of convolution blocks and dense layers; of other networks unknown."""
    count = 9 * encoder.channels**2 * (encoder.num_blocks - 1)
    if encoder.mlp:
        count += encoder.hidden_units * (encoder.local_units + encoder.output_units)
    return count
