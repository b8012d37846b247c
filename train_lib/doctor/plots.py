"""The report's plots, as SVG."""

import collections
from collections.abc import Sequence

import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from train_lib.doctor.measurement import SILENCE_DB, Measurement
from train_lib.doctor.mel_profile import MelProfile
from train_lib.pages import figures

_TICKS_S = (0.01, 0.1, 0.3, 1, 3, 10, 30, 60, 300, 600, 3600, 36000)
_TICKS_HZ = (250, 500, 1000, 2000, 4000, 8000, 16000)


def durations(measurements: Sequence[Measurement], unit_seconds: float) -> bytes:
    """Histogram of durations on a logarithmic axis."""
    seconds = np.array([m.seconds for m in measurements])
    low, high = seconds.min() / 1.3, seconds.max() * 1.3
    figure, axes = _axes("Durations", "seconds", "files")
    _bars(axes, np.histogram(seconds, np.geomspace(low, high, 41)))
    axes.set_xscale("log")
    ticks = [tick for tick in _TICKS_S if low <= tick <= high]
    axes.set_xticks(ticks or [float(f"{seconds[0]:.2g}")])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlim(low, high)
    if low < unit_seconds < high:
        _mark(axes, unit_seconds, f"one crop, {unit_seconds:g} s")
    return figures.svg(figure)


def sample_rates(measurements: Sequence[Measurement], model_rate: int) -> bytes:
    """Number of files of each sampling rate, the commonest ten."""
    counts = collections.Counter(m.sample_rate for m in measurements)
    common = sorted(counts.most_common(10))
    figure, axes = _axes("Sampling rates", "files", "")
    rows = np.arange(len(common))
    colours = [
        figures.BLUE if rate >= model_rate else figures.PALE_BLUE for rate, _ in common
    ]
    bars = axes.barh(rows, [count for _, count in common], 0.62, color=colours)
    axes.bar_label(bars, [f"{count:,}" for _, count in common], padding=3, fontsize=8)
    axes.set_yticks(rows, [f"{rate / 1000:g} kHz" for rate, _ in common])
    axes.set_ylim(-0.7, max(len(common), 3) - 0.3)
    axes.margins(x=0.16)
    axes.grid(False)
    if any(rate < model_rate for rate, _ in common):
        axes.set_title(
            f"light: below the model's {model_rate / 1000:g} kHz",
            loc="right",
            fontsize=8,
            color=figures.QUIET,
        )
    return figures.svg(figure)


def levels(measurements: Sequence[Measurement]) -> bytes:
    """Histogram of root mean square levels."""
    level = np.array([m.level_db for m in measurements])
    low = min(-70.0, 5 * np.floor(level.min() / 5))
    figure, axes = _axes("Levels", "dBFS (RMS of a file, without its offset)", "files")
    _bars(axes, np.histogram(level, np.arange(low, 6, 2.5)))
    axes.set_xlim(low, 3)
    _mark(axes, SILENCE_DB, f"silent below {SILENCE_DB:.0f}")
    return figures.svg(figure)


def mel_spectrum(profile: MelProfile) -> bytes:
    """Average log-mel spectrum with one standard deviation either side."""
    figure, axes = _axes(
        "Average mel spectrum", "Hz (mel scale)", "log mel power (natural)"
    )
    bins = np.arange(len(profile.hz))
    axes.fill_between(
        bins,
        profile.mean - profile.std,
        profile.mean + profile.std,
        color=figures.PALE_BLUE,
        alpha=0.6,
        linewidth=0,
        label="± std",
    )
    axes.plot(bins, profile.mean, color=figures.BLUE, linewidth=1.8, label="mean")
    ticks = [hz for hz in _TICKS_HZ if profile.hz[0] <= hz <= profile.hz[-1] * 1.05]
    places = np.interp(ticks, profile.hz, bins)
    axes.set_xticks(places, [f"{hz / 1000:g}k" if hz >= 1000 else hz for hz in ticks])
    axes.set_xlim(0, len(bins) - 1)
    figures.legend(
        axes,
        fontsize=8,
        ncols=2,
        loc="lower right",
        bbox_to_anchor=(1.02, 0.98),
    )
    return figures.svg(figure)


def _axes(title: str, x_label: str, y_label: str):
    figure, (axes,) = figures.panels(5.2, 3.0)
    figures.heading(axes, title)
    axes.set(xlabel=x_label, ylabel=y_label)
    axes.grid(False, axis="x")
    return figure, axes


def _bars(axes, histogram) -> None:
    counts, edges = histogram
    axes.stairs(counts, edges, fill=True, color=figures.BLUE, edgecolor="white")
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,.0f}"))
    axes.set_ylim(0, counts.max() * 1.15)


def _mark(axes, x: float, text: str) -> None:
    axes.axvline(x, color=figures.RED, linewidth=1, linestyle=(0, (4, 3)))
    axes.annotate(
        text,
        (x, 1),
        xycoords=("data", "axes fraction"),
        xytext=(4, -2),
        textcoords="offset points",
        va="top",
        fontsize=8,
        color=figures.RED,
    )
