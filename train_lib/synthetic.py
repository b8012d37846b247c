"""The bank of synthetic sounds; it lives in `train_lib.synthesis.bank`."""

from train_lib.synthesis.bank import *  # noqa: F403
