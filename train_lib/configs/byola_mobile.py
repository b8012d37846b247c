r"""A smaller v2 for phones: 1,792-d, 1.42 M encoder parameters.

    byola pretrain --config=byola_mobile --workdir=W \
        --config.data.pattern='sounds/**/*'

The published method with 768 instead of 2,048 dense units; the convolutions are
untouched. An int8 encoder of it takes 1.4 MB (v2: 6.4 MB). The paper reports, with
FSD50K over nine tasks, 70.3 % for 2,048 units, 69.2 % for 1,024 and 67.7 % for 512
(TASLP section V-C, MLP size): expect to lose one or two points.
"""

from byola_tf.config import Config, EncoderConfig


def get_config() -> Config:
    """`byola_v2` with a narrower MLP."""
    return Config(encoder=EncoderConfig(hidden_units=768, output_units=768))
