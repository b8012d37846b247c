"""Caches, shards and recordings that are cut, huge, shared, or oddly named."""

import json
import os
import resource
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
import soundfile

from byola_tf import audio, ownership
from byola_tf.config import Config, DataConfig, TrainConfig
from byola_tf.corpus import block, folder, shard_format, soundfile_decoding
from byola_tf.corpus import corpus as waveforms
from byola_tf.errors import UserError
from tests import sounds
from train_lib.doctor import examination, report
from train_lib.preparation import sharding

RATE = 16000
LAYOUT = sharding.make_layout(RATE, 2.5, 1.0, "pcm")
KEY = "0123456789abcdef"


def open_corpus(pattern, tmp_path, batch_size=5, **data):
    config = Config(train=TrainConfig(batch_size=batch_size))
    config.data.pattern = str(pattern)
    for name, value in data.items():
        setattr(config.data, name, value)
    source = waveforms.find_batch(config.validate())
    return waveforms.open_corpus(config, source, str(tmp_path / "cache"))


def assert_same_crops(ours, theirs, steps=6):
    assert ours.paths == theirs.paths
    for step in range(steps):
        np.testing.assert_array_equal(ours.crops(step), theirs.crops(step))


@pytest.fixture
def tones(tmp_path):
    return sounds.write_folder(tmp_path / "sounds", 6, (16000, 44100))


# --- long recordings --------------------------------------------------------------


def test_a_long_recording_in_blocks_gives_the_samples_of_the_whole(
    tones, tmp_path, monkeypatch
):
    sounds.write_folder(os.path.join(tones, "long"), 2, (44100, 16000), seconds=9.0)
    expected = open_corpus(tones, tmp_path / "whole")
    sharding.prepare(tones, str(tmp_path / "whole shards"), LAYOUT, 2, 2)
    monkeypatch.setattr(soundfile_decoding, "_HELD_SAMPLES", 20000)
    shards = str(tmp_path / "shards")
    sharding.prepare(tones, shards, LAYOUT, 2, 2, decoder="soundfile")
    assert_same_crops(open_corpus(shards, tmp_path), expected)
    for name in os.listdir(tmp_path / "whole shards"):
        with open(tmp_path / "whole shards" / name, "rb") as file:
            whole = file.read()
        assert whole == (tmp_path / "shards" / name).read_bytes()
    for limit in (20.0, 0.0):
        ours = open_corpus(tones, tmp_path, cache_limit_gb=limit, decoder="soundfile")
        assert_same_crops(ours, expected)


def test_damage_at_the_end_of_a_long_recording_takes_back_its_beginning(
    tones, tmp_path, monkeypatch
):
    monkeypatch.setattr(soundfile_decoding, "_HELD_SAMPLES", 20000)
    bad = os.path.join(tones, "tone_000.wav")
    samples = np.zeros(200_000, np.float32)
    samples[-1] = np.nan
    soundfile.write(bad, samples, RATE, "FLOAT")
    corpus = open_corpus(tones, tmp_path)
    assert list(corpus.skipped) == [bad] and bad not in corpus.paths
    for index, path in enumerate(corpus.paths):
        found = corpus._reader.read_crops(np.array([index]), np.zeros(1))[0]
        whole = audio.to_pcm16(audio.load(path, RATE))
        np.testing.assert_array_equal(found, whole[:15200])
    manifest = sharding.prepare(tones, str(tmp_path / "shards"), LAYOUT, 2, 2)
    assert list(manifest["skipped"]) == ["tone_000.wav"]


def test_recordings_beyond_max_hours_are_left_out_and_named(tones, tmp_path):
    long = os.path.join(tones, "silence.flac")
    soundfile.write(long, np.zeros(RATE * 60, np.int16), RATE)
    hours = 30 / 3600
    for limit in (20.0, 0.0):
        corpus = open_corpus(tones, tmp_path, max_hours=hours, cache_limit_gb=limit)
        for step in range(4):
            corpus.crops(step)
        assert "longer than max_hours" in corpus.skipped[long]
    output = str(tmp_path / "shards")
    manifest = sharding.prepare(tones, output, LAYOUT, 2, 2, max_hours=hours)
    assert "longer than max_hours" in manifest["skipped"]["silence.flac"]
    assert not sharding.prepare(tones, output, LAYOUT, 2, 2)["skipped"]
    config = Config(data=DataConfig(max_hours=hours))
    examined = examination.examine(tones, config=config)
    assert list(examined.excluded) == [long]


