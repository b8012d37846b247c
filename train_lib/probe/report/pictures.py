"""Pictures of the report: maps, learning rates, confusions, bars of classes.

Each function makes what one part of the page shows, a title and pictures a task.
"""

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from train_lib.pages import figures
from train_lib.probe.report import scores
from train_lib.probe.report.collection import Collection, Result

_PANELS_A_ROW = 3
_MAX_LEGEND = 30
_MAX_MATRIX = 60
_FREQUENT = 12


def maps(collection: Collection) -> list[tuple[str, bytes]]:
    """Maps of the embeddings that the results carry: (title, picture)."""
    found = []
    for task in collection.tasks:
        results = [r for r in collection.of("linear", task) if r.data.get("map")]
        if results:
            shown = {
                result.model: [
                    np.array(result.data["map"][name]) for name in ("points", "labels")
                ]
                for result in results
            }
            drawn = draw_maps(shown, results[0].data["classes"])
            found.append((collection.titles[task], drawn))
    return found


def learning_rates(collection: Collection) -> list[tuple[str, bytes]]:
    """Validation scores by learning rate, of results that searched for one."""
    found = []
    for task in collection.tasks:
        results = collection.of("linear", task)
        curves = {
            result.model: curve
            for result in results
            if len(curve := _curve(result)) > 1
        }
        if curves:
            drawn = draw_learning_rates(curves, results[0].data["metric"])
            found.append((collection.titles[task], drawn))
    return found


def class_bars(collection: Collection) -> list[dict]:
    """Scores by class: `title`, `head` and `rows`, a name and a percent a model."""
    found = []
    for task in collection.tasks:
        models = {
            result.model: by_class
            for result in collection.of("linear", task)
            if (by_class := scores.by_class(result))
        }
        names = dict.fromkeys(name for by_class in models.values() for name in by_class)
        rows = []
        for name in names:
            cells = [by_class.get(name, (None, None)) for by_class in models.values()]
            clips = [number for _, number in cells if number is not None]
            shown = name.replace("_", " ") + (f" ({clips[0]})" if clips else "")
            rows.append((shown, [percent for percent, _ in cells]))
        if rows:
            head = ["class (test clips)", *models]
            title = collection.titles[task]
            found.append({"title": title, "head": head, "rows": rows})
    return found


def confusions(collection: Collection) -> list[tuple[str, list[dict]]]:
    """A title and the confusions of its models, the best one's first: `model`,
    `frequent` (true class, predicted class, share), and `picture` where the classes
    are not too many."""
    found = []
    for task in collection.tasks:
        results = [
            result
            for result in collection.of("linear", task)
            if result.data.get("confusion_matrix")
        ]
        results.sort(key=lambda result: -result.data["mean"])
        if results:
            found.append((collection.titles[task], [_confusion(r) for r in results]))
    return found


def _confusion(result: Result) -> dict:
    counts, names = result.data["confusion_matrix"], result.data["classes"]
    is_small = len(names) <= _MAX_MATRIX
    return {
        "model": result.model,
        "frequent": scores.confusions(counts, names, _FREQUENT),
        "picture": figures.confusion_matrix(counts, names) if is_small else None,
    }


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
            "valid_mean": float(np.mean(found)),
            "valid_std": float(np.std(found)),
        }
        for rate, found in trials.items()
    ]


def draw_maps(
    of_models: Mapping[str, tuple[np.ndarray, np.ndarray]], classes: Sequence[str]
) -> bytes:
    """A map a model, side by side, a colour a class.

    Args:
        of_models: name to points [clips, 2] and labels int [clips].
        classes: names.
    """
    columns = min(len(of_models), _PANELS_A_ROW)
    rows, columns = math.ceil(len(of_models) / columns), max(columns, 2)
    figure, grid = figures.panels(9.6, 3.5 * rows + 0.8, rows, columns)
    for axes in grid:
        axes.set_axis_off()
    for axes, (model, (points, labels)) in zip(grid, of_models.items(), strict=False):
        figures.heading(axes, figures.readable(model))
        handles = _class_points(axes, np.asarray(points), np.asarray(labels), classes)
        axes.set_aspect("equal", adjustable="datalim")
    if len(classes) <= _MAX_LEGEND:
        figures.legend(
            figure,
            handles,
            [figures.readable(name) for name in classes],
            loc="outside lower center",
            ncols=min(len(handles), 6),
            fontsize=9,
            markerscale=1.4,
            handletextpad=0.1,
            columnspacing=1.2,
        )
    return figures.png(figure)


def _class_points(axes, points, labels, classes) -> list:
    """The points of every class, for the legend."""
    colours, markers = figures.CLASS_COLOURS, figures.MARKERS
    return [
        axes.scatter(
            *points[labels == index].T,
            s=float(np.clip(6000 / max(len(points), 1), 5, 26)),
            marker=markers[index // len(colours) % len(markers)],
            color=colours[index % len(colours)],
            alpha=0.75,
            linewidths=0,
        )
        for index in range(len(classes))
    ]


def draw_learning_rates(
    of_models: Mapping[str, Sequence[Mapping]], metric: str
) -> bytes:
    """Score on validation by learning rate, a line a model.

    Args:
        of_models: name to points with `learning_rate`, `valid_mean` and
            `valid_std`.
        metric: what the score is.
    """
    figure, (axes,) = figures.panels(5.4, 3.3)
    colours = itertools.cycle(figures.CLASS_COLOURS)
    for (model, points), colour in zip(of_models.items(), colours, strict=False):
        points = sorted(points, key=lambda point: point["learning_rate"])
        rates = [point["learning_rate"] for point in points]
        means = 100 * np.array([point["valid_mean"] for point in points])
        widths = 100 * np.array([point["valid_std"] for point in points])
        label = figures.readable(model)
        axes.plot(rates, means, marker="o", markersize=4, color=colour, label=label)
        axes.fill_between(
            rates,
            means - widths,
            np.minimum(means + widths, 100),
            color=colour,
            alpha=0.12,
            linewidth=0,
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda rate, _: f"{rate:.0e}".replace("e-0", "e-"))
    axes.xaxis.set_minor_formatter(lambda *_: "")
    axes.set(
        xlabel="learning rate", ylabel=f"{figures.readable(metric)} on validation, %"
    )
    figures.legend(axes, fontsize=8.5)
    return figures.png(figure)
