"""The report: a page, the same as JSON, the exclude list, a summary."""

import dataclasses
import json
import os
import shlex
from collections.abc import Sequence

import tensorflow as tf

import byola_tf
from byola_tf import files
from byola_tf.config import Config, DataConfig
from byola_tf.errors import UserError
from train_lib.cli import progress
from train_lib.doctor import examination, findings, schedule
from train_lib.doctor.examination import Examination
from train_lib.doctor.measurement import Measurement
from train_lib.pages import html, text


def run(
    audio: str,
    report: str,
    metadata: Sequence[str] = (),
    exclude_list: str = "",
    num_workers: int = 2,
    max_hours: float = DataConfig.max_hours,
) -> str:
    """Examines a folder and writes report, JSON and exclude list.

    Args:
        audio: folder or glob.
        report: path of the page, ending in .html.
        metadata: CSVs to search for leaks.
        exclude_list: path of the list; "" for none.
        num_workers: threads.
        max_hours: a longer recording counts as broken.

    Returns:
        A summary to print.

    Raises:
        UserError: bad arguments, or no files.
    """
    html.require_packages()
    from train_lib.doctor import report_page

    base, extension = os.path.splitext(report)
    if extension.lower() not in (".html", ".htm"):
        raise UserError(
            f"`--report` must end in .html. Received: {report!r}. The data goes "
            "beside it as .json."
        )
    data = f"{base}.json"
    for path in filter(None, (report, data, exclude_list)):
        _require_writable(path)
    config = Config(data=DataConfig(max_hours=max_hours))
    result = examination.examine(audio, metadata, num_workers, config, progress.bar)
    files.write_text(data, to_json(result))
    page = report_page.to_html(result, os.path.basename(data), exclude_list)
    # names of files need not be UTF-8: the page shows them, the list keeps them
    files.write_bytes(report, page.encode("utf-8", "backslashreplace"))
    if exclude_list:
        listed = os.fsencode(findings.exclude_list(result.findings))
        files.write_bytes(exclude_list, listed)
    return summary(result, report, data, exclude_list)


def summary(result: Examination, report: str, data: str, exclude_list: str = "") -> str:
    """The examination in a few lines."""
    scanned = text.count(result.measurements, "file")
    lines = [
        f"{scanned}, {schedule.length(result.measurements)}, examined in "
        f"{result.duration_s:.0f} s; {len(result.usable):,} fit for training."
    ]
    lines += [f"  [{f.severity}] {f.verdict}" for f in result.findings]
    if result.left_out:
        lines.append(f"  {result.left_out}")
    elif not result.findings:
        lines.append("  Nothing to complain about.")
    if result.profile:
        statistics = result.profile.statistics
        lines.append(
            f"Log-mel mean {statistics.mean:.4f}, std {statistics.std:.4f} "
            f"({statistics.num_crops:,} crops)."
        )
    if result.schedule:
        plan = result.schedule
        lines.append(f"Suggestion: {schedule.flags(plan)} ({plan.crops:,} crops).")
    lines.append(f"Report: {report} (data: {data})")
    if exclude_list:
        listed = text.count(result.excluded, "file")
        lines.append(
            f"Exclude list: {exclude_list} ({listed}); train with "
            f"--config.data.exclude={shlex.quote(exclude_list)}"
        )
    return "\n".join(lines)


def to_json(result: Examination) -> str:
    """Everything that was measured and found."""
    profile = result.profile
    content = {
        "version": byola_tf.__version__,
        "audio": result.audio,
        "metadata": list(result.tables),
        "files": len(result.measurements),
        "usable_files": len(result.usable),
        "hours": sum(m.seconds for m in result.measurements) / 3600,
        "usable_hours": sum(m.seconds for m in result.usable) / 3600,
        "duration_s": round(result.duration_s, 3),
        "statistics": dataclasses.asdict(profile.statistics) if profile else None,
        "mel_profile": {
            "hz": profile.hz.round(2).tolist(),
            "mean": profile.mean.round(5).tolist(),
            "std": profile.std.round(5).tolist(),
        }
        if profile
        else None,
        "schedule": dataclasses.asdict(result.schedule) if result.schedule else None,
        "left_out": result.left_out,
        "findings": [dataclasses.asdict(finding) for finding in result.findings],
        "excluded": result.excluded,
        # a column an attribute: pandas.DataFrame(report["measurements"])
        "measurements": {
            field.name: [_short(getattr(m, field.name)) for m in result.measurements]
            for field in dataclasses.fields(Measurement)
        },
    }
    return json.dumps(content, allow_nan=False) + "\n"


def _short(value):
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _require_writable(path: str) -> None:
    folder = os.path.dirname(path)
    try:
        if folder:
            tf.io.gfile.makedirs(folder)
        if tf.io.gfile.isdir(path):
            raise OSError("it is a folder")
        if "://" not in path and not os.access(folder or ".", os.W_OK):
            raise OSError("its folder is not writable")
    except (tf.errors.OpError, OSError) as error:
        raise UserError(
            f"Results must go to a file that can be written. Received: {path!r} "
            f"({error}). Name another place."
        ) from error
