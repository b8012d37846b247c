"""A folder of results becomes a page, Markdown and CSV."""

import dataclasses
import os
from collections.abc import Sequence

from byola_tf import files
from byola_tf.errors import UserError
from train_lib.pages import html, text
from train_lib.probe.report import (
    collection,
    notes,
    pictures,
    plain,
    scores,
    tables,
)
from train_lib.probe.report.collection import Collection

TITLE = "Evaluation of audio embeddings"


@dataclasses.dataclass(frozen=True)
class Written:
    """What was written, and the results in a few lines."""

    paths: Sequence[str]
    summary: str


def write(results: str, output: str, title: str = TITLE) -> Written:
    """Writes the page and, beside it, the same as Markdown and CSV.

    Args:
        results: folder of JSON files, see `collection.read`.
        output: path ending in .html; the others end in .md and .csv.
        title: heading.

    Raises:
        UserError: the results cannot be read, the page cannot be written, or a
            package is missing.
    """
    html.require_packages()
    base, extension = os.path.splitext(output)
    if extension != ".html" or os.path.isdir(output):
        raise UserError(
            f"`output` must be the name of an .html file. Received: {output!r}. Use "
            "e.g. --output=report.html."
        )
    found = collection.read(results)
    footnotes = notes.footnotes(found)
    contents = {
        output: render(found, footnotes, title),
        f"{base}.md": plain.markdown(found, footnotes, title),
        f"{base}.csv": plain.numbers(found),
    }
    try:
        os.makedirs(os.path.dirname(os.path.abspath(output)), exist_ok=True)
        for path, content in contents.items():
            files.write_text(path, content)
    except OSError as error:
        raise UserError(
            "`output` must lie in a folder that can be written to. Received: "
            f"{output!r} ({error}). Choose another."
        ) from error
    return Written(tuple(contents), summary(found))


def render(found: Collection, footnotes: notes.Footnotes, title: str = TITLE) -> str:
    """Makes the page: HTML with its style and pictures inside."""
    of_scores = tables.of_scores(found, footnotes)
    profiles = scores.profiles(found)
    correlations = scores.correlation(profiles)
    return html.render(
        "report.html",
        title=title,
        lead=lead(found),
        left_out=found.left_out,
        tables=[table for table in of_scores if not table.is_background],
        background=[table for table in of_scores if table.is_background],
        footnotes=footnotes.texts,
        maps=pictures.maps(found),
        classes=pictures.class_bars(found),
        confusions=pictures.confusions(found),
        robustness=tables.of_robustness(found),
        profiles=profiles if scores.comparable(correlations) else (),
        correlations=correlations.tolist(),
        min_common_tasks=scores.MIN_COMMON_TASKS,
        learning_rates=pictures.learning_rates(found),
        record=tables.of_files(found),
        versions=_versions(found),
    )


def lead(found: Collection) -> str:
    """What was compared, in a sentence or two."""
    measured = {result.model for result in found.results}
    sentence = (
        f"{text.count(measured, 'model')} on {text.count(found.tasks, 'task')}: "
        f"{', '.join(found.titles.values())}."
    )
    average = scores.average_of(found)
    models = [m for m in scores.measured(found, average) if m.average is not None]
    if average and len(models) > 1:
        best = max(models, key=lambda model: model.average)
        sentence += (
            f" The best {average.heading} is that of {best.model}, "
            f"{text.plus_minus(best.average)}\u00a0%."
        )
    return sentence


def summary(found: Collection) -> str:
    """A line a model for the terminal, and one a file that was left out."""
    average = scores.average_of(found)
    lines = []
    for model in scores.measured(found, average):
        line = ", ".join(
            f"{found.titles[task]} {score}" for task, score in model.scores.items()
        )
        if average and model.average is not None:
            line += f"; {average.heading} {text.plus_minus(model.average)}"
        lines.append(f"{model.model}: {line}")
    lines += [f"left out       {reason}" for reason in found.left_out.values()]
    return "\n".join(lines)


def _versions(found: Collection) -> str:
    """The packages that the results were measured with."""
    versions = {}
    for result in found.results:
        for name, version in (result.data.get("versions") or {}).items():
            versions.setdefault(name, {})[str(version)] = None
    return ", ".join(f"{name} {' or '.join(seen)}" for name, seen in versions.items())
