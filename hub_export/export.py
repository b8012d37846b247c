r"""Exports a checkpoint as a TF-Hub SavedModel: waveform → embedding.

  byola export --workdir=runs/first --output=runs/model

The model is written beside its final place, loaded again and compared with the
checkpoint on silence, noise, tones and clicks; only then does it take the place
of `--output`. Use it with byola_tf.load, hub.load or hub.KerasLayer.

--mean and --std normalise with the statistics of another corpus, since those of
the audio to come differ from the training corpus's. --workdir may then be a
model that was exported before:

  byola export --workdir=runs/model --output=runs/model_speech \
      --mean=-9.03 --std=5.04

With it come a model card (MODEL/README.md) and MODEL.tar.gz with its checksum,
which hub.load opens from a web server. To publish, say what it is:

  byola export --workdir=runs/first --output=runs/model \
      --licence=cc-by-4.0 --training_data='FSD50K, development set' \
      --probe=probe.json --publish=runs/published --name=byola-fsd50k --owner=ME

An encoder that was fine-tuned inside a Keras model (byola_tf.HubLayer) becomes a
model of its own again; --layer names it if there are several:

  byola export --keras=classifier.keras --layer=hub_layer --output=runs/tuned

Quantising MODEL yourself: DEFAULT optimisation keeps the embeddings (cosine 0.999
and better), since the front end stays float. A representative data set rounds the
log-mels too and does not (0.4): byola tflite has an integer encoder with a float
front end for that.

For onnxruntime (pip install 'byola-tf[onnx]'):

  python -m tf2onnx.convert --saved-model runs/model --signature_def onnx \
      --opset 18 --output model.onnx

--publish=DIR gets the folders for Kaggle Models and Hugging Face, and the
commands that upload them.
"""

import os

from absl import flags

from train_lib.cli import command, commands, paths_flag

WORKDIR = flags.DEFINE_string(
    "workdir",
    None,
    "Work directory of byola pretrain, one checkpoint folder, or a model.",
)
KERAS = flags.DEFINE_string(
    "keras",
    None,
    "In place of --workdir: .keras file of a model with a byola_tf.HubLayer.",
)
LAYER = flags.DEFINE_string(
    "layer", None, "Name of the HubLayer in --keras, if there are several."
)
OUTPUT = flags.DEFINE_string("output", None, "Folder of the model; replaced if one.")
MEAN = flags.DEFINE_float(
    "mean", None, "Mean of another corpus's log-mels; with --std. The model's own else."
)
STD = flags.DEFINE_float("std", None, "Their standard deviation.")
LICENCE = flags.DEFINE_string(
    "licence",
    None,
    "Licence of the weights, e.g. cc-by-4.0. Weights that you trained are yours; "
    "imported ones keep their owner's.",
)
flags.DEFINE_alias("license", "licence")
TRAINING_DATA = flags.DEFINE_string(
    "training_data", None, "What it was trained on, in words; the card says it."
)
PROBE = paths_flag.DEFINE_paths(
    "probe", [], "Results of byola probe for the card, separated by commas."
)
ARCHIVE = flags.DEFINE_bool("archive", True, "Write OUTPUT.tar.gz and its checksum.")
PUBLISH = flags.DEFINE_string(
    "publish", None, "Folder to write with the layouts of Kaggle and Hugging Face."
)
NAME = flags.DEFINE_string(
    "name", None, "Name of the model; the last part of --output by default."
)
OWNER = flags.DEFINE_string("owner", "", "User or organisation it is published under.")


def main() -> None:
    """Exports and says what was checked and written."""
    from byola_tf import normalize
    from hub_export import saved_model
    from hub_export.publishing import archive, layouts, model_card

    if KERAS.value is None:
        command.required("workdir", WORKDIR.value, "runs/first")
    _check_source()
    output = command.required("output", OUTPUT.value, "runs/model")
    statistics = normalize.optional_statistics(MEAN.value, STD.value)
    packed = os.path.abspath(output) + archive.SUFFIX
    name = NAME.value or os.path.basename(os.path.abspath(output))
    if ARCHIVE.value:
        archive.check_output(packed)
    if PUBLISH.value:
        layouts.check_output(PUBLISH.value)
        layouts.make_slug(name)
    facts = {
        "name": NAME.value,
        "licence": LICENCE.value,
        "training_data": TRAINING_DATA.value,
    }
    source = WORKDIR.value
    if KERAS.value:
        source = saved_model.read_keras(KERAS.value, LAYER.value)
    error = saved_model.export(
        source,
        output,
        statistics,
        facts={key: value for key, value in facts.items() if value},
        evaluations=[model_card.read_evaluation(path) for path in PROBE.value],
    )
    print(
        f"Wrote {output}; reloaded, it differs by at most {error:.1e} of the "
        "largest entry from the checkpoint."
    )
    if ARCHIVE.value:
        digest = archive.write(output, packed)
        print(f"Wrote {output}{archive.SUFFIX}, SHA-256 {digest[:16]}...")
    if PUBLISH.value:
        layouts.write(output, PUBLISH.value, name, OWNER.value)
        print(f"Wrote {PUBLISH.value}: see PUBLISHING.md there.")
    print(
        f"Evaluate: {commands.invocation('probe')} --model={output} "
        "--metadata=TASK.csv --audio=DIR --unit_seconds=1 --output=probe.json"
    )


def _check_source() -> None:
    from byola_tf.errors import UserError

    both = KERAS.value is not None and WORKDIR.value is not None
    if both or (LAYER.value is not None and KERAS.value is None):
        raise UserError(
            "Give `--workdir`, or `--keras` with perhaps `--layer`. Received: "
            f"--workdir={WORKDIR.value} --keras={KERAS.value} --layer={LAYER.value}."
        )


def cli() -> None:
    """Entry point of `byola export`."""
    command.run(main)


if __name__ == "__main__":
    cli()
