"""The report of `byola tflite` as a Markdown table."""


def table(report: dict) -> str:
    """Sets a report of `tflite_bundle.write` as a table, a row an artefact."""
    rows = report["artefacts"]
    columns = dict(_COLUMNS)
    if "saved_model" in report:
        name = f"accuracy, % (SavedModel {_accuracy(report['saved_model'])})"
        columns[name] = _accuracy
    lines = [list(columns), ["---"] * len(columns)]
    lines += [[column(row) for column in columns.values()] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _accuracy(row: dict) -> str:
    if "accuracy" not in row:
        return ""
    return f"{100 * row['accuracy']:.1f} ± {100 * row['accuracy_ci95']:.1f}"


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
