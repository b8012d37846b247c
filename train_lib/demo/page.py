"""One HTML page about a run, with everything in it: no other file is needed.

`render` is a function of arrays and results; it runs no model.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from train_lib.demo import drawings
from train_lib.pages import embedding_map, figures, html, text
from train_lib.probe.report import scores


@dataclasses.dataclass
class JudgedEmbedding:
    """An embedding and how well a linear classifier does with it.

    Attributes:
        name: of the embedding.
        explanation: what it is, in a few words.
        result: as the linear probe returns it; `mean` and `ci95` are used.
        is_model: whether it is the trained model, not a floor.
    """

    name: str
    explanation: str
    result: Mapping
    is_model: bool = False

    @property
    def accuracy(self) -> str:
        """Mean and 95 % interval in percent."""
        return text.score(self.result, " %")


@dataclasses.dataclass
class DemoContents:
    """Everything that the page shows.

    Attributes:
        title: heading.
        lead: one sentence below it.
        embeddings_judged: the trained model and the floors.
        train_log: entries with `step`, `loss` and `embedding_std`.
        clip: a sound and its two views.
        embeddings: [clips, d] of the trained model.
        random_embeddings: [clips, d] of the untrained encoder.
        labels: int [clips], index into `classes`.
        classes: names.
        families: class -> family; empty when there are none.
        confusion_matrix: [true, predicted] counts of the trained model.
        stages: (name, seconds) in order.
        facts: what was trained on what, name -> text.
        commands: (purpose, shell command) that do the stages by hand.
        versions: package -> version.
    """

    title: str
    lead: str
    embeddings_judged: Sequence[JudgedEmbedding]
    train_log: Sequence[Mapping]
    clip: drawings.ShownClip
    embeddings: np.ndarray
    random_embeddings: np.ndarray
    labels: np.ndarray
    classes: Sequence[str]
    families: Mapping[str, str]
    confusion_matrix: np.ndarray
    stages: Sequence[tuple[str, float]]
    facts: Mapping[str, str]
    commands: Sequence[tuple[str, str]]
    versions: Mapping[str, str]


def render(contents: DemoContents) -> str:
    """Makes the page.

    Returns:
        HTML with its style and pictures inside.
    """
    steps, losses, spreads = (
        [entry[name] for entry in contents.train_log]
        for name in ("step", "loss", "embedding_std")
    )
    compared = {"trained": contents.embeddings, "untrained": contents.random_embeddings}
    total = ("total", sum(seconds for _, seconds in contents.stages))
    return html.render(
        "demo.html",
        title=contents.title,
        lead=contents.lead,
        contents=contents,
        chance=1 / max(len(contents.classes), 1),
        learning_curve=drawings.learning_curve(steps, losses),
        spread=drawings.embedding_spread(steps, spreads, compared),
        views=drawings.clip_views(contents.clip),
        map=drawings.family_map(
            embedding_map.project(contents.embeddings),
            contents.labels,
            contents.classes,
            contents.families,
        ),
        confusion=_confusion(contents),
        frequent=scores.confusions(contents.confusion_matrix, contents.classes, 1),
        stages=[
            (name, f"{seconds:.0f} s") for name, seconds in (*contents.stages, total)
        ],
    )


def _confusion(contents: DemoContents) -> bytes:
    """The confusion matrix, classes of a family side by side."""
    families = list(dict.fromkeys(contents.families.values()))
    order = sorted(
        range(len(contents.classes)),
        key=lambda index: (
            families.index(contents.families[contents.classes[index]])
            if families
            else 0
        ),
    )
    counts = np.asarray(contents.confusion_matrix)[np.ix_(order, order)]
    return figures.confusion_matrix(counts, [contents.classes[i] for i in order])
