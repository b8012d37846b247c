"""The report of `hub_export.tflite` as a Markdown table."""


def table(report: dict) -> str:
    """Sets a report of `tflite_bundle.write` as a table, a row an artefact."""
    rows = report["artefacts"]
    columns = dict(_COLUMNS)
    if any("accuracy" in row for row in rows):
        reference = report["saved_model_accuracy"]
        name = f"accuracy, % (SavedModel {100 * reference:.1f})"
        columns[name] = lambda row: _percent(row.get("accuracy"))
    lines = [list(columns), ["---"] * len(columns)]
    lines += [[column(row) for column in columns.values()] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}"


_COLUMNS = {
    "files": lambda row: ", ".join(f"`{name}`" for name in row["files"]),
    "MB": lambda row: f"{row['size_bytes'] / 1e6:.2f}",
    "smallest cosine": lambda row: f"{row['min_cosine']:.6f}",
    "mean cosine": lambda row: f"{row['mean_cosine']:.6f}",
    "largest error": lambda row: f"{row['max_error']:.1e}",
    "ms, 1 thread": lambda row: f"{row['latency_ms_1_thread']:.2f}",
    "ms, 2 threads": lambda row: f"{row['latency_ms_2_threads']:.2f}",
    "memory, MiB": lambda row: f"{row['peak_memory_mb']:.0f}",
}
