"""Runs the files of `byola tflite` with LiteRT, in Python.

  Runner("DIR/float32.tflite")(waveform)       one file
  Runner("DIR/gpu_encoder.tflite")(waveform)   a pair: front end, then encoder
  Runner("DIR")(waveform)                      the int8 pair of a folder

Imports no TensorFlow: NumPy and ai-edge-litert are all it needs, and it shows what
an app has to do: refuse samples that are no numbers, quantise the input of the int8
encoder, dequantise its output, and cut recordings into windows.
"""

import os
import threading
from collections.abc import Callable

import numpy as np

from byola_tf.embedding import litert
from byola_tf.errors import UserError

PAIRS = ("int8", "gpu")
_FRONTEND, _ENCODER = "_frontend.tflite", "_encoder.tflite"


def pair(flavour: str) -> tuple[str, str]:
    """The names of the files of one of `PAIRS`: front end and encoder."""
    return flavour + _FRONTEND, flavour + _ENCODER


class Runner:
    """Waveforms to embeddings with TFLite files.

    A file with a fixed window embeds a clip window after window, the last one
    padded with zeros, and returns the mean; so a clip of exactly one window gets
    the model's own embedding. Files for any length see the clip as a whole.

    Threads that share a runner take turns; give each its own to run at once.

    Args:
        path: a `.tflite` file with the signature `embed`; the encoder of a pair,
            whose front end lies beside it; or a folder with the int8 pair.
        num_threads: threads of the interpreter.
        interpreter: see `litert.LiteRTFile`.

    Attributes:
        paths: of the files, in the order in which they run.
        sample_rate: rate of the audio that it expects, Hz.
        embedding_size: length of an embedding.
        window: length of the fixed window, samples; None for any length.

    Raises:
        UserError: `path` is none of these, or ai-edge-litert is absent.
    """

    def __init__(self, path: str, num_threads: int = 1, interpreter=None):
        self.paths = _stages(os.fspath(path))
        known = facts(self.paths[0])
        for other in self.paths[1:]:
            facts(other)
        self._stages = [
            litert.LiteRTFile(path, num_threads, interpreter) for path in self.paths
        ]
        takes = self._stages[0].inputs[0]["name"]
        gives = self._stages[-1].outputs[0]["name"]
        if (takes, gives) != ("waveform", "embedding"):
            raise UserError(
                "A runner needs files that lead from `waveform` to `embedding`. "
                f"Received: {path!r}. Give a folder with {' and '.join(pair('int8'))}, "
                "or one of the other files of byola tflite."
            )
        self.sample_rate = known["sample_rate"]
        self.embedding_size = known["embedding_size"]
        self.window = known["window_samples"]

    def __call__(self, waveform) -> np.ndarray:
        """Embeds clips; see `embed`. A single clip may come without batch axis."""
        return self.embed(np.atleast_2d(np.asarray(waveform)))

    def embed(self, waveform: np.ndarray) -> np.ndarray:
        """Embeds clips.

        Args:
            waveform: float [batch, samples] in [-1, 1] at `sample_rate`.

        Returns:
            float32 [batch, embedding_size].

        Raises:
            UserError: `waveform` has another shape, integers, NaN or infinity.
        """
        waveform = np.asarray(waveform)
        if waveform.ndim != 2 or not waveform.shape[1] or waveform.dtype.kind != "f":
            raise UserError(
                "`waveform` must be float [batch, samples] in [-1, 1]. Received: "
                f"{waveform.dtype} {list(waveform.shape)}. Divide int16 by 32768."
            )
        litert.require_finite(waveform)
        windows = litert.cut(waveform.astype(np.float32), self.window)
        vectors = [[self._run(piece) for piece in clip] for clip in windows]
        return np.mean(vectors, axis=1, dtype=np.float32).reshape(len(waveform), -1)

    def invoke(self) -> None:
        """Runs once more on the inputs of the last call, for timing."""
        for stage in self._stages:
            stage.invoke()

    def _run(self, piece: np.ndarray) -> np.ndarray:
        """[samples] to [embedding_size]."""
        value = piece[None]
        for stage in self._stages:
            value = stage.run(value)
        return value[0]


def _stages(path: str) -> list[str]:
    """The files that a path of `Runner` stands for."""
    if os.path.isdir(path):
        return [os.path.join(path, name) for name in pair("int8")]
    if path.endswith(_ENCODER):
        return [path.removesuffix(_ENCODER) + _FRONTEND, path]
    return [path]


def signature(path: str, name: str, num_threads: int = 1) -> Callable:
    """A named signature of a float file, as a callable with keyword arguments.

    It keeps nothing between calls, takes every length that the file does, and may be
    called by several threads, which take turns.

    Args:
        path: of a file of byola tflite.
        name: "embed", "frames" or "log_mel".
        num_threads: of the interpreter.

    Raises:
        UserError: `path` is no such file, or lacks the signature; a call: NaN or
            infinity.
    """
    facts(path)
    try:
        interpreter = litert.open_interpreter(path, num_threads)
    except ValueError as error:
        raise UserError(
            f"A TFLite file must be whole. Received: {path!r}: {error}. Write it "
            "again with byola tflite."
        ) from error
    known = sorted(interpreter.get_signature_list())
    if name not in known:
        raise UserError(
            f"The file must have the signature {name!r}. Received: {path!r} with "
            f"{', '.join(known)}. Use float32.tflite, float16.tflite, dynamic.tflite "
            "or their …_any_length.tflite."
        )
    run, lock = interpreter.get_signature_runner(name), threading.Lock()

    def call(**inputs):
        for value in inputs.values():
            litert.require_finite(value)
        with lock:
            return run(**inputs)

    return call


def facts(path: str) -> dict:
    """What a file says about its model; see `metadata.facts`.

    Raises:
        UserError: `path` is no file of byola tflite, or ai-edge-litert is absent.
    """
    try:
        from hub_export.tflite import metadata
    except ImportError as error:
        raise UserError(
            "Running TFLite files needs a package that is not installed. Received: "
            f"no {error.name}. Install it: pip install 'byola-tf[export]'."
        ) from error
    if not os.path.isfile(path):
        raise UserError(
            f"A TFLite file must be there. Received: {path!r}, which is absent. "
            "Write it with byola tflite."
        )
    return metadata.facts(path)
