"""What an exported model says about itself."""

import json

import keras
import tensorflow as tf

from byola_tf import frontend
from byola_tf.config import Config, EncoderConfig, FrontendConfig
from byola_tf.networks import geometry
from byola_tf.normalize import Statistics

UNKNOWN_LICENCE = "unspecified: it belongs to whoever trained or imported it"


def describe(config: Config, statistics: Statistics, provenance: dict) -> str:
    """The metadata of a model.

    Args:
        config: `Config` it was trained with.
        statistics: `Statistics` that its log-mels are normalised with.
        provenance: JSON-ready facts about the training: `steps`, `pattern` and
            `hours` of the data, or where it was imported from; and `licence`.

    Returns:
        JSON text. Beside the arguments: `method` (see `method_version`),
        `frontend_hash` (see `frontend.fingerprint`), `receptive_field` of a
        frame embedding, hop, dimensions, `licence`, and the `versions` that
        wrote it.
    """
    import byola_tf

    encoder, front = config.encoder, config.frontend
    hop = encoder.time_stride * front.hop_length
    local = encoder.local_units * (encoder.concatenate_local or not encoder.mlp)
    return json.dumps(
        {
            "format": "byola-tf",
            "version": byola_tf.__version__,
            "method": method_version(config),
            "sample_rate": front.sample_rate,
            "embedding_size": encoder.embedding_size,
            "dimensions": {
                "embedding": encoder.embedding_size,
                "frame_embedding": encoder.frame_embedding_size,
                "local": local,
                "global": encoder.frame_embedding_size - local,
            },
            "frame_hop_seconds": hop / front.sample_rate,
            "frame_hop_samples": hop,
            "receptive_field": _receptive_field(config),
            "frontend_hash": frontend.fingerprint(
                front, statistics.mean, statistics.std
            ),
            "statistics": {
                "mean": statistics.mean,
                "std": statistics.std,
                "num_crops": statistics.num_crops,
            },
            "licence": provenance.get("licence") or UNKNOWN_LICENCE,
            "config": json.loads(config.to_json()),
            "provenance": provenance,
            "versions": {
                "byola_tf": byola_tf.__version__,
                "tensorflow": tf.__version__,
                "keras": keras.__version__,
            },
        },
        indent=2,
    )


def method_version(config: Config) -> str:
    """Which of the two papers a configuration follows, widths apart.

    Returns:
        "v2" (TASLP 2023) or "v1" (IJCNN 2021) where front end, augmentations and
        the shape of the encoder are the paper's; "custom" otherwise.
    """
    widths = {
        name: getattr(config.encoder, name)
        for name in ("n_mels", "channels", "hidden_units", "output_units", "dropout")
    }
    found = (config.frontend, config.augment.blocks, config.encoder)
    blocks = ("mixup", "resize_crop", "fade")
    if found == (FrontendConfig(), blocks, EncoderConfig(**widths)):
        return "v2"
    v1 = EncoderConfig(num_blocks=3, concatenate_local=False, **widths)
    if found == (FrontendConfig(mel_scale="htk"), ("mixup", "resize_crop"), v1):
        return "v1"
    return "custom"


def _receptive_field(config: Config) -> dict | None:
    """What one frame embedding sees; None if the encoder does not say."""
    seen = geometry.receptive_field(config)
    if seen is None:
        return None
    return {
        "log_mel_frames": seen.num_log_mel_frames,
        "samples": seen.num_samples_seen,
        "seconds": seen.num_samples_seen / config.frontend.sample_rate,
    }
