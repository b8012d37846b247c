"""The demo: the user's folder as a task, bad input, the whole way."""

import collections
import csv
import json
import os
import re
import shutil

import numpy as np
import pytest
import soundfile

import byola_tf
from byola_tf.errors import UserError
from tests import commands, sounds
from train_lib.configs import demo as demo_config
from train_lib.configs import smoke
from train_lib.demo import contents, stages
from train_lib.probe.tasks import labelled_folder, tasks


def make_folder(root, counts, seconds=0.5):
    """A sub-folder of `counts[name]` sounds for every name."""
    for name, count in counts.items():
        sounds.write_folder(root / name, count, seconds=seconds, seed=len(name))
    return root


def read_rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_subfolders_are_the_classes(tmp_path):
    make_folder(tmp_path, {"cat": 5, "dog": 6, "b/deep": 4}, seconds=1.25)
    (tmp_path / "empty").mkdir()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "notes.txt").write_text("x")
    shutil.copytree(tmp_path / "cat", tmp_path / "demo" / "bank")
    found = labelled_folder.read(str(tmp_path), ignored=str(tmp_path / "demo"))
    assert found.classes == ["b", "cat", "dog"]
    assert collections.Counter(found.labels) == {"b": 4, "cat": 5, "dog": 6}
    assert found.unit_seconds == 1.25
    assert all((tmp_path / name).is_file() for name in found.file_names)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({}, "no sub-folder has audio files"),
        ({"cat": 6}, "at least two classes. Received: one sub-folder .* 'cat'"),
        ({"cat": 6, "dog": 3}, "at least 4 audio files. Received: 3 in .*dog"),
    ],
    ids=["none", "one class", "few files"],
)
def test_a_folder_that_makes_no_task_is_explained(tmp_path, counts, expected):
    make_folder(tmp_path, counts)
    sounds.write_folder(tmp_path, 3, seconds=0.2)  # beside the sub-folders
    with pytest.raises(UserError, match=expected):
        labelled_folder.read(str(tmp_path))


def test_a_missing_folder_is_explained(tmp_path):
    with pytest.raises(UserError, match="`--audio` must be a folder"):
        labelled_folder.read(str(tmp_path / "nowhere"))


