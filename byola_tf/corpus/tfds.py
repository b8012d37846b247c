"""An audio data set of tensorflow-datasets as a source of crops."""

import os
import re

import numpy as np
import tensorflow as tf

from byola_tf import audio, files, parallel
from byola_tf.config import Config
from byola_tf.corpus import block, exclusion
from byola_tf.errors import UserError
from byola_tf.progress import Progress

_SPECIFICATION = re.compile(r"(?P<name>.+?):(?P<split>[a-zA-Z][^:\[]*(\[[^\]]*\].*)?)")


class AudioDataset:
    """The audio of one split.

    Attributes:
        paths: NAME:SPLIT#NUMBER for every example.
        left_out: "": a data set has no other files.

    Args:
        name: data set, with configuration and version where wanted.
        split: as in `tfds.load`, e.g. "train" or "train[:10%]".
        exclude: list of paths to leave out; see `exclusion.kept`.

    Raises:
        UserError: there is no such data set, split or audio.
    """

    left_out = ""

    def __init__(self, name: str, split: str, exclude: str = ""):
        builder = _builder(name)
        self._identity = builder.info.full_name, split
        self._feature, self._sample_rate = _audio_feature(name, builder.info.features)
        try:
            dataset = builder.as_dataset(split=split, shuffle_files=False)
        except (ValueError, KeyError, AssertionError, tf.errors.OpError) as error:
            raise UserError(
                f"`config.data.tfds` must name a split of {name!r}. Received: "
                f"{split!r} ({error})."
            ) from error
        self._waveforms = dataset.map(lambda example: example[self._feature])
        count = int(dataset.cardinality())
        everything = [f"{name}:{split}#{number:07d}" for number in range(count)]
        self._chosen = exclusion.kept(everything, exclude)
        self.paths = [everything[number] for number in self._chosen]

    def open(self, config: Config, cache_dir: str, progress: Progress):
        """Resamples and caches the split; a `crops.CropReader`."""
        rate, unit = config.frontend.sample_rate, config.unit_samples
        settings = *self._identity, self._feature, rate, unit
        key = files.fingerprint(self.paths, *settings)

        def decoded():
            chosen = set(self._chosen.tolist())
            waveforms = (
                waveform
                for number, waveform in enumerate(self._waveforms.as_numpy_iterator())
                if number in chosen
            )
            pairs = parallel.in_order(
                lambda item: self._convert(*item, rate),
                zip(self.paths, waveforms, strict=True),
                config.data.num_decode_threads,
            )
            return progress(pairs, len(self.paths), "decoding")

        folder = os.path.join(cache_dir, key)
        return block.open_block(
            folder,
            unit,
            decoded,
            config.data.cache_limit_gb,
            config.data.wait_seconds,
        )

    def _convert(self, path: str, waveform: np.ndarray, sample_rate: int):
        """Returns (path, [int16 [samples] at `sample_rate`] or a `UserError`)."""
        reason = None
        if not len(waveform):
            reason = "has no samples"
        elif np.issubdtype(waveform.dtype, np.integer):
            # 16-bit sound in wider integers is the custom of TFDS
            if waveform.min() < -32768 or waveform.max() > 32767:
                reason = "has samples of more than 16 bits"
            waveform = waveform.astype(np.float32) / 32768
        elif not np.isfinite(waveform).all():
            reason = "has NaN or infinite samples"
        if reason:
            return path, UserError(f"{path!r} {reason}.")
        mono = waveform if waveform.ndim == 1 else waveform.mean(axis=1)
        mono = np.ascontiguousarray(mono, np.float32)
        resampled = audio.resample(mono, self._sample_rate, sample_rate)
        return path, [audio.to_pcm16(resampled)]


def find(config: Config) -> AudioDataset:
    """Opens the data set that `config.data.tfds` names.

    Raises:
        UserError: see `AudioDataset`.
    """
    found = _SPECIFICATION.fullmatch(config.data.tfds)
    if not found:
        raise UserError(
            "`config.data.tfds` must be NAME:SPLIT. Received: "
            f"{config.data.tfds!r}. E.g. speech_commands:train."
        )
    return AudioDataset(found["name"], found["split"], config.data.exclude)


def _builder(name: str):
    try:
        import tensorflow_datasets
    except ImportError as error:
        raise UserError(
            "`config.data.tfds` needs tensorflow-datasets, which cannot be imported "
            f"({error}). Install it: pip install 'byola-tf[tfds]'."
        ) from error
    try:
        builder = tensorflow_datasets.builder(name)
        builder.download_and_prepare()
    except (ValueError, RuntimeError, OSError, ImportError, tf.errors.OpError) as error:
        raise UserError(
            "`config.data.tfds` must name a data set that tensorflow-datasets can "
            f"prepare. Received: {name!r} ({error})."
        ) from error
    return builder


def _audio_feature(name: str, features) -> tuple[str, int]:
    """Finds the name of the audio and its sampling rate, Hz."""
    import tensorflow_datasets

    kind = tensorflow_datasets.features.Audio
    found = {key: value for key, value in features.items() if isinstance(value, kind)}
    chosen = "audio" if "audio" in found else next(iter(found), None)
    if chosen is None or (len(found) > 1 and chosen != "audio"):
        raise UserError(
            "`config.data.tfds` must name a data set with one audio feature. "
            f"Received: {name!r} with {', '.join(found) or 'none'} among "
            f"{', '.join(features)}."
        )
    if not found[chosen].sample_rate:
        raise UserError(
            "`config.data.tfds` must name a data set that declares its sampling "
            f"rate. Received: {name!r}, whose {chosen!r} does not."
        )
    return chosen, found[chosen].sample_rate
