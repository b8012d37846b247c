"""Reads what a model says about itself, whatever kind of artefact it is."""

import json
import os

from byola_tf import checkpoint, metadata
from byola_tf.errors import UserError


def read(path: str) -> dict:
    """The metadata of a model.

    Args:
        path: an exported model, a checkpoint, a work directory (its newest
            checkpoint) or a `.tflite` file.

    Returns:
        JSON-ready dictionary: of `metadata.describe`, or of
        `tflite.metadata.describe` for a `.tflite` file.

    Raises:
        UserError: `path` is none of these.
    """
    if path.endswith(".tflite"):
        return _read_tflite(path)
    if checkpoint.is_exported(path):
        model = checkpoint.open_exported(path)
        return json.loads(model.metadata().numpy())
    try:
        opened = checkpoint.load(path)
    except UserError as error:
        raise UserError(
            "MODEL must be an exported model (a folder with saved_model.pb), a "
            f"checkpoint or a .tflite file. Received: {path!r}. {error}"
        ) from error
    facts = json.loads(
        metadata.describe(opened.config, opened.statistics, opened.provenance)
    )
    del facts["versions"]  # a checkpoint does not say what wrote it
    return facts


def table(facts: dict) -> str:
    """Sets the metadata of a model as lines of name and value."""
    if "config" not in facts:  # a .tflite file, which names its facts itself
        return _align(_flatten(facts))
    return _align(_rows(facts))


def _read_tflite(path: str) -> dict:
    if not os.path.isfile(path):
        raise UserError(f"MODEL must be there. Received: {path!r}, which is no file.")
    try:
        from hub_export.tflite import metadata as tflite_metadata
    except ImportError as error:
        raise UserError(
            f"Reading {path!r} needs a package that is not installed: {error.name}. "
            "Install it (pip install 'byola-tf[export]')."
        ) from error
    return tflite_metadata.describe(path)


def _rows(facts: dict):
    """Yields (name, value); what an older version did not record is a dash."""
    config, statistics = facts["config"], facts["statistics"]
    front, encoder = config["frontend"], config["encoder"]
    provenance = dict(facts["provenance"])
    field, sizes = facts.get("receptive_field"), facts.get("dimensions")
    rate = facts["sample_rate"]
    yield "method", facts.get("method", "-")
    yield "input", f"mono waveform in [-1, 1], {rate} Hz, any length"
    parts = f" ({sizes['local']} local + {sizes['global']} global)" if sizes else ""
    yield "embedding", f"{facts['embedding_size']}{parts}"
    yield "frame hop", f"{facts['frame_hop_seconds']:g} s"
    yield (
        "receptive field",
        f"{field['seconds']:g} s ({field['log_mel_frames']} log-mel frames, "
        f"{field['samples']} samples)"
        if field
        else "-",
    )
    yield (
        "front end",
        f"{front['n_mels']} mels ({front['mel_scale']}), {front['f_min']:g}-"
        f"{front['f_max']:g} Hz, FFT {front['n_fft']}, window {front['win_length']}, "
        f"hop {front['hop_length']}",
    )
    yield "front-end hash", facts.get("frontend_hash", "-")
    crops = statistics["num_crops"]
    yield (
        "statistics",
        f"mean {statistics['mean']:.4f}, standard deviation {statistics['std']:.4f}"
        + (f" ({crops} crops)" if crops else ""),
    )
    yield "encoder", ", ".join(f"{name} {value}" for name, value in encoder.items())
    pattern = provenance.pop("pattern", "-")
    yield "trained on", provenance.pop("training_data", pattern)
    yield "steps", provenance.pop("steps", "-")
    provenance.pop("licence", None)
    for name, value in provenance.items():
        yield name, f"{value:.4g}" if isinstance(value, float) else value
    yield "licence", facts.get("licence", "-")
    versions = facts.get("versions", {})
    yield "written by", ", ".join(f"{n} {v}" for n, v in versions.items()) or "-"


def _flatten(facts: dict, prefix: str = ""):
    """Yields (name, value) of a nested dictionary; a tensor or a count is one row."""
    for name, value in facts.items():
        if not isinstance(value, dict):
            yield f"{prefix}{name}", value
        elif set(value) == {"shape", "dtype"}:
            yield f"{prefix}{name}", f"{value['dtype']} {value['shape']}"
        elif name == "operators":
            counts = [f"{operator} {count}" for operator, count in value.items()]
            yield f"{prefix}{name}", ", ".join(counts)
        else:
            yield from _flatten(value, f"{prefix}{name}.")


def _align(rows) -> str:
    rows = [(str(name), str(value)) for name, value in rows]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:{width}}  {value}" for name, value in rows)
