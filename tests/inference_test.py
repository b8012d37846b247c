"""The road from waveforms to vectors: batches, windows, processes."""

import multiprocessing
import os
import pickle

import numpy as np
import pytest

from byola_tf import Embedder, Encoder, embedder, errors
from byola_tf.audio.clips import as_clips
from byola_tf.config import Config, EncoderConfig
from byola_tf.embedding import batching
from byola_tf.errors import UserError
from byola_tf.normalize import Statistics
from hub_export import saved_model
from tests import tiny_model

CONFIG = Config(encoder=EncoderConfig(channels=4, hidden_units=8, output_units=8))
WAVEFORM = np.random.default_rng(0).normal(0, 0.1, 8000).astype(np.float32)


@pytest.fixture
def model(tmp_path):
    return tiny_model.write_checkpoint(tmp_path / "model", 0)


@pytest.fixture(scope="module")
def opened():
    return Embedder.from_encoder(Encoder(CONFIG.encoder), CONFIG, Statistics(-7.0, 4.0))


def test_batches_hold_every_clip_once_in_few_shapes():
    rng = np.random.default_rng(0)
    lengths = [*rng.integers(1, 30_000, 500).tolist(), *[16000] * 40, 90_000]
    seen, shapes = [], set()
    for indices, width in batching.batches(lengths, 64_000):
        seen += indices
        shapes.add((len(indices), width))
        longest = max(lengths[index] for index in indices)
        assert longest <= width <= max(1.125 * longest, 1)
        assert len(indices) * width <= 64_000 or len(indices) == 1
    assert sorted(seen) == list(range(len(lengths)))
    assert len(shapes) < 130


def test_unequal_clips_equal_one_by_one(opened):
    rng = np.random.default_rng(1)
    lengths = [1, 200, 9000, 9100, 9500, 16000, 16000, 16001, 40_000]
    clips = [rng.normal(0, 0.1, length).astype(np.float32) for length in lengths]
    given = as_clips(clips, None, 16000)
    together = opened.inference.rows(given, 50_000)
    frames = opened.inference.rows(given, 50_000, frames=True)
    for clip, vector, rows in zip(clips, together, frames, strict=True):
        np.testing.assert_allclose(vector, opened(clip), atol=1e-5)
        alone = opened.frames(clip)["frame_embeddings"][0]
        np.testing.assert_allclose(rows, alone, atol=1e-5)


def test_clips_of_one_length_are_not_split_more_than_needed():
    assert list(batching.batches([5] * 7, 15)) == [
        ([0, 1, 2], 5),
        ([3, 4, 5], 5),
        ([6], 5),
    ]


def test_padding_makes_room_for_a_sample_more_than_was_foreseen():
    waveform, num_samples = batching.padded([np.ones(5, "f"), np.ones(9, "f")], 8)
    assert waveform.shape == (2, 9) and list(num_samples) == [5, 9]
    assert waveform.sum() == 14


def _embed(given, results):
    results.put(given(WAVEFORM).numpy())


def test_a_spawned_worker_embeds_what_its_parent_passes(model):
    given = embedder.load(model, mean=-8.0, std=3.0)
    expected = given(WAVEFORM)
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    worker = context.Process(target=_embed, args=(given, results))
    worker.start()
    np.testing.assert_allclose(results.get(timeout=120), expected, atol=1e-6)
    worker.join()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("use", ["call", "load"])
def test_a_forked_worker_is_refused_in_words_instead_of_waiting(model, opened, use):
    opened(WAVEFORM)
    receive, send = os.pipe()
    if not (child := os.fork()):
        try:
            opened(WAVEFORM) if use == "call" else embedder.load(model)
            os.write(send, b"no error")
        except UserError as error:
            os.write(send, str(error).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    said = os.read(receive, 10_000).decode()
    assert "must not be used in a fork" in said and "spawn" in said
    assert str(os.getpid()) in said and str(child) in said
    opened(WAVEFORM)  # the parent works on


def test_a_pickled_embedder_is_small_and_refuses_another_model(model):
    given = embedder.load(model)
    content = pickle.dumps(given)
    assert len(content) < 1000
    np.testing.assert_array_equal(pickle.loads(content)(WAVEFORM), given(WAVEFORM))
    tiny_model.write_checkpoint(model, seed=1)
    with pytest.raises(UserError, match="another model at '.*model'"):
        pickle.loads(content)


def test_a_pickle_finds_its_model_after_an_export_of_the_same(model, tmp_path):
    exported = str(tmp_path / "exported")
    saved_model.export(model, exported)
    first, second = embedder.load(model), embedder.load(exported)
    assert first.fingerprint == second.fingerprint
    assert first.with_statistics(0.0, 1.0).fingerprint == second.fingerprint
    other = tiny_model.write_checkpoint(tmp_path / "other", seed=1)
    assert embedder.load(other).fingerprint != first.fingerprint
    narrow = {embedder.load(path, "bfloat16").fingerprint for path in (model, other)}
    assert len(narrow) == 2


def test_an_embedder_in_memory_says_how_it_can_be_pickled(opened):
    with pytest.raises(errors.UserError, match="Save the model"):
        pickle.dumps(opened)


def test_int16_means_the_same_to_every_function(opened):
    pcm = np.rint(WAVEFORM * 32767).astype(np.int16)
    scaled = pcm.astype(np.float32) / 32768
    lengths = [8000, 5000]
    padded = opened.embed_padded(np.stack([pcm, pcm]), lengths)
    np.testing.assert_array_equal(
        padded, opened.embed_padded(np.stack([scaled, scaled]), lengths)
    )
    np.testing.assert_allclose(padded[0], opened(pcm)[0], atol=1e-5)
    frames = opened.frames_padded(pcm[None], [5000])["frame_embeddings"]
    expected = opened.frames_padded(scaled[None], [5000])["frame_embeddings"]
    np.testing.assert_array_equal(frames, expected)
    for wrong in (np.zeros((2, 9), np.int32), np.zeros(9, np.float32)):
        with pytest.raises(UserError, match="`waveform` must"):
            opened.embed_padded(wrong, [9, 9])
