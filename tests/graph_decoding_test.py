"""tensorflow-io in the graph: samples, crops, losses of libsndfile to the bit."""

import os

import numpy as np
import pytest
import soundfile

from byola_tf import audio
from byola_tf.audio import graph
from byola_tf.config import Config, TrainConfig
from byola_tf.corpus import corpus as waveforms
from byola_tf.corpus import graph_decoding, soundfile_decoding
from byola_tf.errors import UserError
from train_lib.configs import smoke
from train_lib.preparation import sharding
from train_lib.training import trainer, workdir

RATE = 16000
PLAIN = {
    "mono16.wav": (1, "PCM_16", 20000),
    "mono8.wav": (1, "PCM_U8", 20000),
    "stereo16.wav": (2, "PCM_16", 20000),
    "stereo8.wav": (2, "PCM_U8", 20001),
    "short.wav": (1, "PCM_16", 1),
}
OTHERS = {
    "odd8.wav": (1, "PCM_U8", 20001),  # a byte of padding behind its samples
    "three.wav": (3, "PCM_16", 20000),
    "deep.wav": (1, "PCM_24", 20000),
    "float.wav": (1, "FLOAT", 20000),
    "layer3.mp3": (1, "MPEG_LAYER_III", 20000),
    "packed.flac": (2, "PCM_16", 20000),
}

