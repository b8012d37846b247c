"""The table of an ablation: measured, published, differences, intervals."""

import csv
import io
import json
import math
import os
from collections.abc import Sequence

from scipy import stats

from byola_tf import files
from train_lib.ablation import figure
from train_lib.ablation.tables import Table
from train_lib.probe.judging import significance

_STEM = "table"


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
        f"{', '.join(f'{difference:+.1f}' for difference in repeats)}: differences "
        "of that size may be chance."
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
    text = json.dumps({**report, "rows": rows}, indent=1)
    files.write_text(f"{stem}.json", text + "\n")
    if len(rows) > 1:
        files.write_bytes(f"{stem}.png", figure.differences(table.title, rows))


def markdown(table: Table, rows: Sequence[dict], facts: dict) -> str:
    """The table as Markdown; arguments as in `write`."""
    task_names = list(rows[0]["scores"])
    is_published = any(row["published"] is not None for row in rows)
    columns = ["", *task_names, "average", "difference"]
    if is_published:
        columns += ["published average*", "published difference*"]
    columns += ["d", "parameters", "steps"]
    lines = [f"# {table.title}", "", f"As in {table.source}.", ""]
    lines += [f"- {name}: {value}" for name, value in facts.items()]
    lines += ["", _line(columns), _line(["---", *["---:"] * (len(columns) - 1)])]
    for row in rows:
        is_base = row is rows[0]
        sign = "" if row["difference"] < 0 else "+"
        cells = [
            row["name"],
            *[_score(*row["scores"][name]) for name in task_names],
            _score(row["average"], row["average_ci"]),
            "" if is_base else sign + _score(row["difference"], row["difference_ci"]),
        ]
        if is_published:
            cells += [
                _number(row["published"]),
                "" if is_base else _number(row["published_difference"], sign="+"),
            ]
        cells += [
            str(row["embedding_size"]),
            f"{row['parameters']:,}",
            str(row["steps"]),
        ]
        lines.append(_line(cells))
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
    for note in filter(None, notes):
        lines += ["", note]
    return "\n".join(lines) + "\n"


def _csv(rows: Sequence[dict]) -> str:
    text = io.StringIO()
    plain = ("name", "average", "average_ci", "difference", "difference_ci")
    plain += ("published", "published_difference", "embedding_size", "parameters")
    plain += ("steps", "epochs", "loss")
    task_names = list(rows[0]["scores"])
    header = [*plain, *[f"{name}{end}" for name in task_names for end in ("", "_ci")]]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        cells = [row[name] for name in plain]
        cells += [value for name in task_names for value in row["scores"][name]]
        writer.writerow(["" if cell is None else cell for cell in cells])
    return text.getvalue()


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _score(mean: float, half_width: float | None) -> str:
    text = f"{mean:.1f}"
    return text if half_width is None else f"{text} ± {half_width:.1f}"


def _number(value: float | None, sign: str = "") -> str:
    return "" if value is None else f"{value:{sign}.1f}"


def _percent(value: float | None) -> float | None:
    return None if value is None else 100 * value
