"""Waveform to log-mel, against the golden vectors and librosa."""

import numpy as np
import pytest
import tensorflow as tf

import byola_tf
from byola_tf import frontend
from byola_tf.config import EPSILON, FrontendConfig

# bins near the noise floor of the FFT differ between FFT implementations
TOLERANCES = {"noise": 1e-4, "odd_length": 1e-4, "short": 1e-4}


def assert_matches(archive, name):
    waveform = archive[f"{name}/wav"][None]
    log_mel = byola_tf.log_mel_spectrogram(waveform, FrontendConfig())
    np.testing.assert_allclose(
        log_mel[0], archive[f"{name}/log_mel"], atol=TOLERANCES.get(name, 2e-3), rtol=0
    )


@pytest.mark.newest_smoke
@pytest.mark.parametrize(
    "name", ["sine_440", "chirp", "noise", "silence", "odd_length", "short"]
)
def test_log_mel_equals_golden(golden, name):
    assert_matches(golden("log_mel.npz"), name)


def test_log_mel_of_a_real_clip_equals_golden(shared):
    assert_matches(np.load(shared / "golden" / "log_mel_real.npz"), "real_clip")


@pytest.mark.parametrize("scale", ["slaney", "htk"])
def test_mel_filters_equal_librosa(scale):
    librosa = pytest.importorskip("librosa")
    band = {"fmin": 60, "fmax": 7800, "htk": scale == "htk"}
    expected = librosa.filters.mel(sr=16000, n_fft=1024, n_mels=64, **band)
    if scale == "htk":
        # of height 1, not of area 1; norm=None would compile much of librosa
        edges = librosa.mel_frequencies(66, **band)
        expected *= (edges[2:, None] - edges[:-2, None]) / 2
    filters = frontend.mel_filters(FrontendConfig(mel_scale=scale))
    np.testing.assert_allclose(filters, expected.T, atol=1e-7)


@pytest.mark.parametrize(("samples", "frames"), [(15200, 96), (16000, 101), (1, 4)])
def test_frame_count(samples, frames):
    log_mel = byola_tf.log_mel_spectrogram(
        np.zeros((2, samples), "f"), FrontendConfig()
    )
    assert log_mel.shape == (2, frames, 64)


def test_silence_is_the_logarithm_of_epsilon():
    log_mel = byola_tf.log_mel_spectrogram(np.zeros((1, 1600), "f"), FrontendConfig())
    np.testing.assert_allclose(log_mel, np.log(EPSILON), rtol=1e-6)


def test_eager_graph_and_data_set_agree():
    config = FrontendConfig()
    waveform = np.random.default_rng(0).normal(0, 0.1, (3, 4000)).astype("f")
    eager = byola_tf.log_mel_spectrogram(waveform, config)
    dataset = tf.data.Dataset.from_tensors(waveform).map(
        lambda batch: byola_tf.log_mel_spectrogram(batch, config)
    )
    np.testing.assert_allclose(next(iter(dataset)), eager, atol=1e-5)


def test_wrong_rank_and_type_say_what_is_expected():
    with pytest.raises(ValueError, match=r"\[batch, samples\]"):
        byola_tf.log_mel_spectrogram(np.zeros(16000, "f"), FrontendConfig())
    with pytest.raises(ValueError, match="Divide int16"):
        byola_tf.log_mel_spectrogram(np.zeros((1, 16000), "i2"), FrontendConfig())


def test_fingerprint_is_a_constant_of_the_front_end():
    # a number that catalogues of embeddings keep: it must never change
    assert frontend.fingerprint(FrontendConfig(), -8, 5) == "8cde2fe15a7bcbbc"
    same = FrontendConfig(sample_rate=np.int64(16000), f_min=60)
    assert frontend.fingerprint(same, np.float32(-8.0), 5.0) == "8cde2fe15a7bcbbc"
    others = [
        frontend.fingerprint(FrontendConfig(), -8, 5.001),
        frontend.fingerprint(FrontendConfig(), 5, -8),
        frontend.fingerprint(FrontendConfig(hop_length=161), -8, 5),
        frontend.fingerprint(FrontendConfig(mel_scale="htk"), -8, 5),
    ]
    assert len({"8cde2fe15a7bcbbc", *others}) == 5


def test_whoever_writes_into_the_mel_matrix_changes_nobody_else_s():
    filters = frontend.mel_filters(FrontendConfig())
    with pytest.raises(ValueError, match="read-only"):
        filters[0, 0] = 1.0
