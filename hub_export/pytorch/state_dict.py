"""Maps PyTorch state dicts of BYOL-A encoders onto `Encoder`."""

import math
import os

import numpy as np

from byola_tf import Encoder, checkpoint
from byola_tf.config import AugmentConfig, Config, EncoderConfig, FrontendConfig
from byola_tf.errors import UserError
from byola_tf.normalize import Statistics
from hub_export import saved_model
from hub_export.pytorch import archive

_FIRST = "features.0.weight"


def encoder_from_state(state: dict):
    """Builds an encoder from a state dict.

    Args:
        state: name → array, as `archive.read` returns; nested
            dictionaries and key prefixes are looked through.

    Returns:
        (`Encoder`, `Config`).

    Raises:
        UserError: a layer is missing or has another shape.
    """
    state = _strip_prefix(_flatten(state))
    config = _configuration(state)
    encoder = Encoder(config.encoder, name="encoder")
    for block, (convolution, normalization) in enumerate(
        zip(encoder.backbone.convolutions, encoder.backbone.normalizations, strict=True)
    ):
        # kernels are OIHW with height mel, width time; ours [time, mel, in, out]
        names = [f"features.{4 * block}.{part}" for part in ("weight", "bias")]
        set_layer(convolution, state, names, (3, 2, 1, 0))
        set_normalization(normalization, state, f"features.{4 * block + 1}.")
    set_layer(encoder.hidden, state, ["fc.0.weight", "fc.0.bias"], (1, 0))
    set_layer(encoder.output_layer, state, ["fc.3.weight", "fc.3.bias"], (1, 0))
    return encoder, config


def set_layer(layer, state: dict, names: list[str], axes: tuple) -> None:
    """Sets kernel and bias of a layer.

    Args:
        layer: a built Dense or Conv2D.
        state: name → array.
        names: of the kernel and of the bias in `state`.
        axes: the order of the kernel's axes in `state` that makes it ours, e.g.
            (1, 0) for a dense layer's [out, in] → [in, out].

    Raises:
        UserError: an array is missing or has another shape.
    """
    kernel, bias = [_get(state, name) for name in names]
    _assign(layer.kernel, kernel.transpose(axes), names[0])
    _assign(layer.bias, bias, names[1])


def set_normalization(layer, state: dict, prefix: str) -> None:
    """Sets scale, offset and moving statistics of a BatchNormalization."""
    for variable, name in (
        (layer.gamma, "weight"),
        (layer.beta, "bias"),
        (layer.moving_mean, "running_mean"),
        (layer.moving_variance, "running_var"),
    ):
        _assign(variable, _get(state, prefix + name), prefix + name)


def _assign(variable, value, name: str) -> None:
    if tuple(variable.shape) != value.shape:
        raise UserError(
            f"`{name}` must have {tuple(variable.shape)} entries (in this project's "
            f"layout). Received: {value.shape}. Is it a BYOL-A encoder?"
        )
    variable.assign(value)


def _get(state: dict, name: str) -> np.ndarray:
    if name not in state:
        raise UserError(
            f"The checkpoint must hold `{name}`. Received: {', '.join(list(state)[:8])}"
            " ... Is it the state dict of a BYOL-A encoder?"
        )
    return np.asarray(state[name])


def _flatten(state, prefix: str = "") -> dict:
    """Joins nested dictionaries (such as `state_dict`) into one."""
    if not isinstance(state, dict):
        raise UserError(
            "The checkpoint must hold a dictionary of tensors. Received: "
            f"{type(state).__name__}. Save the encoder's state_dict()."
        )
    flat = {}
    for name, value in state.items():
        if isinstance(value, dict):
            flat.update(_flatten(value, f"{prefix}{name}."))
        elif isinstance(value, np.ndarray):
            flat[f"{prefix}{name}"] = value
    return flat


def _strip_prefix(state: dict) -> dict:
    """Keeps one encoder's entries (the online one, if there are several)."""
    prefixes = [name[: -len(_FIRST)] for name in state if name.endswith(_FIRST)]
    if not prefixes:
        _get(state, _FIRST)
    prefix = min(prefixes, key=lambda text: ("target" in text, len(text), text))
    return {
        name[len(prefix) :]: value
        for name, value in state.items()
        if name.startswith(prefix)
    }


def _configuration(state: dict) -> Config:
    """Reads version and widths off the shapes."""
    blocks = sum(f"features.{4 * block}.weight" in state for block in range(3))
    first, second = _get(state, "fc.0.weight"), _get(state, "fc.3.weight")
    kernel = _get(state, _FIRST)
    if kernel.ndim != 4 or not kernel.size:
        raise UserError(
            f"`{_FIRST}` must be the kernel of a convolution, four axes long. "
            f"Received: {kernel.shape}. Is it a BYOL-A encoder?"
        )
    matrices = first.ndim == second.ndim == 2 and first.size and second.size
    if blocks not in (2, 3) or not matrices:
        raise UserError(
            "The checkpoint must have two (v2) or three (v1) convolution blocks and "
            f"two linear layers. Received: {blocks} blocks, fc.0 {first.shape}, fc.3 "
            f"{second.shape}."
        )
    channels = len(kernel)
    encoder = EncoderConfig(
        n_mels=first.shape[1] // channels * 2**blocks,
        num_blocks=blocks,
        channels=channels,
        hidden_units=len(first),
        output_units=len(second),
        concatenate_local=blocks == 2,
    )
    frontend = FrontendConfig(n_mels=encoder.n_mels)
    augment = AugmentConfig()
    if blocks == 3:
        frontend.mel_scale = "htk"
        augment = AugmentConfig(blocks=("mixup", "resize_crop"), mixup_ratio=0.4)
    return Config(frontend=frontend, encoder=encoder, augment=augment)


def import_checkpoint(
    path: str, mean: float, std: float, output: str, licence: str = ""
) -> Config:
    """Reads a `.pth` file and writes a MODEL folder.

    Args:
        path: the checkpoint.
        mean: of the log-mels.
        std: their standard deviation.
        output: folder of the model.
        licence: of the weights; by default the metadata point to their owner.

    Returns:
        the `Config` that was read off the checkpoint.

    Raises:
        UserError: the file is no BYOL-A encoder, or `output` is something else.
    """
    if not (std > 0 and math.isfinite(std) and math.isfinite(mean)):
        raise UserError(
            "`--mean` must be finite and `--std` positive. "
            f"Received: mean {mean}, std {std}."
        )
    saved_model.check_output(output)
    encoder, config = encoder_from_state(archive.read(path))
    name = os.path.basename(path)
    provenance = {
        "imported_from": name,
        "licence": licence or f"that of the owner of {name}: ask there",
    }
    opened = checkpoint.Checkpoint(encoder, config, Statistics(mean, std), provenance)
    saved_model.write(opened, output)
    return config
