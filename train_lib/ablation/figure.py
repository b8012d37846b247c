"""The figure of an ablation: differences from the first row, and the published."""

from collections.abc import Sequence

from train_lib.pages import figures

_ROW_HEIGHT = 0.32


def differences(title: str, rows: Sequence[dict]) -> bytes:
    """Draws measured and published differences as PNG.

    Args:
        title: of the table.
        rows: see `summary.summarise`; the first one is the zero line.
    """
    shown = rows[1:]
    places = range(len(shown))
    with figures.drawing(8.4, 1.4 + _ROW_HEIGHT * len(shown)) as (figure, finish):
        axes = figure.subplots()
        axes.axvline(0.0, color=figures.INK, linewidth=1)
        axes.errorbar(
            [row["difference"] for row in shown],
            places,
            xerr=[row["difference_ci"] or 0.0 for row in shown],
            fmt="o",
            color=figures.BLUE,
            capsize=3,
            label="measured here, 95 % over test clips",
        )
        published = [
            (row["published_difference"], place)
            for row, place in zip(shown, places, strict=True)
            if row["published_difference"] is not None
        ]
        if published:
            axes.scatter(
                *zip(*published, strict=True),
                marker="D",
                facecolor="none",
                edgecolor=figures.ORANGE,
                label="published: other data, other tasks",
                zorder=3,
            )
        axes.set_yticks(list(places), [row["name"] for row in shown])
        axes.invert_yaxis()
        axes.set_xlabel(f"points of accuracy from “{rows[0]['name']}”")
        axes.set_title(title)
        figure.legend(loc="outside lower center", ncols=2)
        return finish()
