"""The table of an ablation: measured, published, differences, intervals."""

import csv
import io
import json
import math
from collections.abc import Sequence

from scipy import stats

from byola_tf import files
from train_lib.ablation.tables import Table


def summarise(results: Sequence[dict]) -> list[dict]:
    """Adds averages and differences to what `bench.run` returned.

    Args:
        results: one dictionary a row, the first one the base.

    Returns:
        one dictionary a row: `name`, `scores` (task to mean and 95 % half width
        over classifier seeds, %), `average`, `average_ci`, `difference` from the
        first row with `difference_ci`, `published`, `published_difference`, and
        the facts of the training. The interval of an average takes the tasks as
        independent, that of a difference both rows.
    """
    rows = []
    for result in results:
        scores = {
            name: (100 * probe["mean"], _percent(probe["ci95"]))
            for name, probe in result["tasks"].items()
        }
        means = [mean for mean, _ in scores.values()]
        half_widths = [half_width for _, half_width in scores.values()]
        average_ci = None
        if None not in half_widths:
            average_ci = math.hypot(*half_widths) / len(half_widths)
        rows.append(
            {
                **{name: value for name, value in result.items() if name != "tasks"},
                "scores": scores,
                "average": sum(means) / len(means),
                "average_ci": average_ci,
            }
        )
    base = rows[0]
    for row in rows:
        row["difference"] = row["average"] - base["average"]
        known = base["average_ci"] is not None and row["average_ci"] is not None
        row["difference_ci"] = (
            math.hypot(row["average_ci"], base["average_ci"]) if known else None
        )
        row["published_difference"] = None
        if None not in (row["published"], base["published"]):
            row["published_difference"] = row["published"] - base["published"]
    return rows


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


def write(table: Table, rows: Sequence[dict], facts: dict, stem: str) -> None:
    """Writes `stem`.md, .csv and .json.

    Args:
        table: `Table`.
        rows: see `summarise`.
        facts: what was trained and how long, name to text.
        stem: path without suffix.
    """
    files.write_text(f"{stem}.md", markdown(table, rows, facts))
    files.write_text(f"{stem}.csv", _csv(rows))
    report = {"title": table.title, "source": table.source, "facts": facts}
    text = json.dumps({**report, "agreement": agreement(rows), "rows": rows}, indent=1)
    files.write_text(f"{stem}.json", text + "\n")


def markdown(table: Table, rows: Sequence[dict], facts: dict) -> str:
    """The table as Markdown; arguments as in `write`."""
    task_names = list(rows[0]["scores"])
    columns = ["", *task_names, "average", "difference"]
    columns += [
        "published average*",
        "published difference*",
        "d",
        "parameters",
        "steps",
    ]
    lines = [f"# {table.title}", "", f"As in {table.source}.", ""]
    lines += [f"- {name}: {value}" for name, value in facts.items()]
    lines += ["", _line(columns), _line(["---", *["---:"] * (len(columns) - 1)])]
    for row in rows:
        cells = [row["name"], *[_score(*row["scores"][name]) for name in task_names]]
        is_base = row is rows[0]
        difference = "" if is_base else _score(row["difference"], row["difference_ci"])
        cells += [
            _score(row["average"], row["average_ci"]),
            difference if is_base or row["difference"] < 0 else f"+{difference}",
            _number(row["published"]),
            "" if is_base else _number(row["published_difference"], sign="+"),
            str(row["embedding_size"]),
            f"{row['parameters']:,}",
            str(row["steps"]),
        ]
        lines.append(_line(cells))
    lines += [
        "",
        "Accuracy (or mAP), %; ± is the 95 % interval over classifier seeds, not over "
        "training runs.",
        "",
        "\\* Published: average of nine tasks after training on FSD50K: other data, "
        "other tasks, another scale. Only the order can be compared.",
        "",
        agreement(rows),
    ]
    return "\n".join(lines).rstrip() + "\n"


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
