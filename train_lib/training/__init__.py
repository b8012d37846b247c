"""One pre-training run: its loop, work directory, devices and checkpoints."""
