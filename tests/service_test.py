"""A tf.data service in local processes: a dispatcher and two workers."""

import collections
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from byola_tf import audio, fetching
from byola_tf.config import Config, TrainConfig
from byola_tf.corpus import corpus as waveforms
from byola_tf.errors import UserError
from tests import sounds
from train_lib.configs import smoke
from train_lib.preparation import sharding
from train_lib.training import trainer, workdir

UNIT = 15200


def start(*arguments):
    """Starts a part of the service; returns the process and its first line."""
    process = subprocess.Popen(
        [sys.executable, "-m", "train_lib.data_service", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=os.path.dirname(os.path.dirname(__file__)),
    )
    return process, process.stdout.readline()


def stop(process):
    process.send_signal(signal.SIGINT)
    try:
        return process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        raise


@pytest.fixture(scope="module")
def dispatcher():
    process, line = start("--role=dispatcher")
    address = line.split()[-1]
    assert address.startswith("grpc://localhost:")
    yield address
    assert stop(process) == -signal.SIGINT


@pytest.fixture(scope="module")
def address(dispatcher):
    """The dispatcher once it has two workers."""
    worker = "--role=worker", f"--dispatcher={dispatcher.removeprefix('grpc://')}"
    processes = [start(*worker)[0] for _ in range(2)]
    yield dispatcher
    assert [stop(process) for process in processes] == 2 * [-signal.SIGINT]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Fourteen recordings, two of them in pieces, one shorter than a crop."""
    path = tmp_path_factory.mktemp("data") / "sounds"
    sounds.write_folder(path, 11)
    sounds.write_folder(path / "short", 1, seconds=0.3, seed=1)
    sounds.write_folder(path / "long", 2, seconds=5.0, seed=2)
    return str(path)


@pytest.fixture(scope="module")
def prepared(folder, tmp_path_factory):
    return prepare(folder, tmp_path_factory.mktemp("shards [1]"))


def prepare(folder, output, payload="pcm"):
    layout = sharding.make_layout(16000, 2.0, 1.0, payload)
    sharding.prepare(folder, str(output), layout, 4, 2)
    return str(output)


def open_corpus(pattern, address, batch_size=7, **data):
    config = Config(train=TrainConfig(batch_size=batch_size))
    config.data.pattern, config.data.service = pattern, address
    for name, value in data.items():
        setattr(config.data, name, value)
    return waveforms.open_corpus(config, waveforms.find_batch(config), "")


def crops_by_file(corpus, num_batches, first_step=0):
    """Path -> the first samples of its crops, in order of arrival."""
    clips = [audio.to_pcm16(audio.load(path, 16000)) for path in corpus.paths]
    clips = [np.pad(clip, (0, max(0, UNIT - len(clip)))) for clip in clips]
    found = collections.defaultdict(list)
    for batch in corpus.batches(first_step).take(num_batches).as_numpy_iterator():
        assert batch.shape == (7, UNIT) and batch.dtype == np.int16
        for crop in batch:
            path, first = locate(crop, clips, corpus.paths)
            found[path].append(first)
    return found


def locate(crop, clips, paths):
    for path, clip in zip(paths, clips, strict=True):
        heads = np.lib.stride_tricks.sliding_window_view(clip, 16)
        heads = heads[: len(clip) - UNIT + 1]
        for first in np.flatnonzero((heads == crop[:16]).all(axis=1)):
            if (clip[first : first + UNIT] == crop).all():
                return path, int(first)
    raise AssertionError("the crop is in none of the files")


def epochs_of(starts, path, number):
    """The epochs whose seeds give a recording's crops, in order of arrival."""
    room = max(0, soundfile.info(path).frames - UNIT) + 1
    epoch_of = {}
    for epoch in tf.range(40, dtype=tf.int64):
        seed = tf.random.fold_in(tf.random.fold_in([42, 3], epoch), np.int64(number))
        position = tf.random.stateless_uniform([], seed, dtype=tf.float64)
        epoch_of[int(position * room)] = int(epoch)
    return [epoch_of[start] for start in starts]


@pytest.mark.slow
def test_every_recording_comes_once_an_epoch_at_its_seed_s_place(prepared, address):
    corpus = open_corpus(prepared, address)
    assert corpus.steps_per_epoch == 2
    found = crops_by_file(corpus, 24)
    resumed = crops_by_file(corpus, 4, first_step=40)
    assert len(found) == 14
    for number, path in enumerate(corpus.paths):
        if "short" in path:
            assert set(found[path]) == {0}
            continue
        epochs = epochs_of(found[path], path, number)
        assert len(set(epochs)) == len(epochs) > 4 and min(epochs) < 4
        assert all(epoch >= 20 for epoch in epochs_of(resumed[path], path, number))


@pytest.mark.slow
def test_training_reads_through_the_service(prepared, address, tmp_path):
    config = smoke.get_config()
    config.data.pattern, config.data.service = prepared, address
    config.train.steps = 3
    trainer.pretrain(config, str(tmp_path / "run"))
    entries = workdir.read_log(str(tmp_path / "run"))
    assert len(entries) == 3
    assert np.isfinite([entry["loss"] for entry in entries]).all()


def test_excluded_recordings_never_come(folder, prepared, address, tmp_path):
    exclude = tmp_path / "exclude.txt"
    left_out = [f"{folder}/tone_002.wav", f"{folder}/long/tone_001.wav"]
    exclude.write_text("\n".join(left_out))
    found = crops_by_file(open_corpus(prepared, address, exclude=str(exclude)), 12)
    assert len(found) == 12 and not set(left_out) & set(found)


def test_damaged_records_do_not_stop_the_workers(folder, tmp_path, address):
    path = prepare(folder, tmp_path / "shards")
    os.truncate(os.path.join(path, "shard-00001-of-00004.tfrecord"), 70000)
    found = crops_by_file(open_corpus(path, address), 12)
    assert 11 <= len(found) < 14


def test_shards_that_workers_do_not_see_are_an_error(folder, tmp_path, address):
    path = prepare(folder, tmp_path / "shards")
    corpus = open_corpus(path, address)
    os.rename(path, tmp_path / "elsewhere")
    with pytest.raises(tf.errors.InvalidArgumentError, match="must see the shards"):
        list(corpus.batches().take(1))


def test_what_the_service_cannot_do_is_refused(folder, prepared, tmp_path, address):
    with pytest.raises(UserError, match="needs shards: its workers cannot decode"):
        open_corpus(folder, address)
    with pytest.raises(UserError, match="needs shards of 16-bit samples.*flac"):
        open_corpus(prepare(folder, tmp_path / "flac", "flac"), address)
    with pytest.raises(UserError, match="must be grpc://HOST:PORT. Received: 'local"):
        open_corpus(prepared, "localhost:5050")


def test_the_dispatcher_says_that_it_listens_on_every_interface():
    process = subprocess.Popen(
        [sys.executable, "-m", "train_lib.data_service", "--role=dispatcher"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert any("on every network interface" in line for line in process.stderr)
        process.kill()


def test_a_service_without_anybody_is_refused(prepared, caplog, monkeypatch):
    monkeypatch.setattr(fetching, "_SILENT_S", 0.5)
    with pytest.raises(UserError, match="must be the address of a running disp.*1 s"):
        open_corpus(prepared, "grpc://localhost:1", wait_seconds=1.0)
    assert "Waiting for the dispatcher at grpc://localhost:1 (nobody" in caplog.text


@pytest.fixture
def mortal():
    """A dispatcher to kill and its address; who still waits is answered at the end.

    A thread that waits inside TensorFlow says so on stderr every second, also while
    later tests run.
    """
    before = set(threading.enumerate())
    process, line = start("--role=dispatcher")
    address = line.split()[-1]
    yield process, address
    process.kill()
    process.wait()
    service = tf.data.experimental.service
    port = int(address.rpartition(":")[2])
    successor = service.DispatchServer(service.DispatcherConfig(port=port))
    for thread in set(threading.enumerate()) - before:
        if thread.name == "fetcher":
            thread.join(60)
            assert not thread.is_alive()
    del successor


@pytest.mark.slow
def test_a_dispatcher_and_workers_that_die_are_named_and_given_up(
    prepared, mortal, caplog, monkeypatch
):
    monkeypatch.setattr(fetching, "_SILENT_S", 1.0)
    dispatcher, address = mortal
    worker, _ = start("--role=worker", f"--dispatcher={address}")
    corpus = open_corpus(prepared, address, wait_seconds=3.0)
    with fetching.Fetcher(
        corpus.batches, corpus.describe_source, corpus.wait_seconds
    ) as batches:
        assert next(batches).shape == (7, UNIT)
        worker.kill()
        with pytest.raises(UserError, match="a worker of the dispatcher.*within 3 s"):
            for _ in range(10**4):
                next(batches)
        dispatcher.kill()
        dispatcher.wait()
        with pytest.raises(UserError, match="the dispatcher at .*nobody listens"):
            next(batches)
    worker.wait()
    assert "Waiting for a worker of the dispatcher" in caplog.text
