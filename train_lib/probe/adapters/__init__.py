"""A module for every family of models; `train_lib.probe.models` opens them."""
