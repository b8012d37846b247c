"""What a researcher runs: pre-training, probes, benchmark, demo."""

import os
import sys

if sys.argv[:1] == ["-m"]:  # this process is a command: its Keras is its own affair
    os.environ["KERAS_BACKEND"] = "tensorflow"
