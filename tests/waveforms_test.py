"""A folder as random crops: cache, order, faults."""

import os

import numpy as np
import pytest
import soundfile

from byola_tf import audio
from byola_tf.config import Config, TrainConfig
from byola_tf.corpus import corpus as waveforms
from byola_tf.errors import UserError
from tests import sounds


@pytest.fixture
def config(tmp_path):
    config = Config(train=TrainConfig(batch_size=4))
    config.data.pattern = sounds.write_folder(tmp_path / "sounds", 10, (16000, 44100))
    return config


def open_corpus(config, tmp_path):
    return waveforms.open_corpus(
        config, waveforms.find_batch(config), str(tmp_path / "cache")
    )


def is_crop_of(crop, clip):
    windows = np.lib.stride_tricks.sliding_window_view(clip, len(crop))
    return bool((windows == crop).all(axis=1).any())


def test_an_epoch_reads_each_file_once_in_another_order(config, tmp_path):
    corpus = open_corpus(config, tmp_path)
    clips = [audio.to_pcm16(audio.load(path, 16000)) for path in corpus.paths]
    assert corpus.steps_per_epoch == 2

    def files_of(step):
        return [
            next(i for i, clip in enumerate(clips) if is_crop_of(crop, clip))
            for crop in corpus.crops(step)
        ]

    epochs = [[*files_of(2 * e), *files_of(2 * e + 1)] for e in range(2)]
    assert all(len(set(epoch)) == 8 for epoch in epochs)
    assert epochs[0] != epochs[1]


def test_cache_is_reused_and_made_anew_when_a_file_changes(config, tmp_path):
    first = open_corpus(config, tmp_path)
    (folder,) = os.listdir(tmp_path / "cache")
    made = os.stat(tmp_path / "cache" / folder / "samples.int16").st_mtime_ns
    np.testing.assert_array_equal(
        first.crops(3), open_corpus(config, tmp_path).crops(3)
    )
    assert os.stat(tmp_path / "cache" / folder / "samples.int16").st_mtime_ns == made
    sounds.write_folder(config.data.pattern, 1, seconds=2.0, seed=9)
    open_corpus(config, tmp_path)
    assert len(os.listdir(tmp_path / "cache")) == 2


def test_crops_without_cache_equal_those_with_it(config, tmp_path):
    cached = open_corpus(config, tmp_path)
    config.data.cache_limit_gb = 0.0
    uncached = open_corpus(config, tmp_path)
    assert cached.is_cached and not uncached.is_cached
    for step in range(4):
        np.testing.assert_array_equal(cached.crops(step), uncached.crops(step))


def test_short_files_are_padded_with_zeros_at_their_end(config, tmp_path):
    config.data.pattern = sounds.write_folder(tmp_path / "short", 4, seconds=0.3)
    crops = open_corpus(config, tmp_path).crops(0)
    assert crops.shape == (4, 15200)
    assert np.abs(crops[:, :4800]).max() > 100 and not crops[:, 4800:].any()


@pytest.mark.parametrize("limit", [20.0, 0.0], ids=["cached", "uncached"])
def test_a_few_bad_files_are_skipped_and_listed(config, tmp_path, limit):
    config.data.cache_limit_gb = limit
    folder = config.data.pattern
    with open(os.path.join(folder, "garbage.wav"), "wb") as file:
        file.write(b"garbage" * 99)
    open(os.path.join(folder, "empty.flac"), "wb").close()
    soundfile.write(
        os.path.join(folder, "nan.wav"), np.full(20000, np.nan), 16000, "FLOAT"
    )
    with open(os.path.join(folder, "tone_000.wav"), "rb+") as file:
        file.truncate(9000)
    corpus = open_corpus(config, tmp_path)
    for step in range(8):
        assert np.abs(corpus.crops(step)).max(axis=1).min() > 0
    assert {os.path.basename(path): reason for path, reason in corpus.skipped.items()}
    reasons = {os.path.basename(p): reason for p, reason in corpus.skipped.items()}
    # what is left of tone_000.wav is read
    assert set(reasons) == {"garbage.wav", "empty.flac", "nan.wav"}
    assert "does not decode" in reasons["garbage.wav"]
    assert "is empty" in reasons["empty.flac"]
    assert "NaN" in reasons["nan.wav"]


def test_too_few_usable_files_say_how_many_and_why(config, tmp_path):
    folder = tmp_path / "bad"
    sounds.write_folder(folder, 3)
    config.data.pattern = str(folder)
    with pytest.raises(UserError, match=r"one batch of files \(4\). Received: 3"):
        waveforms.find_batch(config)
    (folder / "x.wav").write_bytes(b"RIFF")
    with pytest.raises(UserError, match="1 unusable ones left out.*x.wav"):
        open_corpus(config, tmp_path)
    assert not any(p.suffix == ".tmp" for p in (tmp_path / "cache").iterdir())


def test_an_interrupted_cache_leaves_nothing_behind(config, tmp_path):
    def interrupted(items, total, description):
        for number, item in enumerate(items):
            if number == 5:
                raise KeyboardInterrupt
            yield item

    with pytest.raises(KeyboardInterrupt):
        waveforms.open_corpus(
            config,
            waveforms.find_batch(config),
            str(tmp_path / "cache"),
            interrupted,
        )
    assert os.listdir(tmp_path / "cache") == []
