"""Writes SavedModels that are checked before they take their place."""

import json
import os
from collections.abc import Sequence

import tensorflow as tf

from byola_tf import checkpoint, files
from byola_tf.embedder import Embedder
from byola_tf.embedding import exported_model
from byola_tf.normalize import Statistics
from hub_export import check
from hub_export.publishing import model_card


def export(
    workdir: str,
    output: str,
    statistics: Statistics | None = None,
    facts: dict | None = None,
    evaluations: Sequence[dict] = (),
) -> float:
    """Exports the newest checkpoint of a work directory.

    Args:
        workdir: work directory, checkpoint folder or exported model.
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
    opened = checkpoint.load(workdir)
    if statistics is not None:
        opened = checkpoint.with_statistics(opened, statistics)
    opened.provenance.update(facts or {})
    return write(opened, output, evaluations)


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
