"""The table of an ablation: measured, published, differences, intervals."""

import json
import math
import os
from collections.abc import Sequence

from scipy import stats

from byola_tf import files
from train_lib.ablation.tables import Table
from train_lib.pages import figures, text
from train_lib.probe.judging import significance

_STEM = "table"
_ROW_HEIGHT = 0.32  # inches


def summarise(results: Sequence[dict]) -> list[dict]:
    """Adds averages and differences to what `bench.run` returned.

    Args:
        results: one dictionary a row, the first one the base.

    Returns:
        one dictionary a row: `name`, `scores` (task to mean and 95 % half width
        over classifier seeds, %), `average`, `average_ci`, `difference` from the
        first row with `difference_ci` over the test clips, `published`,
        `published_difference`, and the facts of the training. An interval of an
        average takes the tasks as independent.
    """
    rows = []
    for result in results:
        scores = {
            name: (100 * probe["mean"], _percent(probe["ci95"]))
            for name, probe in result["tasks"].items()
        }
        means = [mean for mean, _ in scores.values()]
        rows.append(
            {
                **{name: value for name, value in result.items() if name != "tasks"},
                "scores": scores,
                "average": sum(means) / len(means),
                "average_ci": _of_average([width for _, width in scores.values()]),
            }
        )
    base = rows[0]
    for row, result in zip(rows, results, strict=True):
        row["difference"] = row["average"] - base["average"]
        widths = [
            _paired_half_width(results[0]["tasks"][name], probe)
            for name, probe in result["tasks"].items()
        ]
        row["difference_ci"] = _of_average(widths)
        row["published_difference"] = None
        if None not in (row["published"], base["published"]):
            row["published_difference"] = row["published"] - base["published"]
    return rows


def _paired_half_width(first: dict, second: dict) -> float | None:
    """Of a difference on a task's test clips, %; None of a multi-label task."""
    if not (first["clips"] and second["clips"]):
        return None
    low, high = significance.compare(first, second).interval
    return 100 * (high - low) / 2


def _of_average(half_widths: Sequence[float | None]) -> float | None:
    if None in half_widths:
        return None
    return math.hypot(*half_widths) / len(half_widths)


def agreement(rows: Sequence[dict]) -> str:
    """How the order of the measured averages compares with the published one."""
    pairs = [
        (row["average"], row["published"])
        for row in rows
        if row["published"] is not None
    ]
    if len(pairs) < 3:
        return ""
    rank = stats.spearmanr(*zip(*pairs, strict=True))
    if math.isnan(rank.statistic):
        return ""
    clear = [
        row
        for row in rows[1:]
        if row["published_difference"] and row["difference_ci"] is not None
        if abs(row["difference"]) > row["difference_ci"]
    ]
    same = [row for row in clear if row["difference"] * row["published_difference"] > 0]
    return (
        f"Rank correlation with the published averages: {rank.statistic:+.2f} over "
        f"{len(pairs)} rows. Rows that differ from the first by more than their "
        f"interval: {len(clear)}; in the published direction: {len(same)}."
    )


def chance(rows: Sequence[dict]) -> str:
    """What the first row's repeats with other seeds differ by, in words."""
    repeats = [row["difference"] for row in rows if row["is_repeat"]]
    if not repeats:
        return ""
    return (
        "The first row trained with other seeds differs from itself by "
        f"{', '.join(text.plus_minus(value, sign='+') for value in repeats)}: "
        "differences of that size may be chance."
    )


def write(table: Table, rows: Sequence[dict], facts: dict, folder: str) -> None:
    """Writes table.md, .csv, .json and .png.

    Args:
        table: `Table`.
        rows: see `summarise`.
        facts: what was trained and how long, name to text.
        folder: where to.
    """
    os.makedirs(folder, exist_ok=True)
    stem = os.path.join(folder, _STEM)
    files.write_text(f"{stem}.md", markdown(table, rows, facts))
    files.write_text(f"{stem}.csv", _csv(rows))
    report = {"title": table.title, "source": table.source, "facts": facts}
    report["agreement"], report["chance"] = agreement(rows), chance(rows)
    content = json.dumps({**report, "rows": rows}, indent=1)
    files.write_text(f"{stem}.json", content + "\n")
    if len(rows) > 1:
        files.write_bytes(f"{stem}.png", figure(table.title, rows))


def markdown(table: Table, rows: Sequence[dict], facts: dict) -> str:
    """The table as Markdown; arguments as in `write`."""
    task_names = list(rows[0]["scores"])
    is_published = any(row["published"] is not None for row in rows)
    head = ["", *map(text.markdown, task_names), "average", "difference"]
    if is_published:
        head += ["published average\\*", "published difference\\*"]
    head += ["d", "parameters", "steps"]
    notes = [
        "Accuracy (or mAP), %. ± is a 95 % interval: of a score over classifier seeds, "
        "of a difference over resampled test clips, the same for both rows. Neither "
        "covers another training run.",
        chance(rows),
    ]
    if is_published:
        notes += [
            "\\* Published: average of nine tasks after training on FSD50K: other "
            "data, other tasks, another scale. Only the order can be compared.",
            agreement(rows),
        ]
    parts = [
        f"# {table.title}",
        f"As in {table.source}.",
        "\n".join(f"- {name}: {value}" for name, value in facts.items()),
        text.markdown_table(
            head, [_cells(row, row is rows[0], is_published) for row in rows]
        ),
        *filter(None, notes),
    ]
    return "\n\n".join(parts) + "\n"


def _cells(row: dict, is_first: bool, is_published: bool) -> list[str]:
    """A row of the Markdown table; the first one has no difference from itself."""
    difference = text.plus_minus(row["difference"], row["difference_ci"], sign="+")
    published = [
        "" if value is None else text.plus_minus(value, sign=sign)
        for value, sign in (
            (row["published"], ""),
            (None if is_first else row["published_difference"], "+"),
        )
    ]
    return [
        text.markdown(row["name"]),
        *(text.plus_minus(*score) for score in row["scores"].values()),
        text.plus_minus(row["average"], row["average_ci"]),
        "" if is_first else difference,
        *(published if is_published else ()),
        str(row["embedding_size"]),
        f"{row['parameters']:,}",
        str(row["steps"]),
    ]


def _csv(rows: Sequence[dict]) -> str:
    plain = ("name", "average", "average_ci", "difference", "difference_ci")
    plain += ("published", "published_difference", "embedding_size", "parameters")
    plain += ("steps", "epochs", "loss")
    task_names = list(rows[0]["scores"])
    head = [*plain, *[f"{name}{end}" for name in task_names for end in ("", "_ci")]]
    return text.csv_text(
        head,
        (
            [row[name] for name in plain]
            + [value for name in task_names for value in row["scores"][name]]
            for row in rows
        ),
    )


def figure(title: str, rows: Sequence[dict]) -> bytes:
    """Draws measured and published differences from the first row as PNG.

    Args:
        title: of the table.
        rows: see `summarise`; the first one is the zero line.
    """
    shown = rows[1:]
    places = range(len(shown))
    drawn, (axes,) = figures.panels(8.4, 1.4 + _ROW_HEIGHT * len(shown))
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
    axes.set_yticks(list(places), [figures.readable(row["name"], 60) for row in shown])
    axes.invert_yaxis()
    first = figures.readable(rows[0]["name"], 60)
    axes.set_xlabel(f"points of accuracy from “{first}”")
    figures.heading(axes, title)
    figures.legend(drawn, loc="outside lower center", ncols=2)
    return figures.png(drawn)


def _percent(value: float | None) -> float | None:
    return None if value is None else 100 * value
