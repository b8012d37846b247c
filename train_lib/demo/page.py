"""One HTML page about a run, with everything in it: no other file is needed.

`render` is a function of arrays and results; it runs no model.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from train_lib.demo import drawings
from train_lib.pages import embedding_map, figures, html


@dataclasses.dataclass
class Row:
    """One line of the table of results.

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


@dataclasses.dataclass
class Report:
    """Everything that the page shows.

    Attributes:
        title: heading.
        lead: one sentence below it.
        rows: table of results.
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
    rows: Sequence[Row]
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


def render(report: Report) -> str:
    """Makes the page.

    Returns:
        HTML with its style and pictures inside.
    """
    sections = (
        _results(report),
        _curve(report),
        _spread(report),
        _views(report),
        _map(report),
        _confusion(report),
        _by_hand(report),
        _record(report),
    )
    return html.page(report.title, report.lead, sections)


def accuracy(result: Mapping) -> str:
    """A probe's mean and 95 % interval in percent."""
    ci95 = result.get("ci95")
    interval = "" if ci95 is None else f" ± {100 * ci95:.1f}"
    return f"{100 * result['mean']:.1f}{interval} %"


def _results(report: Report) -> str:
    lines = []
    for row in report.rows:
        share = 100 * row.result["mean"]
        lines.append(
            f"<tr{' class=model' if row.is_model else ''}>"
            f"<td>{html.escape(row.name)}"
            f"<small>{html.escape(row.explanation)}</small></td>"
            f'<td class="number">{accuracy(row.result)}</td>'
            f'<td><div class="bar"><i style="width:{share:.1f}%"></i></div></td>'
            "</tr>"
        )
    chance = 100 / max(len(report.classes), 1)
    return _section(
        "Does the embedding know the sounds?",
        "Every clip was embedded once, and a linear classifier was trained on the "
        "embeddings and tested on clips it had not seen. The labels were used only "
        f"here, never in pre-training. Guessing would score {chance:.1f} %. The two "
        "floors show what is possible without learning; ± is a 95\u00a0% "
        "confidence interval over the classifiers’ seeds.",
        '<table><tr><th>embedding</th><th class="number">accuracy</th><th></th></tr>'
        f"{''.join(lines)}</table>",
    )


def _curve(report: Report) -> str:
    steps, losses, _ = _logged(report)
    return _section(
        "Learning curve",
        "In every step the network hears two altered versions of each clip and has to "
        "predict, from one, what a slowly moving copy of itself makes of the other. "
        "The loss is 2 minus twice the cosine similarity, added up over both "
        "directions: 4 would be unrelated, 0 perfect. It should fall quickly and "
        "then flatten.",
        html.picture(
            drawings.learning_curve(steps, losses), "Loss over training steps"
        ),
    )


def _spread(report: Report) -> str:
    steps, _, spreads = _logged(report)
    picture = drawings.embedding_spread(
        steps,
        spreads,
        {"trained": report.embeddings, "untrained": report.random_embeddings},
    )
    return _section(
        "Embedding spread",
        "A network could cheat by giving every sound the same embedding; the loss "
        "would then be zero and the embedding useless. So we watch how far the "
        "embeddings of different clips differ, dimension by dimension. A curve that "
        "sinks to zero is such a collapse; dimensions at zero on the right carry "
        "no information.",
        html.picture(picture, "Standard deviation of the embeddings"),
    )


def _views(report: Report) -> str:
    return _section(
        "One clip and its two views",
        "What the network compares: the same sound with another one mixed faintly "
        "underneath, shifted and stretched in pitch and time, and faded in or out. "
        "What survives these changes is what the embedding learns to keep. A view "
        "that reaches beyond the clip is filled up with the average level of all "
        "sounds, which shows as a flat edge.",
        html.picture(
            drawings.clip_views(report.clip), "A waveform, its log-mel, two views"
        ),
    )


def _map(report: Report) -> str:
    points = embedding_map.project(report.embeddings)
    return _section(
        "Map of the embeddings",
        "Each point is a clip; clips with similar embeddings lie close together "
        "(t-SNE of the trained embedding, made without the labels). Colours are "
        "classes"
        + (", shapes their families" if any(report.families.values()) else "")
        + ". Only neighbourhood means something here: distances between far "
        "groups and the axes do not.",
        html.picture(
            drawings.family_map(points, report.labels, report.classes, report.families),
            "Two-dimensional map of the embeddings",
        ),
    )


def _confusion(report: Report) -> str:
    counts = np.asarray(report.confusion_matrix, float)
    families = list(report.families.values())
    rank = {family: families.index(family) for family in families}
    order = sorted(
        range(len(counts)),
        key=lambda index: rank.get(report.families.get(report.classes[index]), 0),
    )
    picture = figures.confusion_matrix(
        counts[np.ix_(order, order)], [report.classes[index] for index in order]
    )
    return _section(
        "Which classes are confused",
        "Each row is a true class, each column what the classifier on the trained "
        "embedding said, in percent of the row. The diagonal is right. "
        + _worst_pair(counts, report.classes),
        html.picture(picture, "Confusion matrix"),
    )


def _worst_pair(counts: np.ndarray, classes: Sequence[str]) -> str:
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    np.fill_diagonal(share, 0)
    if not share.any():
        return "There is no confusion at all."
    true, predicted = np.unravel_index(share.argmax(), share.shape)
    return (
        f"The most frequent confusion: {100 * share[true, predicted]:.0f} % of "
        f"“{classes[true]}” was taken for "
        f"“{classes[predicted]}”."
    )


def _by_hand(report: Report) -> str:
    lines = [
        f"# {html.escape(purpose)}\n{html.escape(command)}\n"
        for purpose, command in report.commands
    ]
    return _section(
        "The same by hand",
        "The stages of this run as commands, to be repeated on your own sounds.",
        "<pre>" + "\n".join(lines) + "</pre>",
    )


def _record(report: Report) -> str:
    total = sum(seconds for _, seconds in report.stages)
    stages = [(name, f"{seconds:.0f} s") for name, seconds in report.stages]
    stages.append(("total", f"{total:.0f} s"))
    return _section(
        "Record",
        "What was run, for how long, and with which versions.",
        f'<div class="columns"><div>{_pairs(report.facts.items())}'
        f"{_pairs(stages)}</div>"
        f"<div>{_pairs(report.versions.items())}</div></div>",
    )


def _pairs(pairs: Iterable[tuple[str, str]]) -> str:
    return html.table((), pairs, numbers=(1,))


def _logged(report: Report) -> tuple[list, list, list]:
    """Steps, losses and spreads of the training log."""
    return tuple(
        [entry[name] for entry in report.train_log]
        for name in ("step", "loss", "embedding_std")
    )


def _section(heading: str, text: str, content: str) -> str:
    """A part of the page: a paragraph of text, then HTML."""
    return html.section(heading, html.paragraph(text) + content)
