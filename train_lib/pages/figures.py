"""Figures of a run as PNG bytes; matplotlib is imported when one is drawn.

Drawn with the Agg canvas through the object interface, without pyplot and its
global state, so that they can be made in any thread and without a display.
"""

import dataclasses
import io
from collections.abc import Mapping, Sequence

import numpy as np

INK, QUIET, GRID = "#1f2933", "#66737f", "#e4e8ec"
BLUE, ORANGE, GREY = "#2563a8", "#d9722b", "#9aa5b1"
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
_MAX_LEGEND = 48
_MAX_CELL_NUMBERS = 30
_STYLE = {
    "font.family": "sans-serif",
    "font.size": 9.5,
    "text.color": INK,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": GRID,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "legend.frameon": False,
}


@dataclasses.dataclass
class Clip:
    """One sound on its way into the network.

    Attributes:
        name: what it is.
        waveform: float [samples].
        sample_rate: Hz.
        log_mel: normalised log-mel, [time, mel].
        views: the two augmented versions, each [time, mel].
        hop_seconds: distance between frames.
    """

    name: str
    waveform: np.ndarray
    sample_rate: int
    log_mel: np.ndarray
    views: tuple[np.ndarray, np.ndarray]
    hop_seconds: float


def learning_curve(steps: Sequence[int], losses: Sequence[float]) -> bytes:
    """Loss over steps: every logged one, and their running median."""
    with drawing(8.4, 3.1) as (figure, finish):
        axes = figure.subplots()
        axes.plot(steps, losses, color=BLUE, alpha=0.3, linewidth=1)
        axes.plot(steps, _running_median(losses), color=BLUE, linewidth=2)
        axes.set(xlabel="step", ylabel="loss", xlim=_limits(steps), ylim=(0, None))
        axes.set_title("Loss of the two predictions")
        return finish()


def embedding_spread(
    steps: Sequence[int],
    spreads: Sequence[float],
    embeddings: Mapping[str, np.ndarray],
) -> bytes:
    """Mean spread over steps, and the spread of every dimension at the end.

    Args:
        steps: logged steps.
        spreads: mean over dimensions of the standard deviation over a batch.
        embeddings: name -> [clips, d] of each encoder to compare.
    """
    with drawing(8.4, 3.1) as (figure, finish):
        left, right = figure.subplots(1, 2)
        left.plot(steps, spreads, color=BLUE, alpha=0.3, linewidth=1)
        left.plot(steps, _running_median(spreads), color=BLUE, linewidth=2)
        left.set(
            xlabel="step",
            ylabel="standard deviation",
            xlim=_limits(steps),
            ylim=(0, None),
        )
        left.set_title("During training, mean over dimensions")
        for (name, vectors), colour in zip(
            embeddings.items(), (BLUE, ORANGE, GREY), strict=False
        ):
            deviation = np.sort(np.std(vectors, axis=0))[::-1]
            share = np.linspace(0, 100, len(deviation))
            right.plot(share, deviation, color=colour, linewidth=2, label=name)
        right.set(xlabel="dimensions, widest first (%)", xlim=(0, 100), ylim=(0, None))
        right.set_title("Afterwards, every dimension")
        right.legend()
        return finish()


def clip_views(clip: Clip) -> bytes:
    """Waveform, log-mel and the two views of one clip."""
    with drawing(8.4, 4.6) as (figure, finish):
        grid = figure.subplots(2, 2)
        seconds = np.arange(len(clip.waveform)) / clip.sample_rate
        grid[0, 0].plot(seconds, clip.waveform, color=BLUE, linewidth=0.5)
        grid[0, 0].set(xlim=(0, seconds[-1]), xlabel="seconds", ylabel="amplitude")
        grid[0, 0].set_title(f"Waveform: {clip.name}")
        pictures = (clip.log_mel, *clip.views)
        titles = ("Its log-mel spectrogram", "View 1", "View 2")
        low, high = np.percentile(np.concatenate(pictures), [1, 99.5])
        for axes, picture, title in zip(grid.flat[1:], pictures, titles, strict=True):
            axes.imshow(
                picture.T,
                origin="lower",
                aspect="auto",
                cmap="magma",
                vmin=low,
                vmax=high,
                extent=(0, len(picture) * clip.hop_seconds, 0, picture.shape[1]),
            )
            axes.grid(False)
            axes.set(xlabel="seconds", ylabel="mel bin")
            axes.set_title(title)
        return finish()


