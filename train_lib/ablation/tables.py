"""The rows of the papers' ablation tables, each one a few configuration fields.

TASLP tables VI to XV. The published numbers are averages over nine tasks of models
trained on FSD50K: other data and other tasks than yours. The recipes are the packaged
configurations of that name.
"""

import dataclasses
import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from byola_tf.config import Config
from train_lib.cli.config_flag import flatten


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        name: as in the paper.
        fields: configuration fields that differ from the base.
        published: average accuracy in the paper, %, or None.
        is_trained: False for an encoder that keeps its initial weights.
        layers: inner layers whose features are probed instead of the embedding.
        is_repeat: whether it is the first row again, with another seed.
        warmup_share: of the steps, over which the learning rate rises, where
            these are known: a schedule for long runs would be all warm-up in a
            short one.
    """

    name: str
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    published: float | None = None
    is_trained: bool = True
    layers: Sequence[str] | None = None
    is_repeat: bool = False
    warmup_share: float | None = None


@dataclasses.dataclass(frozen=True)
class Table:
    """A comparison; the first row is what the others are compared with.

    Attributes:
        title: what is compared.
        source: where in the paper.
        rows: `Row`s.
    """

    title: str
    source: str
    rows: Sequence[Row]


def _blocks(*blocks: str) -> dict:
    return {"augment.blocks": blocks}


_UNTRAINED = Row("untrained", {}, 61.66, is_trained=False)
_LOCAL_ONLY = {"encoder.mlp": False}
_RESNET = {"encoder.architecture": "resnet18", **_LOCAL_ONLY}
_FREQUENCY_MEAN = {"encoder.local_features": "frequency_mean"}
_WITHOUT_LOCAL = {"encoder.concatenate_local": False}


def _mlp(units: int) -> dict:
    return {"encoder.hidden_units": units, "encoder.output_units": units}


def _pooling(how: str) -> dict:
    return {"encoder.pooling": how}


def _recipe(name: str, **options) -> Row:
    """A packaged configuration, as what it changes of the published one."""
    module = importlib.import_module(f"train_lib.configs.{name}")
    base = flatten(Config())
    changed = flatten(module.get_config())
    fields = {name: value for name, value in changed.items() if value != base[name]}
    return Row(name, fields, **options)


TABLES = {
    "augmentation": Table(
        "Augmentation blocks",
        "TASLP table VI; rows (i) and (j) are ours",
        (
            Row(
                "(a) mixup + RRC + RLF", _blocks("mixup", "resize_crop", "fade"), 70.32
            ),
            Row(
                "(b) mixup + Gaussian + RRC + RLF",
                _blocks("mixup", "gaussian", "resize_crop", "fade"),
                70.12,
            ),
            Row(
                "(c) Gaussian + RRC + RLF",
                _blocks("gaussian", "resize_crop", "fade"),
                69.22,
            ),
            Row("(d) RRC + RLF", _blocks("resize_crop", "fade"), 69.46),
            Row("(e) mixup + RRC (v1)", _blocks("mixup", "resize_crop"), 70.30),
            Row("(f) RRC", _blocks("resize_crop"), 68.68),
            Row("(g) mixup", _blocks("mixup"), 62.47),
            Row("(h) RLF", _blocks("fade"), 57.70),
            Row("(i) as (a), mixup of log-mels", {"augment.mixup_domain": "log"}),
            Row(
                "(j) as (e), mixup ratio 0.4 (v1)",
                {**_blocks("mixup", "resize_crop"), "augment.mixup_ratio": 0.4},
            ),
            _UNTRAINED,
        ),
    ),
    "architecture": Table(
        "Architecture",
        "TASLP table VII",
        (
            Row("2 convolution blocks (base)", {}, 70.3),
            Row(
                "1 block", {"encoder.num_blocks": 1, "encoder.output_units": 1024}, 68.2
            ),
            Row(
                "3 blocks",
                {"encoder.num_blocks": 3, "encoder.output_units": 2560},
                68.7,
            ),
            # the printed dimensions go with the two rows before, the printed numbers
            # of parameters with these two
            Row("1 block, MLP of 2048", {"encoder.num_blocks": 1}),
            Row("3 blocks, MLP of 2048", {"encoder.num_blocks": 3}),
            Row("ResNet-18, ReGP, narrow field", _RESNET, 69.0),
            Row(
                "ResNet-50, ReGP, narrow field",
                {**_RESNET, "encoder.architecture": "resnet50"},
                70.3,
            ),
        ),
    ),
    "pooling": Table(
        "Global pooling",
        "TASLP tables VIII and IX; rows (8) on: designs that the paper cites",
        (
            Row("(1) base: mean + max", {}, 70.3),
            Row("(2) frequency mean", _FREQUENCY_MEAN, 63.2),
            Row(
                "(3) channel mean",
                {"encoder.local_features": "channel_mean"},
                60.5,
            ),
            Row("(4) global (MLP) only", _WITHOUT_LOCAL, 68.3),
            Row("(5) local only", _LOCAL_ONLY, 64.8),
            Row("(6) temporal mean", _pooling("mean"), 67.7),
            Row("(7) temporal max", _pooling("max"), 69.9),
            Row(
                "(8) flatten (VGGish, OpenL3, COALA)",
                {**_pooling("flatten"), **_LOCAL_ONLY},
            ),
            Row(
                "(9) global mean (COLA)",
                {**_FREQUENCY_MEAN, **_LOCAL_ONLY, **_pooling("mean")},
            ),
            Row(
                "(10) global max (TRILL)",
                {
                    "encoder.local_features": "frequency_max",
                    **_LOCAL_ONLY,
                    **_pooling("max"),
                },
            ),
            Row(
                "(11) frequency mean, mean + max (PANNs)",
                {**_FREQUENCY_MEAN, **_WITHOUT_LOCAL},
            ),
            Row(
                "(12) temporal max, no concatenation (Fonseca)",
                {**_WITHOUT_LOCAL, **_pooling("max")},
            ),
            Row(
                "(13) attention, no concatenation (Ford)",
                {**_WITHOUT_LOCAL, **_pooling("attention")},
            ),
            Row("(14) attention, concatenation", _pooling("attention")),
        ),
    ),
    "mlp": Table(
        "Size of the MLP",
        "TASLP table X",
        (
            Row("2048 (base)", _mlp(2048), 70.3),
            Row("8192", _mlp(8192), 70.3),
            Row("4096", _mlp(4096), 70.4),
            Row("1024", _mlp(1024), 69.2),
            Row("512", _mlp(512), 67.7),
        ),
    ),
    "tau": Table(
        "Decay of the target network",
        "TASLP table XI",
        (
            Row("0.99 (base)", {"byol.ema_decay": 0.99}, 70.3),
            Row("1 (target stays as it starts)", {"byol.ema_decay": 1.0}, 66.9),
            Row("0.999", {"byol.ema_decay": 0.999}, 69.7),
            Row("0.9", {"byol.ema_decay": 0.9}, 70.0),
            Row("0.5", {"byol.ema_decay": 0.5}, 69.7),
            Row("0 (target = online)", {"byol.ema_decay": 0.0}, 69.5),
            _UNTRAINED,
        ),
    ),
    "framework": Table(
        "Framework",
        "TASLP table XII; the last two rows are ours",
        (
            Row("base", {}, 70.3),
            Row("target = online", {"byol.ema_decay": 0.0}, 69.5),
            Row(
                "target = online, no predictor",
                {"byol.ema_decay": 0.0, "byol.predictor": False},
                52.8,
            ),
            Row("one-sided loss", {"byol.symmetric": False}),
            Row(
                "random target",
                {"byol.target_start": "random", "byol.ema_decay": 1.0},
            ),
        ),
    ),
    "batch": Table(
        "Batch size",
        "TASLP table XIII; every row sees as many crops",
        (
            Row("256 (base)", {"train.batch_size": 256}, 70.3),
            Row("1024", {"train.batch_size": 1024}, 69.5),
            Row("512", {"train.batch_size": 512}, 69.4),
            Row("128", {"train.batch_size": 128}, 69.7),
            Row("64", {"train.batch_size": 64}, 69.7),
        ),
    ),
    "appendix_a": Table(
        "Global pooling and receptive field of a ResNet-18",
        "TASLP appendix A, table XV",
        (
            Row("ResNet-18, ReGP, narrow field", _RESNET, 69.0),
            Row(
                "ResNet-18, ReGP",
                {**_RESNET, "encoder.narrow_receptive_field": False},
                63.3,
            ),
            Row(
                "ResNet-18",
                {
                    **_RESNET,
                    "encoder.narrow_receptive_field": False,
                    **_FREQUENCY_MEAN,
                    **_pooling("mean"),
                },
                61.4,
            ),
        ),
    ),
    "contributions": Table(
        "What architecture and training contribute",
        "TASLP table XIV: 61.7 of the encoder alone, 8.6 of framework and augmentation",
        (Row("trained (base)", {}, 70.3), _UNTRAINED),
    ),
    "recipes": Table(
        "Recipes beyond the paper",
        "the packaged configurations of these names, and all layers of the base as "
        "features",
        (
            Row("base"),
            # ATST warms up over 3 % of its steps, M2D over 7 %
            _recipe("warmup_cosine", warmup_share=0.05),
            _recipe("ema_ramp"),
            _recipe("longer_crops"),
            _recipe("two_segments"),
            _recipe("whole_mel"),
            Row("multi_layer", layers=("all",)),
        ),
    ),
}
