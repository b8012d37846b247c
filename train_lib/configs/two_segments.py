"""Recipe: each view shows a crop of its own from the same recording.

ATST (Li et al. 2022) takes two segments of a clip; BYOL-A's premise is a single
one. It asks the embedding for what a recording keeps, not for what happens in it.
"""

from byola_tf.config import Config, DataConfig


def get_config() -> Config:
    """The published method with two segments as views."""
    return Config(data=DataConfig(num_segments=2))
