"""Reading shards: the folder's crops and losses, damage, what is refused."""

import concurrent.futures
import dataclasses
import json
import os
import shutil

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from byola_tf import audio
from byola_tf.config import Config, TrainConfig
from byola_tf.corpus import corpus as waveforms
from byola_tf.corpus import local_file, shard_format
from byola_tf.errors import UserError
from tests import sounds
from train_lib.configs import smoke
from train_lib.preparation import sharding
from train_lib.training import trainer, workdir

RATE = 16000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twelve files of other rates, a short one, one of many pieces."""
    path = tmp_path_factory.mktemp("data") / "sounds"
    sounds.write_folder(path, 12, (16000, 44100))
    sounds.write_folder(path / "short", 1, seconds=0.3, seed=1)
    sounds.write_folder(path / "long", 2, seconds=7.3, seed=2)
    return str(path)


@pytest.fixture(scope="module", params=["pcm", "flac"])
def prepared(request, folder, tmp_path_factory):
    output = str(tmp_path_factory.mktemp("shards") / request.param)
    prepare(folder, output, payload=request.param)
    return output


def prepare(folder, output, num_shards=3, payload="pcm", piece=2.5, overlap=1.0, **kw):
    layout = sharding.make_layout(RATE, piece, overlap, payload)
    return sharding.prepare(folder, output, layout, num_shards, 2, **kw)


def open_corpus(pattern, tmp_path, batch_size=5, **data):
    config = Config(train=TrainConfig(batch_size=batch_size))
    config.data = dataclasses.replace(config.data, pattern=str(pattern), **data)
    source = waveforms.find_batch(config)
    return waveforms.open_corpus(config, source, str(tmp_path / "cache"))


def copy(prepared, tmp_path):
    """A copy to damage: its folder, and the path of its first shard."""
    path = str(tmp_path / "damaged")
    shutil.copytree(prepared, path)
    return path, os.path.join(path, shard_format.shard_name(0, 3))


def test_crops_and_statistics_are_those_of_the_folder(folder, prepared, tmp_path):
    expected = open_corpus(folder, tmp_path)
    corpus = open_corpus(prepared, tmp_path)
    assert corpus.paths == expected.paths and corpus.is_cached
    assert corpus.num_samples == expected.num_samples
    for step in range(30):
        np.testing.assert_array_equal(corpus.crops(step), expected.crops(step))
    for ours, theirs in zip(
        corpus.statistics_batches(13), expected.statistics_batches(13), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
def test_a_prepared_corpus_trains_to_the_losses_of_its_folder(eager, folder, tmp_path):
    prepare(folder, str(tmp_path / "shards"))
    losses = []
    for pattern in (folder, str(tmp_path / "shards")):
        config = smoke.get_config()
        config.data.pattern = pattern
        config.train.steps = 3
        work = str(tmp_path / f"run{len(losses)}")
        trainer.pretrain(config, work)
        losses.append([entry["loss"] for entry in workdir.read_log(work)])
    assert len(losses[0]) == 3 and losses[0] == losses[1]


def test_records_are_examples_that_tensorflow_reads(folder, tmp_path):
    output = str(tmp_path / "shards")
    prepare(folder, output, labels_from_folders=True)
    names = sorted(tf.io.gfile.glob(os.path.join(output, "*.tfrecord")))
    dataset = tf.data.TFRecordDataset(names).batch(4)
    dataset = dataset.map(lambda x: tf.io.parse_example(x, shard_format.FEATURES))
    examples = list(dataset.unbatch().as_numpy_iterator())
    assert len(examples) == 13 + 2 * 5
    pieces = {}
    for example in examples:
        assert example["sample_rate"] == RATE and example["payload"] == b"pcm"
        path = example["source_path"].decode()
        pieces.setdefault(path, []).append(example)
        samples = np.frombuffer(example["waveform"], "<i2")
        whole = audio.to_pcm16(audio.load(os.path.join(folder, path), RATE))
        start = example["start"]
        np.testing.assert_array_equal(samples, whole[start : start + len(samples)])
        assert len(samples) == min(40000, example["length"] - start)
        assert example["length"] == len(whole)
    assert {len(found) for found in pieces.values()} == {1, 5}
    for path, found in pieces.items():
        assert [example["piece"] for example in found] == list(range(len(found)))
        assert found[0]["num_pieces"] == len(found)
        assert found[0]["label"].decode() == os.path.dirname(path)


def test_every_crop_lies_within_one_piece():
    for overlap in (99, 150):
        layout = shard_format.Layout(100, 400, overlap)
        for length in (1, 99, 100, 400, 401, 402, 701, 702, 1303):
            starts = np.arange(max(1, length - 100 + 1))
            num_pieces = layout.num_pieces(length)
            first = layout.piece_at(starts, num_pieces) * layout.hop_samples
            ends = np.minimum(first + 400, length)
            assert (starts >= first).all()
            assert (starts + min(100, length) <= ends).all()
            assert (num_pieces - 1) * layout.hop_samples < length


def test_a_crop_reads_its_own_bytes_only(prepared, tmp_path, monkeypatch):
    corpus = open_corpus(prepared, tmp_path)
    for step in range(9):
        corpus.crops(step)
    sizes = []
    read = local_file.LocalFile.read_into

    def noted(file, buffer, offset):
        sizes.append(memoryview(buffer).nbytes)
        read(file, buffer, offset)

    monkeypatch.setattr(local_file.LocalFile, "read_into", noted)
    corpus.crops(0)
    limit = 2 * 15200 if prepared.endswith("pcm") else 2 * 40000
    assert len(sizes) == 5 and max(sizes) <= limit


def test_a_glob_takes_some_shards(folder, prepared, tmp_path):
    everything = open_corpus(prepared, tmp_path).paths
    some = open_corpus(prepared + "/shard-0000[02]*.tfrecord", tmp_path)
    assert some.paths == [p for i, p in enumerate(everything) if i % 3 != 1]
    alone = open_corpus(prepared + "/*.tfrecord", tmp_path)
    assert alone.paths == everything
    with pytest.raises(UserError, match="must match a shard. Received: .*absent"):
        open_corpus(prepared + "/absent*.tfrecord", tmp_path)


def test_remote_file_systems_are_read_through_gfile(folder, prepared, tmp_path):
    output = f"ram://{os.path.basename(prepared)}/shards"
    prepare(folder, output, payload=os.path.basename(prepared))
    ours, expected = (open_corpus(pattern, tmp_path) for pattern in (output, prepared))
    assert ours.paths == expected.paths
    for step in range(6):
        np.testing.assert_array_equal(ours.crops(step), expected.crops(step))


def test_a_flipped_bit_is_a_skip_and_costs_no_other_crop(prepared, tmp_path, caplog):
    path, shard = copy(prepared, tmp_path)
    index = shard_format.Index.load(shard_format.index_path(shard))
    with open(shard, "rb+") as file:
        middle = int(index.offset[-1] + index.size[-1] - index.payload_size[-1] // 2)
        file.seek(middle)
        byte = file.read(1)[0]
        file.seek(middle)
        file.write(bytes([byte ^ 4]))
    whole, damaged = (open_corpus(pattern, tmp_path) for pattern in (prepared, path))
    assert not damaged.skipped
    changed = 0
    for step in range(12):
        ours, theirs = damaged.crops(step), whole.crops(step)
        np.testing.assert_array_equal(ours, open_corpus(path, tmp_path).crops(step))
        assert np.abs(ours).max(axis=1).min() > 0
        changed += (ours != theirs).any(axis=1).sum()
    (skipped,) = damaged.skipped
    assert os.path.basename(os.path.dirname(skipped)) == "sounds"
    assert "checksum" in damaged.skipped[skipped]
    assert changed == 4  # once an epoch of three steps


def test_a_shard_cut_in_half_is_counted_at_once(prepared, tmp_path, caplog):
    path, shard = copy(prepared, tmp_path)
    os.truncate(shard, os.path.getsize(shard) // 2)
    damaged = open_corpus(path, tmp_path)
    (warning,) = [record.getMessage() for record in caplog.records]
    assert "is cut short:" in warning and os.path.basename(shard) in warning
    assert 0 < len(damaged.skipped) <= 5
    assert len(damaged.paths) == len(open_corpus(prepared, tmp_path).paths)
    for step in range(12):
        crops = damaged.crops(step)
        assert np.abs(crops).max(axis=1).min() > 0
        np.testing.assert_array_equal(crops, open_corpus(path, tmp_path).crops(step))


def test_a_corpus_with_nothing_left_is_given_up(prepared, tmp_path):
    path, _ = copy(prepared, tmp_path)
    for number in range(3):
        os.truncate(os.path.join(path, shard_format.shard_name(number, 3)), 100)
    with pytest.raises(UserError, match="is damaged"):
        open_corpus(path, tmp_path).crops(0)


def absent_shard(path, shard):
    os.remove(shard)
    return "Every shard of the manifest must be there"


def absent_index(path, shard):
    os.remove(shard_format.index_path(shard))
    return "must be the index of a shard"


def damaged_index(path, shard):
    index = shard_format.index_path(shard)
    content = bytearray(open(index, "rb").read())
    content[len(content) // 2] ^= 1
    open(index, "wb").write(content)
    return "must be the index of a shard"


def exchanged_index(path, shard):
    other = os.path.join(path, shard_format.shard_name(1, 3))
    shutil.copy(shard_format.index_path(other), shard_format.index_path(shard))
    return "It belongs to another shard"


def absent_manifest(path, shard):
    os.remove(os.path.join(path, shard_format.MANIFEST))
    return "which byola prepare writes last"


def garbage_manifest(path, shard):
    with open(os.path.join(path, shard_format.MANIFEST), "w") as file:
        file.write("{")
    return "it is no JSON"


def later_version(path, shard):
    manifest = os.path.join(path, shard_format.MANIFEST)
    with open(manifest) as file:
        content = json.load(file)
    with open(manifest, "w") as file:
        json.dump(content | {"version": 2}, file)
    return "must have version 1. Received: 2"


@pytest.mark.parametrize(
    "damage",
    [
        absent_shard,
        absent_index,
        damaged_index,
        exchanged_index,
        absent_manifest,
        garbage_manifest,
        later_version,
    ],
)
def test_incomplete_shards_are_refused_in_a_sentence(prepared, tmp_path, damage):
    path, shard = copy(prepared, tmp_path)
    message = damage(path, shard)
    with pytest.raises(UserError, match=message):
        open_corpus(path, tmp_path)


def test_indexes_are_read_in_threads(prepared):
    shard = os.path.join(prepared, shard_format.shard_name(0, 3))
    path = shard_format.index_path(shard)
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        found = list(pool.map(shard_format.Index.load, [path] * 200))
    assert all(len(index.recording) == 5 for index in found)


def test_shards_that_do_not_fit_the_configuration_are_refused(prepared, tmp_path):
    with pytest.raises(UserError, match="at most the overlap.*1 s.*larger --overlap"):
        open_corpus(prepared, tmp_path, unit_seconds=1.1)
    config = Config(train=TrainConfig(batch_size=5))
    config.data.pattern = prepared
    config.frontend.sample_rate = 22050
    with pytest.raises(UserError, match=r"22050 Hz.*sample_rate=16000"):
        waveforms.find_batch(config)
    with pytest.raises(UserError, match="at least one batch of files"):
        open_corpus(prepared, tmp_path, batch_size=16)


def test_files_that_prepare_skipped_are_reported(folder, tmp_path):
    path = str(tmp_path / "sounds")
    shutil.copytree(folder, path)
    with open(os.path.join(path, "garbage.wav"), "wb") as file:
        file.write(b"garbage" * 99)
    soundfile.write(os.path.join(path, "nan.wav"), np.full(999, np.nan), RATE, "FLOAT")
    prepare(path, str(tmp_path / "shards"))
    expected = open_corpus(path, tmp_path)
    corpus = open_corpus(tmp_path / "shards", tmp_path)
    assert corpus.paths == expected.paths
    assert set(corpus.skipped) == set(expected.skipped) and len(corpus.skipped) == 2
    np.testing.assert_array_equal(corpus.crops(7), expected.crops(7))


def test_the_exclusion_list_is_that_of_the_folder(folder, prepared, tmp_path, caplog):
    left_out, absent = f"{folder}/tone_003.wav", "elsewhere/tone_004.wav"
    exclude = tmp_path / "exclude.txt"
    exclude.write_text(f"# why\n{left_out}\n\n{absent}\n")
    expected, corpus = (
        open_corpus(pattern, tmp_path, exclude=str(exclude))
        for pattern in (folder, prepared)
    )
    assert len(corpus.paths) == 14 and left_out not in corpus.paths
    assert corpus.paths == expected.paths
    for step in range(4):
        np.testing.assert_array_equal(corpus.crops(step), expected.crops(step))
    warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert warnings == [f"1 of its entries match no file: {absent}."] * 2
    with pytest.raises(UserError, match="`--config.data.exclude` must be a text"):
        open_corpus(prepared, tmp_path, exclude=str(tmp_path / "absent.txt"))
