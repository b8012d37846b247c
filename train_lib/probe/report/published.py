"""Published results of the linear evaluation protocol, as printed.

In percent, with the 95 % interval where one is printed. Nobody measured these
numbers here: they stand beside measured ones, marked as published.
"""

import dataclasses
import functools

PAPER = "BYOL-A (Niizumi et al., TASLP 2023, arXiv 2204.07402), table IV"
FSD50K_PAPER = "BYOL-A (Niizumi et al., TASLP 2023, arXiv 2204.07402), table V"
EVAR = "results table of the EVAR repository"
M2D_CLAP = "M2D-CLAP (Niizumi et al., 2024), table 3, in the M2D repository"
M2D_AUDIOSET = "M2D (Niizumi et al., TASLP 2024), table V, in the M2D repository"
SONY_CSL = "audio-representations repository of Sony CSL Paris (ICASSP-SASB 2024)"
FUSION = "composing-general-audio-repr repository (Niizumi et al., EUSIPCO 2022)"
QUOTED = f"{EVAR}; some values quoted by its authors from the original paper"

NINE_TASKS = {
    "esc50": "ESC-50",
    "us8k": "US8K",
    "spcv2": "SPCV2",
    "vc1": "VC1",
    "voxforge": "VF",
    "cremad": "CRM-D",
    "gtzan": "GTZAN",
    "nsynth": "NSynth",
    "surge": "Surge",
}
_OTHER_TASKS = {"fsd50k": "FSD50K", "as20k": "AudioSet-20K", "esc10": "ESC-10"}
FSD50K_METRICS = {
    "mAP": "mAP",
    "AUC": "AUC",
    "mAP_single": "Single",
    "mAP_sequential": "Seq.",
    "mAP_scene": "Scene",
}

# model | the nine tasks in order, "-" where there is none | printed average
_MAIN = """
VGGish | 68.2±1.1 75.1±0.3 14.3±0.3 9.0±0.2 75.7±0.3 44.4±1.1 75.3±6.7 53.9±0.4 8.8±0.2 | 47.2
VGGish-4K | 79.5±0.4 78.5±0.3 47.0±0.6 25.0±1.1 85.4±0.2 50.8±1.8 70.2±8.6 68.8±0.5 19.7±0.1 | 58.3
PANNs CNN14 | 90.1±0.4 82.0±0.7 51.4±0.3 8.0±0.4 75.0±0.4 50.7±0.2 79.7±3.1 66.0±0.3 10.4±0.7 | 57.0
ESResNeXt | 89.0±1.2 84.3±0.4 68.0±0.9 17.7±0.4 82.6±0.9 57.1±1.0 81.3±1.3 69.5±0.8 18.2±1.2 | 63.1
AST | 93.5±0.4 85.5±0.2 71.8±0.4 16.5±0.4 81.2±0.2 57.9±0.6 84.3±1.8 73.2±0.2 25.8±0.2 | 65.5
COALA | 74.7±1.3 71.9±1.0 56.6±0.3 12.1±0.4 73.9±0.2 49.3±0.3 58.3±5.4 71.3±1.1 29.5±0.1 | 55.3
OpenL3-E | 81.2±1.3 80.7±0.4 86.8±0.2 40.1±0.9 88.8±0.2 59.6±1.4 72.9±0.5 74.0±0.8 38.0±0.2 | 69.1
OpenL3-M | 82.2±0.8 80.4±0.3 87.9±0.1 40.7±0.6 90.1±0.6 60.4±1.0 73.3±3.0 75.6±0.5 36.4±0.6 | 69.7
TRILL | 75.4±0.7 75.2±1.3 78.4±0.8 40.1±1.1 88.8±0.3 58.8±2.3 64.4±1.8 74.3±1.8 28.7±1.0 | 64.9
Wav2Vec2-F | 65.6±1.7 67.8±0.3 85.8±0.2 32.0±0.3 81.7±0.1 56.4±0.5 62.3±1.0 62.2±0.8 30.0±0.4 | 60.4
Wav2Vec2-C | 57.6±0.8 66.9±0.4 96.6±0.0 40.9±0.6 99.2±0.1 65.5±1.7 57.8±1.3 56.6±0.6 15.2±0.9 | 61.8
BYOL-A v2 | 83.2±0.6 79.7±0.5 93.1±0.4 57.6±0.2 93.3±0.3 63.8±1.0 70.1±3.6 73.1±0.8 37.6±0.3 | 72.4
"""  # noqa: E501

