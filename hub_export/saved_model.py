"""Writes SavedModels that are checked before they take their place."""

import json
import os
from collections.abc import Sequence

import keras
import tensorflow as tf

from byola_tf import checkpoint, files
from byola_tf.embedder import Embedder
from byola_tf.embedding import exported_model
from byola_tf.errors import UserError
from byola_tf.normalize import Statistics
from hub_export import check
from hub_export.publishing import model_card


def export(
    source: str | checkpoint.Checkpoint,
    output: str,
    statistics: Statistics | None = None,
    facts: dict | None = None,
    evaluations: Sequence[dict] = (),
) -> float:
    """Exports a checkpoint, e.g. the newest of a work directory.

    Args:
        source: work directory, checkpoint folder, exported model, or a checkpoint
            that is open, e.g. of `read_keras`.
        output: folder for the SavedModel; an older model there is replaced
            once the new one has been checked.
        statistics: of another corpus, in place of the training corpus's.
        facts: joins the provenance: `name`, `licence`, `training_data`.
        evaluations: of `model_card.read_evaluation`, for the card.

    Returns:
        the largest difference between reloaded and in-memory embeddings,
        relative to the largest entry.

    Raises:
        UserError: no checkpoint there, or `output` holds something else.
        ParityError: the reloaded model computes something else.
    """
    check_output(output)
    opened = source
    if not isinstance(source, checkpoint.Checkpoint):
        opened = checkpoint.load(source)
    if statistics is not None:
        opened = checkpoint.with_statistics(opened, statistics)
    opened.provenance.update(facts or {})
    return write(opened, output, evaluations)


def read_keras(path: str, layer: str | None = None) -> checkpoint.Checkpoint:
    """The encoder in a Keras model that was saved, fine-tuned or not.

    The graphs of HubLayers in the file are opened; Python code in it (Lambda layers)
    is refused by Keras.

    Args:
        path: `.keras` file of a model with a `byola_tf.HubLayer`.
        layer: name of the HubLayer; may be left out where there is only one.

    Raises:
        UserError: the file does not open, or has no such layer.
    """
    from byola_tf import hub_layer

    try:
        with hub_layer.trusted_graphs():
            model = keras.saving.load_model(path, compile=False)
    except UserError:
        raise
    except Exception as error:  # of whatever layers the model has beside ours
        raise UserError(
            "`--keras` must be a .keras file that Keras opens in safe mode. Received: "
            f"{path!r} ({' '.join(str(error).split())[:300]}). Open it in a program of "
            "yours instead, and call layer.export(FOLDER)."
        ) from error
    found = {
        item.name: item
        for item in model._flatten_layers()
        if isinstance(item, hub_layer.HubLayer)
    }
    if layer is None and len(found) == 1:
        return next(iter(found.values())).checkpoint()
    if layer not in found:
        raise UserError(
            f"`--layer` must name a HubLayer of the model. Received: {layer!r}; "
            f"{path!r} has {', '.join(found) or 'none'}."
        )
    return found[layer].checkpoint()


def check_output(output: str) -> None:
    """Refuses to replace anything but a model.

    Raises:
        UserError: `output` is a file, or a folder of other things.
    """
    files.require_replaceable(output, "saved_model.pb", "--output")


def write(
    opened: checkpoint.Checkpoint, output: str, evaluations: Sequence[dict] = ()
) -> float:
    """Saves, reloads, compares, and only then renames; see `export`.

    Beside the SavedModel lie its metadata (`metadata.json`) and its card
    (`README.md`).
    """
    in_memory = Embedder.from_encoder(opened.encoder, opened.config, opened.statistics)
    with files.replacing_folder(output) as temporary:
        exported_model.save(opened, temporary)
        with files.plain_path(temporary) as plain:
            reloaded = tf.saved_model.load(plain)
        text = reloaded.metadata().numpy().decode()
        name = opened.provenance.get("name", os.path.basename(os.path.abspath(output)))
        num_parameters = opened.encoder.count_params()
        card = model_card.make(json.loads(text), name, evaluations, num_parameters)
        _write_text(os.path.join(temporary, "metadata.json"), text + "\n")
        _write_text(os.path.join(temporary, "README.md"), card)
        return check.assert_same_embeddings(
            lambda waveform: reloaded(tf.constant(waveform), training=False),
            in_memory.model,
            opened.config.frontend.sample_rate,
        )


def _write_text(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)
