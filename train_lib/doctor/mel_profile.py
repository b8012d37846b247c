"""The statistics that training will compute, and the average mel spectrum."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from byola_tf import frontend, pipeline
from byola_tf.config import Config, FrontendConfig
from byola_tf.corpus import corpus as waveforms
from byola_tf.corpus import folder
from byola_tf.normalize import Statistics
from byola_tf.progress import Progress, no_progress


@dataclasses.dataclass(frozen=True)
class MelProfile:
    """What the front end makes of a corpus.

    Attributes:
        statistics: mean and standard deviation, as pre-training computes them.
        hz: centre of each mel bin, [mel].
        mean: average log-mel per mel bin, [mel].
        std: its standard deviation over frames, [mel].
        refused: path -> reason of files that the training reader skipped.
    """

    statistics: Statistics
    hz: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    refused: dict[str, str]


def compute(
    paths: Sequence[str],
    config: Config,
    num_threads: int,
    progress: Progress = no_progress,
) -> MelProfile:
    """Computes the statistics of the crops that training would draw.

    Args:
        paths: the files that training would use.
        config: `Config`; the same seed gives the same crops.
        num_threads: threads that decode.
        progress: `Progress` over the batches of crops.

    Raises:
        UserError: everything is one value.
    """
    data = dataclasses.replace(
        config.data,
        cache_limit_gb=-1.0,  # read the crops only
        num_decode_threads=num_threads,
    )
    config = dataclasses.replace(config, data=data)
    reader = folder.Folder(list(paths)).open(config, "", no_progress)
    corpus = waveforms.Corpus(config, reader)
    num_crops = min(data.statistics_samples, len(corpus.paths))
    sums = np.zeros((2, config.frontend.n_mels))
    frames = 0

    def listen(log_mels, total, description):
        nonlocal frames
        for log_mel in progress(log_mels, total, description):
            values = log_mel.numpy().astype(np.float64)  # [batch, time, mel]
            sums[0] += values.sum(axis=(0, 1))
            sums[1] += np.square(values).sum(axis=(0, 1))
            frames += values.shape[0] * values.shape[1]
            yield log_mel

    statistics = pipeline.compute_statistics(
        corpus.statistics_batches(num_crops), config, listen
    )
    mean = sums[0] / frames
    std = np.sqrt(np.maximum(0, sums[1] / frames - mean**2))
    return MelProfile(
        statistics, mel_centres(config.frontend), mean, std, dict(corpus.skipped)
    )


def mel_centres(config: FrontendConfig) -> np.ndarray:
    """Centroids of the mel filters, Hz [mel]."""
    filters = frontend.mel_filters(config)  # [bin, mel]
    bins_hz = np.linspace(0, config.sample_rate / 2, len(filters))
    return bins_hz @ filters / filters.sum(axis=0)
