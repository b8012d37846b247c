"""Recipe: the target's decay rises to 1 over the run.

BYOL (Grill et al. 2020) and ATST (Li et al. 2022: cosine from 0.99 to 1). TASLP
table XI finds decays from 0.9 to 0.999 within 0.6 points, so expect little from
short runs.
"""

from byola_tf.config import BYOLConfig, Config


def get_config() -> Config:
    """The published method with a ramp of the decay."""
    return Config(byol=BYOLConfig(ema_schedule="cosine"))
