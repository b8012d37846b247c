"""The model card of an exported model: Markdown with Hugging Face's front matter."""

import json

from byola_tf import foreign, metadata
from byola_tf.errors import UserError
from train_lib.pages import text

# Hugging Face's identifiers, those that weights usually carry.
_KNOWN_LICENCES = (
    "apache-2.0 mit bsd-3-clause cc0-1.0 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 "
    "cc-by-sa-4.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 "
    "cc-by-nc-nd-4.0 cc-by-nd-4.0 odc-by pddl gpl-2.0 gpl-3.0 lgpl-3.0 agpl-3.0 "
    "unlicense"
).split()

_CITATION = """\
```bibtex
@article{niizumi2023byol-a,
  title   = {{BYOL for Audio}: Exploring Pre-trained General-purpose Audio
             Representations},
  author  = {Niizumi, Daisuke and Takeuchi, Daiki and Ohishi, Yasunori and
             Harada, Noboru and Kashino, Kunio},
  journal = {IEEE/ACM Transactions on Audio, Speech, and Language Processing},
  volume  = {31},
  pages   = {137--151},
  year    = {2023},
  doi     = {10.1109/TASLP.2022.3221007}
}

@inproceedings{niizumi2021byol-a,
  title     = {{BYOL for Audio}: Self-Supervised Learning for General-Purpose
               Audio Representation},
  author    = {Niizumi, Daisuke and Takeuchi, Daiki and Ohishi, Yasunori and
               Harada, Noboru and Kashino, Kunio},
  booktitle = {International Joint Conference on Neural Networks (IJCNN)},
  year      = {2021},
  doi       = {10.1109/IJCNN52387.2021.9534474}
}
```"""


def read_evaluation(path: str) -> dict:
    """Reads a result of byola probe.

    Args:
        path: the JSON file.

    Raises:
        UserError: it is absent or something else.
    """
    try:
        result = foreign.read_json(path, "A result")
        return {
            "task": str(result["task"]),
            "metric": str(result["metric"]),
            "mean": float(result["mean"]),
            "ci95": None if result["ci95"] is None else float(result["ci95"]),
            "unit_seconds": result.get("unit_seconds"),
            "num_clips": result.get("num_clips"),
            "partial": bool(result.get("partial")),
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            "`--probe` must name results of byola probe (--output). "
            f"Received: {path!r}: {type(error).__name__} {error}."
        ) from error


def make(facts: dict, name: str, evaluations=(), num_parameters: int = 0) -> str:
    """Writes the card.

    Args:
        facts: metadata of the model, `metadata.describe`.
        name: its title.
        evaluations: of `read_evaluation`.
        num_parameters: of the encoder.

    Returns:
        Markdown text.
    """
    parts = [
        _front_matter(facts, name, evaluations),
        f"# {text.markdown(name)}",
        _introduction(facts, num_parameters),
        "## Intended use",
        _intended_use(facts),
        "## Training data",
        _data(facts),
        "## Training",
        _training(facts),
        "## Evaluation",
        _evaluation(evaluations),
        "## Limits",
        _limits(facts),
        "## Licence",
        _licence(facts),
        "## Citation",
        "The method is published in the two papers below; cite them, and this model.",
        _CITATION,
    ]
    return "\n\n".join(parts) + "\n"


def licence_identifier(licence: str) -> str:
    """Hugging Face's identifier of a licence; "other" or "unknown" if it has none."""
    if licence == metadata.UNKNOWN_LICENCE:
        return "unknown"
    lowered = licence.strip().lower()
    return lowered if lowered in _KNOWN_LICENCES else "other"


def _front_matter(facts, name, evaluations) -> str:
    identifier = licence_identifier(facts["licence"])
    lines = [f"license: {identifier}"]
    if identifier == "other":
        lines.append(f"license_name: {json.dumps(facts['licence'])}")
    lines += [
        "library_name: byola-tf",
        "pipeline_tag: feature-extraction",
        "tags: [audio, audio-embedding, self-supervised, byol-a, tensorflow, tf-hub]",
    ]
    if evaluations:
        metrics = sorted({result["metric"] for result in evaluations})
        lines += [f"metrics: {json.dumps(metrics)}", "model-index:"]
        lines += [f"- name: {json.dumps(name)}", "  results:"]
    for result in evaluations:
        task = json.dumps(result["task"])
        lines += [
            "  - task: {type: audio-classification, name: linear probe}",
            f"    dataset: {{type: {task}, name: {task}}}",
            f"    metrics: [{{type: {json.dumps(result['metric'])}, "
            f"value: {result['mean']:.4f}}}]",
        ]
    return "\n".join(["---", *lines, "---"])


