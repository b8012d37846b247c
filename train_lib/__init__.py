"""What a researcher runs: pre-training, probes, benchmark, demo."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
