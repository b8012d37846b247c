"""Speed, measured: `python -m train_lib.benchmark`."""
