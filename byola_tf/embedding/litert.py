"""One .tflite file with one input and one output, run by LiteRT.

Imports no TensorFlow, so that a process measures what a phone would spend.
"""

import threading

import numpy as np

from byola_tf.errors import UserError


class LiteRTFile:
    """Runs the default subgraph of a file, with float values outside.

    Several threads may call it: an interpreter has one set of tensors, so they take
    turns. Open the file once a thread to run at the same time.

    Args:
        path: of the `.tflite` file.
        num_threads: of the interpreter.
        interpreter: class of the interpreter; `tf.lite.Interpreter` has the same
            interface as LiteRT's, which is the default.

    Attributes:
        inputs: details of the inputs, as the interpreter lists them.
        outputs: details of the outputs.
        window: samples of the last axis of the input; None for any number.

    Raises:
        UserError: LiteRT is not installed, or does not open the file.
    """

    def __init__(self, path: str, num_threads: int = 1, interpreter=None):
        try:
            self._interpreter = open_interpreter(path, num_threads, interpreter)
            self.inputs = self._interpreter.get_input_details()
            self.outputs = self._interpreter.get_output_details()
        except (ValueError, RuntimeError, OSError) as error:
            if isinstance(error, UserError):
                raise
            raise UserError(
                f"A .tflite model must be a whole file that LiteRT opens. Received: "
                f"{path!r} ({error})."
            ) from error
        shape = self.inputs[0]["shape_signature"] if self.inputs else ()
        self.window = int(shape[-1]) if len(shape) and shape[-1] > 0 else None
        self._shape = None  # that tensors are allocated for
        self._lock = threading.Lock()

    def run(self, value: np.ndarray) -> np.ndarray:
        """The output for a float32 input of any shape that the file takes."""
        (given,), (result,) = self.inputs, self.outputs
        with self._lock:
            if value.shape != self._shape:
                self._interpreter.resize_tensor_input(given["index"], value.shape)
                self._interpreter.allocate_tensors()
                self._shape = value.shape
            self._interpreter.set_tensor(given["index"], quantize(value, given))
            self._interpreter.invoke()
            return dequantize(self._interpreter.get_tensor(result["index"]), result)

    def invoke(self) -> None:
        """Runs once more on the input of the last call, for timing."""
        with self._lock:
            self._interpreter.invoke()


def open_interpreter(path: str, num_threads: int = 1, interpreter=None):
    """The interpreter of a file; arguments as of `LiteRTFile`.

    Raises:
        UserError: LiteRT is not installed.
    """
    if interpreter is None:
        try:
            from ai_edge_litert.interpreter import Interpreter as interpreter
        except ImportError as error:
            raise UserError(
                "A .tflite model must have ai-edge-litert installed. Received: "
                f"{path!r} without it. pip install 'byola-tf[export]'."
            ) from error
    return interpreter(path, num_threads=num_threads)


def cut(waveform: np.ndarray, window: int | None) -> np.ndarray:
    """Cuts clips into windows, the last one padded with zeros.

    Args:
        waveform: float32 [batch, samples].
        window: samples; None for one window as long as the clip.

    Returns:
        float32 [batch, windows, window].
    """
    window = window or waveform.shape[1]
    waveform = np.pad(waveform, ((0, 0), (0, -waveform.shape[1] % window)))
    return waveform.reshape(len(waveform), -1, window)


def require_finite(samples: np.ndarray) -> None:
    """Refuses NaN and infinity, of which a .tflite file makes a plausible vector.

    Raises:
        UserError: there is one.
    """
    if samples.dtype.kind != "f":
        return
    wrong = ~np.isfinite(samples)
    if wrong.any():
        first = np.argmax(wrong.ravel())
        raise UserError(
            f"Samples must be finite. Received: {samples.ravel()[first]} at position "
            f"{first}, {int(wrong.sum())} in all. Replace them, e.g. by "
            "numpy.nan_to_num(samples), or find out where they come from."
        )


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
