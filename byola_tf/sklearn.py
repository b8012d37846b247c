"""A scikit-learn transformer: recordings in, embeddings out.

    from byola_tf.sklearn import AudioEmbedding

    features = AudioEmbedding("runs/model").fit_transform(["a.wav", "b.mp3"])
    classifier = make_pipeline(
        AudioEmbedding("runs/model"), StandardScaler(), LogisticRegression()
    )

Needs scikit-learn (pip install 'byola-tf[eval]').
"""

import itertools
import os
from collections.abc import Iterator

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.utils.validation import check_is_fitted

from byola_tf import audio, checkpoint, embedder, parallel
from byola_tf.audio import clips
from byola_tf.errors import UserError


class AudioEmbedding(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Embeds recordings with a model that is frozen: `fit` only opens it.

    A pickled or copied transformer keeps path and fingerprint of its model, not the
    model, and refuses another one that lies there later.

    Args:
        model: exported model, checkpoint or work directory; by default what the
            environment variable BYOLA_MODEL names when `fit` is called.
        sample_rate: rate of recordings given as arrays, Hz; the model's by
            default. Files know their own.
        batch_size: recordings that are in memory at a time, per thread.
        num_threads: threads that decode and resample.

    Attributes:
        model_path_: the model that was opened.
        embedding_size_: length of an embedding.
        sample_rate_: the model's sampling rate, Hz.
        fingerprint_: of the model, see `Embedder.fingerprint`.
    """

    def __init__(self, model=None, sample_rate=None, batch_size=32, num_threads=2):
        self.model = model
        self.sample_rate = sample_rate
        self.batch_size = batch_size
        self.num_threads = num_threads

    def fit(self, X, y=None):
        """Opens the model.

        Args:
            X: recordings, as for `transform`; looked at only to refuse none.
            y: ignored.

        Returns:
            itself.

        Raises:
            UserError: no model, or no recordings.
        """
        _recordings(X)
        self.model_path_ = checkpoint.model_path(self.model)
        self._embedder = embedder.load(self.model_path_)
        self.embedding_size_ = self._n_features_out = self._embedder.embedding_size
        self.sample_rate_ = self._embedder.sample_rate
        self.fingerprint_ = self._embedder.fingerprint
        return self

    def transform(self, X):
        """Embeds recordings, a batch at a time.

        Args:
            X: a list of files or of arrays: float in [-1, 1] or int16, [samples]
                or [samples, channels], of any lengths; or float [recordings,
                samples].

        Returns:
            float32 [recordings, embedding_size].

        Raises:
            UserError: a recording is unusable; or another model lies where that of
                a pickled transformer lay.
        """
        check_is_fitted(self)
        opened = self._open()
        waveforms = parallel.in_order(self._read, _recordings(X), self.num_threads)
        batches = _batches(waveforms, self.batch_size)
        return np.concatenate([opened(batch) for batch in batches])

    def _read(self, recording) -> np.ndarray:
        """One recording as the model takes it, float32 [samples]."""
        if isinstance(recording, str | os.PathLike):
            return audio.load(os.fspath(recording), self.sample_rate_)
        samples = np.asarray(recording)
        return clips.as_clip(
            samples, self.sample_rate, self.sample_rate_, "A recording"
        ).read()

    def _open(self):
        if self._embedder is None:  # after pickling
            opened = embedder.load(self.model_path_)
            embedder.require_fingerprint(opened, self.fingerprint_, self.model_path_)
            self._embedder = opened
        return self._embedder

    def __getstate__(self):
        state = super().__getstate__()
        return {**state, "_embedder": None} if "_embedder" in state else state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = True
        tags.no_validation = True  # recordings differ in length
        tags.input_tags.string = True
        tags.input_tags.two_d_array = True
        tags.transformer_tags.preserves_dtype = []  # always float32
        return tags


def _batches(items: Iterator, size: int) -> Iterator[list]:
    while batch := list(itertools.islice(items, size)):
        yield batch


def _recordings(X):
    """The recordings, checked to be several.

    Raises:
        UserError: there is none, or `X` is no list of them.
    """
    is_one = isinstance(X, np.ndarray) and X.ndim == 1 and X.dtype.kind in "fiu"
    if isinstance(X, str) or is_one or not hasattr(X, "__len__"):
        raise UserError(
            "`X` must be a list of files or arrays, or an array [recordings, "
            f"samples]; a sparse one is neither. Received: {type(X).__name__}. Put a "
            "single recording into a list."
        )
    if not len(X):
        raise UserError("`X` must have at least one recording. Received: none.")
    return X
