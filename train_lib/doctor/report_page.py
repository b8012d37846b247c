"""The report as a page."""

import collections

import byola_tf
from train_lib.cli import commands
from train_lib.doctor import findings, plots, schedule
from train_lib.doctor.examination import Examination
from train_lib.doctor.findings import Finding
from train_lib.pages import html

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
    parts = [
        _numbers(result),
        html.section("Verdict", _verdicts(result, data)),
        html.section("The sounds", _pictures(result)),
        html.section("Formats", _formats(result)),
        html.section("Normalisation", _normalisation(result)),
        html.section("Suggested training", _suggestion(result, exclude_list)),
        html.paragraph(
            f"byola-tf {byola_tf.__version__}, examined in "
            f"{schedule.time_span(result.duration_s)}. The same as data: {data}",
            "quiet",
        ),
    ]
    return html.page(f"Corpus report: {result.audio}", _lead(result), parts)


def _lead(result: Examination) -> str:
    total, usable = len(result.measurements), len(result.usable)
    if usable == total:
        return f"All {schedule.count(total, 'file')} can be trained on."
    return (
        f"{usable:,} of {schedule.count(total, 'file')} can be trained on, "
        f"{total - usable:,} should be left out."
    )


def _numbers(result: Examination) -> str:
    statistics = result.profile.statistics if result.profile else None
    return html.cards(
        [
            (f"{len(result.measurements):,}", "files"),
            (f"{len(result.usable):,}", "fit for training"),
            (schedule.length(result.measurements), "of sound"),
            (_signed(statistics.mean, 2) if statistics else "–", "log-mel mean"),
            (f"{statistics.std:.2f}" if statistics else "–", "log-mel deviation"),
        ]
    )


def _verdicts(result: Examination, data: str) -> str:
    if not result.findings:
        return html.item("fine", "green", "Nothing to complain about.")
    return "".join(_verdict(finding, data) for finding in result.findings)


def _verdict(finding: Finding, data: str) -> str:
    listed = list(finding.files.items())
    rows = [(_shorten(path), _shorten(detail)) for path, detail in listed[:_LISTED]]
    files = html.table(("", ""), rows)
    if len(listed) > len(rows):
        files += html.paragraph(f"{len(listed) - len(rows):,} more in {data}", "quiet")
    heading = f"{finding.title}: {schedule.count(listed, 'file')}"
    text = html.escape(finding.verdict) + html.folded(heading, files)
    return html.item(finding.severity, _COLOURS[finding.severity], text)


def _pictures(result: Examination) -> str:
    decoded = [m for m in result.measurements if not m.fault]
    if not decoded:
        return html.paragraph("No file could be decoded: there is nothing to draw.")
    unit = result.config.data.unit_seconds
    rate = result.config.frontend.sample_rate
    drawn = {
        "Durations": plots.durations(decoded, unit),
        "Sampling rates": plots.sample_rates(decoded, rate),
        "Levels": plots.levels(decoded),
    }
    if result.profile:
        drawn["Average mel spectrum"] = plots.mel_spectrum(result.profile)
    pictures = [html.picture(content, name) for name, content in drawn.items()]
    return f'<div class="grid">{"".join(pictures)}</div>'


def _formats(result: Examination) -> str:
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
    head = ("Container", "Encoding", "Rate, Hz", "Channels", "Files", "Length")
    return html.table(head, rows, numbers=(2, 3, 4, 5))


def _normalisation(result: Examination) -> str:
    if not result.profile:
        return html.paragraph("No varied sound was found: there are no statistics.")
    statistics = result.profile.statistics
    crops = schedule.count(statistics.num_crops, "crop")
    return html.paragraph(
        f"Log-mel mean {_signed(statistics.mean, 4)}, standard deviation "
        f"{statistics.std:.4f}, from {crops} of {result.config.data.unit_seconds:g} s. "
        "Pre-training computes the same numbers from these files, less those to be "
        "left out, with the same seed."
    ) + html.paragraph(
        "For comparison: speech commands −9.66 and 4.72, music (GTZAN) −3.71 and "
        "3.51; digital silence is −15.94 in every bin.",
        "quiet",
    )


def _suggestion(result: Examination, exclude_list: str) -> str:
    plan = result.schedule
    if not plan:
        return html.paragraph("Training needs at least two usable files.")
    exclude = f" \\\n    --config.data.exclude={exclude_list}" if exclude_list else ""
    command = (
        f"{commands.invocation('pretrain')} --config=byola_v2 --workdir=WORKDIR \\\n"
        f"    --config.data.pattern='{result.audio}'{exclude} \\\n"
        f"    {schedule.flags(plan)}"
    )
    reason = (
        "Published runs: FSD50K (40,966 clips) needs about 500 epochs, AudioSet "
        "(1,963,807 clips) 100; both in batches of 256. Between batches of 64 and "
        "1,024 the average score moves by less than a point."
    )
    if plan.is_extrapolated:
        reason += (
            f" {schedule.count(result.usable, 'file')} lie outside that range, so the "
            "number of epochs is extrapolated: watch a probe score, and stop when it "
            "no longer rises."
        )
    rows = [
        ("Batch size", f"{plan.batch_size:,}"),
        ("Epochs (one crop of each file)", f"{plan.epochs:,}"),
        ("Steps", f"{plan.steps:,}"),
        ("Crops in total", f"{plan.crops:,}"),
        ("Times that each second is heard", f"{plan.times_heard:,.0f}"),
    ]
    rows += [
        (f"Time at {rate:,} crops/s, {where}", schedule.time_span(plan.crops / rate))
        for rate, where in schedule.RATES.items()
    ]
    return (
        html.paragraph(reason)
        + f"<pre>{html.escape(command)}</pre>"
        + html.table(("", ""), rows, numbers=(1,))
        + html.paragraph("Training prints its own rate at the end.", "quiet")
    )


def _signed(value: float, digits: int) -> str:
    return f"{value:.{digits}f}".replace("-", "−")


def _shorten(text: str) -> str:
    if len(text) <= _LONGEST_TEXT:
        return text
    half = _LONGEST_TEXT // 2
    return f"{text[:half]} … {text[-half:]}"
