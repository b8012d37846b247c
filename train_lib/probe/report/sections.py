"""The parts of the page: text, tables and pictures of a collection."""

from collections.abc import Sequence

import numpy as np

from train_lib.pages import figures, html
from train_lib.probe.report import boards, pictures, scoreboard, tables
from train_lib.probe.report.collection import Collection, Result
from train_lib.probe.report.notes import Footnotes

_MAX_OPEN_CLASSES = 20
_MAX_MATRIX = 60
_FREQUENT = 12


def score_tables(collection: Collection, notes: Footnotes) -> list[str]:
    """Results, published rows beside them, FSD50K, other ways of judging."""
    parts = []
    for board in boards.boards(collection):
        if not board.folded:
            content = _board(board, notes)
            if not parts:
                content += tables.numbered(notes.texts)
            parts.append(_section(board.title, board.text, content))
    return parts


def published_tables(collection: Collection, notes: Footnotes) -> list[str]:
    """Published tables of tasks that no result is of, folded."""
    content = "".join(
        html.folded(board.title, html.paragraph(board.text) + _board(board, notes))
        for board in boards.boards(collection)
        if board.folded
    )
    if not content:
        return []
    return [
        _section(
            "Published results",
            "On tasks that are not among the results here, for reference.",
            content,
        )
    ]


def robustness(collection: Collection) -> list[str]:
    """Tables of `byola robustness`."""
    grids = boards.robustness(collection)
    if not grids:
        return []
    content = "".join(
        f"<h3>{html.escape(grid.title)}</h3>{html.paragraph(grid.text)}"
        f"{tables.grid(grid.head, grid.rows)}"
        for grid in grids
    )
    return [
        _section(
            "Robustness",
            "What becomes of the embedding and of the score when a clip is disturbed: "
            "cosine to the embedding of the clean clip, and the score with its change "
            "in points.",
            content,
        )
    ]


def classes(collection: Collection) -> list[str]:
    """Scores by class, a bar a model."""
    content = ""
    for task in collection.tasks:
        found = {
            result.model: scoreboard.by_class(result)
            for result in _linear(collection, task)
        }
        found = {model: scores for model, scores in found.items() if scores}
        if not found:
            continue
        names = list(
            dict.fromkeys(name for scores in found.values() for name in scores)
        )
        rows = [
            (
                _named(name, found),
                [scores.get(name, (None,))[0] for scores in found.values()],
            )
            for name in names
        ]
        bars = tables.meters(rows, ["class (test clips)", *found])
        if len(names) > _MAX_OPEN_CLASSES:
            bars = html.folded(f"show all {len(names)} classes", bars)
        title = html.escape(collection.titles[task])
        content += f"<div><h3>{title}</h3>{bars}</div>"
    if not content:
        return []
    return [
        _section(
            "Class by class",
            "Average precision of each class where clips have several labels, "
            "otherwise the share of its clips that were recognised, in percent.",
            f'<div class="grid">{content}</div>',
        )
    ]


def confusions(collection: Collection) -> list[str]:
    """Confusion matrices, the best model's open, the others' folded."""
    content = ""
    for task in collection.tasks:
        found = [
            result
            for result in _linear(collection, task)
            if result.data.get("confusion_matrix")
        ]
        found.sort(key=lambda result: -result.data["mean"])
        if not found:
            continue
        heading = f"{collection.titles[task]}: {found[0].model}"
        content += f"<h3>{html.escape(heading)}</h3>"
        content += _confusion(found[0])
        content += "".join(
            html.folded(f"show {result.model}", _confusion(result))
            for result in found[1:]
        )
    if not content:
        return []
    return [
        _section(
            "Which classes are confused",
            "Each row is a true class, each column what the classifier said, in "
            "percent of the row. The diagonal is right.",
            content,
        )
    ]


