"""BYOL for Audio in TensorFlow: general-purpose audio embeddings.

The names below are the public interface; everything further is reached by
module (`byola_tf.audio.load`). Attributes are imported on first use, so that
`import byola_tf` costs nothing.
"""

import importlib

__version__ = "0.1.0"

_PUBLIC = {
    "Config": "config",
    "log_mel_spectrogram": "frontend",
    "make_views": "two_views",
    "Encoder": "networks.encoder",
    "BYOL": "byol",
    "Embedder": "embedder",
    "load": "embedder",
    "HubLayer": "hub_layer",
    "UserError": "errors",
}
_MODULES = {
    name: name
    for name in (
        "audio",
        "augment",
        "byol",
        "checkpoint",
        "config",
        "corpus",
        "embedder",
        "embedding",
        "errors",
        "frontend",
        "hear",
        "hub_layer",
        "losses",
        "networks",
        "normalize",
        "pipeline",
        "two_views",
    )
} | {
    # short names that programs use: byola_tf.backbones.register
    "backbones": "networks.backbones",
    "encoder": "networks.encoder",
    "heads": "networks.heads",
    "pooling": "networks.pooling",
}
__all__ = [*_PUBLIC, *_MODULES, "__version__"]


_WITHOUT_KERAS = {"Config", "UserError", "audio", "config", "errors"}


def __getattr__(name: str):
    if name in __all__ and name not in _WITHOUT_KERAS:
        importlib.import_module("byola_tf.networks.backend").require_tensorflow()
    if name in _PUBLIC:
        return getattr(importlib.import_module(f"byola_tf.{_PUBLIC[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"byola_tf.{_MODULES[name]}")
    raise AttributeError(f"module 'byola_tf' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
