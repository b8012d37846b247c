"""Encoder, configuration and statistics, saved and loaded as one thing.

A checkpoint is a folder: `config.json`, `statistics.json`,
`encoder.weights.h5` and `provenance.json` (what it was trained on).
"""

import dataclasses
import json
import os

import tensorflow as tf

from byola_tf import files, validation
from byola_tf.config import Config
from byola_tf.errors import UserError
from byola_tf.networks import backbones
from byola_tf.networks.encoder import Encoder
from byola_tf.normalize import Statistics

CONFIG_FILE = "config.json"
STATISTICS_FILE = "statistics.json"
WEIGHTS_FILE = "encoder.weights.h5"
PROVENANCE_FILE = "provenance.json"
STEPS_FOLDER = "checkpoints"
STEP_PREFIX = "step_"


@dataclasses.dataclass
class Checkpoint:
    """What a checkpoint holds.

    Attributes:
        encoder: `Encoder` with its weights.
        config: `Config` it was trained with.
        statistics: `Statistics` of its training corpus.
        provenance: JSON-ready facts, e.g. `steps`, `num_files`, `hours`.
    """

    encoder: Encoder
    config: Config
    statistics: Statistics
    provenance: dict


def model_path(path=None) -> str:
    """The model that a caller named.

    Args:
        path: of an exported model, checkpoint or work directory; by default what
            the environment variable BYOLA_MODEL names.

    Raises:
        UserError: none is named.
    """
    path = path or os.environ.get("BYOLA_MODEL")
    if not path:
        raise UserError(
            "A model must be named, by the caller or the environment variable "
            "BYOLA_MODEL. Received: neither. E.g. BYOLA_MODEL=runs/model, the folder "
            "that byola export wrote."
        )
    return os.fspath(path)


def save(folder: str, checkpoint: Checkpoint) -> None:
    """Writes the checkpoint's files into an existing folder.

    Use `files.replacing_folder` around it to replace a checkpoint safely.
    """
    with open(os.path.join(folder, CONFIG_FILE), "w") as file:
        file.write(checkpoint.config.to_json())
    with open(os.path.join(folder, PROVENANCE_FILE), "w") as file:
        json.dump(checkpoint.provenance, file, indent=2)
    checkpoint.statistics.save(os.path.join(folder, STATISTICS_FILE))
    checkpoint.encoder.save_weights(os.path.join(folder, WEIGHTS_FILE))


def with_statistics(opened: Checkpoint, statistics: Statistics) -> Checkpoint:
    """The same encoder for audio with other statistics.

    Returns:
        a `Checkpoint` with `statistics`; those of the training corpus stay in
        its provenance as `training_statistics`.
    """
    provenance = dict(opened.provenance)
    own = dataclasses.asdict(opened.statistics)
    provenance.setdefault("training_statistics", own)
    return dataclasses.replace(opened, statistics=statistics, provenance=provenance)


def is_checkpoint(path: str) -> bool:
    """Whether `path` is a checkpoint folder."""
    return all(
        os.path.isfile(os.path.join(path, name)) for name in (CONFIG_FILE, WEIGHTS_FILE)
    )


def step_folders(workdir: str) -> list[str]:
    """The checkpoints of a work directory, oldest first."""
    parent = os.path.join(workdir, STEPS_FOLDER)
    names = os.listdir(parent) if os.path.isdir(parent) else []
    steps = sorted(
        int(name[len(STEP_PREFIX) :])
        for name in names
        if name.startswith(STEP_PREFIX) and name[len(STEP_PREFIX) :].isdigit()
    )
    return [step_folder(workdir, step) for step in steps]


def step_folder(workdir: str, step: int) -> str:
    """Where the checkpoint of a step lies."""
    return os.path.join(workdir, STEPS_FOLDER, f"{STEP_PREFIX}{step:08d}")


def step_of(folder: str) -> int:
    """The step whose checkpoint a folder of `step_folders` holds."""
    return int(os.path.basename(folder)[len(STEP_PREFIX) :])


def is_exported(path: str) -> bool:
    """Whether `path` is a SavedModel folder."""
    return os.path.isfile(os.path.join(path, "saved_model.pb"))