def test_unreadable_files_are_explained(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for index in range(4):
            (tmp_path / name / f"{index}.wav").write_bytes(b"no sound")
    with pytest.raises(UserError, match="none of which can be read"):
        labelled_folder.read(str(tmp_path))


def found_folder(counts, unit_seconds=1.0):
    pairs = [(f"{n}/{i}.wav", n) for n, count in counts.items() for i in range(count)]
    names, labels = zip(*pairs, strict=True)
    return labelled_folder.LabelledFolder("x", names, labels, unit_seconds)


def test_many_files_a_class_make_stratified_folds(tmp_path):
    counts = {"a": 40, "b": 41, "c": 63}
    path = tmp_path / "sounds.csv"
    assert labelled_folder.write_task(found_folder(counts), str(path)) == 144
    rows = read_rows(path)
    assert len({row["file_name"] for row in rows}) == 144
    cells = collections.Counter((row["label"], row["fold"]) for row in rows)
    for name, count in counts.items():
        sizes = [cells[name, str(fold)] for fold in range(1, 6)]
        assert sum(sizes) == count
        assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("count", [4, 5, 9, 12])
def test_few_files_a_class_make_a_stratified_split(tmp_path, count):
    counts = {f"class {index}": count for index in range(12)}
    path = tmp_path / "sounds.csv"
    labelled_folder.write_task(found_folder(counts), str(path))
    rows = read_rows(path)
    cells = collections.Counter((row["label"], row["split"]) for row in rows)
    assert {split for _, split in cells} == set(tasks.SPLITS)
    assert len(cells) == 3 * len(counts)
    for name in counts:
        assert cells[name, "train"] >= count / 2


@pytest.mark.parametrize("count", [8, 16, 24, 40])
@pytest.mark.parametrize("num_classes", [2, 10, 30])
def test_the_probe_accepts_the_table(tmp_path, num_classes, count):
    found = found_folder({f"c{index}": count for index in range(num_classes)})
    path = tmp_path / "sounds.csv"
    labelled_folder.write_task(found, str(path))
    for name in found.file_names:
        os.makedirs(tmp_path / os.path.dirname(name), exist_ok=True)
        (tmp_path / name).touch()
    task = tasks.read_task(str(path), str(tmp_path))
    targets = task.targets(np.arange(len(task.file_names)))
    for fold in task.folds():
        if fold.valid is None:
            for seed in (42, 43, 44):
                random = np.random.default_rng(seed)
                tasks.draw_validation(targets, fold.train, random)


def test_at_most_an_hour_is_probed(tmp_path):
    found = found_folder({"a": 900, "b": 50}, unit_seconds=10.0)
    path = tmp_path / "sounds.csv"
    labelled_folder.write_task(found, str(path))
    labels = collections.Counter(row["label"] for row in read_rows(path))
    assert labels == {"a": 180, "b": 50}


def test_the_shown_crop_is_the_loudest(tmp_path):
    waveform = np.zeros(48_000)
    waveform[30_000:40_000] = 0.5
    soundfile.write(tmp_path / "a.wav", waveform, 16_000, "PCM_16")
    config = demo_config.get_config()
    crop = contents._loudest_crop(str(tmp_path / "a.wav"), config)
    assert len(crop) == config.unit_samples
    assert np.count_nonzero(crop) == 10_000
    soundfile.write(tmp_path / "short.wav", waveform[35_000:40_000], 16_000, "PCM_16")
    crop = contents._loudest_crop(str(tmp_path / "short.wav"), config)
    assert len(crop) == config.unit_samples


def run_command(*arguments, cwd):
    return commands.run("train_lib.demo", *arguments, cwd=cwd)


def test_bad_input_ends_with_one_sentence_and_status_2(tmp_path):
    (tmp_path / "empty").mkdir()
    done = run_command("--audio", "empty", cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert re.search(r"^error: `--audio` must hold a sub-folder", done.stderr, re.M)
    assert not (tmp_path / "demo").exists()


def test_other_peoples_folders_are_left_alone(tmp_path):
    precious = tmp_path / "run" / "precious.txt"
    precious.parent.mkdir()
    precious.write_text("x")
    with pytest.raises(UserError, match="Choose another"):
        stages.run(str(tmp_path), clips_per_class=1)
    assert precious.read_text() == "x"

    songs = tmp_path / "other" / "bank" / "song.wav"
    songs.parent.mkdir(parents=True)
    songs.write_bytes(b"x")
    with pytest.raises(UserError, match="other.bank.*something else"):
        stages.run(str(tmp_path / "other"), clips_per_class=1)
    assert songs.read_bytes() == b"x"


@pytest.mark.slow
def test_the_whole_way_on_generated_sounds(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(stages, "BANK_SECONDS", 0.5)
    output = str(tmp_path / "demo")
    for _ in range(2):  # the second run replaces the first
        finished = stages.run(
            output, minutes=0.05, clips_per_class=30, config=smoke.get_config()
        )
    assert "Trained encoder" in finished.table
    page = open(finished.report).read()
    assert page.count("<section>") == 8
    assert len(page) < 3e6
    assert "[0:00] Generating 660 sounds of 22 classes" in capsys.readouterr().out
    for name in ("trained", "random", "logmel"):
        with open(os.path.join(output, f"probe_{name}.json")) as file:
            assert json.load(file)["num_clips"] == 660
    embedding = byola_tf.load(finished.model)(np.zeros((2, 16_000), np.float32))
    assert embedding.shape == (2, smoke.get_config().encoder.embedding_size)
    left = {name for name in os.listdir(output)}
    assert left == {
        "bank",
        "model",
        "probe_logmel.json",
        "probe_random.json",
        "probe_trained.json",
        "report.html",
        "run",
    }


@pytest.mark.slow
def test_the_whole_way_on_a_folder(tmp_path):
    make_folder(tmp_path / "sounds", {"a": 6, "bb": 6, "ccc": 5}, seconds=0.6)
    (tmp_path / "sounds" / "a" / "broken.wav").write_bytes(b"no sound")
    finished = stages.run(
        str(tmp_path / "demo"),
        str(tmp_path / "sounds"),
        minutes=0.01,
        config=smoke.get_config(),
    )
    assert "18 clips in 3 classes" in open(finished.report).read()
