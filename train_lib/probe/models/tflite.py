"""TFLite models with one waveform input, by LiteRT."""

import numpy as np

from byola_tf import foreign
from byola_tf.embedding import litert
from byola_tf.errors import UserError
from train_lib.probe.models.audio_model import (
    DEFAULT_RATE,
    AudioModel,
    fingerprint_of,
    pooled,
)


class TFLiteModel(AudioModel):
    """A .tflite file: waveform [samples] or [1, samples] to an embedding.

    A file with a fixed window is run on one window after another, the last one
    padded with zeros, and the windows' embeddings are averaged.

    Args:
        path: of the file.
        sample_rate: Hz; when None, what a file of byola tflite says, and
            16 kHz for others.
        pooling: of windows, mean when None; or of frames, where the file
            returns them: mean+max when None.

    Raises:
        UserError: the file is none, or takes something else.
    """

    def __init__(
        self, path: str, sample_rate: int | None = None, pooling: str | None = None
    ):
        self._file = litert.LiteRTFile(path)
        inputs, outputs = self._file.inputs, self._file.outputs
        if (
            len(inputs) != 1
            or inputs[0]["dtype"] != np.float32
            or len(inputs[0]["shape"]) not in (1, 2)
            or len(outputs) != 1
        ):
            raise UserError(
                "A .tflite model must have one float32 waveform input and one output. "
                f"Received: {path!r} with {_listed(inputs)} to {_listed(outputs)}."
            )
        self._rank = len(inputs[0]["shape"])
        self._pooling = pooling
        self.name = path
        self.sample_rate = sample_rate or _own_rate(path) or DEFAULT_RATE
        self.fingerprint = fingerprint_of([path], pooling)

    def embed(self, waveform: np.ndarray) -> np.ndarray:
        """See `AudioModel.embed`."""
        batch = len(waveform)
        windows = litert.cut(waveform, self._file.window)
        output = np.stack([[self._run(piece) for piece in clip] for clip in windows])
        if output.ndim == 4:  # [batch, windows, time, d]
            output = output.reshape(batch, -1, output.shape[-1])
            return pooled(output, batch, self._pooling, self.name)
        if output.shape[1] == 1:
            return pooled(output[:, 0], batch, self._pooling, self.name)
        return pooled(output, batch, self._pooling, self.name, default="mean")

    def _run(self, piece: np.ndarray) -> np.ndarray:
        """[samples] to [d] or [time, d]."""
        piece = piece[None] if self._rank == 2 else piece
        output = self._file.run(piece)
        return output[0] if output.ndim > 1 and len(output) == 1 else output


def _own_rate(path: str) -> int | None:
    """The rate in the metadata `byola_tf` of byola tflite, Hz.

    LiteRT has opened the file before, and so verified its tables.
    """
    from ai_edge_litert import schema_py_generated as schema

    with open(path, "rb") as file:
        model = schema.Model.GetRootAs(file.read())
    for index in range(model.MetadataLength()):
        entry = model.Metadata(index)
        if entry.Name() == b"byola_tf":
            facts = model.Buffers(entry.Buffer()).DataAsNumpy().tobytes()
            what = "The metadata of a .tflite model"
            found = foreign.parse_json(facts, path, what)
            return foreign.fields(found, {"sample_rate": int}, path, what)[
                "sample_rate"
            ]
    return None


def _listed(tensors: list[dict]) -> str:
    return ", ".join(
        f"{tensor['name']} {tensor['dtype'].__name__} {list(tensor['shape_signature'])}"
        for tensor in tensors
    )