def maps(collection: Collection) -> list[str]:
    """Maps of the embeddings that the results carry."""
    content = ""
    for task in collection.tasks:
        found = [r for r in _linear(collection, task) if r.data.get("map")]
        if not found:
            continue
        drawn = pictures.maps(
            {
                result.model: (
                    np.array(result.data["map"]["points"]),
                    np.array(result.data["map"]["labels"]),
                )
                for result in found
            },
            found[0].data["classes"],
        )
        title = collection.titles[task]
        content += f"<h3>{html.escape(title)}</h3>" + html.picture(
            drawn, f"Maps of the embeddings of {title}"
        )
    if not content:
        return []
    return [
        _section(
            "Maps of the embeddings",
            "Each point is a clip, each colour a class; clips with similar embeddings "
            "lie close together (t-SNE, made without the labels). Only neighbourhood "
            "means something: distances between far groups and the axes do not.",
            content,
        )
    ]


def correlation(collection: Collection) -> list[str]:
    """How alike the strengths of the models are."""
    lines = scoreboard.profiles(collection)
    values = scoreboard.correlation(lines)
    if not scoreboard.comparable(values):
        return []
    return [
        _section(
            "Correlation between models",
            "Pearson correlation of the accuracies of two models over the tasks that "
            f"both have, at least {scoreboard.MIN_COMMON_TASKS}. Near 1: good at the "
            "same tasks. With few tasks it says little. Published models are in "
            "italics.",
            tables.heat(lines, values),
        )
    ]


def learning_rates(collection: Collection) -> list[str]:
    """Validation scores by learning rate, of results that searched for one."""
    drawn = []
    for task in collection.tasks:
        found = {
            result.model: curve
            for result in _linear(collection, task)
            if len(curve := _curve(result)) > 1
        }
        if found:
            title = collection.titles[task]
            metric = _linear(collection, task)[0].data["metric"]
            picture = html.picture(
                pictures.learning_rates(found, metric),
                f"Validation score by learning rate, {title}",
            )
            drawn.append(f"<div><h3>{html.escape(title)}</h3>{picture}</div>")
    if not drawn:
        return []
    return [
        _section(
            "Learning rates",
            "Mean score on validation over folds and seeds; the band is one standard "
            "deviation. Each fold takes the best rate; the test clips are looked at "
            "only afterwards. A curve that still rises at its end asks for more rates.",
            f'<div class="grid">{"".join(drawn)}</div>',
        )
    ]


def _board(board: boards.Board, notes: Footnotes) -> str:
    content = tables.scores(board.columns, board.groups, notes, board.average)
    return content + (html.paragraph(board.note, "quiet") if board.note else "")


def _linear(collection: Collection, task: str) -> list[Result]:
    return [result for result in collection.of("linear") if result.task == task]


def _named(name: str, found: dict) -> str:
    counts = [scores[name][1] for scores in found.values() if name in scores]
    counts = [count for count in counts if count is not None]
    return f"{figures.readable(str(name))} ({counts[0]})" if counts else str(name)


def _confusion(result: Result) -> str:
    counts, names = result.data["confusion_matrix"], result.data["classes"]
    frequent = scoreboard.confusions(counts, names, _FREQUENT)
    if len(names) > _MAX_MATRIX:
        rows = [(str(t), str(p), f"{100 * share:.0f} %") for t, p, share in frequent]
        return tables.grid(("true class", "taken for", "share of its clips"), rows)
    text = "There is no confusion at all."
    if frequent:
        true, predicted, share = frequent[0]
        text = (
            f"The most frequent confusion: {100 * share:.0f} % of “{true}” was taken "
            f"for “{predicted}”."
        )
    drawn = figures.confusion_matrix(counts, [str(name) for name in names])
    return html.paragraph(text) + html.picture(
        drawn, f"Confusion matrix of {result.model} on {result.task}"
    )


def _curve(result: Result) -> Sequence[dict]:
    """Points of the curve; from the single trials of older results."""
    if result.data.get("learning_rate_curve"):
        return result.data["learning_rate_curve"]
    trials = {}
    for trial in result.data.get("search") or ():
        trials.setdefault(trial["learning_rate"], []).append(trial["valid_score"])
    return [
        {
            "learning_rate": rate,
            "valid_mean": float(np.mean(scores)),
            "valid_std": float(np.std(scores)),
        }
        for rate, scores in trials.items()
    ]


def _section(heading: str, text: str, content: str) -> str:
    return html.section(heading, html.paragraph(text) + content)
