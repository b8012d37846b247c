"""Figures of all pages as bytes: one style, one palette.

Drawn with matplotlib's objects alone, without pyplot and without its global settings,
so that any thread can draw, and no display is needed. Names of files and classes go
through `readable` on their way into a figure.
"""

import functools
import io
from collections.abc import Sequence

import numpy as np

INK, QUIET, GRID = "#1f2933", "#66737f", "#e4e8ec"
BLUE, ORANGE, GREY, RED = "#2563a8", "#d9722b", "#9aa5b1", "#b3261e"
PALE_BLUE = "#b9d0ea"
MARKERS = "os^DvP*X"
CLASS_COLOURS = (
    "#2563a8",
    "#d9722b",
    "#2f9e63",
    "#c0392b",
    "#7d4fb3",
    "#8a5a3c",
    "#d666a5",
    "#14a0b5",
    "#a4a61f",
    "#5f6b76",
)
_MAX_CELL_NUMBERS = 30
# Fonts for scripts that the default one lacks, where they are installed.
_MORE_FONTS = (
    "Noto Sans CJK JP",
    "IPAexGothic",
    "WenQuanYi Zen Hei",
    "Hiragino Sans",
    "Yu Gothic",
    "Microsoft YaHei",
    "Malgun Gothic",
    "Arial Unicode MS",
)
_MISSING = "□"


def panels(width: float, height: float, rows: int = 1, columns: int = 1, **options):
    """A figure with axes in the style of all pages.

    Args:
        width: inches.
        height: inches.
        rows: of axes.
        columns: of axes.
        **options: of `matplotlib.figure.Figure.subplots`.

    Returns:
        the figure, and its axes as an array [rows * columns].
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, squeeze=False, **options).ravel()
    for axes in grid:
        axes.grid(color=GRID)
        axes.set_axisbelow(True)
        axes.tick_params(color=QUIET, labelcolor=QUIET, labelsize=9.5)
        for axis in (axes.xaxis, axes.yaxis):
            axis.label.set(color=INK, fontsize=9.5)
        for side, spine in axes.spines.items():
            spine.set_visible(side in ("left", "bottom"))
            spine.set_color(GREY)
    return figure, grid


def heading(axes, text: str) -> None:
    """Puts a heading above axes, at their left."""
    axes.set_title(text, loc="left", fontsize=10.5, fontweight="bold", color=INK)


def legend(owner, *arguments, **options):
    """A legend of axes or of a figure, without a frame."""
    options = {"fontsize": 9.5, "labelcolor": INK, **options}
    return owner.legend(*arguments, frameon=False, **options)


def png(figure) -> bytes:
    """The figure as PNG."""
    return _rendered(figure, format="png", dpi=144, facecolor="white")


def svg(figure) -> bytes:
    """The figure as SVG."""
    return _rendered(figure, format="svg", metadata={"Date": None})


def _rendered(figure, **options) -> bytes:
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set_parse_math(False)  # a class may be called $x^{2$
        text.set_fontfamily(_fonts()[0])
    with io.BytesIO() as file:
        figure.savefig(file, **options)
        return file.getvalue()


@functools.cache
def _fonts() -> tuple[list[str], frozenset[int]]:
    """Families to look a character up in, and the code points that they draw."""
    from matplotlib import font_manager

    default = font_manager.FontProperties().get_name()
    installed = {font.name for font in font_manager.fontManager.ttflist}
    families = [default, *(name for name in _MORE_FONTS if name in installed)]
    known = set()
    for family in families:
        path = font_manager.findfont(font_manager.FontProperties(family))
        known.update(font_manager.get_font(path).get_charmap())
    return families, frozenset(known)


def readable(name, longest: int = 24) -> str:
    """A name for a figure: on one line, in characters that can be drawn, and no
    longer than fits."""
    name = " ".join(str(name).replace("_", " ").split())
    name = name if len(name) <= longest else f"{name[: longest - 1]}…"
    return "".join(sign if ord(sign) in _fonts()[1] else _MISSING for sign in name)


def confusion_matrix(counts: np.ndarray, classes: Sequence[str]) -> bytes:
    """Share of every true class's clips by predicted class, as PNG.

    Args:
        counts: [true, predicted].
        classes: names.
    """
    counts = np.asarray(counts, float)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    height = min(2.4 + 0.26 * len(classes), 14.0)
    figure, (axes,) = panels(max(8.4, height), height)
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.grid(False)
    names = [readable(name) for name in classes]
    font = float(np.clip(40 * height / len(names), 3.5, 9))
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=font)
    axes.set_yticks(range(len(names)), names, fontsize=font)
    axes.set(xlabel="predicted", ylabel="true class")
    axes.tick_params(length=0)
    if len(names) <= _MAX_CELL_NUMBERS:
        for row, column in np.argwhere(share >= 0.005):
            axes.text(
                column,
                row,
                f"{100 * share[row, column]:.0f}",
                ha="center",
                va="center",
                fontsize=0.8 * font,
                color="white" if share[row, column] > 0.55 else INK,
            )
    bar = figure.colorbar(image, ax=axes, fraction=0.035, pad=0.02)
    bar.ax.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    bar.ax.tick_params(color=QUIET, labelcolor=QUIET, labelsize=9.5)
    bar.outline.set_visible(False)
    return png(figure)
