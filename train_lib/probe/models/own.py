"""Our own encoders: exports, checkpoints, work directories, random weights."""

import importlib
import os
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from byola_tf import checkpoint, normalize
from byola_tf.config import Config
from byola_tf.embedder import Embedder
from byola_tf.errors import UserError
from byola_tf.networks.encoder import Encoder
from byola_tf.networks.pooling import pool_time
from train_lib.probe.models import floors, inner_layers
from train_lib.probe.models.audio_model import AudioModel, fingerprint_of

RANDOM = {"": "byola_v2", "v2": "byola_v2", "v1": "byola_v1"}


class EncoderModel(AudioModel):
    """An `Embedder`, normalised with the statistics of the task.

    Args:
        embedder: the model.
        name: in results.
        fingerprint: see `AudioModel`.
        embed: normalised by the embedder's statistics, float32 [batch, samples]
            to [batch, d]; the embedder's own output when None.
    """

    def __init__(
        self,
        embedder: Embedder,
        name: str,
        fingerprint: str | None = None,
        embed: Callable | None = None,
    ):
        self.embedder = embedder
        self.name = name
        self.fingerprint = fingerprint
        self.sample_rate = embedder.sample_rate
        self.config = embedder.config
        self._embed = embed or (lambda waveform: embedder.inference.embed(waveform))

    @property
    def statistics(self) -> normalize.Statistics:
        """What the log-mels are normalised with."""
        return self.embedder.statistics

    @statistics.setter
    def statistics(self, statistics: normalize.Statistics) -> None:
        self.embedder.statistics = statistics

    def with_statistics(self, mean: float, std: float) -> "EncoderModel":
        """Normalises with these statistics from now on; returns itself."""
        self.embedder.with_statistics(mean, std)
        return self

    def embed(self, waveform: np.ndarray) -> np.ndarray:
        """See `AudioModel.embed`."""
        return np.asarray(self._embed(tf.constant(waveform)), np.float32)


def open_checkpoint(
    path: str, pooling: str | None, layers: Sequence[str] | None
) -> EncoderModel:
    """Opens a checkpoint or a work directory's newest.

    Args:
        path: its folder.
        pooling: see `opening.open_model`.
        layers: see `opening.open_model`.

    Returns:
        `EncoderModel`, called "encoder".

    Raises:
        UserError: `path` is neither; or there is no such layer.
    """
    try:
        opened = checkpoint.load(path)
    except UserError as error:
        raise UserError(
            "A model must be an export, a checkpoint, a work directory, or a text that "
            "names its family (hub:, hf:, hear:, python:, random, logmel). Received: "
            f"{path!r}. {error}"
        ) from error
    folder = path
    if not checkpoint.is_checkpoint(path):
        folder = checkpoint.step_folders(path)[-1]
    files = [
        os.path.join(folder, name)
        for name in (checkpoint.CONFIG_FILE, checkpoint.WEIGHTS_FILE)
    ]
    return _from_encoder(
        opened.encoder, opened.config, opened.statistics, files, pooling, layers
    )


def open_exported(
    path: str, loaded, pooling: str | None, layers: Sequence[str] | None
) -> EncoderModel:
    """Wraps an exported model.

    Args:
        path: its folder.
        loaded: what `tf.saved_model.load` returned.
        pooling: see `opening.open_model`.
        layers: see `opening.open_model`.
    """
    if layers:
        opened = checkpoint.from_exported(loaded)
        return _from_encoder(
            opened.encoder, opened.config, opened.statistics, [path], pooling, layers
        )
    embedder = Embedder(loaded)
    return EncoderModel(
        embedder,
        path,
        fingerprint_of([path], pooling),
        _pooled_frames(embedder, pooling) if pooling else None,
    )


def open_random(
    name: str, pooling: str | None, layers: Sequence[str] | None, seed: int
) -> EncoderModel:
    """Makes the untrained encoder of v2 ("" or "v2") or v1.

    Args:
        name: which.
        pooling: see `opening.open_model`.
        layers: see `opening.open_model`.
        seed: of its weights.
    """
    opened = random_checkpoint(name, seed)
    key = [RANDOM[name], seed]
    return _from_encoder(
        opened.encoder, opened.config, opened.statistics, [], pooling, layers, *key
    )


def random_checkpoint(name: str, seed: int) -> checkpoint.Checkpoint:
    """The untrained encoder of `open_random` with its configuration.

    Raises:
        UserError: there is none of that name.
    """
    if name not in RANDOM:
        raise UserError(
            "A random encoder must be `random`, `random:v2` or `random:v1`. Received: "
            f"'random:{name}'."
        )
    packaged = importlib.import_module(f"train_lib.configs.{RANDOM[name]}")
    config = packaged.get_config()
    encoder = floors.random_weights(seed, config)
    return checkpoint.Checkpoint(encoder, config, normalize.Statistics(0.0, 1.0), {})


def _from_encoder(
    encoder: Encoder,
    config: Config,
    statistics: normalize.Statistics,
    files: Sequence[str],
    pooling: str | None,
    layers: Sequence[str] | None,
    *key,
) -> EncoderModel:
    embedder = Embedder.from_encoder(encoder, config, statistics)
    embed = None
    if layers:
        embed = _inner_layers(embedder, encoder, layers, pooling)
    elif pooling:
        embed = _pooled_frames(embedder, pooling)
    layers = layers and tuple(layers)
    fingerprint = fingerprint_of(files, config.to_json(), pooling, layers, *key)
    return EncoderModel(embedder, "encoder", fingerprint, embed)


def _inner_layers(embedder: Embedder, encoder: Encoder, layers, pooling) -> Callable:
    of_layers = inner_layers.make_embed(embedder.model, encoder, layers, pooling)

    def embed(waveform):
        embedder.inference.watch(waveform)
        return of_layers(waveform)

    return embed


def _pooled_frames(embedder: Embedder, pooling: str) -> Callable:
    def embed(waveform):
        frames = embedder.inference.frames(waveform)["frame_embeddings"]
        return pool_time(frames, pooling)

    return embed
