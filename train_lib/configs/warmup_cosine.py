"""Recipe: warm-up and cosine decay of the learning rate, scaled by the batch.

ATST (Li et al. 2022) and M2D (Niizumi et al. 2023) raise the rate linearly over
some 3 to 7 % of the steps and let it fall to almost zero; M2D's base rate is 3e-4
for batches of 256. The paper itself trains with a constant 1e-4.
"""

from byola_tf.config import Config, TrainConfig


def get_config() -> Config:
    """The published method with another learning rate schedule."""
    return Config(
        train=TrainConfig(learning_rate=3e-4, schedule="cosine", warmup_steps=500)
    )