_LATER = {
    M2D_CLAP: """
MSM-MAE/0.75 | 89.2 87.4 96.0 73.6 97.8 71.2 79.2 74.6 43.3 | 79.1
M2D/0.6 | 91.6 87.2 96.2 75.0 98.2 71.4 83.4 76.1 41.7 | 80.1
""",
    M2D_AUDIOSET: """
M2D-AS/0.7 | 96.1 89.8 95.7 68.3 98.4 73.1 86.9 75.2 41.7 | 80.6
""",
    EVAR: """
M2D/0.7 | 91.3 87.6 96.0 73.4 98.3 73.0 84.1 75.7 42.1 | 80.2
M2D-AS | 96.7 89.3 93.2 52.7 96.9 69.5 87.6 75.6 40.5 | 78.0
M2D-CLAP 2024 | 96.3 88.8 95.8 70.3 98.3 73.4 84.1 78.0 42.4 | 80.8
M2D-CLAP 2025 | 97.9 89.7 94.8 56.3 97.1 69.7 86.3 76.7 41.1 | 78.8
BEATs iter3 | 86.9 84.8 89.4 41.4 94.1 64.7 72.6 75.9 39.3 | 72.1
BEATs iter3+ | 95.5 87.6 86.7 37.0 92.5 67.6 84.6 73.1 35.7 | 73.4
CED | 97.3 87.8 89.0 35.2 94.8 66.1 42.3 75.6 38.9 | 69.7
HTS-AT | 95.7 83.8 82.1 18.1 82.3 56.2 85.1 73.3 26.3 | 67.0
Dasheng 1.2B | 88.8 83.5 97.6 77.8 99.7 76.9 44.7 76.9 40.0 | 76.2
EAT base | 85.6 81.7 81.5 39.6 92.6 64.9 73.7 71.9 39.0 | 70.0
SSLAM base | 85.7 81.4 82.5 33.9 92.0 66.4 70.9 73.8 38.0 | 69.4
CLAP 2023 | 97.7 88.4 86.2 21.1 89.6 62.5 82.3 80.5 27.2 | 70.6
LAION-CLAP | 97.3 86.9 75.9 13.4 80.3 54.6 84.3 72.2 14.8 | 64.4
WavCaps | 97.2 63.6 73.3 16.9 80.0 58.6 80.2 74.4 21.1 | 62.8
Qwen2.5-Omni 7B | 91.7 82.6 98.4 39.7 99.9 76.7 84.0 74.9 33.9 | 75.8
Whisper large v3 | 82.0 78.4 98.2 44.9 99.9 76.2 70.6 70.9 26.0 | 71.9
""",
    QUOTED: """
ATST-Clip | 94.1 85.8 95.1 72.0 97.6 68.8 78.9 76.2 32.8 | 77.9
ATST-Frame | 90.9 85.8 94.9 77.4 98.8 72.3 82.9 75.9 40.6 | 79.9
""",
    SONY_CSL: """
ATST Base (2022) | 92.9 84.1 95.1 72.0 - 68.6 76.4 75.6 37.7 | -
A-JEPA, 2.1 s crops | 89.3 87.2 94.9 60.8 - 72.2 82.1 76.8 42.8 | -
A-JEPA, 3.2 s crops | 89.8 86.5 94.6 61.7 - 72.6 84.3 75.6 42.0 | -
A-JEPA, 6.4 s crops | 90.0 87.7 92.8 63.6 - 70.8 86.9 74.9 41.1 | -
""",
    FUSION: """
VGGish-Fusion #10#15 | 86.5 80.9 91.4 54.5 91.6 59.3 70.8 73.6 33.3 | 71.3
CNN14-Fusion #3#6 | 93.0 85.8 91.3 50.6 90.5 59.0 77.4 73.8 32.4 | 72.6
AST-Fusion #5#12 | 94.2 85.5 80.4 24.9 87.6 60.7 82.9 77.6 34.6 | 69.8
""",
}

