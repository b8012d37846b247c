"""Any model behind one small protocol: `open_model` and what it returns.

A model is named by a text, as the `--model` flag takes it:

    PATH                     our export, checkpoint or work directory; a foreign
                             TF-Hub SavedModel; a .tflite file; a folder of
                             Hugging Face transformers
    https://HANDLE           a TF-Hub model by its handle
    hub:PATH_OR_HANDLE       the same, said explicitly; #NAME chooses an output
    hf:PATH                  a folder of Hugging Face transformers
    hear:MODULE[:WEIGHTS]    an importable module with the HEAR interface
    python:MODULE:FUNCTION   a function of yours; MODULE may be a .py file
    random, random:v1        the untrained encoder of v2 or v1
    logmel                   mean and deviation of the log-mel over time

`@RATE` at the end of a hub, python or .tflite model says what sampling rate it
takes, where it does not say so itself. Adapters are imported when they are
needed, and so are the libraries behind them.
"""

import os
import re
from collections.abc import Sequence

import tensorflow as tf

from byola_tf import checkpoint, files
from byola_tf.embedder import Embedder
from byola_tf.errors import UserError
from train_lib.probe.models.audio_model import (
    POOLINGS,
    AudioModel,
    FunctionModel,
    fingerprint_of,
)


def open_model(
    spec: str,
    pooling: str | None = None,
    layers: Sequence[str] | None = None,
    seed: int = 42,
) -> AudioModel:
    """Opens a model of any family.

    Args:
        spec: see the module's docstring.
        pooling: of frames over time, "mean+max" (their sum), "mean" or "max";
            the family's own when None: mean+max as in the paper, but mean for
            transformers.
        layers: features of inner layers, concatenated, instead of the output:
            for our encoders `conv1`, `conv2`, ..., `mlp1`, `mlp2` or `all`; for
            transformers the numbers of hidden states (0 is the input of the
            first layer) or `all`.
        seed: of the weights of `random`.

    Raises:
        UserError: there is no such model, or it cannot be used like this.
    """
    if pooling is not None and pooling not in POOLINGS:
        raise UserError(
            f"`pooling` must be one of {', '.join(POOLINGS)}. Received: {pooling!r}. "
            "Leave it out for the model's own."
        )
    spec = os.fspath(spec)
    family, rest = _family(spec)
    if layers and family not in _WITH_LAYERS:
        raise UserError(
            "`layers` must be left out for a model whose inside is unknown. "
            f"Received: {','.join(layers)} for {spec!r}. It works for our own "
            "exports and checkpoints, and for hf: models."
        )
    model = _OPENERS[family](rest, pooling, layers, seed)
    model.name = spec
    return model


def _open_own(path, pooling, layers, seed) -> AudioModel:
    from train_lib.probe.models import own

    return own.open_checkpoint(path, pooling, layers)


def _open_random(name, pooling, layers, seed) -> AudioModel:
    from train_lib.probe.models import own

    return own.open_random(name, pooling, layers, seed)


def _open_log_mel(name, pooling, layers, seed) -> AudioModel:
    from train_lib.probe.models import floors

    if pooling:
        raise UserError(
            "`pooling` must be left out for the log-mel floor, which is a mean and a "
            f"deviation over time. Received: {pooling!r}."
        )
    return floors.LogMelFloor()


def _open_saved_model(spec, pooling, layers, seed) -> AudioModel:
    path, rate = split_rate(spec)
    path, _, output = path.partition("#")
    with files.plain_path(path) as plain:
        loaded = tf.saved_model.load(plain)
    if hasattr(loaded, "metadata"):
        from train_lib.probe.models import own

        return own.open_exported(path, loaded, pooling, layers)
    if layers:
        raise UserError(
            "`layers` must be left out for a SavedModel of others. Received: "
            f"{','.join(layers)} for {path!r}. Choose one of its outputs with #NAME."
        )
    from train_lib.probe.models import hub

    fingerprint = fingerprint_of([path], output, pooling, rate)
    return hub.HubModel(loaded, fingerprint, output, pooling, rate)


