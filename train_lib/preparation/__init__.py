"""From recordings to shards: `python -m train_lib.prepare`."""
