"""The report as a page."""

import collections

import byola_tf
from train_lib.doctor import figures, findings, page, schedule, wording
from train_lib.doctor.examination import Examination
from train_lib.doctor.findings import Finding

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
    total, usable = len(result.measurements), len(result.usable)
    profile = result.profile
    title = f"Corpus report: {result.audio}"
    body = [
        f"<h1>{page.escape(title)}</h1>",
        f'<p class="soft">byola-tf {byola_tf.__version__}, examined in '
        f"{wording.time_span(result.duration_s)}. All numbers: {page.escape(data)}</p>",
        page.cards(
            [
                (f"{total:,}", "files"),
                (f"{usable:,}", "fit for training"),
                (wording.length(result.measurements), "of sound"),
                (_signed(profile.statistics.mean) if profile else "–", "log-mel mean"),
                (f"{profile.statistics.std:.2f}" if profile else "–", "log-mel std"),
            ]
        ),
        "<h2>Verdict</h2>",
        _verdicts(result, data),
        "<h2>The sounds</h2>",
        _pictures(result),
        "<h2>Formats</h2>",
        f'<div class="panel">{_formats(result)}</div>',
        "<h2>Normalisation</h2>",
        _normalisation(result),
        "<h2>Suggested training</h2>",
        _suggestion(result, exclude_list),
    ]
    return page.page(title, body)


def _verdicts(result: Examination, data: str) -> str:
    items = [_verdict(finding, data) for finding in result.findings]
    if not result.excluded:
        total = len(result.measurements)
        text = f"No file has to be left out: all {total:,} can be trained on."
        items.insert(0, _item("fit", "green", page.escape(text)))
    return f'<div class="panel">{"".join(items)}</div>'


def _verdict(finding: Finding, data: str) -> str:
    listed = list(finding.files.items())
    rows = [(_shorten(path), _shorten(detail)) for path, detail in listed[:_LISTED]]
    more = len(listed) - len(rows)
    note = f'<p class="soft">{more:,} more in {page.escape(data)}</p>' if more else ""
    text = (
        f"{page.escape(finding.verdict)}\n<details><summary>"
        f"{page.escape(finding.title)}: {wording.count(listed, 'file')}</summary>"
        f"{page.table(('', ''), rows)}{note}</details>"
    )
    return _item(finding.severity, _COLOURS[finding.severity], text)


def _item(tag: str, colour: str, content: str) -> str:
    return (
        f'<div class="item"><span class="tag {colour}">{tag}</span>'
        f"<div>{content}</div></div>"
    )


def _pictures(result: Examination) -> str:
    decoded = [m for m in result.measurements if not m.fault]
    if not decoded:
        return "<p>No file could be decoded, so there is nothing to draw.</p>"
    unit = result.config.data.unit_seconds
    rate = result.config.frontend.sample_rate
    drawn = [
        ("Durations", figures.durations(decoded, unit)),
        ("Sampling rates", figures.sample_rates(decoded, rate)),
        ("Levels", figures.levels(decoded)),
    ]
    if result.profile:
        spectrum = figures.mel_spectrum(result.profile)
        drawn.append(("Average mel spectrum", spectrum))
    panels = [page.picture(figures.to_uri(figure), name) for name, figure in drawn]
    return f'<div class="grid">{"".join(panels)}</div>'


def _formats(result: Examination) -> str:
    groups = collections.defaultdict(list)
    for m in result.measurements:
        if m.container:
            groups[m.container, m.subtype, m.sample_rate, m.channels].append(m)
    ordered = sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))
    rows = [
        (
            container,
            subtype,
            f"{rate:,}",
            channels,
            f"{len(group):,}",
            wording.length(group),
        )
        for (container, subtype, rate, channels), group in ordered[:_FORMAT_ROWS]
    ]
    left = ordered[_FORMAT_ROWS:]
    if left:
        rest = [m for _, group in left for m in group]
        name = f"{len(left):,} other formats"
        rows.append((name, "", "", "", f"{len(rest):,}", wording.length(rest)))
    head = ("Container", "Encoding", "Rate, Hz", "Channels", "Files", "Length")
    return page.table(head, rows, numbers=(2, 3, 4, 5))


def _normalisation(result: Examination) -> str:
    if not result.profile:
        return "<p>No varied sound was found, so there are no statistics.</p>"
    statistics = result.profile.statistics
    unit = result.config.data.unit_seconds
    crops = wording.count(statistics.num_crops, "crop")
    return (
        f"<p>Log-mel mean <b>{_signed(statistics.mean, 4)}</b>, standard deviation "
        f"<b>{statistics.std:.4f}</b>, from {crops} of {unit:g} s. "
        "Pre-training computes the same numbers for these files (less the excluded "
        "ones) with the same seed.</p>"
        '<p class="soft">For comparison: speech commands −9.66 and 4.72, music '
        "(GTZAN) −3.71 and 3.51; digital silence is −15.94 in every bin.</p>"
    )


def _suggestion(result: Examination, exclude_list: str) -> str:
    plan = result.schedule
    if not plan:
        return "<p>Training needs at least two usable files.</p>"
    usable = len(result.usable)
    exclude = f" \\\n    --config.data.exclude={exclude_list}" if exclude_list else ""
    command = (
        "python -m train_lib.pretrain --config=byola_v2 --workdir=WORKDIR \\\n"
        f"    --config.data.pattern='{result.audio}'{exclude} \\\n"
        f"    {wording.flags(plan)}"
    )
    reason = (
        "Published runs: FSD50K (40,966 clips) needs about 500 epochs, AudioSet "
        "(1,963,807 clips) 100; both in batches of 256. Between batches of 64 and "
        "1,024 the average score moves by less than a point."
    )
    if plan.is_extrapolated:
        reason += (
            f" {usable:,} files lie outside that range, so this number of epochs is "
            "extrapolated: watch a probe score and stop when it no longer rises."
        )
    rows = [
        ("Batch size", f"{plan.batch_size:,}"),
        ("Epochs (one crop of each file)", f"{plan.epochs:,}"),
        ("Steps", f"{plan.steps:,}"),
        ("Crops in total", f"{plan.crops:,}"),
        ("Times each second is heard", f"{plan.times_heard:,.0f}"),
    ]
    rows += [
        (f"Time at {rate:,} crops/s, {where}", wording.time_span(plan.crops / rate))
        for rate, where in schedule.RATES.items()
    ]
    return (
        f"<p>{reason}</p><pre>{page.escape(command)}</pre>"
        f'<div class="panel narrow">{page.table(("", ""), rows, numbers=(1,))}</div>'
        '<p class="soft">Training prints its own crops per second after the first '
        "steps.</p>"
    )


def _signed(value: float, digits: int = 2) -> str:
    return f"{value:.{digits}f}".replace("-", "−")


def _shorten(text: str) -> str:
    if len(text) <= _LONGEST_TEXT:
        return text
    half = _LONGEST_TEXT // 2
    return f"{text[:half]} … {text[-half:]}"
