"""From waveforms to embeddings: one object over a checkpoint or a SavedModel."""

import dataclasses
import hashlib
import json
import os

import numpy as np
import tensorflow as tf

from byola_tf import checkpoint, normalize
from byola_tf.audio import clips
from byola_tf.config import Config
from byola_tf.embedding import batching, inference
from byola_tf.embedding.waveform_encoder import WaveformEncoder, timestamps
from byola_tf.errors import UserError
from byola_tf.networks.encoder import Encoder
from byola_tf.normalize import Statistics

# audio that goes through the encoder at a time: enough to keep it busy
_SECONDS_AT_A_TIME = 32.0
_POLICIES = {"float32": "float32", "bfloat16": "bfloat16"}


class Embedder:
    """Embeds audio with an exported model or a checkpoint; see `load`.

    It takes whatever holds samples: NumPy arrays or tensors, int16 (scaled by its
    type) or floating in [-1, 1], of any length and rate:

        embedder(waveform)                      [samples] or [batch, samples]
        embedder([first, second])               clips of any lengths, each [samples]
                                                or [samples, channels]
        embedder(waveform, sample_rate=44100)   resampled to the model's rate
        embedder(stereo, channels="last")       one clip [samples, channels]

    Channels are averaged. Clips of similar length are embedded together, long
    recordings window by window: memory does not grow with the audio. Every clip
    gets what it gets alone.

    Warns (`NormalizationWarning`) when the model's statistics do not fit the audio.

    Attributes:
        model: the `WaveformEncoder`, or the SavedModel with its interface.
        config: `Config` the model was trained with.
        statistics: `Statistics` it normalises with.
        provenance: facts about its training.
        sample_rate: rate of the audio it expects, Hz.
        embedding_size: length of an embedding.
        inference: `Inference`, how clips, batches and recordings get through it.
    """

    def __init__(self, model):
        inference.require_no_fork()
        self.model = model
        metadata = json.loads(model.metadata().numpy())
        self.config = Config.from_json(json.dumps(metadata["config"]))
        self.statistics = Statistics(**metadata["statistics"])
        self.provenance = metadata["provenance"]
        self.sample_rate = metadata["sample_rate"]
        self.embedding_size = metadata["embedding_size"]
        self._samples_at_a_time = int(_SECONDS_AT_A_TIME * self.sample_rate)
        self.inference = inference.Inference(model, self.config, self.statistics)
        self._trained = self.statistics
        self._fingerprint = None
        self._opened_as = None  # path and precision

    @classmethod
    def from_encoder(
        cls, encoder: Encoder, config: Config, statistics: Statistics, provenance=None
    ) -> "Embedder":
        """Wraps an encoder that is in memory."""
        return cls(WaveformEncoder(encoder, config, statistics, provenance))

    def with_statistics(self, mean: float, std: float) -> "Embedder":
        """Normalises with another corpus's statistics from now on.

        Downstream statistics differ from the training corpus's; the published
        evaluation uses the downstream ones.

        Args:
            mean: of the log-mels of the audio to come.
            std: their standard deviation.

        Returns:
            itself.

        Raises:
            UserError: not finite, or `std` not positive.
        """
        self.statistics = normalize.checked_statistics(mean, std)
        self.model.statistics_mean.assign(self.statistics.mean)
        self.model.statistics_std.assign(self.statistics.std)
        self.inference = inference.Inference(self.model, self.config, self.statistics)
        return self

    def __call__(self, waveform, sample_rate=None, channels: str | None = None):
        """Embeds clips.

        Args:
            waveform: [samples], [batch, samples] or a list of clips; see the class.
            sample_rate: its rate, Hz, if not the model's; for a list also one a
                clip.
            channels: "last" for one clip [samples, channels], "first" for
                [channels, samples]; in a list "last" is understood.

        Returns:
            float32 [batch, embedding_size], one vector a clip.

        Raises:
            UserError: not audio, or in a fork of a process that used a model; says
                what is expected.
        """
        given = clips.as_clips(waveform, sample_rate, self.sample_rate, channels)
        rows = self.inference.rows(given, self._samples_at_a_time)
        return tf.convert_to_tensor(np.concatenate(rows))

    def frames(self, waveform, sample_rate=None, channels: str | None = None) -> dict:
        """Embeds every frame; arguments as in a call.

        Returns:
            `frame_embeddings` float32 [batch, time, embedding_size];
            `timestamps` float32 [batch, time], centres in seconds: a row covers
            half of `frame_hop_seconds` on both sides; `num_frames` int32
            [batch], the rows that a clip has; later ones are zero.

        Raises:
            UserError: see a call.
        """
        given = clips.as_clips(waveform, sample_rate, self.sample_rate, channels)
        rows = self.inference.rows(given, self._samples_at_a_time, frames=True)
        return self._stack_rows(rows)

    def embed_padded(self, waveform, num_samples):
        """Embeds clips of unequal length, padded to one, as each would be alone.

        Args:
            waveform: float32 in [-1, 1] or int16, [batch, samples], at the model's
                rate.
            num_samples: int32 [batch], length of each clip, 1 to `samples`;
                what follows has no influence.

        Returns:
            float32 [batch, embedding_size].

        Raises:
            UserError: `waveform` is no batch of samples.
        """
        waveform = clips.as_batch(waveform, "`waveform`")
        return self.inference.embed(waveform, num_samples)

    def frames_padded(self, waveform, num_samples) -> dict:
        """Embeds every frame of padded clips; arguments as in `embed_padded`.

        Returns:
            what `frames` returns.

        Raises:
            UserError: see `embed_padded`.
        """
        waveform = clips.as_batch(waveform, "`waveform`")
        return self.inference.frames(waveform, num_samples)

    def log_mel(self, waveform, sample_rate=None, channels: str | None = None):
        """The normalised log-mel of clips of one length; arguments as in a call.

        Returns:
            float32 [batch, time, mel].

        Raises:
            UserError: clips of different lengths, or see a call.
        """
        given = clips.as_clips(waveform, sample_rate, self.sample_rate, channels)
        inference.require_no_fork()
        waveforms, num_samples = batching.padded([clip.read() for clip in given], 0)
        if num_samples.min() < num_samples.max():
            raise UserError(
                "Clips must have one length for their log-mels. Received: "
                f"{num_samples.min()} to {num_samples.max()} samples. Pass them one "
                "by one."
            )
        return self.model.log_mel(waveforms)

    def _stack_rows(self, rows: list[np.ndarray]) -> dict:
        num_frames = np.array([len(own) for own in rows], np.int32)
        if len(rows) == 1:
            stacked = rows[0][None]
        else:
            shape = [len(rows), num_frames.max(), rows[0].shape[1]]
            stacked = np.zeros(shape, np.float32)
            for place, own in zip(stacked, rows, strict=True):
                place[: len(own)] = own
        centres = timestamps(num_frames.max(), self.config).numpy()
        has_sound = np.arange(num_frames.max()) < num_frames[:, None]
        return {
            "frame_embeddings": tf.convert_to_tensor(stacked),
            "timestamps": tf.constant(np.where(has_sound, centres, np.float32(0))),
            "num_frames": tf.constant(num_frames),
        }

    @property
    def fingerprint(self) -> str:
        """A text that differs between models: weights, configuration, own statistics.

        A checkpoint and its exports have the same, wherever they lie, and another
        in bfloat16. Statistics that were set later do not count.
        """
        if self._fingerprint is None:
            self._fingerprint = _fingerprint(self.model, self.config, self._trained)
        return self._fingerprint

    def __reduce__(self):
        """Pickles path and fingerprint; unpickling opens the model again."""
        if self._opened_as is None:
            raise UserError(
                "An Embedder must have been opened from a path to be pickled. "
                "Received: one that was made in memory. Save the model and use "
                "byola_tf.load(path)."
            )
        now = self.statistics.mean, self.statistics.std
        return _reopen, (*self._opened_as, self.fingerprint, *now)


