"""Preparing shards: restart, kill, full disk, labels, the command."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from byola_tf.corpus import shard_format
from byola_tf.errors import UserError
from tests import commands, sounds
from train_lib.preparation import recordings, sharding

LAYOUT = sharding.make_layout(16000, 10.0, 1.0, "pcm")


@pytest.fixture
def folder(tmp_path):
    return sounds.write_folder(tmp_path / "sounds", 10)


def prepare(folder, output, num_shards=4, layout=LAYOUT, **kw):
    return sharding.prepare(str(folder), str(output), layout, num_shards, 2, **kw)


def content(output):
    """Name -> bytes of every file of a folder."""
    names = sorted(os.listdir(output))
    return {name: open(os.path.join(output, name), "rb").read() for name in names}


def modified(output):
    times = {name: os.stat(os.path.join(output, name)) for name in content(output)}
    return {name: (s.st_mtime_ns, s.st_ino) for name, s in times.items()}


def command(*arguments, **kw):
    return subprocess.Popen(
        [sys.executable, "-m", "train_lib.prepare", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=os.path.dirname(os.path.dirname(__file__)),
        **kw,
    )


def test_manifest_says_what_is_there(folder, tmp_path):
    (tmp_path / "sounds" / "empty.flac").write_bytes(b"")
    manifest = prepare(folder, tmp_path / "shards")
    with open(tmp_path / "shards" / "manifest.json") as file:
        assert json.load(file) == manifest
    assert manifest["audio"] == folder
    assert manifest["num_recordings"] == manifest["num_records"] == 10
    assert manifest["num_samples"] == 10 * 19200
    assert manifest["hours"] == 10 * 1.2 / 3600
    assert [shard["recordings"] for shard in manifest["shards"]] == [2, 3, 3, 2]
    for shard in manifest["shards"]:
        data = content(tmp_path / "shards")[shard["name"]]
        assert len(data) == shard["bytes"]
        crc = shard_format.google_crc32c.value(data)
        assert f"{crc:08x}" == shard["crc32c"]
    (reason,) = manifest["skipped"].values()
    assert list(manifest["skipped"]) == ["empty.flac"] and "is empty" in reason


def test_the_summary_counts_the_files_of_other_endings(folder, tmp_path):
    manifest = prepare(folder, tmp_path / "shards")
    assert "left out" not in sharding.describe(manifest, "shards")
    for name in ("a.m4a", "b.webm", "README"):
        (tmp_path / "sounds" / name).touch()
    manifest = prepare(folder, tmp_path / "shards")
    said = sharding.describe(manifest, "shards")
    assert "3 files were left out by ending (1 without an ending, 1 .m4a, 1 " in said
    assert "Convert those that hold sound to WAV or FLAC" in said


def test_running_again_keeps_every_shard(folder, tmp_path):
    prepare(folder, tmp_path / "shards")
    before = modified(tmp_path / "shards")
    prepare(folder, tmp_path / "shards")
    after = modified(tmp_path / "shards")
    assert before.pop("manifest.json") and after.pop("manifest.json")
    assert before == after


def test_a_changed_file_makes_its_shard_anew(folder, tmp_path):
    output = tmp_path / "shards"
    prepare(folder, output)
    before = modified(output)
    sounds.write_folder(folder, 1, seconds=2.0, seed=9)  # tone_000, in shard 0
    manifest = prepare(folder, output)
    after = modified(output)
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {
        "manifest.json",
        "shard-00000-of-00004.tfrecord",
        "shard-00000-of-00004.index.npz",
    }
    prepare(folder, tmp_path / "fresh")
    assert content(output) == content(tmp_path / "fresh")
    assert manifest["num_samples"] == 9 * 19200 + 32000


def test_a_lost_or_damaged_shard_is_made_again(folder, tmp_path):
    output = tmp_path / "shards"
    prepare(folder, output)
    whole = content(output)
    os.remove(output / "shard-00001-of-00004.tfrecord")
    os.truncate(output / "shard-00002-of-00004.tfrecord", 99)
    os.truncate(output / "shard-00003-of-00004.index.npz", 99)
    prepare(folder, output)
    assert content(output) == whole


def test_the_output_is_the_same_for_any_number_of_workers(folder, tmp_path):
    for workers in (1, 4):
        sharding.prepare(folder, str(tmp_path / f"{workers}"), LAYOUT, 4, workers)
    assert content(tmp_path / "1") == content(tmp_path / "4")


@pytest.mark.parametrize(
    "arguments",
    [{"num_shards": 3}, {"layout": sharding.make_layout(8000, 10, 1, "pcm")}],
    ids=["number", "layout"],
)
def test_shards_of_another_run_are_not_overwritten(folder, tmp_path, arguments):
    prepare(folder, tmp_path / "shards")
    before = content(tmp_path / "shards")
    with pytest.raises(UserError, match="`--output` must be empty or hold shards of"):
        prepare(folder, tmp_path / "shards", **arguments)
    assert content(tmp_path / "shards") == before


def test_a_killed_writer_goes_on_to_the_same_result(tmp_path):
    os.makedirs(tmp_path / "sounds")
    sounds.write_folder(tmp_path / "one", 1, (48000,), seconds=20.0)
    for number in range(48):
        os.link(
            tmp_path / "one" / "tone_000.wav", tmp_path / "sounds" / f"{number:02d}.wav"
        )
    output = tmp_path / "shards"
    process = command(
        f"--audio={tmp_path / 'sounds'}",
        f"--output={output}",
        "--shards=12",
        "--workers=1",
    )
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            names = os.listdir(output) if output.exists() else []
            whole = [name for name in names if name.startswith("shard-")]
            if len(whole) >= 6 and any(n.startswith("unfinished-") for n in names):
                break
            time.sleep(0.002)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    left = content(output)
    finished = [name for name in left if name.endswith(".tfrecord") and name[0] == "s"]
    assert 3 <= len(finished) < 12 and "manifest.json" not in left
    assert any(name.startswith("unfinished-") for name in left)
    before = modified(output)
    prepare(tmp_path / "sounds", output, 12)
    prepare(tmp_path / "sounds", tmp_path / "uninterrupted", 12)
    assert content(output) == content(tmp_path / "uninterrupted")
    after = modified(output)
    assert all(before[name] == after[name] for name in finished)


_FULL_DISK = """
import subprocess, sys
from byola_tf.errors import UserError
from tests import prepare_test
sounds, disk = sys.argv[1:]
mount = lambda *options: subprocess.run(["mount", *options, disk], check=True)
mount("-t", "tmpfs", "-o", "size=200k", "tmpfs")
try:
    prepare_test.prepare(sounds, disk + "/shards", num_shards=10)
