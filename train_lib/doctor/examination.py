"""The whole examination, from a folder to findings and a suggestion."""

import dataclasses
import functools
import os
import re
import time
from collections.abc import Sequence

from byola_tf import audio, parallel
from byola_tf.config import Config
from byola_tf.errors import UserError
from byola_tf.progress import Progress, no_progress
from train_lib.doctor import findings, leakage, measurement, mel_profile, schedule
from train_lib.doctor.findings import Finding
from train_lib.doctor.measurement import Measurement
from train_lib.doctor.mel_profile import MelProfile
from train_lib.doctor.schedule import TrainingPlan

_AHEAD = 64  # files a thread may be ahead of a slow one: a result is small


@dataclasses.dataclass(frozen=True)
class Examination:
    """Everything the doctor knows.

    Attributes:
        audio: the folder or glob.
        config: what the corpus was examined for.
        measurements: one a file, sorted by path.
        findings: what was found, the gravest first.
        excluded: path -> reason of the files to leave out.
        profile: statistics and mel spectrum; None without varied sound.
        schedule: suggestion; None for fewer than two usable files.
        tables: the metadata CSVs that were compared.
        duration_s: how long it took.
        left_out: a sentence about files of other endings, or "".
    """

    audio: str
    config: Config
    measurements: list[Measurement]
    findings: list[Finding]
    excluded: dict[str, str]
    profile: MelProfile | None
    schedule: TrainingPlan | None
    tables: tuple[str, ...]
    duration_s: float
    left_out: str = ""

    @property
    def usable(self) -> list[Measurement]:
        """The files that training would use."""
        return [m for m in self.measurements if m.path not in self.excluded]


def examine(
    pattern: str,
    metadata: Sequence[str] = (),
    num_workers: int = 2,
    config: Config | None = None,
    progress: Progress = no_progress,
) -> Examination:
    """Examines a folder of sounds.

    Args:
        pattern: folder or glob, as `audio.find_files` takes it.
        metadata: CSVs whose splits or folds are searched for leaks.
        num_workers: threads.
        config: whose crops and front end count; the paper's by default.
        progress: `Progress` over the files, then over the crops.

    Raises:
        UserError: no files, or a CSV that does not fit.
    """
    started = time.perf_counter()
    config = config or Config()
    listed = audio.find(pattern)
    paths = listed.paths
    tables = []
    for path in metadata:
        table = leakage.read_table(path)
        folders = [_root(pattern), os.path.dirname(path) or "."]
        tables.append((table, leakage.locate(table, paths, folders)))
    measure = functools.partial(measurement.measure, max_hours=config.data.max_hours)
    measured = parallel.in_order(measure, paths, num_workers, _AHEAD)
    measurements = list(progress(measured, len(paths), "scanning"))
    found, excluded = _judge(measurements, tables, config)
    profile = _profile(measurements, excluded, config, num_workers, progress)
    if profile and profile.refused:
        # training's reader has the last word, also where it and the scan differ
        for m in measurements:
            if m.path in profile.refused:
                m.fault, m.reason = "broken", profile.refused[m.path]
        found, excluded = _judge(measurements, tables, config)
        profile = _profile(measurements, excluded, config, num_workers, progress)
    usable = [m for m in measurements if m.path not in excluded]
    return Examination(
        audio=pattern,
        config=config,
        measurements=measurements,
        findings=found,
        excluded=excluded,
        profile=profile,
        schedule=schedule.suggest(
            len(usable), sum(m.seconds for m in usable), config.data.unit_seconds
        ),
        tables=tuple(metadata),
        duration_s=time.perf_counter() - started,
        left_out=listed.left_out,
    )


def _judge(measurements, tables, config) -> tuple[list[Finding], dict[str, str]]:
    found = findings.judge(measurements, config)
    for table, located in tables:
        found += leakage.find_leaks(table, located, measurements)
    order = (findings.LEAVE_OUT, findings.CHECK, findings.NOTE)
    found.sort(key=lambda finding: order.index(finding.severity))
    return found, findings.excluded(found)


def _profile(measurements, excluded, config, num_workers, progress):
    paths = [m.path for m in measurements if m.path not in excluded]
    if not paths:
        return None
    try:
        return mel_profile.compute(paths, config, num_workers, progress)
    except UserError:
        return None  # one constant value: the findings say why


def _root(pattern: str) -> str:
    """The folder that a folder, a glob or a file starts from."""
    if os.path.isfile(pattern):
        return os.path.dirname(pattern) or "."
    literal = re.split(r"[*?\[]", pattern, maxsplit=1)[0]
    return pattern if literal == pattern else os.path.dirname(literal) or "."
