"""Data sets of tensorflow-datasets: mocked ones, and one made for the test."""

import os
import sys

import numpy as np
import pytest
import tensorflow as tf

from byola_tf import audio
from byola_tf.config import Config, TrainConfig
from byola_tf.corpus import corpus as waveforms
from byola_tf.errors import UserError
from train_lib.configs import smoke
from train_lib.training import trainer, workdir

tfds = pytest.importorskip(
    "tensorflow_datasets", reason="needs tensorflow-datasets: byola-tf[tfds]"
)

RATE = 22050
CODE = tfds.testing.MockPolicy.USE_CODE


class NoisyTones(tfds.core.GeneratorBasedBuilder):
    """Two-channel tones at 22.05 kHz; every fifth example is unusable."""

    VERSION = tfds.core.Version("1.0.0")
    FEATURE = tfds.features.Audio(shape=(None, 2), sample_rate=RATE)

    def _info(self):
        features = {"sound": self.FEATURE, "label": tfds.features.Text()}
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features)
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(), "rest": self._generate_examples()}

    def _generate_examples(self):
        for number in range(20):
            sound = tones(number)
            if number % 5 == 4:
                sound = sound[:0] if number == 4 else sound * 40
            yield number, {"sound": sound, "label": str(number)}


class FloatTones(NoisyTones):
    """The same as float32, one channel."""

    FEATURE = tfds.features.Audio(shape=(None,), dtype=np.float32, sample_rate=RATE)

    def _generate_examples(self):
        for number in range(20):
            sound = tones(number).mean(axis=1).astype(np.float32) / 32768
            yield number, {"sound": sound, "label": ""}


class UnknownRate(FloatTones):
    """Does not say at what rate it is."""

    FEATURE = tfds.features.Audio(shape=(None,), dtype=np.float32)


def tones(number):
    """int64 [samples, 2]."""
    rng = np.random.default_rng(number)
    time = np.arange(int(RATE * (0.6 + 0.1 * number))) / RATE
    frequencies = rng.uniform(100, 3000, size=2)
    waves = np.sin(2 * np.pi * time[:, None] * frequencies) * rng.uniform(0.1, 0.7)
    return np.rint(waves * 32767).astype(np.int64)


@pytest.fixture(autouse=True)
def own_data_folder(tmp_path, monkeypatch):
    # TFDS_DATA_DIR is read once, when tensorflow_datasets is imported
    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", str(tmp_path / "tfds"))


def open_corpus(name, tmp_path, batch_size=4, **data):
    config = Config(train=TrainConfig(batch_size=batch_size))
    config.data.tfds = name
    for field, value in data.items():
        setattr(config.data, field, value)
    source = waveforms.find_batch(config)
    return waveforms.open_corpus(config, source, str(tmp_path / "cache"))


def test_examples_are_mixed_down_resampled_and_cached(tmp_path):
    corpus = open_corpus("noisy_tones:train", tmp_path)
    assert corpus.is_cached and len(corpus.paths) == 16
    reasons = [reason.partition("' ")[2] for reason in corpus.skipped.values()]
    too_loud = "has samples of more than 16 bits."
    assert sorted(reasons) == ["has no samples.", *3 * [too_loud]]
    assert all(path in reason for path, reason in corpus.skipped.items())
    clips = [tones(number) for number in range(20) if number % 5 != 4]
    clips = [clip.mean(axis=1).astype(np.float32) / 32768 for clip in clips]
    clips = [audio.to_pcm16(audio.resample(clip, RATE, 16000)) for clip in clips]
    assert corpus.num_samples == sum(map(len, clips))
    unit = 15200
    padded = [np.pad(clip, (0, max(0, unit - len(clip)))) for clip in clips]
    windows = [np.lib.stride_tricks.sliding_window_view(c, unit) for c in padded]
    for crop in [*corpus.crops(0), *corpus.crops(1)]:
        # the examples come in TFDS's own order
        assert any((window == crop).all(axis=1).any() for window in windows)
    again = open_corpus("noisy_tones:train", tmp_path)
    np.testing.assert_array_equal(again.crops(5), corpus.crops(5))
    assert len(os.listdir(tmp_path / "cache")) == 1


