"""What was run: the last part of the page."""

from train_lib.pages import html
from train_lib.probe.report import scoreboard, tables
from train_lib.probe.report.collection import Collection


def section(collection: Collection) -> str:
    """What was run: one line a file."""
    head = (
        "file", "task", "mode", "score, %", "over test clips, %", "clips", "crop, s",
        "learning rate", "size", "seeds",
    )  # fmt: skip
    rows = []
    for result in collection.results:
        data = result.data
        rows.append(
            (
                result.path,
                result.task,
                result.mode,
                str(scoreboard.score(result) or "–"),
                _bounds(data.get("bootstrap95")),
                str(data.get("num_clips", "–")),
                f"{data['unit_seconds']:g}" if data.get("unit_seconds") else "–",
                _rates(data.get("learning_rate")),
                str(data.get("embedding_size", "–")),
                " ".join(map(str, data.get("seeds", ()))) or "–",
            )
        )
    versions = {}
    for result in collection.results:
        for name, version in (result.data.get("versions") or {}).items():
            versions.setdefault(name, []).append(str(version))
    used = ", ".join(
        f"{name} {' or '.join(dict.fromkeys(found))}"
        for name, found in versions.items()
    )
    content = tables.grid(head, rows)
    if used:
        content += html.paragraph(f"Measured with {used}.", "quiet")
    text = (
        "The files behind this page. “Over test clips” is the 95\u00a0% interval when "
        "the test clips are drawn again (bootstrap): it says what other clips would "
        "do, the ± above what other seeds would."
    )
    return html.section("Record", html.paragraph(text) + content)


def _bounds(interval) -> str:
    if not interval:
        return "–"
    return f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f}"


def _rates(rate) -> str:
    rates = rate if isinstance(rate, list | tuple) else [rate]
    shown = dict.fromkeys(f"{value:g}" for value in rates if value is not None)
    return " ".join(shown) or "–"
