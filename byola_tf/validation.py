"""The rules that the values of a configuration keep."""

import math
from typing import Any

from byola_tf.errors import UserError


def validate(config):
    """Checks every rule.

    Args:
        config: `Config`.

    Returns:
        the same `config`.

    Raises:
        UserError: names the first field that breaks one, with its value.
    """
    for name, holds, rule in _rules(config):
        if not holds:
            raise UserError(
                f"`config.{name}` must {rule}. Received: {value_of(config, name)!r}."
            )
    return config


def value_of(config, name: str) -> Any:
    """The value of "section.field"."""
    value = config
    for part in name.split("."):
        value = getattr(value, part)
    return value


_CHOICES = {
    "augment.mixup_domain": ("power", "log"),
    "byol.ema_schedule": ("constant", "cosine"),
    "byol.target_start": ("online", "random"),
    "data.sharding": ("global", "worker"),
    "encoder.local_features": (
        "flatten",
        "frequency_mean",
        "frequency_max",
        "channel_mean",
    ),
    "encoder.pooling": ("mean+max", "mean", "max", "attention", "flatten"),
    "train.schedule": ("constant", "cosine"),
    "train.strategy": ("auto", "one", "mirrored", "multi_worker"),
    "train.precision": ("float32", "mixed_bfloat16", "mixed_float16", "auto"),
}


def _rules(config):
    """Yields (field, whether it holds, rule in words)."""
    frontend, augment, encoder = config.frontend, config.augment, config.encoder
    blocks = ("mixup", "resize_crop", "fade", "gaussian")
    yield (
        "frontend.mel_scale",
        frontend.mel_scale in ("slaney", "htk"),
        "be 'slaney' or 'htk'",
    )
    yield (
        "frontend.win_length",
        0 < frontend.win_length <= frontend.n_fft,
        "be between 1 and `n_fft`",
    )
    yield (
        "frontend.f_max",
        frontend.f_min < frontend.f_max <= frontend.sample_rate / 2,
        "lie between `f_min` and half of `sample_rate`",
    )
    yield (
        "data.unit_seconds",
        math.isfinite(config.data.unit_seconds)
        and config.unit_frames >= encoder.time_stride,
        f"cover at least {encoder.time_stride} log-mel frames",
    )
    yield (
        "data.num_segments",
        config.data.num_segments == 1
        or (config.data.num_segments == 2 and not config.data.service),
        "be 1, or 2 without a data service",
    )
    for name in ("wait_seconds", "max_hours"):
        yield f"data.{name}", getattr(config.data, name) > 0, "be positive"
    yield (
        "augment.blocks",
        all(block in blocks for block in augment.blocks),
        f"be a subset of {blocks}",
    )
    yield "augment.mixup_ratio", 0 <= augment.mixup_ratio < 1, "lie in [0, 1)"
    yield "augment.bank_size", augment.bank_size >= 0, "not be negative"
    yield (
        "augment.canvas_time_scale",
        augment.canvas_time_scale >= 1,
        "be at least 1",
    )
    yield (
        "encoder.n_mels",
        encoder.n_mels == frontend.n_mels and encoder.local_units > 0,
        f"equal `config.frontend.n_mels` ({frontend.n_mels}) and leave a bin "
        f"after {encoder.num_blocks} halvings",
    )
    yield "encoder.dropout", 0 <= encoder.dropout < 1, "lie in [0, 1)"
    yield "encoder.flatten_frames", encoder.flatten_frames >= 1, "be at least 1"
    yield "byol.ema_decay", 0 <= config.byol.ema_decay <= 1, "lie in [0, 1]"
    yield "train.batch_size", config.train.batch_size >= 2, "be at least 2"
    yield "train.epochs", config.train.epochs >= 1, "be at least 1"
    yield (
        "train.steps",
        config.train.steps is None or config.train.steps >= 1,
        "be at least 1, or None",
    )
    yield "train.learning_rate", config.train.learning_rate > 0, "be positive"
    train = config.train
    for name in ("log_every_steps", "keep_checkpoints", "probe_every_epochs"):
        yield f"train.{name}", getattr(train, name) >= 1, "be at least 1"
    for name in ("warmup_steps", "weight_decay", "clip_norm", "probe_patience"):
        yield f"train.{name}", getattr(train, name) >= 0, "not be negative"
    for name in ("checkpoint_every_steps", "projector_every_epochs"):
        yield f"train.{name}", getattr(train, name) >= 0, "not be negative"
    yield "train.probe_unit_seconds", train.probe_unit_seconds > 0, "be positive"
    yield (
        "train.seconds",
        train.seconds is None or train.seconds > 0,
        "be positive, or None",
    )
    yield (
        "train.accumulate_steps",
        train.accumulate_steps >= 1 and train.batch_size % train.accumulate_steps == 0,
        f"divide `config.train.batch_size` ({train.batch_size})",
    )
    for name, choices in _CHOICES.items():
        yield name, value_of(config, name) in choices, f"be one of {choices}"