@pytest.mark.slow
def test_a_day_of_sound_is_prepared_in_less_than_a_gigabyte(tmp_path):
    os.mkdir(tmp_path / "sounds")
    path = tmp_path / "sounds" / "day.wav"
    soundfile.write(path, np.zeros((48000, 2), np.int16), 48000, format="RF64")
    head = path.read_bytes()
    start = head.index(b"data") + 8
    size = 24 * 3600 * 48000 * 4
    head = bytearray(head[:start])
    ds64 = head.index(b"ds64") + 8
    head[ds64 : ds64 + 24] = b"".join(
        number.to_bytes(8, "little")
        for number in (start + size - 8, size, 24 * 3600 * 48000)
    )
    head[start - 4 : start] = b"\xff\xff\xff\xff"
    with open(path, "wb") as file:  # a hole: it takes no room
        file.write(head)
        file.truncate(start + size)
    program = (
        "import sys; from byola_tf import hardware;"
        "from train_lib.preparation import sharding;"
        "layout = sharding.make_layout(16000, 10.0, 1.0, 'flac');"
        "print(sharding.prepare(*sys.argv[1:], layout)['hours']);"
        "print(hardware.peak_memory())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path.parent), str(tmp_path / "shards")],
        stdout=subprocess.PIPE,
        check=True,
    )
    hours, mebibytes = map(float, done.stdout.split())
    assert hours == pytest.approx(24) and mebibytes < 1000


def test_a_flac_of_unknown_length_is_counted_by_what_it_holds(tones):
    path = os.path.join(tones, "stream.flac")
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 32000), RATE)
    with open(path, "rb+") as file:
        file.seek(21)
        byte = file.read(1)[0]
        file.seek(21)
        file.write(bytes([byte & 0xF0]) + bytes(4))  # as written into a pipe
    paths = audio.find_files(tones)
    assert len(paths) == 7 and folder.estimate_samples(paths, RATE) < 20 * 32000


# --- caches -----------------------------------------------------------------------


def recordings(*lengths):
    rng = np.random.default_rng(0)
    return [
        (f"{number}.wav", [rng.integers(-99, 99, length).astype(np.int16)])
        for number, length in enumerate(lengths)
    ]


def test_a_cache_that_is_cut_short_is_a_sentence_and_made_anew(tmp_path, caplog):
    place = str(tmp_path / KEY)
    reader = block.open_block(place, 10, lambda: recordings(50, 5, 70))
    whole = reader.read_crops(np.arange(3), np.full(3, 0.5))
    os.truncate(os.path.join(place, "samples.int16"), 20)
    with pytest.raises(UserError, match="cannot be read any more.*makes the cache"):
        reader.read_crops(np.arange(3), np.full(3, 0.5))
    again = block.open_block(place, 10, lambda: recordings(50, 5, 70))
    np.testing.assert_array_equal(
        again.read_crops(np.arange(3), np.full(3, 0.5)), whole
    )
    assert "is made anew" in caplog.text


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"paths": 3}', '{"paths": ["a"], "stored": ["b"]}']
)
def test_a_cache_with_a_damaged_index_is_made_anew(tmp_path, content):
    place = str(tmp_path / KEY)
    block.open_block(place, 10, lambda: recordings(50))
    with open(os.path.join(place, "index.json"), "w") as file:
        file.write(content)
    assert block.open_block(place, 10, lambda: recordings(50)).paths == ["0.wav"]


def test_two_processes_that_need_one_cache_decode_once(tmp_path):
    place, entered, go_on = str(tmp_path / KEY), threading.Event(), threading.Event()

    def slow():
        entered.set()
        go_on.wait(20)
        return recordings(50)

    first = threading.Thread(target=block.open_block, args=(place, 10, slow))
    first.start()
    entered.wait(20)
    threading.Timer(0.5, go_on.set).start()

    def never():
        raise AssertionError("decoded twice")

    assert block.open_block(place, 10, never, wait_seconds=20).paths == ["0.wav"]
    first.join()
    assert os.listdir(tmp_path) == [KEY]


def test_who_waits_too_long_decodes_too_and_the_loser_takes_what_is_there(tmp_path):
    place, entered, go_on = str(tmp_path / KEY), threading.Event(), threading.Event()

    def slow():
        entered.set()
        go_on.wait(20)
        return recordings(50)

    found = []
    first = threading.Thread(
        target=lambda: found.append(block.open_block(place, 10, slow))
    )
    first.start()
    entered.wait(20)
    block.open_block(place, 10, lambda: recordings(50), wait_seconds=0.1)
    made = os.stat(os.path.join(place, "samples.int16")).st_ino
    go_on.set()
    first.join()
    assert found[0].paths == ["0.wav"]
    assert os.stat(os.path.join(place, "samples.int16")).st_ino == made
    assert os.listdir(tmp_path) == [KEY]


def test_what_a_killed_process_left_of_any_cache_is_gone_at_the_next_start(tmp_path):
    program = (
        "import sys, time; from byola_tf.corpus import block;"
        "block.open_block(sys.argv[1], 10, lambda: print('go', flush=True) or"
        " time.sleep(60))"
    )
    place = str(tmp_path / ("f" * 16))
    process = subprocess.Popen(
        [sys.executable, "-c", program, place], stdout=subprocess.PIPE
    )
    process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert any(name.endswith(".tmp") for name in os.listdir(tmp_path))
    block.open_block(str(tmp_path / KEY), 10, lambda: recordings(50))
    left = [name for name in os.listdir(tmp_path) if name.endswith((".tmp", ".old"))]
    assert not left