def _introduction(facts, num_parameters) -> str:
    field, sizes = facts["receptive_field"], facts["dimensions"]
    method = {
        "v1": "BYOL-A v1 (IJCNN 2021)",
        "v2": "BYOL-A v2 (TASLP 2023)",
        "custom": "a variant of BYOL-A",
    }[facts["method"]]
    rows = [
        ("input", f"mono float32 waveform, {facts['sample_rate']} Hz, any length"),
        ("output", f"{facts['embedding_size']} numbers a clip, or a frame"),
        ("of which", f"{sizes['local']} local and {sizes['global']} global features"),
        ("frames", f"one every {facts['frame_hop_seconds']:g} s" + (
            f", each sees {field['seconds']:g} s" if field else "")),
        ("encoder parameters", f"{num_parameters:,}"),
        ("front-end hash", facts["frontend_hash"]),
    ]  # fmt: skip
    return (
        "A general-purpose audio embedding: waveform in, embedding out, in one "
        f"TensorFlow SavedModel. Method: {method}, self-supervised (no labels).\n\n"
        + _table(("", ""), rows)
    )


def _intended_use(facts) -> str:
    return f"""\
Features for sound, speech and music tasks: train a small classifier or regressor on
the embeddings, search by similarity, cluster, or fine-tune the encoder.

```python
import tensorflow_hub as hub

model = hub.load("PATH OR URL")
embedding = model(waveform)  # float32 [batch, samples] at {facts["sample_rate"]} Hz
frames = model.frames(waveform)  # frame_embeddings and timestamps
```

`byola_tf.load(PATH)` takes any sampling rate and sample format;
`hub.KerasLayer(PATH, trainable=True)` fine-tunes inside a tf_keras model."""


def _data(facts) -> str:
    provenance, statistics = facts["provenance"], facts["statistics"]
    if "training_data" in provenance:
        data = text.markdown(provenance["training_data"].rstrip(".")) + "."
    elif "pattern" in provenance:
        data = f"The audio files that match {text.code(provenance['pattern'])}."
    elif "imported_from" in provenance:
        data = (
            "Weights imported from the PyTorch checkpoint "
            f"{text.code(provenance['imported_from'])}; see its publisher for the data."
        )
    else:
        data = "Not recorded."
    if "num_files" in provenance:
        data += f" {provenance['num_files']:,} recordings"
        data += f", {provenance['hours']:.2f} hours." if "hours" in provenance else "."
    return (
        f"{data}\n\nLog-mels are normalised with mean {statistics['mean']:.4f} and "
        f"standard deviation {statistics['std']:.4f}."
    )


def _training(facts) -> str:
    config, provenance = facts["config"], facts["provenance"]
    if "steps" not in provenance:
        return "Not recorded."
    train, augment = config["train"], config["augment"]
    return (
        f"{provenance['steps']:,} steps of {train['batch_size']} crops of "
        f"{config['data']['unit_seconds']:g} s, learning rate "
        f"{train['learning_rate']:g}; augmentations: "
        f"{text.markdown(', '.join(augment['blocks'])) or 'none'}. "
        "The whole configuration is in `metadata.json`."
    )


def _evaluation(evaluations) -> str:
    if not evaluations:
        return "No results were given when the model was exported."
    rows = []
    for result in evaluations:
        notes = [
            f"{result['unit_seconds']:g} s crops" if result["unit_seconds"] else "",
            f"{result['num_clips']:,} clips" if result["num_clips"] else "",
            "incomplete copy of the data set" if result["partial"] else "",
        ]
        rows.append(
            (
                result["task"],
                result["metric"],
                text.score(result),
                ", ".join(filter(None, notes)),
            )
        )
    header = ("task", "metric", "%", "")
    return (
        "Linear probe on the frozen embedding, the papers' protocol; mean and 95 % "
        "interval over seeds.\n\n" + _table(header, rows)
    )


def _limits(facts) -> str:
    front = facts["config"]["frontend"]
    return f"""\
- It hears {front["f_min"]:g} to {front["f_max"]:g} Hz of one channel; direction and \
ultrasound are lost.
- What it represents well depends on its training data. Compare with a floor (an \
untrained encoder, log-mel statistics) on your task before relying on it.
- Set the mean and standard deviation of your own corpus where its level differs \
from the training corpus's.
- The embedding contains whatever the sound tells about people (voice, language, \
state of health). It has not been examined for bias, and is no basis for identifying \
or judging people."""


def _licence(facts) -> str:
    return (
        f"Weights: {text.markdown(facts['licence'])}. The code that wrote this model, "
        f"byola-tf {facts['version']}, is Apache-2.0; the licence of the weights is "
        "what their publisher says."
    )


def _table(head, rows) -> str:
    cells = [[text.markdown(cell) for cell in row] for row in rows]
    return text.markdown_table(head, cells, aligned_right=False)
