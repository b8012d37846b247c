"""What an exported model says about itself."""

import json

import keras
import tensorflow as tf

from byola_tf import frontend
from byola_tf.config import Config, EncoderConfig, FrontendConfig
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
    frames = receptive_field(encoder)
    samples = (frames - 1) * front.hop_length + front.win_length
    hop = encoder.time_stride * front.hop_length
    local = encoder.local_units * encoder.concatenate_local
    return json.dumps(
        {
            "format": "byola-tf",
            "version": byola_tf.__version__,
            "method": method_version(config),
            "sample_rate": front.sample_rate,
            "embedding_size": encoder.embedding_size,
            "dimensions": {
                "embedding": encoder.embedding_size,
                "local": local,
                "global": encoder.embedding_size - local,
            },
            "frame_hop_seconds": hop / front.sample_rate,
            "frame_hop_samples": hop,
            "receptive_field": {
                "log_mel_frames": frames,
                "samples": samples,
                "seconds": samples / front.sample_rate,
            },
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
    encoder = config.encoder
    found = (
        config.frontend,
        config.augment.blocks,
        encoder.num_blocks,
        encoder.concatenate_local,
        encoder.pooling,
    )
    v2 = (FrontendConfig(), ("mixup", "resize_crop", "fade"), 2, True, "mean+max")
    htk = FrontendConfig(mel_scale="htk")
    v1 = (htk, ("mixup", "resize_crop"), 3, False, "mean+max")
    if found == v2:
        return "v2"
    return "v1" if found == v1 else "custom"


def receptive_field(encoder_config: EncoderConfig) -> int:
    """Log-mel frames that one frame embedding sees, at least the time stride."""
    frames, stride = 1, 1
    for _ in range(encoder_config.num_blocks):
        frames += 2 * stride  # convolution over three frames
        frames += stride  # pooling over two
        stride *= 2
    return frames
