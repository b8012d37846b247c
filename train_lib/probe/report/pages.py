"""A folder of results becomes a page, Markdown and CSV."""

import dataclasses
import os
from collections.abc import Sequence

from byola_tf import files
from byola_tf.errors import UserError
from train_lib.pages import html
from train_lib.probe.report import collection as collections
from train_lib.probe.report import notes, record, scoreboard, sections, tables, text
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
        UserError: the results cannot be read, or the page cannot be written.
    """
    base, extension = os.path.splitext(output)
    if extension != ".html" or os.path.isdir(output):
        raise UserError(
            f"`output` must be the name of an .html file. Received: {output!r}. Use "
            "e.g. --output=report.html."
        )
    found = collections.read(results)
    footnotes = notes.footnotes(found)
    contents = {
        output: render(found, footnotes, title),
        f"{base}.md": text.markdown(found, footnotes, title),
        f"{base}.csv": text.table(found),
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
    parts = [
        *sections.score_tables(found, footnotes),
        *sections.maps(found),
        *sections.classes(found),
        *sections.confusions(found),
        *sections.robustness(found),
        *sections.correlation(found),
        *sections.learning_rates(found),
        *sections.published_tables(found, footnotes),
        record.section(found),
    ]
    return html.page(title, lead(found), parts, tables.STYLE)


def lead(found: Collection) -> str:
    """What was compared, in a sentence or two."""
    measured = {result.model for result in found.results}
    tasks = ", ".join(found.titles.values())
    sentence = (
        f"{_count(len(measured), 'model')} on {_count(len(found.tasks), 'task')}: "
        f"{tasks}."
    )
    average = scoreboard.average_of(found)
    lines = [
        line for line in scoreboard.measured(found, average) if line.average is not None
    ]
    if average and len(lines) > 1:
        best = max(lines, key=lambda line: line.average)
        sentence += (
            f" The best {average.heading} is that of {best.model}, "
            f"{best.average:.1f}\u00a0%."
        )
    return sentence


def summary(found: Collection) -> str:
    """A line a model for the terminal."""
    average = scoreboard.average_of(found)
    lines = []
    for line in scoreboard.measured(found, average):
        scores = ", ".join(
            f"{found.titles[task]} {score}" for task, score in line.scores.items()
        )
        mean = "" if line.average is None else f"; {average.heading} {line.average:.1f}"
        lines.append(f"{line.model}: {scores}{mean}")
    return "\n".join(lines)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
