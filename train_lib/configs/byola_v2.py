r"""BYOL-A v2 as published (TASLP 2023): 3,072-d, 6.33 M encoder parameters.

    byola pretrain --config=byola_v2 --workdir=W \
        --config.data.pattern='sounds/**/*'

The paper trains 100 epochs on AudioSet (1.96 M clips) and reaches an average
of 72.4 % over nine linear-probe tasks; with FSD50K (41 k clips) 70.3 %. One
step of 256 crops costs about 7 s on two CPU cores and a fraction of a second on
a GPU: a few thousand files and some thousand steps are a sensible first run.
"""

from byola_tf.config import Config


def get_config() -> Config:
    """The defaults of `Config` are this experiment."""
    return Config()