def confusion_matrix(counts: np.ndarray, classes: Sequence[str]) -> bytes:
    """Share of every true class's clips by predicted class.

    Args:
        counts: [true, predicted].
        classes: names.
    """
    counts = np.asarray(counts, float)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    height = min(2.4 + 0.26 * len(classes), 14.0)
    with drawing(max(8.4, height), height) as (figure, finish):
        axes = figure.subplots()
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
        bar.outline.set_visible(False)
        return finish()


def embedding_map(
    points: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    families: Mapping[str, str],
) -> bytes:
    """A point a clip: colour and legend by class, marker by family.

    Args:
        points: [clips, 2].
        labels: int [clips], index into `classes`.
        classes: names.
        families: class -> family; may be empty.
    """
    groups = dict.fromkeys(families.get(name, "") for name in classes)
    markers = dict(zip(groups, MARKERS * len(groups), strict=False))
    with drawing(8.4, 5.6) as (figure, finish):
        axes, aside = figure.subplots(1, 2, width_ratios=(3.6, 1))
        handles = {group: [] for group in groups}
        for index, name in enumerate(classes):
            group = families.get(name, "")
            chosen = points[np.asarray(labels) == index]
            handles[group] += [
                axes.scatter(
                    chosen[:, 0],
                    chosen[:, 1],
                    s=22,
                    marker=markers[group],
                    color=CLASS_COLOURS[len(handles[group]) % len(CLASS_COLOURS)],
                    alpha=0.75,
                    linewidths=0,
                    label=readable(name),
                )
            ]
        for empty in (axes, aside):
            empty.set_axis_off()
        _family_legend(aside, handles)
        return finish()


def _family_legend(axes, handles: Mapping[str, list]) -> None:
    """One legend in which each family's name heads its classes."""
    entries, headings = [], []
    for group, classes in handles.items():
        if group:
            headings.append(len(entries))
            entries.append(axes.scatter([], [], s=0, label=group))
        entries += classes
    shown = entries[:_MAX_LEGEND]
    if len(shown) < len(entries):
        more = f"and {len(entries) - len(shown)} more"
        shown.append(axes.scatter([], [], s=0, label=more))
    font = float(np.clip(260 / len(shown), 5.0, 9.0))
    legend = axes.legend(
        handles=shown,
        loc="center left",
        bbox_to_anchor=(-0.15, 0.5),
        fontsize=font,
        labelspacing=0.35,
        handletextpad=0.3,
        scatterpoints=1,
    )
    for index in headings:
        legend.get_texts()[index].set_fontweight("bold")


class drawing:
    """Context of a styled figure: gives (figure, function that makes a PNG)."""

    def __init__(self, width: float, height: float):
        self._size = (width, height)

    def __enter__(self):
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self._style = matplotlib.rc_context(_STYLE)
        self._style.__enter__()
        figure = Figure(figsize=self._size, layout="constrained")
        FigureCanvasAgg(figure)

        def finish() -> bytes:
            with io.BytesIO() as file:
                figure.savefig(file, format="png", dpi=144, facecolor="white")
                return file.getvalue()

        return figure, finish

    def __exit__(self, *exception):
        return self._style.__exit__(*exception)


def _running_median(values: Sequence[float]) -> np.ndarray:
    """Median of the neighbourhood of every value, a tenth of the curve wide."""
    values = np.asarray(values, float)
    radius = len(values) // 20
    padded = np.pad(values, radius, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * radius + 1)
    return np.median(windows, axis=-1)


def _limits(steps: Sequence[int]) -> tuple[float, float]:
    first, last = min(steps), max(steps)
    return (first, last) if last > first else (first - 1, last + 1)


def readable(name: str) -> str:
    """A class name for a label: spaces, and no more than fit."""
    name = name.replace("_", " ")
    return name if len(name) <= 24 else f"{name[:23]}…"
