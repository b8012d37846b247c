"""The figures of the demo's page, as PNG."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from train_lib.pages import figures

_MAX_LEGEND = 48


@dataclasses.dataclass
class ShownClip:
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
    figure, (axes,) = figures.panels(8.4, 3.1)
    _curve(axes, steps, losses, "loss")
    figures.heading(axes, "Loss of the two predictions")
    return figures.png(figure)


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
    figure, (left, right) = figures.panels(8.4, 3.1, columns=2)
    _curve(left, steps, spreads, "standard deviation")
    figures.heading(left, "During training, mean over dimensions")
    colours = (figures.BLUE, figures.ORANGE, figures.GREY)
    for (name, vectors), colour in zip(embeddings.items(), colours, strict=False):
        deviation = np.sort(np.std(vectors, axis=0))[::-1]
        share = np.linspace(0, 100, len(deviation))
        right.plot(share, deviation, color=colour, linewidth=2, label=name)
    right.set(xlabel="dimensions, widest first (%)", xlim=(0, 100), ylim=(0, None))
    figures.heading(right, "Afterwards, every dimension")
    figures.legend(right)
    return figures.png(figure)


def clip_views(clip: ShownClip) -> bytes:
    """Waveform, log-mel and the two views of one clip."""
    figure, (first, *others) = figures.panels(8.4, 4.6, 2, 2)
    seconds = np.arange(len(clip.waveform)) / clip.sample_rate
    first.plot(seconds, clip.waveform, color=figures.BLUE, linewidth=0.5)
    first.set(xlim=(0, seconds[-1]), xlabel="seconds", ylabel="amplitude")
    figures.heading(first, f"Waveform: {figures.readable(clip.name)}")
    pictures = (clip.log_mel, *clip.views)
    titles = ("Its log-mel spectrogram", "View 1", "View 2")
    low, high = np.percentile(np.concatenate(pictures), [1, 99.5])
    for axes, picture, title in zip(others, pictures, titles, strict=True):
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
        figures.heading(axes, title)
    return figures.png(figure)


def family_map(
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
    markers = dict(zip(groups, figures.MARKERS * len(groups), strict=False))
    figure, (axes, aside) = figures.panels(8.4, 5.6, columns=2, width_ratios=(3.6, 1))
    handles = {group: [] for group in groups}
    for index, name in enumerate(classes):
        group = families.get(name, "")
        colour = len(handles[group]) % len(figures.CLASS_COLOURS)
        handles[group] += [
            axes.scatter(
                *points[np.asarray(labels) == index].T,
                s=22,
                marker=markers[group],
                color=figures.CLASS_COLOURS[colour],
                alpha=0.75,
                linewidths=0,
                label=figures.readable(name),
            )
        ]
    for empty in (axes, aside):
        empty.set_axis_off()
    _family_legend(aside, handles)
    return figures.png(figure)


def _family_legend(axes, handles: Mapping[str, list]) -> None:
    """One legend in which each family's name heads its classes."""
    entries, headings = [], []
    for group, classes in handles.items():
        if group:
            headings.append(len(entries))
            label = figures.readable(group)
            entries.append(axes.scatter([], [], s=0, label=label))
        entries += classes
    shown = entries[:_MAX_LEGEND]
    if len(shown) < len(entries):
        more = f"and {len(entries) - len(shown)} more"
        shown.append(axes.scatter([], [], s=0, label=more))
    legend = figures.legend(
        axes,
        handles=shown,
        loc="center left",
        bbox_to_anchor=(-0.15, 0.5),
        fontsize=float(np.clip(260 / len(shown), 5.0, 9.0)),
        labelspacing=0.35,
        handletextpad=0.3,
        scatterpoints=1,
    )
    for index in headings:
        legend.get_texts()[index].set_fontweight("bold")


def _curve(axes, steps: Sequence[int], values: Sequence[float], label: str) -> None:
    """Every logged value, and their running median."""
    axes.plot(steps, values, color=figures.BLUE, alpha=0.3, linewidth=1)
    axes.plot(steps, _running_median(values), color=figures.BLUE, linewidth=2)
    first, last = min(steps), max(steps)
    limits = (first, last) if last > first else (first - 1, last + 1)
    axes.set(xlabel="step", ylabel=label, xlim=limits, ylim=(0, None))


def _running_median(values: Sequence[float]) -> np.ndarray:
    """Median of the neighbourhood of every value, a tenth of the curve wide."""
    values = np.asarray(values, float)
    radius = len(values) // 20
    padded = np.pad(values, radius, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * radius + 1)
    return np.median(windows, axis=-1)
