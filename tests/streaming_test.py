"""Streaming: any chunks of a recording give the frames of the whole recording."""

import pathlib
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

import byola_tf
from byola_tf import Encoder, audio, checkpoint
from byola_tf.config import Config, EncoderConfig, FrontendConfig
from byola_tf.embedding import exported_model
from byola_tf.errors import UserError
from byola_tf.networks import geometry
from byola_tf.normalize import Statistics
from hub_export import streaming

_TINY = {"channels": 8, "hidden_units": 24, "output_units": 16}
_CONFIGS = {
    "v2": Config(encoder=EncoderConfig(**_TINY)),
    "v1": Config(encoder=EncoderConfig(num_blocks=3, concatenate_local=False, **_TINY)),
    "one_block": Config(
        frontend=FrontendConfig(n_fft=512, win_length=400, hop_length=200),
        encoder=EncoderConfig(num_blocks=1, pooling="max", **_TINY),
    ),
}


@pytest.fixture(scope="module")
def embedders():
    """Random models with statistics that move every normalised zero."""
    found = {}
    keras.utils.set_random_seed(0)
    for name, config in _CONFIGS.items():
        encoder = Encoder(config.encoder)
        for normalization in encoder.backbone.normalizations:
            normalization.moving_mean.assign(np.random.default_rng(0).normal(size=8))
        found[name] = byola_tf.Embedder.from_encoder(
            encoder, config, Statistics(-7.0, 4.5)
        )
    return found


@pytest.fixture(scope="module")
def exported(embedders):
    """The v2 model as it is saved."""
    embedder = embedders["v2"]
    encoder, config = embedder.model._encoder, embedder.config
    return exported_model.ExportedModel(
        checkpoint.Checkpoint(encoder, config, embedder.statistics, {})
    )


@pytest.fixture(scope="module")
def tflite_folder(exported, tmp_path_factory):
    """The v2 model as float32 files, for windows of a second and any length."""
    pytest.importorskip("ai_edge_litert")
    from hub_export.tflite import files

    folder, temporary = (str(tmp_path_factory.mktemp("files")) for _ in range(2))
    embedder = byola_tf.Embedder(exported)
    opened = checkpoint.from_exported(exported)
    files.write(folder, ["float32"], opened, 16000, {}, temporary)
    files.describe(folder, embedder, 16000)
    return pathlib.Path(folder)


