"""Noise to disturb clips with: generated, or the recordings of a folder."""

import functools
import logging
import os
from collections.abc import Callable

import numpy as np

from byola_tf import audio, parallel
from byola_tf.errors import UserError
from byola_tf.progress import Progress, no_progress
from train_lib.probe import perturbations

_LISTED = 3

logger = logging.getLogger(__name__)


def by_name(
    folder: str | None,
    sample_rate: int,
    num_workers: int | None = None,
    progress: Progress = no_progress,
) -> dict[str, Callable]:
    """The kinds of noise that clips are mixed with.

    Args:
        folder: of recordings; white and pink noise are generated when None.
        sample_rate: Hz.
        num_workers: threads that check the recordings; the number of cores when
            None.
        progress: see `byola_tf.progress`.

    Returns:
        by name, functions as `perturbations.white_noise`.

    Raises:
        UserError: the folder has no recording that decodes.
    """
    if folder is None:
        return {
            "white": perturbations.white_noise,
            "pink": perturbations.pink_noise,
        }
    paths = _recordings(folder, sample_rate, num_workers, progress)

    @functools.lru_cache(maxsize=64)
    def load(path: str) -> np.ndarray:
        return audio.load(path, sample_rate)

    def background(seeds, num_samples):
        clips = []
        for seed in seeds:
            # by the seed alone, so that a clip's noise does not depend on the others
            random = np.random.default_rng(seed)
            waveform = load(paths[random.integers(len(paths))])
            start = random.integers(len(waveform))
            # a short recording goes round and round
            clips.append(np.resize(np.roll(waveform, -start), num_samples))
        return np.stack(clips)

    return {"background": background}


def _recordings(
    folder: str, sample_rate: int, num_workers: int | None, progress: Progress
) -> list[str]:
    """The recordings of a folder that decode: found out before hours of work."""
    try:
        found = audio.find(folder)
    except UserError as error:
        raise UserError(
            f"`noise` must be a folder of recordings. Received: {folder!r}. "
            f"Leave it out for generated noise. ({error})"
        ) from error
    if found.left_out:
        logger.info("%s: %s", folder, found.left_out)

    def fault(path: str) -> str:
        try:
            audio.load(path, sample_rate)
        except UserError as error:
            return str(error)
        return ""

    checked = parallel.in_order(fault, found.paths, num_workers or os.cpu_count() or 1)
    checked = progress(checked, len(found.paths), "checking the noise")
    faults = dict(zip(found.paths, checked, strict=True))
    usable = [path for path, reason in faults.items() if not reason]
    broken = list(filter(None, faults.values()))
    if not usable:
        raise UserError(
            f"`noise` must be a folder of recordings. Received: {folder!r}, none of "
            f"whose {len(broken)} can be used; the first: {broken[0]} Leave it out for "
            "generated noise."
        )
    for reason in broken[:_LISTED]:
        logger.warning("Left out of the noise: %s", reason)
    if len(broken) > _LISTED:
        logger.warning("... and %d more.", len(broken) - _LISTED)
    return usable
