"""From a checkpoint to a SavedModel: export, import, embedding of corpora."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
