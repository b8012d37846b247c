"""From a checkpoint to a SavedModel: export, import, embedding of corpora."""