def test_float_audio_and_parts_of_splits(tmp_path):
    corpus = open_corpus("float_tones:1.0.0:train[50%:]+rest[:2]", tmp_path)
    assert len(corpus.paths) == 12 and not corpus.skipped
    assert corpus.paths[0] == "float_tones:1.0.0:train[50%:]+rest[:2]#0000000"
    assert np.abs(corpus.crops(0)).max(axis=1).min() > 1000


def test_exclusion_names_examples(tmp_path):
    exclude = tmp_path / "exclude.txt"
    exclude.write_text("float_tones:train#0000003\n")
    corpus = open_corpus("float_tones:train", tmp_path, exclude=str(exclude))
    assert len(corpus.paths) == 19
    assert "float_tones:train#0000003" not in corpus.paths


@pytest.mark.parametrize("name", ["speech_commands", "vctk", "gtzan", "nsynth"])
def test_published_data_sets_are_understood(tmp_path, name):
    with tfds.testing.mock_data(num_examples=6, policy=CODE):
        corpus = open_corpus(f"{name}:train", tmp_path)
    assert len(corpus.paths) == 6
    crops = corpus.crops(0)
    assert crops.shape == (4, 15200) and np.abs(crops).max() > 0


def test_training_on_a_mocked_data_set(tmp_path):
    def as_dataset(builder, *arguments, **options):
        sounds = [tones(number)[:, 0] for number in range(10)]
        lengths = [len(sound) for sound in sounds]
        ragged = tf.RaggedTensor.from_row_lengths(np.concatenate(sounds), lengths)
        dataset = tf.data.Dataset.from_tensor_slices(ragged)
        return dataset.map(lambda sound: {"audio": sound, "label": 0})

    config = smoke.get_config()
    config.data.tfds = "speech_commands:train"
    config.train.steps = 2
    with tfds.testing.mock_data(as_dataset_fn=as_dataset, policy=CODE):
        trainer.pretrain(config, str(tmp_path / "run"))
    losses = [entry["loss"] for entry in workdir.read_log(str(tmp_path / "run"))]
    assert len(losses) == 2 and np.isfinite(losses).all()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("noisy_tones", "must be NAME:SPLIT. Received: 'noisy_tones'"),
        ("noisy_tones:", "must be NAME:SPLIT"),
        ("noisy_tones:absent", "must name a split of 'noisy_tones'.*absent"),
        ("no_such_data_set:train", "that tensorflow-datasets can prepare.*no_such"),
        ("unknown_rate:train", "that declares its sampling rate.*'sound' does not"),
        ("noisy_tones:train[:3]", "`config.data.tfds` must match at least one batch"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path, name, message):
    with pytest.raises(UserError, match=message):
        open_corpus(name, tmp_path)


def test_a_data_set_without_audio_is_refused(tmp_path):
    with tfds.testing.mock_data(num_examples=6, policy=CODE):
        with pytest.raises(UserError, match="one audio feature. Received: 'mnist' wi"):
            open_corpus("mnist:train", tmp_path)


def test_pattern_and_tfds_together_are_refused(tmp_path):
    with pytest.raises(UserError, match="Either `config.data.pattern` or"):
        open_corpus("noisy_tones:train", tmp_path, pattern="sounds")


def test_a_cache_beyond_its_limit_is_refused(tmp_path):
    with pytest.raises(UserError, match="more than 0.0001 GB. Raise the limit"):
        open_corpus("float_tones:train", tmp_path, cache_limit_gb=0.0001)
    assert os.listdir(tmp_path / "cache") == []


def test_the_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(UserError, match=r"pip install 'byola-tf\[tfds\]'"):
        open_corpus("noisy_tones:train", tmp_path)
