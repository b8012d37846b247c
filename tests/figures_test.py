"""Figures: any name, any thread, and nobody's settings changed."""

import concurrent.futures
import warnings

import matplotlib
import numpy as np
import pytest

from train_lib.demo import drawings
from train_lib.pages import figures
from train_lib.probe.report import pictures

PNG = b"\x89PNG\r\n\x1a\n"
NAMES = [
    "$x^{2$",
    r"\$\alpha",
    "$$",
    "猫の鳴き声",
    "two\nlines\0",
    "\udce9t\udce9",
    "x" * 3000,
    "",
    "🐕",
]


def draw_everything(names):
    """Every figure that shows names of files or classes."""
    labels = np.arange(40) % len(names)
    points = np.random.default_rng(0).standard_normal((40, 2))
    curve = [
        {"learning_rate": rate, "valid_mean": 0.5, "valid_std": 0.1}
        for rate in (1e-3, 3e-3)
    ]
    clip = drawings.ShownClip(
        names[0], np.zeros(160), 16_000, np.eye(8), (np.eye(8),) * 2, 0.01
    )
    return [
        figures.confusion_matrix(np.eye(len(names)), names),
        pictures.draw_maps({name: (points, labels) for name in names}, names),
        pictures.draw_learning_rates(dict.fromkeys(names, curve), names[0]),
        drawings.family_map(points, labels, names, dict.fromkeys(names, names[0])),
        drawings.clip_views(clip),
    ]


def test_a_class_may_have_any_name():
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of a character that no font has
        drawn = draw_everything(NAMES)
    assert all(picture.startswith(PNG) for picture in drawn)


def test_a_dollar_in_a_name_is_drawn_as_a_dollar():
    def width(name):
        figure, (axes,) = figures.panels(6, 2)
        title = axes.set_title(figures.readable(name))
        figures.png(figure)
        return title.get_window_extent().width

    assert width("$xx$") == pytest.approx(width("xx") + 2 * width("$"), rel=0.02)


def test_figures_can_be_drawn_in_many_threads_at_once():
    def draw(_):
        return figures.confusion_matrix(np.eye(3), NAMES[:3])

    before, alone = dict(matplotlib.rcParams), draw(0)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert list(pool.map(draw, range(8))) == [alone] * 8
    assert dict(matplotlib.rcParams) == before