# model | mAP AUC Single Sequential Scene; * saw AudioSet's labels
_FSD50K = """
PANNs* | 49.4 90.4 46.6 42.4 51.1 | -
ESResNeXt* | 52.4 91.1 49.0 44.3 61.1 | -
AST* | 58.9 92.8 56.1 52.8 60.9 | -
VGGish | 32.0 88.6 28.7 26.0 51.3 | -
VGGish-4K | 35.2 83.5 34.2 26.7 44.5 | -
COALA | 31.0 85.4 32.6 23.0 40.4 | -
OpenL3-E | 42.0 87.9 43.3 30.5 48.6 | -
OpenL3-M | 42.9 88.0 44.7 30.2 49.8 | -
TRILL | 33.0 84.1 33.6 24.1 45.5 | -
Wav2Vec2-F | 27.3 85.9 29.2 17.9 37.9 | -
Wav2Vec2-C | 24.0 84.3 25.2 20.0 33.2 | -
BYOL-A v2 | 44.8 89.6 47.3 31.3 49.6 | -
"""
FSD50K_NOTE = (
    "* pre-trained with the labels of AudioSet, a superset of those of FSD50K."
)


@dataclasses.dataclass(frozen=True)
class PublishedRow:
    """A published row.

    Attributes:
        model: its name.
        scores: percent and 95 % interval (None where none is printed) by task,
            or by metric of FSD50K.
        average: as printed, percent; None where none is.
        source: where it is printed.
    """

    model: str
    scores: dict[str, tuple[float, float | None]]
    average: float | None
    source: str


def title(task: str) -> str:
    """What a table calls a task: the paper's short name, or the task's own."""
    return {**NINE_TASKS, **_OTHER_TASKS}.get(task, task.replace("_", " "))


@functools.cache
def main() -> tuple[PublishedRow, ...]:
    """The twelve representations that the paper compares."""
    return _rows(_MAIN, tuple(NINE_TASKS), PAPER)


@functools.cache
def later() -> tuple[PublishedRow, ...]:
    """Later models under the same protocol, best average first."""
    rows = [
        row
        for source, text in _LATER.items()
        for row in _rows(text, tuple(NINE_TASKS), source)
    ]
    return tuple(sorted(rows, key=lambda row: -(row.average or 0)))


@functools.cache
def fsd50k() -> tuple[PublishedRow, ...]:
    """The same twelve on FSD50K: percent by metric of `FSD50K_METRICS`."""
    return _rows(_FSD50K, tuple(FSD50K_METRICS), FSD50K_PAPER)


def _rows(text: str, columns: tuple[str, ...], source: str) -> tuple[PublishedRow, ...]:
    rows = []
    for line in text.strip().splitlines():
        model, cells, average = (part.strip() for part in line.split("|"))
        scores = {
            column: _score(cell)
            for column, cell in zip(columns, cells.split(), strict=True)
            if cell != "-"
        }
        printed = None if average == "-" else float(average)
        rows.append(PublishedRow(model, scores, printed, source))
    return tuple(rows)


def _score(cell: str) -> tuple[float, float | None]:
    mean, _, interval = cell.partition("±")
    return float(mean), float(interval) if interval else None
