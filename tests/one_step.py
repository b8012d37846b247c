"""One training step of any configuration, on noise."""

import numpy as np
import tensorflow as tf

import byola_tf
from byola_tf import BYOL


def train(config) -> tuple[BYOL, float]:
    """Trains a step on four crops of the configured length; the model and its loss.

    Fails where the loss is lost or the online weights stay as they were.
    """
    model = BYOL(config, config.train.steps)
    model.compile()
    shape = [config.unit_frames, config.frontend.n_mels]
    views = byola_tf.make_views(
        tf.random.stateless_normal([4, *shape], [1, 1]),
        tf.random.stateless_normal([8, *shape], [2, 2]),
        [0, 0],
        config.augment,
    )
    before = model.online_variables[0].numpy()
    loss = float(model.train_step(views)["loss"])
    assert np.isfinite(loss)
    assert np.abs(model.online_variables[0].numpy() - before).max() > 0
    return model, loss