def load(
    path: str,
    precision: str = "float32",
    mean: float | None = None,
    std: float | None = None,
) -> Embedder:
    """Opens an exported model, a checkpoint or a work directory.

    Args:
        path: a local folder.
        precision: "float32", or "bfloat16": the encoder computes in bfloat16,
            faster where the hardware does; the log-mel, its normalisation, the
            pooling over time and what comes out are float32.
        mean: of another corpus's log-mels, in place of the training corpus's;
            the published evaluation uses those of the downstream task.
        std: goes with `mean`.

    Returns:
        `Embedder`: (waveform, sample_rate=None) → [batch, embedding_size].

    Raises:
        UserError: `path` is none of these, or the others are out of range.
    """
    statistics = normalize.optional_statistics(mean, std)
    path = os.fspath(path)
    embedder = _open(path, precision)
    embedder._opened_as = os.path.abspath(path), precision
    if statistics is not None:
        embedder.with_statistics(statistics.mean, statistics.std)
    return embedder


def require_fingerprint(embedder: Embedder, fingerprint: str, path: str) -> None:
    """Refuses a model that is not the one it was.

    Args:
        embedder: `Embedder` of what lies at `path` now.
        fingerprint: of the model that is wanted.
        path: for the message.

    Raises:
        UserError: it is another.
    """
    if embedder.fingerprint != fingerprint:
        raise UserError(
            "A pickled object must find the model that it was made with. Received: "
            f"another model at {path!r} (fingerprint {embedder.fingerprint}, not "
            f"{fingerprint}). Put that model back, or fit and pickle again."
        )


def _reopen(path, precision, fingerprint, mean, std) -> Embedder:
    """What a pickled `Embedder` becomes."""
    embedder = load(path, precision)
    require_fingerprint(embedder, fingerprint, path)
    if (mean, std) != (embedder.statistics.mean, embedder.statistics.std):
        embedder.with_statistics(mean, std)
    return embedder


def _fingerprint(model, config: Config, statistics: Statistics) -> str:
    settings = dataclasses.asdict(config.frontend), dataclasses.asdict(config.encoder)
    text = json.dumps([settings, statistics.mean, statistics.std], sort_keys=True)
    digest = hashlib.sha256(text.encode())
    in_memory = isinstance(model, WaveformEncoder)
    for variable in (model._encoder if in_memory else model).variables:
        is_statistic = variable is model.statistics_mean or (
            variable is model.statistics_std
        )
        # the others are states of random numbers
        if not is_statistic and tf.as_dtype(variable.dtype).is_floating:
            digest.update(np.asarray(variable).tobytes())
    return digest.hexdigest()[:16]


def _open(path: str, precision: str) -> Embedder:
    if precision not in _POLICIES:
        raise UserError(
            f"`precision` must be one of {', '.join(_POLICIES)}. "
            f"Received: {precision!r}."
        )
    if checkpoint.is_exported(path) and precision == "float32":
        return Embedder(checkpoint.open_exported(path))
    try:
        opened = checkpoint.load(path)
    except UserError as error:
        raise UserError(
            "A model must be an exported SavedModel folder (saved_model.pb) or a "
            f"checkpoint. Received: {path!r}. {error}"
        ) from error
    encoder = opened.encoder
    if precision != "float32":
        policy = _POLICIES[precision]
        encoder = Encoder(opened.config.encoder, name="encoder", dtype=policy)
        encoder.set_weights(opened.encoder.get_weights())
    return Embedder.from_encoder(
        encoder, opened.config, opened.statistics, opened.provenance
    )
