"""The HEAR interface: a module that the evaluations of the HEAR benchmark take.

    export BYOLA_MODEL=runs/model
    hear-validator byola_tf.hear          # or --model=runs/model

HEAR 2021 common API (https://hearbenchmark.com/hear-api.html). Log-mels are
normalised with the statistics that are in the model: HEAR shows no training data
from which to compute others.
"""

import numpy as np
import tensorflow as tf

from byola_tf import checkpoint, embedder
from byola_tf.audio import clips
from byola_tf.errors import UserError


class HearModel(tf.Module):
    """What `load_model` returns: HEAR asks for a `tf.Module` with these attributes.

    Args:
        opened: `Embedder`.

    Attributes:
        sample_rate: rate of the audio it takes, Hz.
        scene_embedding_size: length of an embedding of a clip.
        timestamp_embedding_size: length of an embedding of a frame.
    """

    def __init__(self, opened: embedder.Embedder):
        super().__init__(name="byola")
        self.model = opened.model
        self.inference = opened.inference
        self.config = opened.config
        self.sample_rate = int(opened.sample_rate)
        self.scene_embedding_size = int(opened.embedding_size)
        self.timestamp_embedding_size = int(opened.embedding_size)


def load_model(model_file_path: str = "") -> HearModel:
    """Opens a model.

    Args:
        model_file_path: exported model, checkpoint or work directory; by default
            what the environment variable BYOLA_MODEL names.

    Returns:
        `HearModel`, on the current device.

    Raises:
        UserError: there is no model at the path, or none was named.
    """
    return HearModel(embedder.load(checkpoint.model_path(model_file_path)))


def get_scene_embeddings(audio, model: HearModel):
    """Embeds clips.

    Args:
        audio: float in [-1, 1] or int16, [n_sounds, n_samples], at the model's rate.
        model: of `load_model`.

    Returns:
        float32 [n_sounds, scene_embedding_size].

    Raises:
        UserError: `audio` has another shape or type.
    """
    return model.inference.embed(_waveform(audio))


def get_timestamp_embeddings(audio, model: HearModel):
    """Embeds a clip's frames, one every 40 ms.

    Every frame whose centre lies in the clip has its row: the last may look
    20 ms beyond the end, where the clip is mirrored.

    Args:
        audio: float in [-1, 1] or int16, [n_sounds, n_samples], at the model's rate.
        model: of `load_model`.

    Returns:
        float32 [n_sounds, n_timestamps, timestamp_embedding_size], and the
        centres of the frames, float32 [n_sounds, n_timestamps], milliseconds.

    Raises:
        UserError: `audio` has another shape or type.
    """
    waveform = _waveform(audio)
    stride = model.config.encoder.time_stride
    hop = model.config.frontend.hop_length
    num_samples = tf.shape(waveform)[1]
    # frame t covers log-mel frames stride t ... stride t + stride - 1, whose
    # own centres are a hop apart
    first = hop * (stride - 1) // 2
    num_frames = (num_samples - first) // (hop * stride) + 1
    missing = (num_frames * stride - 1) * hop - num_samples
    missing = tf.clip_by_value(missing, 0, num_samples)
    mirrored = tf.pad(waveform, [[0, 0], [0, missing]], "SYMMETRIC")
    frames = model.inference.frames(mirrored)
    # a clip shorter than half a frame has one row, whose centre is padding
    duration = tf.cast(num_samples, tf.float32) / model.sample_rate
    centres = tf.minimum(frames["timestamps"], duration)
    return frames["frame_embeddings"], centres * 1000.0


def _waveform(audio) -> tf.Tensor:
    if len(np.shape(audio)) != 2 or 0 in np.shape(audio):
        raise UserError(
            "`audio` must have shape [n_sounds, n_samples], with at least one of "
            f"each. Received: {tuple(np.shape(audio))}."
        )
    return tf.constant(clips.as_batch(audio, "`audio`"))
