"""The folders that Kaggle Models and Hugging Face expect of a published model."""

import json
import os
import re
import shutil

from byola_tf import files, foreign
from byola_tf.errors import UserError
from hub_export.publishing import archive, model_card

KAGGLE, HUGGING_FACE = "kaggle", "huggingface"
_FRAMEWORK = "tensorFlow2"

# Kaggle spells out its licences; the names of its documentation.
_KAGGLE_LICENCES = {
    "apache-2.0": "Apache 2.0",
    "mit": "MIT",
    "bsd-3-clause": "BSD-3-Clause",
    "cc0-1.0": "CC0: Public Domain",
    "cc-by-3.0": "Attribution 3.0 Unported (CC BY 3.0)",
    "cc-by-4.0": "Attribution 4.0 International (CC BY 4.0)",
    "cc-by-sa-3.0": "CC BY-SA 3.0",
    "cc-by-sa-4.0": "CC BY-SA 4.0",
    "cc-by-nc-4.0": "Attribution-NonCommercial 4.0 International (CC BY-NC 4.0)",
    "cc-by-nc-sa-4.0": "CC BY-NC-SA 4.0",
    "cc-by-nd-4.0": "Attribution-NoDerivatives 4.0 International (CC BY-ND 4.0)",
    "gpl-2.0": "GPL 2",
    "gpl-3.0": "GPL 3",
    "agpl-3.0": "GNU Affero General Public License 3.0",
    "lgpl-3.0": "GNU Lesser General Public License 3.0",
    "odc-by": "ODC Attribution License (ODC-By)",
    "pddl": "ODC Public Domain Dedication and Licence (PDDL)",
}


def write(model: str, output: str, name: str, owner: str = "") -> None:
    """Writes everything that is needed to publish an exported model.

    `output` gets NAME.tar.gz with its checksum, `kaggle/`, `huggingface/` and
    PUBLISHING.md with the commands that upload them.

    Args:
        model: folder of the exported model, with its README.md.
        output: folder to write; an older one of this kind is replaced.
        name: the model's name; slugs are made of it.
        owner: user or organisation it is published under; a placeholder that
            the sites' tools refuse when "".

    Raises:
        UserError: `output` holds something else, or `name` has no letters.
    """
    check_output(output)
    slug = make_slug(name)
    facts = foreign.read_json(os.path.join(model, "metadata.json"), "Metadata")
    with open(os.path.join(model, "README.md")) as file:
        card = file.read()
    variation = f"{facts['method']}-{facts['embedding_size']}"
    with files.replacing_folder(output) as folder:
        archive.write(model, os.path.join(folder, slug + archive.SUFFIX))
        instance = os.path.join(KAGGLE, _FRAMEWORK, variation)
        shutil.copytree(model, os.path.join(folder, instance))
        shutil.copytree(model, os.path.join(folder, HUGGING_FACE))
        for path, text in {
            f"{KAGGLE}/model-metadata.json": _json(
                _kaggle_model(facts, card, name, owner)
            ),
            f"{instance}/model-instance-metadata.json": _json(
                _kaggle_instance(facts, slug, variation, owner)
            ),
            f"{HUGGING_FACE}/config.json": _json({"model_type": "byola", **facts}),
            f"{HUGGING_FACE}/.gitattributes": _GIT_ATTRIBUTES,
            "PUBLISHING.md": _instructions(facts, slug, variation, owner),
        }.items():
            with open(os.path.join(folder, path), "w") as file:
                file.write(text)


def check_output(output: str) -> None:
    """Refuses to replace anything but an older folder of `write`.

    Raises:
        UserError: `output` is a file, or a folder of other things.
    """
    files.require_replaceable(output, "PUBLISHING.md", "--publish")


def make_slug(name: str) -> str:
    """The name in lower case, words joined by dashes.

    Raises:
        UserError: nothing is left of it.
    """
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:50].strip("-")
    if not slug:
        raise UserError(
            f"`--name` must have letters or digits. Received: {name!r}. "
            "E.g. --name=byola-birds."
        )
    return slug


def _kaggle_model(facts, card, name, owner) -> dict:
    return {
        "ownerSlug": owner or "INSERT_OWNER_SLUG_HERE",
        "title": name,
        "slug": make_slug(name),
        "subtitle": "General-purpose audio embedding (BYOL-A)",
        "isPrivate": True,
        "description": card.split("---\n", 2)[2].strip(),
        "publishTime": "",
        "provenanceSources": _data(facts),
    }


def _kaggle_instance(facts, slug, variation, owner) -> dict:
    return {
        "ownerSlug": owner or "INSERT_OWNER_SLUG_HERE",
        "modelSlug": slug,
        "instanceSlug": variation,
        "framework": _FRAMEWORK,
        "overview": f"{facts['embedding_size']}-d embedding of "
        f"{facts['sample_rate']} Hz waveforms",
        "usage": _KAGGLE_USAGE,
        "licenseName": kaggle_licence(facts),
        "fineTunable": True,
        "trainingData": [_data(facts)],
        "modelInstanceType": "Base Model",
        "baseModelInstance": "",
        "externalBaseModelUrl": "",
    }


def kaggle_licence(facts: dict) -> str:
    """Kaggle's name of the licence; a placeholder where it has none."""
    identifier = model_card.licence_identifier(facts["licence"])
    return _KAGGLE_LICENCES.get(identifier, "INSERT_LICENSE_NAME_HERE")


def _data(facts) -> str:
    provenance = facts["provenance"]
    known = [provenance.get(key) for key in ("training_data", "pattern")]
    return next(filter(None, known), "not recorded")


def _json(value: dict) -> str:
    return json.dumps(value, indent=2) + "\n"


def _instructions(facts, slug, variation, owner) -> str:
    owner = owner or "OWNER"
    handle = f"{owner}/{slug}/{_FRAMEWORK}/{variation}"
    return f"""\
# Publishing {slug}

Check README.md first: intended use, data, licence ({facts["licence"]}).

## A web server

Put `{slug}.tar.gz` and its `.sha256` there; `hub.load("https://HOST/{slug}.tar.gz")`.

## Kaggle Models

```
pip install kaggle
kaggle models create -p {KAGGLE}
kaggle models instances create -p {KAGGLE}/{_FRAMEWORK}/{variation} -r zip
```

Replace the placeholders (INSERT_...) in both JSON files first. Afterwards
`kagglehub.model_download("{handle}")` gives a folder for `hub.load`.

## Hugging Face

```
pip install huggingface_hub
hf upload {owner}/{slug} {HUGGING_FACE} .
```

Afterwards `huggingface_hub.snapshot_download("{owner}/{slug}")` gives the folder.
"""


_GIT_ATTRIBUTES = """\
*.pb filter=lfs diff=lfs merge=lfs -text
variables/variables.data-* filter=lfs diff=lfs merge=lfs -text
"""

_KAGGLE_USAGE = """\
```python
import tensorflow_hub as hub

model = hub.load("${PATH}")
embedding = model(waveform)  # float32 [batch, samples] in [-1, 1]
```
"""
