"""What the doctor found, as a page."""

import collections
import shlex

import byola_tf
from train_lib.cli import commands
from train_lib.doctor import findings, plots, schedule
from train_lib.doctor.examination import Examination
from train_lib.doctor.findings import Finding
from train_lib.pages import html, text

_LISTED = 50  # files a finding shows; the JSON has all
_LONGEST_TEXT = 300
_FORMAT_ROWS = 20
_COLOURS = {
    findings.LEAVE_OUT: "red",
    findings.CHECK: "amber",
    findings.NOTE: "blue",
}


def to_html(result: Examination, data: str, exclude_list: str = "") -> str:
    """The page.

    Args:
        result: the examination.
        data: name of the JSON beside it.
        exclude_list: path of the exclude list, "" for none.
    """
    plan = result.schedule
    return html.render(
        "corpus.html",
        title=f"Corpus report: {result.audio}",
        lead=_lead(result),
        tiles=_tiles(result),
        verdicts=[_verdict(finding) for finding in result.findings],
        pictures=_pictures(result),
        formats=_formats(result),
        statistics=_statistics(result),
        plan=plan,
        plan_rows=_plan_rows(plan) if plan else (),
        command=_command(result, exclude_list) if plan else "",
        usable=text.count(result.usable, "file"),
        version=byola_tf.__version__,
        duration=schedule.time_span(result.duration_s),
        data=data,
    )


def _lead(result: Examination) -> str:
    total, usable = len(result.measurements), len(result.usable)
    if usable == total:
        return f"All {text.count(total, 'file')} can be trained on."
    return (
        f"{usable:,} of {text.count(total, 'file')} can be trained on, "
        f"{total - usable:,} should be left out."
    )


def _tiles(result: Examination) -> list[tuple[str, str]]:
    statistics = result.profile.statistics if result.profile else None
    return [
        (f"{len(result.measurements):,}", "files"),
        (f"{len(result.usable):,}", "fit for training"),
        (schedule.length(result.measurements), "of sound"),
        (_signed(statistics.mean, 2) if statistics else "–", "log-mel mean"),
        (f"{statistics.std:.2f}" if statistics else "–", "log-mel deviation"),
    ]


def _verdict(finding: Finding) -> dict:
    listed = list(finding.files.items())
    more = len(listed) - _LISTED
    return {
        "severity": finding.severity,
        "colour": _COLOURS[finding.severity],
        "text": finding.verdict,
        "heading": f"{finding.title}: {text.count(listed, 'file')}",
        "files": [(_shorten(a), _shorten(b)) for a, b in listed[:_LISTED]],
        "more": f"{more:,}" if more > 0 else "",
    }


def _pictures(result: Examination) -> dict[str, bytes]:
    decoded = [m for m in result.measurements if not m.fault]
    if not decoded:
        return {}
    unit = result.config.data.unit_seconds
    rate = result.config.frontend.sample_rate
    drawn = {
        "Durations": plots.durations(decoded, unit),
        "Sampling rates": plots.sample_rates(decoded, rate),
        "Levels": plots.levels(decoded),
    }
    if result.profile:
        drawn["Average mel spectrum"] = plots.mel_spectrum(result.profile)
    return drawn


def _formats(result: Examination) -> list[tuple]:
    groups = collections.defaultdict(list)
    for m in result.measurements:
        if m.container:
            groups[m.container, m.subtype, m.sample_rate, m.channels].append(m)
    ordered = sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))
    rows = [
        (container, subtype, f"{rate:,}", channels, f"{len(files):,}", length)
        for (container, subtype, rate, channels), files in ordered[:_FORMAT_ROWS]
        for length in [schedule.length(files)]
    ]
    rest = [m for _, files in ordered[_FORMAT_ROWS:] for m in files]
    if rest:
        name = f"{len(ordered) - _FORMAT_ROWS:,} other formats"
        rows.append((name, "", "", "", f"{len(rest):,}", schedule.length(rest)))
    return rows


def _statistics(result: Examination) -> dict:
    if not result.profile:
        return {}
    found = result.profile.statistics
    return {
        "mean": _signed(found.mean, 4),
        "std": f"{found.std:.4f}",
        "crops": text.count(found.num_crops, "crop"),
        "unit": f"{result.config.data.unit_seconds:g}",
    }


def _command(result: Examination, exclude_list: str) -> str:
    lines = [
        f"{commands.invocation('pretrain')} --config=byola_v2 --workdir=WORKDIR",
        f"--config.data.pattern={shlex.quote(result.audio)}",
        schedule.flags(result.schedule),
    ]
    if exclude_list:
        lines.insert(2, f"--config.data.exclude={shlex.quote(exclude_list)}")
    return " \\\n    ".join(lines)


def _plan_rows(plan) -> list[tuple[str, str]]:
    return [
        ("Batch size", f"{plan.batch_size:,}"),
        ("Epochs (one crop of each file)", f"{plan.epochs:,}"),
        ("Steps", f"{plan.steps:,}"),
        ("Crops in total", f"{plan.crops:,}"),
        ("Times that each second is heard", f"{plan.times_heard:,.0f}"),
        *(
            (
                f"Time at {rate:,} crops/s, {where}",
                schedule.time_span(plan.crops / rate),
            )
            for rate, where in schedule.RATES.items()
        ),
    ]


def _signed(value: float, digits: int) -> str:
    return f"{value:.{digits}f}".replace("-", "−")


def _shorten(name: str) -> str:
    if len(name) <= _LONGEST_TEXT:
        return name
    half = _LONGEST_TEXT // 2
    return f"{name[:half]} … {name[-half:]}"
