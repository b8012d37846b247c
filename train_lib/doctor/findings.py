"""Judgement: which measurements are findings, and what to do about each."""

import collections
import dataclasses
from collections.abc import Callable, Iterable, Sequence

from byola_tf.config import Config
from train_lib.cli import commands
from train_lib.doctor.measurement import SILENCE_DB, Measurement

LEAVE_OUT, CHECK, NOTE = "leave out", "check", "note"  # severities

_MOSTLY_SILENT = 0.5  # share of silent frames
_CLIPPED_SHARE = 1e-4
_UNSCALED_PEAK = 2.0
_OFFSET = 0.01
_SMALL_OFFSET = 0.001  # counts where it is louder than the sound
_MIX_LOSS_DB = 10.0
_NARROW = 0.9  # of the highest frequency that the model hears
_LONG_SECONDS = 600.0


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something found in at least one file.

    Attributes:
        kind: "broken", "silent", ...
        severity: `LEAVE_OUT`, `CHECK` or `NOTE`.
        title: the kind in words.
        verdict: a sentence with the count and the advice.
        files: path -> detail, in the order of the scan.
    """

    kind: str
    severity: str
    title: str
    verdict: str
    files: dict[str, str]


@dataclasses.dataclass(frozen=True)
class _Rule:
    """A judgement of one file by its own measurements.

    `verdict` follows "12 of 400 files "; {is}, {has}, {s}, {it} agree with the
    count.
    """

    kind: str
    severity: str
    title: str
    holds: Callable[[Measurement], bool]
    detail: Callable[[Measurement], str]
    verdict: str


def judge(measurements: Sequence[Measurement], config: Config) -> list[Finding]:
    """All findings about the files themselves, the gravest first.

    Args:
        measurements: of all files, in the order of their paths.
        config: whose crops and front end the files are judged for.
    """
    total = len(measurements)
    usable = [m for m in measurements if not m.fault and not m.is_silent]
    findings = []
    for rule in _faults():
        findings += _apply(rule, measurements, total)
    copies = duplicates(usable)
    if copies:
        findings.append(_duplicate_finding(copies, total))
    for rule in _checks() + _notes(config):
        findings += _apply(rule, usable, total)
    return findings


def duplicates(measurements: Iterable[Measurement]) -> list[list[Measurement]]:
    """Groups of two or more files with identical decoded audio."""
    groups = collections.defaultdict(list)
    for measurement in measurements:
        groups[measurement.audio_hash].append(measurement)
    return [group for group in groups.values() if len(group) > 1]


def excluded(findings: Iterable[Finding]) -> dict[str, str]:
    """Path -> reason of the files to leave out."""
    reasons = {}
    for finding in findings:
        if finding.severity == LEAVE_OUT:
            for path, detail in finding.files.items():
                reasons.setdefault(path, f"{finding.title}: {detail}")
    return reasons


def exclude_list(findings: Iterable[Finding]) -> str:
    """The text that `--config.data.exclude` reads: a path a line, # comments."""
    lines = [
        "# Files to leave out of training, by byola corpus.",
        "# Use: --config.data.exclude=THIS_FILE. Delete a line to keep its file.",
    ]
    for path, reason in excluded(findings).items():
        reason = " ".join(reason.split())
        if len(path.splitlines()) != 1:
            lines.append(f"# cannot be listed, its name is {path!r}: {reason}")
            continue
        # a leading "./" keeps a name that starts with # from being a comment
        lines += [f"# {reason}", f"./{path}" if path.startswith("#") else path]
    return "\n".join(lines) + "\n"


def sentence(count: int, total: int, verdict: str) -> str:
    """ "12 of 400 files " and the verdict, in singular or plural."""
    one = count == 1
    words = {
        "is": "is" if one else "are",
        "has": "has" if one else "have",
        "it": "it" if one else "them",
        "its": "its" if one else "their",
        "s": "s" if one else "",
    }
    of = "file" if total == 1 else "files"
    return f"{count:,} of {total:,} {of} {verdict.format(**words)}"


def _apply(rule: _Rule, measurements, total: int) -> list[Finding]:
    files = {m.path: rule.detail(m) for m in measurements if rule.holds(m)}
    if not files:
        return []
    verdict = sentence(len(files), total, rule.verdict)
    return [Finding(rule.kind, rule.severity, rule.title, verdict, files)]


def _duplicate_finding(groups, total: int) -> Finding:
    files = {}
    for first, *others in groups:
        for other in others:
            same_bytes = other.file_hash == first.file_hash
            how = "byte-identical to" if same_bytes else "same samples as"
            files[other.path] = f"{how} {first.path}"
    what = "a copy of another file" if len(files) == 1 else "copies of other files"
    verdict = sentence(
        len(files),
        total,
        f"{{is}} {what} (identical samples): leave {{it}} out, the first of each "
        "stays.",
    )
    return Finding(
        "duplicate", LEAVE_OUT, "Duplicate", verdict, dict(sorted(files.items()))
    )


