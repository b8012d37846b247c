"""From a checkpoint to a SavedModel: export, import, embedding of corpora."""

import os
import sys

if sys.argv[:1] == ["-m"]:  # this process is a command: its Keras is its own affair
    os.environ["KERAS_BACKEND"] = "tensorflow"
