r"""A run of seconds, to see that everything works; its embedding is no good.

    byola pretrain --config=smoke --workdir=W \
        --config.data.pattern='sounds/**/*'

Twenty steps of a tiny encoder on a CPU; needs at least eight files.
"""

from byola_tf.config import (
    AugmentConfig,
    BYOLConfig,
    Config,
    EncoderConfig,
    TrainConfig,
)


def get_config() -> Config:
    """The published method with small layers, small batches and few steps."""
    return Config(
        augment=AugmentConfig(bank_size=64),
        encoder=EncoderConfig(channels=8, hidden_units=32, output_units=32),
        byol=BYOLConfig(hidden_units=64, projection_units=16),
        train=TrainConfig(
            batch_size=8, steps=20, learning_rate=1e-3, log_every_steps=1
        ),
    )
