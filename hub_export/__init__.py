"""From a checkpoint to a SavedModel: export, import, embedding of corpora."""

import os

# 3: TensorFlow 2.17 reports CUDA plugins it registers twice as errors
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
