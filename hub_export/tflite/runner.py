"""Runs the files of `byola tflite` with LiteRT, in Python.

  Runner("DIR/float32.tflite")(waveform)       one file
  Runner("DIR")(waveform)                      the int8 pair of a folder

Imports no TensorFlow: NumPy and ai-edge-litert are all it needs, and it shows what
an app has to do: quantise the input of the int8 encoder, dequantise its output,
and cut recordings into windows.
"""

import os

import numpy as np

from byola_tf.errors import UserError

FRONTEND_FILE = "int8_frontend.tflite"
ENCODER_FILE = "int8_encoder.tflite"


class Runner:
    """Waveforms to embeddings with TFLite files.

    A file with a fixed window embeds a clip window after window, the last one
    padded with zeros, and returns the mean; so a clip of exactly one window gets
    the model's own embedding. Files for any length see the clip as a whole.

    Args:
        path: a `.tflite` file with the signature `embed`, or a folder with
            `int8_frontend.tflite` and `int8_encoder.tflite`.
        num_threads: threads of the interpreter.

    Attributes:
        sample_rate: rate of the audio that it expects, Hz.
        embedding_size: length of an embedding.
        window: length of the fixed window, samples; None for any length.

    Raises:
        UserError: `path` is neither, or ai-edge-litert is absent.
    """

    def __init__(self, path: str, num_threads: int = 1):
        path = os.fspath(path)
        paths = [path]
        if os.path.isdir(path):
            paths = [os.path.join(path, name) for name in (FRONTEND_FILE, ENCODER_FILE)]
        stages = [_Stage(path, num_threads) for path in paths]
        self._stages = stages
        if not stages[0].takes("waveform") or not stages[-1].gives("embedding"):
            raise UserError(
                "A runner needs files that lead from `waveform` to `embedding`. "
                f"Received: {path!r}. Give a folder with {FRONTEND_FILE} and "
                f"{ENCODER_FILE}, or one of the other files of byola tflite."
            )
        self.sample_rate = stages[0].facts["sample_rate"]
        self.embedding_size = stages[0].facts["embedding_size"]
        self.window = stages[0].facts["window_samples"]

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
            UserError: `waveform` has another shape or integers.
        """
        waveform = np.asarray(waveform)
        if waveform.ndim != 2 or not waveform.shape[1] or waveform.dtype.kind != "f":
            raise UserError(
                "`waveform` must be float [batch, samples] in [-1, 1]. Received: "
                f"{waveform.dtype} {list(waveform.shape)}. Divide int16 by 32768."
            )
        waveform = waveform.astype(np.float32)
        window = self.window or waveform.shape[1]
        waveform = np.pad(waveform, ((0, 0), (0, -waveform.shape[1] % window)))
        windows = waveform.reshape(len(waveform), -1, window)
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


def signature(path: str, name: str, num_threads: int = 1):
    """A named signature of a float file, as a callable with keyword arguments.

    It keeps nothing between calls and takes every length that the file does.

    Args:
        path: of a file of byola tflite.
        name: "embed", "frames" or "log_mel".
        num_threads: of the interpreter.

    Raises:
        UserError: `path` is no such file, or lacks the signature.
    """
    interpreter, _ = _open(path, num_threads)
    known = sorted(interpreter.get_signature_list())
    if name not in known:
        raise UserError(
            f"The file must have the signature {name!r}. Received: {path!r} with "
            f"{', '.join(known)}. Use float32.tflite, float16.tflite, dynamic.tflite "
            "or their …_any_length.tflite."
        )
    return interpreter.get_signature_runner(name)


def facts(path: str) -> dict:
    """What a file says about its model; see `tflite_metadata.facts`.

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


def _open(path: str, num_threads: int):
    """The interpreter of a file and its facts."""
    known = facts(path)
    from ai_edge_litert.interpreter import Interpreter

    try:
        return Interpreter(path, num_threads=num_threads), known
    except ValueError as error:
        raise UserError(
            f"A TFLite file must be whole. Received: {path!r}: {error}. Write it "
            "again with byola tflite."
        ) from error


class _Stage:
    """The default subgraph of one file: one input, one output, float outside."""

    def __init__(self, path: str, num_threads: int):
        self._interpreter, self.facts = _open(path, num_threads)
        (self._input,) = self._interpreter.get_input_details()
        (self._output,) = self._interpreter.get_output_details()
        self._shape = None

    def takes(self, name: str) -> bool:
        return self._input["name"] == name

    def gives(self, name: str) -> bool:
        return self._output["name"] == name

    def run(self, value: np.ndarray) -> np.ndarray:
        if value.shape != self._shape:
            self._interpreter.resize_tensor_input(self._input["index"], value.shape)
            self._interpreter.allocate_tensors()
            self._shape = value.shape
        value = quantize(value, self._input)
        self._interpreter.set_tensor(self._input["index"], value)
        self._interpreter.invoke()
        output = self._interpreter.get_tensor(self._output["index"])
        return dequantize(output, self._output)

    def invoke(self) -> None:
        self._interpreter.invoke()


def quantize(value: np.ndarray, details: dict) -> np.ndarray:
    """Rounds float values to the integers of an input; floats stay.

    Args:
        value: float32, any shape.
        details: of the tensor, from an interpreter.
    """
    if details["dtype"] == np.float32:
        return value
    scale, zero_point = details["quantization"]
    limits = np.iinfo(details["dtype"])
    steps = np.rint(value / scale) + zero_point
    return np.clip(steps, limits.min, limits.max).astype(details["dtype"])


def dequantize(value: np.ndarray, details: dict) -> np.ndarray:
    """The float32 values that an output's integers stand for; floats stay."""
    if details["dtype"] == np.float32:
        return value
    scale, zero_point = details["quantization"]
    return (value.astype(np.float32) - zero_point) * np.float32(scale)
