"""Pictures of one task's results: maps, learning rates, confusions."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from train_lib.pages import figures

_PANELS_A_ROW = 3
_MAX_LEGEND = 30
_LINE_COLOURS = figures.CLASS_COLOURS


def maps(
    of_models: Mapping[str, tuple[np.ndarray, np.ndarray]], classes: Sequence[str]
) -> bytes:
    """A map a model, side by side, a colour a class.

    Args:
        of_models: name to points [clips, 2] and labels int [clips].
        classes: names.
    """
    rows, columns = _grid(len(of_models))
    colours, markers = figures.CLASS_COLOURS, figures.MARKERS
    with figures.drawing(9.6, 3.5 * rows + 0.8) as (figure, finish):
        panels = figure.subplots(rows, columns, squeeze=False)
        handles = {}
        for axes in panels.flat:
            axes.set_axis_off()
        for axes, (model, (points, labels)) in zip(
            panels.flat, of_models.items(), strict=False
        ):
            axes.set_title(figures.readable(model))
            points, labels = np.asarray(points, float), np.asarray(labels)
            for index, name in enumerate(classes):
                chosen = points[labels == index]
                handle = axes.scatter(
                    chosen[:, 0],
                    chosen[:, 1],
                    s=float(np.clip(6000 / max(len(points), 1), 5, 26)),
                    marker=markers[index // len(colours) % len(markers)],
                    color=colours[index % len(colours)],
                    alpha=0.75,
                    linewidths=0,
                )
                handles.setdefault(figures.readable(name), handle)
            axes.set_aspect("equal", adjustable="datalim")
        if len(classes) <= _MAX_LEGEND:
            figure.legend(
                handles.values(),
                handles.keys(),
                loc="outside lower center",
                ncols=min(len(handles), 6),
                fontsize=9,
                markerscale=1.4,
                handletextpad=0.1,
                columnspacing=1.2,
            )
        return finish()


def learning_rates(of_models: Mapping[str, Sequence[Mapping]], metric: str) -> bytes:
    """Score on validation by learning rate, a line a model.

    Args:
        of_models: name to points with `learning_rate`, `valid_mean` and
            `valid_std`.
        metric: what the score is.
    """
    with figures.drawing(5.4, 3.3) as (figure, finish):
        axes = figure.subplots()
        for number, (model, points) in enumerate(of_models.items()):
            points = sorted(points, key=lambda point: point["learning_rate"])
            rates = [point["learning_rate"] for point in points]
            means = 100 * np.array([point["valid_mean"] for point in points])
            deviations = 100 * np.array([point["valid_std"] for point in points])
            colour = _LINE_COLOURS[number % len(_LINE_COLOURS)]
            axes.plot(
                rates,
                means,
                marker="o",
                markersize=4,
                color=colour,
                label=figures.readable(model),
            )
            axes.fill_between(
                rates,
                means - deviations,
                np.minimum(means + deviations, 100),
                color=colour,
                alpha=0.12,
                linewidth=0,
            )
        axes.set_xscale("log")
        axes.set(xlabel="learning rate", ylabel=f"{metric} on validation, %")
        axes.legend(fontsize=8.5)
        return finish()


def _grid(panels: int) -> tuple[int, int]:
    columns = min(panels, _PANELS_A_ROW)
    return math.ceil(panels / columns), max(columns, 2)
