"""The graph of an exported model, with the weights of its folder or without any."""

import base64
import os
import tempfile
import zlib

import tensorflow as tf

from byola_tf import files
from byola_tf.errors import UserError

_INTERFACE = ("__call__", "variables", "trainable_variables", "signatures")
# of an exported model: its signature, and the output's name there
_SIGNATURES = {
    "embedding": ("serving_default", "embedding"),
    "frames": ("frames", "frame_embeddings"),
}
OUTPUTS = tuple(_SIGNATURES)


def to_text(graph: bytes) -> str:
    """The bytes of saved_model.pb as text, for JSON."""
    return base64.b85encode(zlib.compress(graph, 9)).decode()


def from_text(text: str) -> bytes:
    """The bytes that `to_text` had."""
    return zlib.decompress(base64.b85decode(text))


def open_model(path: str, graph: str | None = None):
    """Loads the exported model at `path`, or its graph where that is gone.

    Args:
        path: where the model is or was.
        graph: of `to_text`. With it, a folder that holds another model counts
            as gone, and the variables of the loaded graph hold nothing until
            Keras restores their values from the saved model.

    Returns:
        the bytes of saved_model.pb and the loaded object.

    Raises:
        UserError: there is no SavedModel, or it is none of hub_export.
    """
    file_name = os.path.join(path, "saved_model.pb")
    found = None
    if tf.io.gfile.exists(file_name):
        with tf.io.gfile.GFile(file_name, "rb") as file:
            found = file.read()
    if graph is None and found is None:
        raise UserError(
            "`path` must be the folder of an exported model, with saved_model.pb. "
            f"Received: {path!r}. Export one with byola export."
        )
    wanted = found if graph is None else from_text(graph)
    if found == wanted:
        with files.plain_path(path) as plain:
            exported = tf.saved_model.load(plain)
    else:
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "saved_model.pb"), "wb") as file:
                file.write(wanted)
            options = tf.saved_model.LoadOptions(experimental_skip_checkpoint=True)
            exported = tf.saved_model.load(folder, options=options)
    missing = [name for name in _INTERFACE if not hasattr(exported, name)]
    if missing:
        raise UserError(
            "`path` must be a model exported by hub_export. Received: "
            f"{path!r}, a SavedModel without {', '.join(missing)}."
        )
    return wanted, exported


def signature(exported, output: str):
    """What computes an output, in inference mode and with one trace.

    The `__call__` of models that were exported before it had an input signature is
    traced for every length; signatures never were.

    Args:
        exported: of `open_model`.
        output: one of `OUTPUTS`.

    Returns:
        a function float32 [batch, samples] → float32 [batch, ..., size], and the
        size.

    Raises:
        UserError: the model has no such signature.
    """
    key, name = _SIGNATURES[output]
    found = exported.signatures[key] if key in exported.signatures else None
    if found is None or name not in found.structured_outputs:
        raise UserError(
            "`path` must be a model exported by hub_export. Received: a SavedModel "
            f"without the signature {key!r} that gives {name!r}, but with "
            f"{', '.join(exported.signatures) or 'none'}. Export it with byola export."
        )
    size = int(found.structured_outputs[name].shape[-1])
    return lambda waveform: found(waveform=waveform)[name], size
