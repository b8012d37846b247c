"""An encoder for the audio tasks of MTEB, the embedding benchmark.

    import mteb
    from byola_tf.mteb import AudioEncoder

    tasks = mteb.get_tasks(tasks=["ESC50", "GTZANGenre"])
    mteb.evaluate(AudioEncoder("runs/model"), tasks)

Follows `EncoderProtocol` of mteb 2 without importing it, so this module works
where mteb is absent; only `mteb_model_meta` needs it.
"""

import json
import os
import re

import numpy as np
from tqdm import tqdm

from byola_tf import checkpoint, embedder
from byola_tf.errors import UserError


class AudioEncoder:
    """Embeds the audio of MTEB's tasks.

    Args:
        model_name: path of an exported model, checkpoint or work directory; by
            default what the environment variable BYOLA_MODEL names.
        revision: recorded in the results.
        device: ignored; TensorFlow chooses.
        model: the path, where `model_name` is a published name instead.
    """

    def __init__(self, model_name=None, revision=None, *, device=None, model=None):
        self.path = checkpoint.model_path(model or model_name)
        self.revision = revision
        self.model = embedder.load(self.path)
        organisation_and_name = re.fullmatch(r"[\w.-]+/[\w.-]+", model_name or "")
        self.name = (
            model_name
            if model and organisation_and_name
            else f"byola-tf/{os.path.basename(os.path.abspath(self.path))}"
        )

    def encode(
        self,
        inputs,
        *,
        task_metadata=None,
        hf_split=None,
        hf_subset=None,
        prompt_type=None,
        **kwargs,
    ) -> np.ndarray:
        """Embeds a data set.

        Args:
            inputs: iterable of batches, such as a DataLoader: dictionaries whose
                "audio" is a list of items with "array" ([samples] or [channels,
                samples], float in [-1, 1] or int16) and "sampling_rate" (Hz).
            task_metadata: ignored, like the other arguments of the protocol: the
                embedding depends on the sound alone.

        Returns:
            float32 [clips, embedding_size].

        Raises:
            UserError: the task has inputs other than audio.
        """
        vectors = []
        shown = bool(kwargs.get("show_progress_bar"))
        for batch in tqdm(inputs, desc="embedding", disable=not shown):
            if "audio" not in batch:
                raise UserError(
                    "A task must have audio to be embedded. Received a batch of: "
                    f"{', '.join(batch)}. Choose tasks with modalities=['audio']."
                )
            rates = [int(item["sampling_rate"]) for item in batch["audio"]]
            # channels first, as the package datasets has them
            arrays = [np.asarray(item["array"]) for item in batch["audio"]]
            vectors.append(self.model(arrays, rates, channels="first"))
        if not vectors:
            return np.zeros((0, self.model.embedding_size), np.float32)
        return np.concatenate(vectors)

    def get_audio_embeddings(self, inputs, **kwargs) -> np.ndarray:
        """The name of `encode` in MTEB's own audio models."""
        return self.encode(inputs, **kwargs)

    def similarity(self, embeddings1, embeddings2) -> np.ndarray:
        """Cosines between all pairs of two sets of embeddings.

        Args:
            embeddings1: float [n, d] or [d].
            embeddings2: float [m, d] or [d].

        Returns:
            float32 [n, m].
        """
        return _normalize(embeddings1) @ _normalize(embeddings2).T

    def similarity_pairwise(self, embeddings1, embeddings2) -> np.ndarray:
        """Cosines between embeddings of the same row, float32 [n]."""
        return (_normalize(embeddings1) * _normalize(embeddings2)).sum(axis=1)

    @property
    def mteb_model_meta(self):
        """`mteb.models.ModelMeta` of this model.

        Raises:
            UserError: mteb is not installed.
        """
        try:
            from mteb.models import ModelMeta
        except ImportError as error:
            raise UserError(
                "`mteb_model_meta` needs the package mteb, version 2. Received: "
                f"{error}. Install it (pip install 'byola-tf[mteb]')."
            ) from error
        facts = json.loads(self.model.model.metadata().numpy())
        values = {
            "loader": AudioEncoder,
            "loader_kwargs": {"model": self.path},
            "name": self.name,
            "revision": self.revision or facts.get("frontend_hash", "1"),
            "release_date": None,
            "languages": None,
            "n_parameters": None,
            "memory_usage_mb": None,
            "max_tokens": None,
            "embed_dim": self.model.embedding_size,
            "open_weights": True,
            "public_training_code": None,
            "public_training_data": None,
            "framework": ["TensorFlow"],
            "similarity_fn_name": "cosine",
            "use_instructions": False,
            "training_datasets": None,
            "modalities": ["audio"],
        }
        try:
            return ModelMeta(license=facts.get("licence", "").lower(), **values)
        except ValueError:  # a licence that mteb has no word for
            return ModelMeta(license="not specified", **values)


def _normalize(embeddings) -> np.ndarray:
    """Rows of length one, float32 [n, d]."""
    array = np.atleast_2d(np.asarray(embeddings, np.float32))
    lengths = np.linalg.norm(array, axis=1, keepdims=True)
    return array / np.maximum(lengths, 1e-12)