def _faults() -> list[_Rule]:
    return [
        _Rule(
            "broken",
            LEAVE_OUT,
            "Broken",
            lambda m: m.fault == "broken",
            lambda m: m.reason,
            "cannot be decoded: leave {it} out or fetch {it} again.",
        ),
        _Rule(
            "non_finite",
            LEAVE_OUT,
            "Not finite",
            lambda m: m.fault == "non_finite",
            lambda m: m.reason,
            "hold{s} NaN or infinite samples, which would poison a batch: leave "
            "{it} out.",
        ),
        _Rule(
            "silent",
            LEAVE_OUT,
            "Silent",
            lambda m: m.is_silent,
            lambda m: (
                f"loudest 10 ms at {m.loudest_frame_db:.0f} dBFS"
                + "; its channels cancel each other" * (m.mix_loss_db >= _MIX_LOSS_DB)
            ),
            f"{{is}} silent (below {SILENCE_DB:.0f} dBFS throughout): leave {{it}} "
            "out.",
        ),
    ]


def _checks() -> list[_Rule]:
    def unscaled(m):
        return m.subtype in ("FLOAT", "DOUBLE") and m.peak > _UNSCALED_PEAK

    def offset(m):
        size, level = abs(m.offset), 10 ** (m.level_db / 20)
        # a short or low sound has a small mean of its own
        return size >= max(_OFFSET, 0.1 * level) or size >= max(_SMALL_OFFSET, level)

    return [
        _Rule(
            "doubtful",
            CHECK,
            "Perhaps incomplete",
            lambda m: bool(m.doubt),
            lambda m: m.doubt,
            "may be incomplete or {has} a wrong header: training uses what decodes.",
        ),
        _Rule(
            "unscaled",
            CHECK,
            "Beyond full scale",
            unscaled,
            lambda m: f"peak at {m.peak:,.1f} times full scale",
            "exceed{s} full scale by far, and training cuts off what lies beyond: "
            "scale the samples to [-1, 1] first.",
        ),
        _Rule(
            "clipped",
            CHECK,
            "Clipped",
            lambda m: m.clipped_share >= _CLIPPED_SHARE and not unscaled(m),
            lambda m: f"{m.clipped_share:.2%} of samples in runs at full scale",
            "{is} clipped (runs of samples at full scale). Distortion is learnt "
            "as if it were sound; drop {it} if you can spare {it}.",
        ),
        _Rule(
            "offset",
            CHECK,
            "Offset (DC)",
            offset,
            lambda m: f"mean {m.offset:+.4f} of full scale",
            "{has} a constant offset. The model hears nothing below 60 Hz, but "
            "every edge becomes a click: subtract the mean, check the recorder.",
        ),
        _Rule(
            "cancelling",
            CHECK,
            "Channels cancel",
            lambda m: m.channels > 1 and m.mix_loss_db >= _MIX_LOSS_DB,
            lambda m: f"the mono mix is {m.mix_loss_db:.0f} dB below its channels",
            "lose{s} most sound when {its} channels are averaged (one is "
            "inverted): keep one channel or turn it over.",
        ),
    ]


def _notes(config: Config) -> list[_Rule]:
    unit = config.data.unit_seconds
    top = config.frontend.f_max
    narrow = _NARROW * top
    return [
        _Rule(
            "narrow",
            NOTE,
            "Narrow band",
            lambda m: m.spectrum_end_hz < narrow,
            lambda m: (
                f"ends near {m.spectrum_end_hz / 1000:.1f} kHz, sampled at "
                f"{m.sample_rate / 1000:g} kHz"
            ),
            f"hold{{s}} nothing in the upper part of what the model hears (up to "
            f"{top:,.0f} Hz): recorded or once stored at a low rate. Harmless if all "
            "your sounds are so; mixed with others, the model learns the cut.",
        ),
        _Rule(
            "mostly_silent",
            NOTE,
            "Mostly silent",
            lambda m: m.silent_share > _MOSTLY_SILENT,
            lambda m: f"{m.silent_share:.0%} of its 10 ms frames are silent",
            "{is} silent more than half of the time, so many crops will be empty: "
            "trim {it} if you can.",
        ),
        _Rule(
            "short",
            NOTE,
            "Shorter than a crop",
            lambda m: m.seconds < unit,
            lambda m: f"{m.seconds:.2f} s",
            f"{{is}} shorter than a training crop ({unit:g} s): the rest is filled "
            "with silence.",
        ),
        _Rule(
            "long",
            NOTE,
            "Very long",
            lambda m: m.seconds > _LONG_SECONDS,
            lambda m: f"{m.seconds / 60:.0f} min",
            "{is} longer than 10 minutes, yet give{s} one crop an epoch like any "
            f"other: {commands.invocation('prepare')} cuts {{it}} into pieces.",
        ),
    ]
