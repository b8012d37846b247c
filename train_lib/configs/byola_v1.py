r"""BYOL-A v1 (IJCNN 2021): three convolution blocks, MLP features only.

    byola pretrain --config=byola_v1 --workdir=W \
        --config.data.pattern='sounds/**/*'

2,048-d here; for the 512-d and 1,024-d models set both
`--config.encoder.hidden_units` and `--config.encoder.output_units`. The paper
reports an average of 77.8 % over its six tasks (2,048-d, AudioSet).
"""

from byola_tf.config import (
    AugmentConfig,
    Config,
    EncoderConfig,
    FrontendConfig,
    TrainConfig,
)


def get_config() -> Config:
    """HTK mel scale, stronger mixup, no linear fader, learning rate 3e-4."""
    return Config(
        frontend=FrontendConfig(mel_scale="htk"),
        augment=AugmentConfig(blocks=("mixup", "resize_crop"), mixup_ratio=0.4),
        encoder=EncoderConfig(
            num_blocks=3,
            hidden_units=2048,
            output_units=2048,
            concatenate_local=False,
        ),
        train=TrainConfig(learning_rate=3e-4),
    )
