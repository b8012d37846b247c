"""Search for configuration values with Optuna: `python -m train_lib.tune`."""