def test_a_cache_that_outgrows_its_limit_gives_way_to_decoding(
    tones, tmp_path, monkeypatch, caplog
):
    expected = open_corpus(tones, tmp_path)
    monkeypatch.setattr(folder, "estimate_samples", lambda *_: 0)
    corpus = open_corpus(tones, tmp_path / "other", cache_limit_gb=1e-4)
    assert not corpus.is_cached and "Raise the limit" in caplog.text
    assert_same_crops(corpus, expected)
    assert os.listdir(tmp_path / "other" / "cache") == []


def test_bad_files_of_an_uncached_corpus_are_named_when_they_are_met(
    tones, tmp_path, caplog
):
    with open(os.path.join(tones, "tone_003.wav"), "wb") as file:
        file.write(b"garbage" * 99)
    corpus = open_corpus(tones, tmp_path, cache_limit_gb=0.0)
    for step in range(6):
        corpus.crops(step)
    told = [message for message in caplog.messages if "tone_003.wav" in message]
    assert len(told) == 1 and told[0].startswith("Skipped: ")


# --- shards -----------------------------------------------------------------------


@pytest.fixture
def shards(tones, tmp_path):
    output = str(tmp_path / "shards")
    sharding.prepare(tones, output, LAYOUT, 3, 2)
    return output


def test_a_shard_that_is_cut_while_it_is_read_is_a_skip(shards, tmp_path):
    corpus = open_corpus(shards, tmp_path)
    for step in range(6):
        corpus.crops(step)
    os.truncate(os.path.join(shards, shard_format.shard_name(1, 3)), 1000)
    for step in range(6):
        assert np.abs(corpus.crops(step)).max(axis=1).min() > 0
    assert len(corpus.skipped) == 2
    assert all("it ends before byte" in text for text in corpus.skipped.values())


def test_more_shards_than_files_may_be_open(tmp_path):
    pattern = sounds.write_folder(tmp_path / "sounds", 24, seconds=0.5)
    output = str(tmp_path / "shards")
    sharding.prepare(pattern, output, LAYOUT, 24, 2, decoder="soundfile")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(os.listdir("/proc/self/fd"))
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 12, hard))
        corpus = open_corpus(output, tmp_path, 20)
        for step in range(9):
            assert np.abs(corpus.crops(step)).max(axis=1).min() > 0
        assert not corpus.skipped
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_second_prepare_on_one_output_is_told_who_writes_it(tones, tmp_path):
    output = str(tmp_path / "shards")
    with ownership.owned_folder(output, "it"):
        with pytest.raises(UserError, match=f"`--output` must.*process {os.getpid()} "):
            sharding.prepare(tones, output, LAYOUT, 3, 2)
    assert sharding.prepare(tones, output, LAYOUT, 3, 2)["num_recordings"] == 6


# --- names ------------------------------------------------------------------------


def test_names_that_are_not_utf_8_or_begin_with_a_backslash_are_read(tmp_path):
    place = tmp_path / "sounds"
    sounds.write_folder(place, 5)
    names = ["tone_000.wav", "\\back.wav", os.fsdecode(b"caf\xe9.wav")]
    for name in names[1:]:
        os.link(place / names[0], place / name)
    (place / os.fsdecode(b"bad\xe9.wav")).write_bytes(b"garbage" * 99)
    output = str(tmp_path / "shards")
    manifest = sharding.prepare(str(place), output, LAYOUT, 2, 2)
    assert manifest["num_recordings"] == 7
    assert list(manifest["skipped"]) == [os.fsdecode(b"bad\xe9.wav")]
    corpus = open_corpus(output, tmp_path)
    assert {os.path.join(place, name) for name in names} <= set(corpus.paths)
    assert_same_crops(corpus, open_corpus(place, tmp_path))

    page, exclude = str(tmp_path / "report.html"), str(tmp_path / "exclude.txt")
    summary = report.run(str(place), page, (), exclude)
    assert "5 fit for training" in summary  # two are copies, one is broken
    with open(tmp_path / "report.json") as file:
        assert len(json.load(file)["measurements"]["path"]) == 8
    left = open_corpus(place, tmp_path, exclude=exclude)
    assert len(left.paths) == 5 and not left.skipped


def test_an_output_that_tensorflow_cannot_open_is_refused(tones, tmp_path):
    output = os.path.join(tmp_path, os.fsdecode(b"caf\xe9"))
    with pytest.raises(UserError, match="`--output` must be a path in UTF-8"):
        sharding.prepare(tones, output, LAYOUT, 3, 2)
