"""Real audio for calibrating and proving TFLite files."""

import numpy as np

from byola_tf import audio
from byola_tf.errors import UserError
from byola_tf.progress import Progress, no_progress

MAX_CLIPS = 256
_HELD_OUT = 4  # every fourth file proves instead of calibrating


def read_windows(
    pattern: str,
    sample_rate: int,
    num_samples: int,
    limit: int = MAX_CLIPS,
    progress: Progress = no_progress,
) -> dict[str, np.ndarray]:
    """Reads the loudest window of each of some files.

    Args:
        pattern: folder, glob or file; see `audio.find_files`.
        sample_rate: Hz.
        num_samples: length of a window; shorter files are padded with zeros.
        limit: number of files, spread over all of them.
        progress: wraps an iterable, e.g. in a progress bar.

    Returns:
        path → float32 [num_samples], broken files left out.

    Raises:
        UserError: nothing matches, or no file is readable.
    """
    paths = audio.find_files(pattern)
    chosen = np.linspace(0, len(paths) - 1, min(limit, len(paths))).round()
    windows, last_error = {}, None
    paths = [paths[int(index)] for index in chosen]
    for path in progress(paths, len(paths), "reading"):
        try:
            windows[path] = _loudest(audio.load(path, sample_rate), num_samples)
        except UserError as error:
            last_error = error
    if not windows:
        raise UserError(
            f"At least one file must be readable. Received: {pattern!r}, of which "
            f"none is. The last: {last_error}"
        )
    return windows


def split(windows: dict) -> tuple[dict, dict]:
    """Splits into windows to calibrate with and windows to prove with.

    Less than four windows calibrate and prove.
    """
    if len(windows) < _HELD_OUT:
        return windows, windows
    names = list(windows)
    held_out = {name: windows[name] for name in names[::_HELD_OUT]}
    return {n: w for n, w in windows.items() if n not in held_out}, held_out


def _loudest(waveform: np.ndarray, num_samples: int) -> np.ndarray:
    waveform = np.pad(waveform, (0, max(0, num_samples - len(waveform))))
    starts = np.arange(0, len(waveform) - num_samples + 1, num_samples)
    energies = [np.square(waveform[s : s + num_samples]).sum() for s in starts]
    start = starts[int(np.argmax(energies))]
    return waveform[start : start + num_samples]