def open_exported(path: str):
    """Loads a SavedModel that hub_export wrote.

    Returns:
        the loaded object, with the interface of `waveform_encoder.WaveformEncoder`.

    Raises:
        UserError: the SavedModel is somebody else's, or see `read_config`.
    """
    with files.plain_path(path) as plain:
        model = tf.saved_model.load(plain)
    if not hasattr(model, "metadata"):
        raise UserError(
            "A model must be a SavedModel written by hub_export. Received: "
            f"{path!r}, a SavedModel without `metadata()`. Export it with "
            "byola export."
        )
    _facts_of(model, repr(path))
    return model


def from_exported(model) -> Checkpoint:
    """Rebuilds the encoder of an exported model from its variables.

    Args:
        model: what `open_exported` returned.
    """
    metadata, config = _facts_of(model, "the exported model")
    encoder = Encoder(config.encoder, name="encoder")
    # the exporter lists the encoder's variables first, in the encoder's order
    weights = [variable.numpy() for variable in model.variables]
    encoder.set_weights(weights[: len(encoder.weights)])
    statistics = Statistics.from_dict(metadata["statistics"])
    return Checkpoint(encoder, config, statistics, metadata["provenance"])


def load(path: str) -> Checkpoint:
    """Opens a checkpoint folder, a work directory's newest, or an exported model.

    Raises:
        UserError: `path` is none of these, or its files do not belong together.
    """
    if is_exported(path):
        return from_exported(open_exported(path))
    folder = path
    if not is_checkpoint(folder):
        newest = step_folders(path)[-1:]
        if not newest or not is_checkpoint(newest[0]):
            raise UserError(
                "A checkpoint must be a work directory of byola pretrain or a "
                f"folder with {CONFIG_FILE} and {WEIGHTS_FILE}. Received: {path!r}, "
                f"which {_describe(path)}. Train first, or check the path."
            )
        folder = newest[0]
    path = os.path.join(folder, CONFIG_FILE)
    config = read_config(_read_text(path), repr(path))
    encoder = Encoder(config.encoder, name="encoder")
    try:
        encoder.load_weights(os.path.join(folder, WEIGHTS_FILE))
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"{folder!r} must hold the weights of its own configuration, but they "
            f"do not load: {error}. Use another checkpoint."
        ) from error
    provenance = _read_provenance(os.path.join(folder, PROVENANCE_FILE))
    statistics = Statistics.load(os.path.join(folder, STATISTICS_FILE))
    return Checkpoint(encoder, config, statistics, provenance)


def read_config(text: str, where: str) -> Config:
    """The configuration that a file holds, kept to the rules of the user's own.

    Args:
        text: JSON, as `Config.to_json` writes it.
        where: what holds it, for the message.

    Raises:
        UserError: it does not parse, was made by a newer version, breaks a rule
            of `validation`, or names code (see `backbones.allow`).
    """
    try:
        config = Config.from_json(text)
        backbones.require_allowed(config.encoder.architecture)
        return validation.validate(config)
    except UserError as error:
        raise UserError(f"The configuration of {where} is not usable. {error}") from (
            error
        )


def _facts_of(model, where: str) -> tuple[dict, Config]:
    """The metadata of an exported model and the configuration in it."""
    try:
        metadata = json.loads(model.metadata().numpy())
        text = json.dumps(metadata["config"])
        metadata["statistics"], metadata["provenance"]  # noqa: B018  are they there?
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise UserError(
            f"The metadata of {where} must be what hub_export writes. Received: "
            f"something else ({error!r}). Export the model again."
        ) from error
    return metadata, read_config(text, where)


def _read_text(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (OSError, ValueError) as error:
        raise UserError(f"{path!r} must be a readable text file. {error}.") from error


def _read_provenance(path: str) -> dict:
    if not os.path.isfile(path):
        return {}
    try:
        provenance = json.loads(_read_text(path))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path!r} must be JSON. {error}.") from error
    if not isinstance(provenance, dict):
        raise UserError(f"{path!r} must hold names and values, a JSON object.")
    return provenance


def _describe(path: str) -> str:
    if not os.path.exists(path):
        return "does not exist"
    if not os.path.isdir(path):
        return "is a file"
    names = sorted(os.listdir(path))
    return f"holds {', '.join(names[:3])}" if names else "is empty"
