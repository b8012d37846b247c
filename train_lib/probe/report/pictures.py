"""Pictures of one task's results: maps, learning rates, confusions."""

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from train_lib.pages import figures

_PANELS_A_ROW = 3
_MAX_LEGEND = 30


def maps(
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


def learning_rates(of_models: Mapping[str, Sequence[Mapping]], metric: str) -> bytes:
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
    axes.set(
        xlabel="learning rate", ylabel=f"{figures.readable(metric)} on validation, %"
    )
    figures.legend(axes, fontsize=8.5)
    return figures.png(figure)
