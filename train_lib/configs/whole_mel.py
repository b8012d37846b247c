"""Recipe: the last convolution block keeps the resolution along mel.

TASLP table VII: speakers and pitch suffer from every halving of the mel axis. The
local features become twice as wide, 2,048 of then 4,096 dimensions.
"""

from byola_tf.config import Config, EncoderConfig


def get_config() -> Config:
    """The published method with 32 instead of 16 mel bins after the last block."""
    return Config(encoder=EncoderConfig(last_block_halves_mel=False))