except UserError as error:
    print(error)
print(*sorted(prepare_test.content(disk + "/shards")))
before = prepare_test.modified(disk + "/shards")
mount("-o", "remount,size=2m")
prepare_test.prepare(sounds, disk + "/shards", num_shards=10)
after = prepare_test.modified(disk + "/shards")
print(all(after[name] == before[name] for name in before))
"""


def test_a_full_disk_is_a_sentence_and_the_next_run_goes_on(folder, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    own_mounts = ["unshare", "--user", "--map-root-user", "--mount"]
    probe = [*own_mounts, "mount", "-t", "tmpfs", "tmpfs", str(disk)]
    if not shutil.which("unshare") or subprocess.run(probe).returncode:
        pytest.skip("needs user namespaces to mount a small disk")
    done = subprocess.run(
        [*own_mounts, sys.executable, "-c", _FULL_DISK, folder, str(disk)],
        capture_output=True,
        text=True,
        cwd=os.path.dirname(os.path.dirname(__file__)),
    )
    assert done.returncode == 0, done.stderr
    message, names, kept = done.stdout.splitlines()
    assert "No space left on device. " in message
    assert "run the same command again" in message
    assert 2 <= names.count(".tfrecord") <= 5
    assert "unfinished" not in names and "manifest" not in names
    assert f"{names.count('.tfrecord')} of 10 shards are whole" in message
    assert kept == "True"


def test_a_file_size_limit_loses_nothing(folder, tmp_path):
    output = tmp_path / "shards"
    prepare(folder, output)
    whole = content(output)
    os.remove(output / "shard-00001-of-00004.tfrecord")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50000, hard))
        with pytest.raises(UserError, match="File too large. 3 of 4 shards are whole"):
            prepare(folder, output)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    kept = content(output)
    assert "manifest.json" not in kept and len(kept) == 7
    assert all(whole[name] == data for name, data in kept.items())
    prepare(folder, output)
    assert content(output) == whole


def test_an_interrupt_leaves_whole_shards_only(folder, tmp_path, monkeypatch):
    output = tmp_path / "shards"
    make_index = shard_format.Index.save

    def interrupted(index, path):
        if "00002" in path:
            raise KeyboardInterrupt
        make_index(index, path)

    monkeypatch.setattr(shard_format.Index, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sharding.prepare(folder, str(output), LAYOUT, 4, 1)
    names = set(content(output))
    assert {"shard-00000-of-00004.tfrecord", "shard-00001-of-00004.tfrecord"} <= names
    assert not any("00002" in name or "manifest" in name for name in names)


def test_labels_come_from_folders_and_tables(tmp_path, caplog):
    for name in ("cat", "dog"):
        sounds.write_folder(tmp_path / "sounds" / name, 2)
    found = recordings.find(str(tmp_path / "sounds"))
    assert recordings.folder_labels(found) == {
        "cat/tone_000.wav": "cat",
        "cat/tone_001.wav": "cat",
        "dog/tone_000.wav": "dog",
        "dog/tone_001.wav": "dog",
    }
    table = tmp_path / "table.csv"
    table.write_text(
        'file_name,label,fold\ncat/tone_000.wav,"a,b",1\ndog/tone_001.wav,c,2\nx,c,1\n'
    )
    manifest = prepare(
        tmp_path / "sounds",
        tmp_path / "shards",
        metadata=str(table),
        labels_from_folders=True,
    )
    assert manifest["labels"] == {"a,b": 1, "c": 1, "cat": 1, "dog": 1}
    assert "2 files have no row (e.g. cat/tone_001.wav), 1 rows have no" in caplog.text
    table.write_text("file,label\n")
    with pytest.raises(UserError, match="with the columns `file_name` and `label`"):
        prepare(tmp_path / "sounds", tmp_path / "other", metadata=str(table))


def test_paths_are_relative_to_the_folder_that_a_glob_shares(tmp_path):
    for name in ("a", "b"):
        sounds.write_folder(tmp_path / "sounds" / name, 2)
    found = recordings.find(f"{tmp_path}/sounds/*/*_000.wav")
    assert found.root == f"{tmp_path}/sounds"
    assert found.paths == ["a/tone_000.wav", "b/tone_000.wav"]
    found = recordings.find(f"{tmp_path}/sounds/a/tone_001.wav")
    assert found.root == f"{tmp_path}/sounds/a" and found.paths == ["tone_001.wav"]


def test_what_cannot_be_prepared_is_refused(tmp_path):
    folder = tmp_path / "sounds"
    folder.mkdir()
    (folder / "x.wav").write_bytes(b"garbage")
    with pytest.raises(UserError, match="at least one usable file. Received: 1 unus"):
        prepare(folder, tmp_path / "shards")
    with pytest.raises(UserError, match="`--overlap_seconds` must be at least 0 and"):
        sharding.make_layout(16000, 1.0, 1.0, "pcm")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match="cannot be written to '.*file'"):
        prepare(sounds.write_folder(folder, 2), tmp_path / "file")


def test_shards_follow_the_size_of_the_corpus(folder, monkeypatch):
    found = recordings.find(folder)
    assert sharding.default_num_shards(found, LAYOUT) == 8
    monkeypatch.setattr(sharding, "_DEFAULT_SHARD_BYTES", 2 * 19200)
    assert sharding.default_num_shards(found, LAYOUT) == 10
    found.paths = found.paths[:3]
    assert sharding.default_num_shards(found, LAYOUT) == 3


def test_command_prints_what_it_made_and_what_next(folder, tmp_path):
    flags = f"--audio={folder}/**/*", f"--output={tmp_path / 's'}", "--payload=flac"
    done = commands.run("train_lib.prepare", *flags)
    printed = done.stdout
    assert done.returncode == 0, done.stderr
    assert "Done: 10 recordings, 0.00 h, in 8 shards" in printed
    assert f"--config.data.pattern={tmp_path / 's'}" in printed
    assert np.isin("manifest.json", os.listdir(tmp_path / "s"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--output=s"], "`--audio` must be given"),
        (["--audio=absent/*", "--output=never"], "'absent' is not a folder"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(arguments, message):
    done = commands.run("train_lib.prepare", *arguments)
    assert done.returncode == 2
    line = done.stderr.strip().splitlines()[-1]  # TensorFlow may have its say before
    assert line.startswith("error: ") and message in line
    assert "Traceback" not in done.stderr
    assert not os.path.exists("never")