def _open_hub(spec, pooling, layers, seed) -> AudioModel:
    from train_lib.probe.models import hub

    path, rate = split_rate(spec)
    path, _, output = path.partition("#")
    folder = hub.resolve(path)
    with files.plain_path(folder) as plain:
        loaded = tf.saved_model.load(plain)
    fingerprint = fingerprint_of([folder], output, pooling, rate)
    return hub.HubModel(loaded, fingerprint, output, pooling, rate)


def _open_hugging_face(path, pooling, layers, seed) -> AudioModel:
    from train_lib.probe.models import huggingface

    return huggingface.HuggingFaceModel(path, pooling, layers)


def _open_hear(spec, pooling, layers, seed) -> AudioModel:
    from train_lib.probe.models import hear

    return hear.HearModel(spec, pooling)


def _open_python(spec, pooling, layers, seed) -> AudioModel:
    from train_lib.probe.models import python_function

    return python_function.open_function(*split_rate(spec), pooling)


def _open_tflite(spec, pooling, layers, seed) -> AudioModel:
    from train_lib.probe.models import tflite

    return tflite.TFLiteModel(*split_rate(spec), pooling)


_OPENERS = {
    "own": _open_own,
    "random": _open_random,
    "logmel": _open_log_mel,
    "saved_model": _open_saved_model,
    "hub": _open_hub,
    "hf": _open_hugging_face,
    "hear": _open_hear,
    "python": _open_python,
    "tflite": _open_tflite,
}
_WITH_LAYERS = ("own", "random", "saved_model", "hf")


def open_encoder(spec: str, seed: int = 42) -> checkpoint.Checkpoint:
    """Opens a model of ours with weights that can be trained.

    Args:
        spec: an export, checkpoint or work directory, or `random`.
        seed: of the weights of `random`.

    Raises:
        UserError: it is none of these.
    """
    if not isinstance(spec, str | os.PathLike):
        raise UserError(
            "`model` must be a path or `random` to be fine-tuned. Received: "
            f"{type(spec).__name__}."
        )
    spec = os.fspath(spec)
    family, rest = _family(spec)
    if family == "random":
        from train_lib.probe.models import own

        return own.random_checkpoint(rest, seed)
    if family not in ("own", "saved_model"):
        raise UserError(
            "`--mode=finetune` must have an encoder of ours: an export, a checkpoint, "
            f"a work directory or `random`. Received: {spec!r}. Use --mode=linear."
        )
    return checkpoint.load(rest)


def as_model(model, name: str | None = None) -> AudioModel:
    """Gives an object in memory the interface of `AudioModel`.

    Args:
        model: an `AudioModel`, a `byola_tf.embedder.Embedder`, or a callable
            with `sample_rate`.
        name: in results; the object's own when None.
    """
    if isinstance(model, Embedder):
        from train_lib.probe.models import own

        model = own.EncoderModel(model, name or "encoder")
    elif not isinstance(model, AudioModel):
        own_name = getattr(model, "name", type(model).__name__)
        model = FunctionModel(model, model.sample_rate, own_name)
    if name:
        model.name = name
    return model


def split_rate(spec: str) -> tuple[str, int | None]:
    """Takes `@RATE` off the end of a model's text."""
    match = re.fullmatch(r"(.+)@([1-9]\d{3,5})", spec)
    return (match[1], int(match[2])) if match else (spec, None)


def _family(spec: str) -> tuple[str, str]:
    """The family of a model and what is left of its text."""
    prefix, colon, rest = spec.partition(":")
    if spec == "logmel" or prefix == "random":
        return prefix, rest
    if colon and prefix in ("hub", "hf", "hear", "python"):
        return prefix, rest
    if prefix in ("http", "https"):
        return "hub", spec
    path = split_rate(spec.partition("#")[0])[0]
    if path.endswith(".tflite"):
        return "tflite", spec
    if checkpoint.is_exported(path):
        return "saved_model", spec
    if os.path.isfile(os.path.join(path, "config.json")) and not os.path.isfile(
        os.path.join(path, "encoder.weights.h5")
    ):
        return "hf", spec
    return "own", spec