needs_tensorflow_io = pytest.mark.skipif(
    "not __import__('byola_tf.audio.graph', fromlist='x').wav_decoder()",
    reason="tensorflow-io does not load on this stack",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Plain files, others, another rate, and broken ones."""
    path = tmp_path_factory.mktemp("data") / "sounds"
    path.mkdir()
    rng = np.random.default_rng(0)
    for name, (channels, subtype, length) in (PLAIN | OTHERS).items():
        sound = rng.uniform(-1, 1, (length, channels))
        soundfile.write(path / name, sound, RATE, subtype)
    soundfile.write(path / "fast.wav", rng.uniform(-1, 1, 60000), 44100, "PCM_16")
    soundfile.write(path / "nan.wav", np.full(999, np.nan), RATE, "FLOAT")
    whole = (path / "mono16.wav").read_bytes()
    (path / "cut.wav").write_bytes(whole[:999])
    (path / "header.wav").write_bytes(whole[:44])
    (path / "empty.wav").write_bytes(b"")
    (path / "chunk.wav").write_bytes(whole + b"LIST\x05\0\0\0odd__")
    os.link(path / "mono16.wav", os.path.join(path, os.fsdecode(b"caf\xe9.wav")))
    return str(path)


def corpus_of(folder, tmp_path, decoder, batch_size=6, **data):
    config = Config(train=TrainConfig(batch_size=batch_size))
    config.data.pattern, config.data.decoder = folder, decoder
    for name, value in data.items():
        setattr(config.data, name, value)
    source = waveforms.find_batch(config.validate())
    return waveforms.open_corpus(config, source, str(tmp_path / decoder))


def outcome(parts):
    if isinstance(parts, UserError):
        return str(parts)
    return np.concatenate(list(parts)).tolist()


@needs_tensorflow_io
def test_every_file_gives_the_same_samples_or_the_same_reason(folder):
    paths = audio.find_files(folder)
    found = graph_decoding.decode_all(paths, RATE, 3, 1.0)
    expected = soundfile_decoding.decode_all(paths, RATE, 3, 1.0)
    for (path, parts), (other, others) in zip(found, expected, strict=True):
        assert path == other and outcome(parts) == outcome(others), path


@needs_tensorflow_io
def test_plain_files_are_decoded_in_the_graph_and_others_are_not(folder, monkeypatch):
    seen = []

    def attempt(path, *_):
        seen.append(os.path.basename(path))
        return UserError("not decoded")

    monkeypatch.setattr(soundfile_decoding, "attempt", attempt)
    paths = [os.path.join(folder, name) for name in (*PLAIN, *OTHERS)]
    list(graph_decoding.decode_all(paths, RATE, 2, 1.0))
    assert sorted(seen) == sorted(OTHERS)


@needs_tensorflow_io
def test_a_long_recording_is_left_to_the_reader_in_blocks(folder, monkeypatch):
    seen = []
    monkeypatch.setattr(
        soundfile_decoding, "attempt", lambda path, *_: seen.append(path) or []
    )
    path = os.path.join(folder, "mono16.wav")
    list(graph_decoding.decode_all([path], RATE, 1, 1.0 / 3600))
    assert seen == [path]


@needs_tensorflow_io
@pytest.mark.parametrize("num_segments", [1, 2])
def test_uncached_batches_are_those_of_soundfile(folder, tmp_path, num_segments):
    settings = {"cache_limit_gb": 0.0, "num_segments": num_segments}
    ours, theirs = (
        corpus_of(folder, tmp_path, decoder, **settings)
        for decoder in ("auto", "soundfile")
    )
    for found, expected in zip(
        ours.batches(2).take(6), theirs.batches(2).take(6), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
    for found, expected in zip(
        ours.statistics_batches(11), theirs.statistics_batches(11), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
    assert ours.skipped == theirs.skipped and len(ours.skipped) > 2


@needs_tensorflow_io
def test_a_file_that_changes_while_training_is_decoded_as_it_is(folder, tmp_path):
    paths = [str(tmp_path / name) for name in ("a.wav", "b.wav")]
    for path in paths:
        soundfile.write(path, np.full(RATE, 0.5), RATE, "PCM_16")
    corpus = corpus_of(str(tmp_path), tmp_path, "tensorflow_io", 2, cache_limit_gb=0.0)
    batches = iter(corpus.batches())
    assert (next(batches).numpy() == 16384).all()
    for path in paths:
        soundfile.write(path, np.full(RATE, 0.25), RATE, "FLOAT")
    found = [next(batches).numpy() for _ in range(8)]
    assert (found[-1] == 8192).all()


@needs_tensorflow_io
@pytest.mark.parametrize("limit", [20.0, 0.0], ids=["cached", "uncached"])
def test_losses_are_those_of_soundfile(eager, folder, tmp_path, limit):
    losses = []
    for decoder in ("soundfile", "tensorflow_io"):
        config = smoke.get_config()
        config.data.pattern, config.data.decoder = folder, decoder
        config.data.cache_limit_gb = limit
        config.train.steps = 2
        work = str(tmp_path / decoder)
        trainer.pretrain(config, work)
        losses.append([entry["loss"] for entry in workdir.read_log(work)])
    assert len(losses[0]) == 2 and losses[0] == losses[1]


@needs_tensorflow_io
def test_prepared_shards_are_those_of_soundfile(folder, tmp_path):
    layout = sharding.make_layout(RATE, 1.0, 0.5, "pcm")
    shards = []
    for decoder in ("soundfile", "tensorflow_io"):
        output = tmp_path / decoder
        sharding.prepare(folder, str(output), layout, 2, 2, decoder=decoder)
        shards.append([(output / name).read_bytes() for name in os.listdir(output)])
    assert sorted(shards[0]) == sorted(shards[1]) and len(shards[0]) == 5


def test_where_tensorflow_io_does_not_load_soundfile_decodes(
    folder, tmp_path, monkeypatch
):
    monkeypatch.setattr(graph, "wav_decoder", lambda: None)
    corpus = corpus_of(folder, tmp_path, "auto", cache_limit_gb=0.0)
    assert type(corpus._reader) is soundfile_decoding.DecodingReader
    with pytest.raises(UserError, match="soundfile where tensorflow-io does not load"):
        corpus_of(folder, tmp_path, "tensorflow_io", cache_limit_gb=0.0)


def test_files_of_another_rate_are_left_to_soundfile(tmp_path):
    for number in range(3):
        soundfile.write(tmp_path / f"{number}.wav", np.ones(9999), 44100, "PCM_16")
    corpus = corpus_of(str(tmp_path), tmp_path, "auto", 3, cache_limit_gb=0.0)
    assert type(corpus._reader) is soundfile_decoding.DecodingReader