def _recording(num_samples: int, seed: int = 0) -> np.ndarray:
    """Noise whose level changes, with clicks and digital silence."""
    rng = np.random.default_rng(seed)
    time = np.arange(num_samples)
    waveform = rng.normal(0, 0.1, num_samples) * np.sin(time / 3000.0)
    waveform[rng.random(num_samples) < 1e-4] = 0.9
    waveform[num_samples // 3 : num_samples // 2] = 0
    return waveform.astype(np.float32)


def _offline(embedder, waveform) -> dict:
    outputs = embedder.frames(waveform)
    return {name: value[0].numpy() for name, value in outputs.items()}


def _run(stream, waveform, sizes) -> streaming.Frames:
    """Pushes a recording in chunks of the given sizes, repeated, and flushes."""
    parts, position, index = [], 0, 0
    while position < len(waveform):
        size = sizes[index % len(sizes)]
        parts.append(stream.push(waveform[position : position + size]))
        position, index = position + size, index + 1
    parts.append(stream.flush())
    return streaming.Frames(
        *(np.concatenate(field) for field in zip(*parts, strict=True))
    )


def _assert_offline(frames, embedder, waveform) -> None:
    expected = _offline(embedder, waveform)
    embeddings = expected["frame_embeddings"]
    assert frames.frame_embeddings.shape == embeddings.shape
    np.testing.assert_allclose(frames.frame_embeddings, embeddings, atol=1e-4)
    np.testing.assert_allclose(frames.timestamps, expected["timestamps"], atol=1e-5)


@pytest.mark.newest_smoke
@pytest.mark.parametrize("name", _CONFIGS)
@pytest.mark.parametrize("seed", range(6))
def test_random_chunks_give_the_offline_frames(embedders, name, seed):
    rng = np.random.default_rng(seed)
    waveform = _recording(int(rng.integers(1, 40_000)), seed)
    sizes = rng.choice([0, 1, 7, 160, 640, 999, 4096, 20_000], 12)
    sizes[0] = 500
    stream = streaming.open_stream(
        embedders[name], step_frames=int(rng.choice([1, 1, 3, 10]))
    )
    _assert_offline(_run(stream, waveform, sizes), embedders[name], waveform)


@pytest.mark.parametrize("num_samples", [1, 160, 512, 513, 639, 640, 1471, 1472, 2112])
def test_short_recordings_give_the_offline_frames(embedders, num_samples):
    waveform = _recording(num_samples)
    for sizes in ([1], [num_samples]):
        stream = streaming.open_stream(embedders["v2"])
        _assert_offline(_run(stream, waveform, sizes), embedders["v2"], waveform)


def test_an_exported_model_streams(embedders, exported, tmp_path):
    waveform = _recording(20_000)
    tf.saved_model.save(exported, str(tmp_path), exported.signatures())
    stream = streaming.open_stream(tmp_path)
    _assert_offline(_run(stream, waveform, [700]), embedders["v2"], waveform)


def test_a_long_recording_at_once_and_in_int16(embedders):
    waveform = np.rint(_recording(60 * 16000) * 20000).astype(np.int16)
    stream = streaming.open_stream(embedders["v2"])
    _assert_offline(_run(stream, waveform, [len(waveform)]), embedders["v2"], waveform)


def test_frames_come_as_soon_as_their_look_ahead_has_arrived(embedders):
    seen = geometry.receptive_field(_CONFIGS["v2"])
    assert (seen.hop, seen.look_ahead) == (640, 1472)
    stream = streaming.open_stream(embedders["v2"])
    waveform = _recording(8000)
    assert len(stream.push(waveform[:1471]).timestamps) == 0
    assert stream.push(waveform[1471:1472]).timestamps == pytest.approx([0.015])
    assert len(stream.push(waveform[1472:2111]).timestamps) == 0
    assert stream.push(waveform[2111:2112]).timestamps == pytest.approx([0.055])


@pytest.mark.parametrize("name", _CONFIGS)
def test_the_receptive_field_is_the_models(embedders, name):
    """A change just outside of it is not seen by any frame, one inside by most."""
    embedder, field = embedders[name], geometry.receptive_field(_CONFIGS[name])
    waveform = _recording(40_000)
    before = _offline(embedder, waveform)["frame_embeddings"]
    context = field.look_ahead - field.hop + _CONFIGS[name].frontend.hop_length
    seen = []
    for frame in range(5, 15):
        first = frame * field.hop - context
        last = frame * field.hop + field.look_ahead  # first sample not needed

        def change(start, end, frame=frame):
            changed = waveform.copy()
            changed[start:end] += 0.5
            after = _offline(embedder, changed)["frame_embeddings"]
            return np.abs(after - before)[frame].max()

        assert change(last, None) == 0
        assert change(0, first) == 0
        seen.append(
            [change(first, first + 300) > 1e-6, change(last - 300, last) > 1e-6]
        )
    assert (np.sum(seen, axis=0) > 5).all()


def test_memory_and_work_per_frame_are_bounded(embedders):
    lengths = []

    def frames(waveform):
        lengths.append(waveform.shape[1])
        return embedders["v2"].model.frames(waveform)["frame_embeddings"]

    stream = streaming.Stream(frames, _CONFIGS["v2"])
    for chunk in np.split(_recording(16000 * 20), 1000):  # 20 ms each
        stream.push(chunk)
    assert len(lengths) == stream.num_frames
    assert set(lengths[5:]) == {4 * 640 + 192}  # two rows dropped, one kept
    buffer = stream._windows._buffer
    stream.push(_recording(16000 * 60))
    assert stream._windows._buffer is buffer and max(lengths) <= len(buffer)
    assert len(buffer) / 16000 < 11


def test_window_embedding_pools_the_last_frames_as_the_model_does(embedders):
    embedder, waveform = embedders["v2"], _recording(30_000)
    stream = streaming.open_stream(embedder, window_seconds=2.0)
    stream.push(waveform[:20_000])
    rows = _offline(embedder, waveform)["frame_embeddings"][: stream.num_frames]
    expected = rows[-25:].mean(0) + rows[-25:].max(0)
    np.testing.assert_allclose(stream.window_embedding(1.0), expected, atol=1e-4)
    stream.push(waveform[20_000:])
    stream.flush()
    whole = embedder(waveform)[0]
    np.testing.assert_allclose(stream.window_embedding(2.0), whole, atol=1e-4)
    np.testing.assert_allclose(stream.window_embedding(), whole, atol=1e-4)


def test_reset_starts_another_recording(embedders):
    waveform = _recording(12_000)
    stream = streaming.open_stream(embedders["v2"])
    stream.push(_recording(7777, seed=1))
    stream.reset()
    _assert_offline(_run(stream, waveform, [160]), embedders["v2"], waveform)
    with pytest.raises(UserError, match="must not follow `flush`"):
        stream.push(waveform)
    assert len(stream.flush().timestamps) == 0
    stream.reset()
    assert len(stream.flush().timestamps) == 0
    stream.reset()
    _assert_offline(_run(stream, waveform, [4096]), embedders["v2"], waveform)


def test_wrong_use_says_what_is_expected(embedders, tmp_path):
    stream = streaming.open_stream(embedders["v2"])
    with pytest.raises(UserError, match="shape .samples.*int64"):
        stream.push(np.zeros(5, np.int64))
    with pytest.raises(UserError, match=r"\(1, 5\)"):
        stream.push(np.zeros((1, 5), np.float32))
    stream.push(np.zeros(472, np.float32))
    with pytest.raises(UserError, match="Push 1000 more"):
        stream.window_embedding()
    with pytest.raises(UserError, match="must not exceed"):
        stream.window_embedding(3.0)
    with pytest.raises(UserError, match="one frame at least"):
        streaming.open_stream(embedders["v2"], window_seconds=0)
    with pytest.raises(UserError, match="`step_frames`"):
        streaming.open_stream(embedders["v2"], step_frames=0)
    with pytest.raises(UserError, match="receptive field of a frame, 2752 samples"):
        streaming.Stream(lambda waveform: None, Config(), input_samples=2751)
    with pytest.raises(UserError, match="does not exist"):
        streaming.open_stream(str(tmp_path / "absent"))


@pytest.mark.newest_smoke
def test_a_tflite_file_of_any_length_gives_the_offline_frames(embedders, tflite_folder):
    waveform = _recording(25_000)
    for sizes in ([160], [4096, 1, 0], [25_000]):
        stream = streaming.open_stream(tflite_folder / "float32_any_length.tflite")
        _assert_offline(_run(stream, waveform, sizes), embedders["v2"], waveform)


@pytest.mark.parametrize("step_frames", [1, 20])
def test_a_tflite_file_of_one_length_ends_in_silence(
    embedders, tflite_folder, step_frames
):
    waveform = _recording(40_000)
    path = str(tflite_folder / "float32.tflite")
    stream = streaming.open_stream(path, step_frames=step_frames)
    frames = _run(stream, waveform, [1600])
    silent = np.concatenate([waveform, np.zeros(2000, np.float32)])
    expected = _offline(embedders["v2"], silent)["frame_embeddings"]
    num_frames = len(_offline(embedders["v2"], waveform)["timestamps"])
    assert frames.frame_embeddings.shape == (num_frames, 144)
    np.testing.assert_allclose(
        frames.frame_embeddings, expected[:num_frames], atol=1e-4
    )


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_samples_that_are_no_numbers_are_refused(exported, wrong):
    stream = streaming.open_stream(byola_tf.Embedder(exported))
    stream.push(np.zeros(100, np.float32))
    with pytest.raises(UserError, match="must be finite"):
        stream.push(np.array([0.1, wrong]))
    assert stream.num_samples == 100


def test_files_without_frames_are_refused(tflite_folder, tmp_path):
    path = tmp_path / "noise.tflite"
    with pytest.raises(UserError, match="noise.tflite', which is absent"):
        streaming.open_stream(path)
    path.write_bytes(b"no flatbuffer")
    with pytest.raises(UserError, match="must be a TFLite flatbuffer"):
        streaming.open_stream(path)
    with pytest.raises(UserError, match="signature 'frames'.*with embed"):
        streaming.open_stream(tflite_folder / "float32_mediapipe.tflite")


def test_a_real_recording_streams_like_a_file(embedders, shared):
    path = sorted((shared / "data" / "esc10" / "audio").iterdir())[0]
    waveform = audio.load(str(path), 16000)
    stream = streaming.open_stream(embedders["v2"])
    _assert_offline(_run(stream, waveform, [320]), embedders["v2"], waveform)


def test_the_constants_for_phones_in_the_guide_are_the_geometry():
    text = (pathlib.Path(__file__).parents[1] / "docs" / "mobile.md").read_text()
    for column, name in enumerate(("v2", "v1")):
        seen = geometry.receptive_field(_CONFIGS[name])
        values = {
            "hop": seen.hop,
            "lookAhead": seen.look_ahead,
            "edge": seen.edge_frames,
            "center": seen.center,
        }
        for constant, value in values.items():
            (row,) = re.findall(rf"^\| `{constant}` \| (\d+) \| (\d+) \|", text, re.M)
            assert int(row[column]) == value
