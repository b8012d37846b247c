"""Modules with the HEAR interface: OpenL3, PANNs, wav2vec 2.0 and others ship so.

https://hearbenchmark.com/hear-api.html: `load_model`, `get_scene_embeddings`
and `get_timestamp_embeddings`, on tensors of TensorFlow or PyTorch, whichever
the model is made of.
"""

import os
import sys

import numpy as np

from byola_tf.errors import UserError
from train_lib.probe.models.audio_model import AudioModel, fingerprint_of, pooled
from train_lib.probe.models.python_function import import_module, source_fingerprint


class HearModel(AudioModel):
    """A HEAR module and its weights.

    Args:
        spec: MODULE or MODULE:WEIGHTS.
        pooling: of timestamp embeddings; the module's own scene embeddings
            when None.

    Raises:
        UserError: it cannot be imported or lacks a part of the interface.
    """

    def __init__(self, spec: str, pooling: str | None = None):
        name, _, weights = spec.partition(":")
        self._module = import_module(name, f"hear:{spec}")
        self._pooling = pooling
        function = "get_timestamp_embeddings" if pooling else "get_scene_embeddings"
        for needed in ("load_model", function):
            if not hasattr(self._module, needed):
                raise UserError(
                    "A HEAR module must have load_model, get_scene_embeddings and "
                    f"get_timestamp_embeddings. Received: {name!r} without {needed}. "
                    "See hearbenchmark.com/hear-api.html."
                )
        self._function = getattr(self._module, function)
        load = self._module.load_model
        self._model = load(weights) if weights else load()
        self.name = f"hear:{spec}"
        self.sample_rate = int(self._model.sample_rate)
        self.fingerprint = source_fingerprint(self._module, weights, pooling)
        if self.fingerprint and os.path.exists(weights):
            self.fingerprint = fingerprint_of([weights], self.fingerprint)

    def embed(self, waveform: np.ndarray) -> np.ndarray:
        """See `AudioModel.embed`."""
        torch = _torch_of(self._model)
        if torch is None:
            import tensorflow as tf

            output = self._function(tf.constant(waveform), self._model)
        else:
            with torch.no_grad():
                output = self._function(torch.from_numpy(waveform), self._model)
        if self._pooling:
            output, _ = output
        if torch is not None:
            output = output.detach().cpu()
        return pooled(np.asarray(output), len(waveform), self._pooling, self.name)


def _torch_of(model):
    """PyTorch, if the model is made of it; it is then imported already."""
    torch = sys.modules.get("torch")
    return torch if torch is not None and isinstance(model, torch.nn.Module) else None
