"""`byola_tf.load`: whatever holds samples goes in, clip for clip the same comes out."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import byola_tf
from byola_tf import Embedder, Encoder, audio, checkpoint
from byola_tf.audio import clips
from byola_tf.config import Config, EncoderConfig
from byola_tf.errors import UserError
from byola_tf.networks import geometry
from byola_tf.normalize import Statistics
from hub_export import saved_model

SMALL = {"channels": 8, "hidden_units": 24, "output_units": 16}


def make_embedder(**encoder_options):
    config = Config(encoder=EncoderConfig(**{**SMALL, **encoder_options}))
    return Embedder.from_encoder(
        Encoder(config.encoder), config, Statistics(-7.0, 4.5, 10), {"steps": 3}
    )


@pytest.fixture(scope="module")
def embedder():
    return make_embedder()


@pytest.fixture(scope="module")
def folders(embedder, tmp_path_factory):
    """The same model as a checkpoint and exported."""
    folder = str(tmp_path_factory.mktemp("checkpoint"))
    opened = checkpoint.Checkpoint(
        embedder.model._encoder,
        embedder.config,
        embedder.statistics,
        embedder.provenance,
    )
    checkpoint.save(folder, opened)
    exported = str(tmp_path_factory.mktemp("exported") / "model")
    saved_model.export(folder, exported)
    return {"checkpoint": folder, "exported": exported}


def noise(num_samples, seed=0):
    """Noise that swells, so that no part is like another; float32 [samples]."""
    rng = np.random.default_rng(seed)
    swelling = np.interp(np.arange(num_samples), [0, num_samples], [0.02, 0.2])
    return (swelling * rng.normal(size=num_samples)).astype(np.float32)


def assert_same(actual, expected, tolerance=1e-5):
    expected = np.asarray(expected)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * scale)


@pytest.mark.newest_smoke
def test_every_container_of_the_same_samples_gives_the_same_vector(embedder):
    pcm = audio.to_pcm16(noise(8000))
    mono = audio.from_pcm16(pcm)
    expected = embedder(mono).numpy()
    assert expected.shape == (1, embedder.embedding_size)
    for same in (
        pcm,
        pcm[None],
        mono.astype(np.float64),
        mono.tolist(),
        tf.constant(pcm),
        tf.constant(mono)[None],
        tf.RaggedTensor.from_tensor(mono[None]),
        [pcm],
        (mono,),
        [np.stack([pcm, pcm], axis=1)],
        np.array([pcm, None], dtype=object)[:1],
    ):
        assert_same(embedder(same), expected)


def test_channels_are_averaged(embedder):
    left, right = noise(8000, 1), noise(8000, 2)
    expected = embedder((left + right) / 2)
    stereo = np.stack([left, right], axis=1)
    assert_same(embedder(stereo, channels="last"), expected)
    assert_same(embedder(stereo.T, channels="first"), expected)
    assert_same(embedder([stereo]), expected)
    assert_same(embedder([stereo.T], channels="first"), expected)
    assert_same(embedder(stereo.T), embedder([left, right]))


def test_rates_are_converted_once_for_all_or_clip_by_clip(embedder):
    rates = [8000, 16000, 44100]
    given = [noise(rate // 2, rate) for rate in rates]
    expected = [
        embedder(audio.resample(clip, rate, 16000))[0]
        for clip, rate in zip(given, rates, strict=True)
    ]
    assert_same(embedder(given, sample_rate=rates), expected)
    assert_same(embedder(given[2], sample_rate=44100)[0], expected[2])
    stereo = np.stack([given[2], given[2]], axis=1)
    both = embedder(stereo, sample_rate=np.int64(44100), channels="last")
    assert_same(both[0], expected[2])


def test_a_list_of_unequal_clips_keeps_its_order(embedder, monkeypatch):
    monkeypatch.setattr(embedder, "_samples_at_a_time", 12_000)
    lengths = [1, 9000, 400, 3000, 20_000, 3100, 2900, 1, 9000, 4000]
    given = [noise(length, length) for length in lengths]
    vectors, frames = embedder(given).numpy(), embedder.frames(given)
    for row, clip in enumerate(given):
        assert_same(vectors[row], embedder.model(clip[None])[0])
        alone = embedder.model.frames(clip[None])
        count = int(frames["num_frames"][row])
        assert count == alone["timestamps"].shape[1]
        for name in ("frame_embeddings", "timestamps"):
            assert_same(frames[name][row, :count], alone[name][0])
            assert not np.any(frames[name][row, count:])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_blocks": 1, "pooling": "mean"},
        {"num_blocks": 3, "concatenate_local": False},
        {"num_blocks": 4, "pooling": "max"},
    ],
    ids=["v2", "mean", "v1", "max"],
)
def test_a_long_recording_equals_the_whole_at_once(options, monkeypatch):
    opened = make_embedder(**options)
    monkeypatch.setattr(opened, "_samples_at_a_time", 32_000)
    monkeypatch.setattr(clips, "_BLOCK_SAMPLES", 7001)
    for length in (32_001, 100_000, 32_000 * 3 + 1):
        whole = noise(length)[None]
        assert_same(opened(whole), opened.model(whole), 1e-6)
        frames, expected = opened.frames(whole), opened.model.frames(whole)
        for name in ("frame_embeddings", "timestamps"):
            assert frames[name].shape == expected[name].shape
            assert_same(frames[name], expected[name], 1e-6)


def test_windows_need_their_overlap(embedder, monkeypatch):
    monkeypatch.setattr(embedder, "_samples_at_a_time", 32_000)
    seen = geometry.receptive_field(embedder.config)
    narrow = dataclasses.replace(seen, edge_frames=1, end_frames=1)
    monkeypatch.setattr(geometry, "receptive_field", lambda config: narrow)
    whole = noise(100_000)[None]
    with pytest.raises(AssertionError):
        assert_same(
            embedder.frames(whole)["frame_embeddings"],
            embedder.model.frames(whole)["frame_embeddings"],
        )


def test_a_long_stereo_recording_of_another_rate(embedder, monkeypatch):
    monkeypatch.setattr(clips, "_BLOCK_SAMPLES", 30_011)
    stereo = np.stack([audio.to_pcm16(noise(200_003, seed)) for seed in (1, 2)], 1)
    expected = embedder(stereo, sample_rate=44100, channels="last")
    monkeypatch.setattr(embedder, "_samples_at_a_time", 32_000)
    actual = embedder(stereo, sample_rate=44100, channels="last")
    assert_same(actual, expected, 1e-6)


def test_the_model_never_sees_more_than_fits(embedder, monkeypatch):
    monkeypatch.setattr(embedder, "_samples_at_a_time", 32_000)
    seen = []

    class Watched:
        log_mel = staticmethod(embedder.model.log_mel)
        metadata = staticmethod(embedder.model.metadata)

        def __call__(self, waveform, training=False):
            seen.append(waveform.shape[0] * waveform.shape[1])
            return embedder.model(waveform, training=training)

    for name in ("frames", "frames_padded", "embed_padded"):

        def watch(waveform, *rest, name=name):
            seen.append(waveform.shape[0] * waveform.shape[1])
            return getattr(embedder.model, name)(waveform, *rest)

        setattr(Watched, name, staticmethod(watch))
    watched = Embedder(Watched())
    monkeypatch.setattr(watched, "_samples_at_a_time", 32_000)
    for waveform in (noise(200_000), np.zeros((40, 4000)), [noise(5000)] * 20):
        watched(waveform)
        watched.frames(waveform)
    assert len(seen) > 20
    assert max(seen) <= 32_000


_MEMORY = """
import numpy as np
from byola_tf import hardware
from tests.embedder_test import make_embedder
opened = make_embedder()
long = np.random.default_rng(0).integers(-3000, 3000, 60 * 60 * 16000, np.int16)
opened(long[: 300 * 16000])  # so long until the allocator has its fill
before = hardware.peak_memory()
opened(long)
print(hardware.peak_memory() - before)
"""


@pytest.mark.slow
def test_an_hour_takes_the_memory_of_a_minute():
    run = subprocess.run(
        [sys.executable, "-c", _MEMORY], capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0, run.stderr
    # as float32 samples alone the hour has 211 MB more than the five minutes
    assert float(run.stdout) < 60


@pytest.mark.parametrize(
    ("waveform", "options", "message"),
    [
        (np.zeros(0, "f"), {}, "at least one sample"),
        (np.zeros((0, 100), "f"), {}, "at least one sample"),
        (np.zeros((3, 0), "f"), {}, "at least one sample"),
        ([], {}, "at least one sample"),
        ([np.zeros(5, "f"), np.zeros(0, "f")], {}, "clip 1 must have shape"),
        (np.zeros((1, 2, 100), "f"), {}, r"Received: \(1, 2, 100\). Pass several"),
        (np.float32(0.5), {}, r"\[samples\]"),
        (np.zeros((16000, 2), "f"), {}, 'Pass channels="last"'),
        ([np.zeros((2, 16000), "f")], {}, 'Pass channels="first"'),
        (np.zeros((99, 16000), "f"), {"channels": "last"}, "at most 32 channels"),
        (np.zeros((16000, 2), "f"), {"channels": 2}, '"first", "last" or None'),
        (np.zeros(100, np.int32), {}, r"int32. Scale 32-bit samples: x / 2\*\*31"),
        (np.zeros(100, np.uint8), {}, "uint8. Scale 8-bit samples"),
        (np.zeros(100, np.int64), {}, "float in"),
        (np.zeros(100, np.complex64), {}, "complex64"),
        (np.zeros(100, bool), {}, "bool"),
        ([[0.1, 0.2], ["a", "b"]], {}, "clip 1 must be float"),
        ([np.zeros(3, "f"), None], {}, "clip 1 must be float"),
        ("clip.wav", {}, "byola_tf.audio.load"),
        (["a.wav", "b.wav"], {}, "byola_tf.audio.load"),
        (np.array([0.1, np.nan]), {}, "Received: nan at sample 1 of `waveform`"),
        ([np.zeros(9), np.array([0, -np.inf])], {}, "-inf at sample 1 of clip 1"),
        (np.array([0.1, 1e300]), {}, "inf at sample 1"),
        (np.zeros(99, "f"), {"sample_rate": 0}, "whole number of Hz"),
        (np.zeros(99, "f"), {"sample_rate": 44.1}, "Received: 44.1"),
        (np.zeros(99, "f"), {"sample_rate": float("nan")}, "Received: nan"),
        (np.zeros(99, "f"), {"sample_rate": -16000}, "Received: -16000"),
        (np.zeros(99, "f"), {"sample_rate": 10**9}, "1000 to 1000000"),
        (np.zeros(99, "f"), {"sample_rate": "16k"}, "Received: '16k'"),
        ([np.zeros(99, "f")] * 2, {"sample_rate": [8000]}, "1 for 2 clips"),
    ],
)
@pytest.mark.parametrize("method", ["__call__", "frames"])
def test_what_is_no_audio_says_what_is_expected(
    embedder, method, waveform, options, message
):
    with pytest.raises(UserError, match=message):
        getattr(embedder, method)(waveform, **options)


def test_a_damaged_place_in_a_long_recording_is_found(embedder, monkeypatch):
    monkeypatch.setattr(embedder, "_samples_at_a_time", 32_000)
    monkeypatch.setattr(clips, "_BLOCK_SAMPLES", 30_000)
    waveform = noise(100_000)
    waveform[77_777] = np.nan
    with pytest.raises(UserError, match="nan at sample 77777"):
        embedder(waveform)


def test_huge_but_finite_samples_are_no_error(embedder):
    loud = np.full(1000, 3e38, np.float32)
    assert embedder(loud).shape == (1, embedder.embedding_size)


def test_graphs_are_told_to_use_the_model(embedder):
    @tf.function(autograph=False)
    def graph(waveform):
        return embedder(waveform)

    with pytest.raises(UserError, match="embedder.model"):
        graph(tf.zeros([1, 100]))


def test_log_mels_need_one_length(embedder):
    assert embedder.log_mel(np.zeros((2, 1600), "f")).shape == (2, 11, 64)
    with pytest.raises(UserError, match="one length.*5 to 9 samples"):
        embedder.log_mel([np.zeros(5), np.zeros(9)])


@pytest.mark.newest_smoke
@pytest.mark.parametrize("seconds", [3.20, 0.5, 1.013, 2.345, 4.4])
def test_a_click_lights_the_row_whose_time_covers_it(seconds):
    even = make_embedder(channels=32)
    for convolution in even.model._encoder.backbone.convolutions:
        # even in time, as random kernels are not: theirs lean to one side
        kernel = convolution.kernel.numpy()
        convolution.kernel.assign((kernel + kernel[::-1]) / 2)
    silence = np.zeros(5 * 16000, np.float32)
    click = silence.copy()
    click[round(seconds * 16000)] = 0.9
    lit, dark = even.frames(click), even.frames(silence)
    change = np.square(lit["frame_embeddings"][0] - dark["frame_embeddings"][0])
    response = change.sum(axis=1)
    times = lit["timestamps"][0].numpy()
    assert abs(times[response.argmax()] - seconds) <= 0.02
    assert abs(np.average(times, weights=response) - seconds) < 0.01
    # nothing beyond the receptive field: 10 log-mel frames and half a window
    far = np.abs(times - seconds) > 0.045 + 0.032 + 0.005
    assert not np.any(response[far])


@pytest.mark.newest_smoke
@pytest.mark.parametrize("which", ["checkpoint", "exported"])
def test_bfloat16_is_an_option_of_every_model(embedder, folders, which):
    narrow = byola_tf.load(folders[which], precision="bfloat16")
    given = [noise(length) for length in (500, 3000, 16000)]
    vectors = narrow(given)
    assert vectors.dtype == tf.float32
    expected = embedder(given).numpy()
    assert_same(vectors, expected, 2e-2)
    assert np.abs(vectors - expected).max() > 1e-5
    assert_same(narrow.log_mel(given[2]), embedder.log_mel(given[2]), 1e-6)


def test_precision_that_does_not_exist(folders):
    with pytest.raises(UserError, match="float32, bfloat16. Received: 'int8'"):
        byola_tf.load(folders["checkpoint"], precision="int8")


@pytest.mark.parametrize("which", ["checkpoint", "exported"])
def test_other_statistics_at_load(embedder, folders, which):
    opened = byola_tf.load(folders[which], mean=-9.0, std=2.0)
    assert (opened.statistics.mean, opened.statistics.std) == (-9.0, 2.0)
    clip = noise(4000)
    expected = (embedder.log_mel(clip) * 4.5 - 7.0 + 9.0) / 2.0
    np.testing.assert_allclose(opened.log_mel(clip), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mean": -7.0}, "given together"),
        ({"std": 4.0}, "given together"),
        ({"mean": -7.0, "std": 0.0}, "`std` positive. Received: mean -7.0, std 0.0"),
        ({"mean": float("nan"), "std": 4.0}, "must be finite"),
        ({"mean": -7.0, "std": float("inf")}, "must be finite"),
    ],
)
def test_impossible_statistics(folders, options, message):
    with pytest.raises(UserError, match=message):
        byola_tf.load(folders["checkpoint"], **options)
