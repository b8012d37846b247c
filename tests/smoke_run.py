"""The smallest training run, of the configuration `smoke`."""

from train_lib.configs import smoke


def make_config(folder, steps):
    """`smoke` on a folder of sounds, for so many steps."""
    config = smoke.get_config()
    config.data.pattern = folder
    config.train.steps = steps
    return config
