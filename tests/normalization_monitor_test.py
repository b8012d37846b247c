"""Audio that does not fit the statistics is noticed; ordinary audio is not."""

import warnings

import numpy as np
import pytest

from byola_tf import Embedder, Encoder, audio, frontend, hear
from byola_tf.config import Config, EncoderConfig, FrontendConfig
from byola_tf.embedding.normalization_monitor import (
    NormalizationMonitor,
    NormalizationWarning,
)
from byola_tf.normalize import Statistics
from hub_export import streaming
from hub_export.tables.rows import RowMaker
from train_lib.probe.models import opening

AUDIOSET, FSD50K = Statistics(-7.1, 4.2), Statistics(-9.66, 4.72)


def noise(seconds, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(0, 0.05, int(seconds * 16000)).astype(np.float32)


def make_monitor(statistics):
    """The monitor, and the number of batches that it has measured."""
    measured = []

    def log_mel(waveform):
        measured.append(len(waveform))
        log_mel = frontend.log_mel_spectrogram(waveform, FrontendConfig()).numpy()
        return (log_mel - statistics.mean) / statistics.std

    return NormalizationMonitor(log_mel, FrontendConfig(), statistics), measured


def make_embedder(mean, std):
    config = Config(encoder=EncoderConfig(channels=4, hidden_units=8, output_units=8))
    return Embedder.from_encoder(Encoder(config.encoder), config, Statistics(mean, std))


@pytest.fixture
def no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_samples_that_were_not_scaled_are_noticed_once():
    opened = make_embedder(-7.1, 4.2)
    loud = 32768 * noise(12)
    with pytest.warns(
        NormalizationWarning, match=r"mean 5\.\d\d .*\[-1, 1\]"
    ) as caught:
        opened(loud)
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(30):
            opened(loud)


def test_the_statistics_that_the_warning_names_fit(no_warning):
    opened = make_embedder(0.0, 1.0)
    with pytest.warns(NormalizationWarning) as caught:
        opened(noise(12))
    named = str(caught[0].message).partition("mean=")[2].partition(")")[0]
    mean, std = (float(part) for part in named.split(", std="))
    log_mel = opened.log_mel(noise(12)).numpy()
    assert abs(log_mel.mean() - mean) < 0.01
    assert abs(log_mel.std() - std) < 0.01
    opened.with_statistics(mean, std)(noise(12))


@pytest.mark.parametrize("call", ["__call__", "frames"])
@pytest.mark.parametrize("waveform", [noise(40), [noise(7), noise(8)]])
def test_every_way_in_is_watched(call, waveform):
    opened = make_embedder(0.0, 1.0)
    with pytest.warns(NormalizationWarning):
        getattr(opened, call)(waveform)


def stream(opened, waveform):
    streaming.open_stream(opened).push(waveform)


def hear_scenes(opened, waveform):
    hear.get_scene_embeddings(waveform[None], hear.HearModel(opened))


def probe_model(opened, waveform):
    opening.as_model(opened).embed(waveform[None])


def table_rows(opened, waveform):
    list(RowMaker(opened, False, None, 10.0).of_blocks([waveform]))


@pytest.mark.parametrize("road", [stream, hear_scenes, probe_model, table_rows])
def test_every_road_is_watched(road):
    with pytest.warns(NormalizationWarning) as caught:
        road(make_embedder(0.0, 1.0), noise(30))
    assert len(caught) == 1
    assert "byola_tf/" not in caught[0].filename


def test_padded_batches_are_watched_without_their_padding(no_warning):
    opened = make_embedder(-7.1, 4.2)
    waveform = np.full((16, 17000), np.nan, np.float32)
    waveform[:, :16000] = noise(16).reshape(16, 16000)
    opened.embed_padded(waveform, np.full(16, 16000, np.int32))
    opened.with_statistics(0.0, 1.0)
    with pytest.warns(NormalizationWarning):
        opened.frames_padded(waveform, np.full(16, 16000, np.int32))


def test_short_clips_are_collected_until_there_is_enough():
    monitor, measured = make_monitor(Statistics(0.0, 1.0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for seed in range(40):
            monitor(noise(1, seed)[None])
    assert len(measured) == 4
    with pytest.warns(NormalizationWarning):
        monitor(noise(1, 40)[None])


def test_the_cost_vanishes(no_warning):
    monitor, measured = make_monitor(AUDIOSET)
    waveform = noise(11)[None]
    for _ in range(1000):
        monitor(waveform)
    assert len(measured) <= 8


def test_silence_clicks_and_short_clips_cry_no_wolf(no_warning):
    click = np.zeros(16000 * 20, np.float32)
    click[::16000] = 0.9
    padded = np.concatenate([noise(1), np.zeros(16000 * 30, np.float32)])
    for waveform in (
        np.zeros(16000 * 40, np.float32),
        click,
        padded,
        np.full(100, 0.5, np.float32),
        np.zeros(1, np.float32),
    ):
        monitor, _ = make_monitor(AUDIOSET)
        for _ in range(100):
            monitor(waveform[None])


@pytest.mark.parametrize("statistics", [AUDIOSET, FSD50K], ids=["audioset", "fsd50k"])
def test_real_recordings_cry_no_wolf_even_alone(shared, statistics, no_warning):
    paths = audio.find_files(str(shared / "data" / "esc10"))[::8]
    paths += audio.find_files(str(shared / "data" / "fsdd"))[::60]
    assert len(paths) > 90
    recordings = [audio.load(path, 16000) for path in paths]
    for recording in recordings:
        # repeated until there is enough for a judgement
        repeated = np.tile(recording, 1 + 16000 * 12 // len(recording))
        make_monitor(statistics)[0](repeated[None])
    with pytest.warns(NormalizationWarning):
        monitor, _ = make_monitor(statistics)
        for recording in recordings:
            monitor(32768 * recording[None])
