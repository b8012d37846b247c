"""One folder of odd files: every reader gives the same answer for the same file."""

import csv
import os

import numpy as np
import pytest

from byola_tf import audio, hear
from byola_tf.corpus import folder as corpus_folder
from byola_tf.corpus import soundfile_decoding
from byola_tf.errors import UserError
from byola_tf.sklearn import AudioEmbedding
from hub_export.tables import corpus as tables
from tests import odd_audio, tiny_model
from train_lib.doctor import examination
from train_lib.preparation import sharding
from train_lib.probe import crops
from train_lib.probe.tasks import labelled_folder, tasks

RATE = 16_000
# short, so that few shapes are embedded; the others differ in the reader alone
COMPARED = ("never_closed.wav", "cut.flac", "joined.mp3", "whole.aif", "cut.opus")


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """A folder of odd files, and three that are no sound at all by their names."""
    folder = tmp_path_factory.mktemp("odd")
    for name, file in odd_audio.everything().items():
        (folder / name).write_bytes(file.content)
    for name in ("README.md", "a.m4a", "b.webm"):
        (folder / name).touch()
    return folder


@pytest.fixture(scope="module")
def lengths(odd):
    """What `audio.load` says: samples by name, None for a refused file."""
    answers = {}
    for name in odd_audio.everything():
        try:
            answers[name] = len(audio.load(str(odd / name), RATE))
        except audio.AudioError:
            answers[name] = None
    return answers


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model.write(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def table(odd, model, tmp_path_factory):
    """The folder embedded: the summary, the rows and the list beside them."""
    output = str(tmp_path_factory.mktemp("table") / "odd.npz")
    summary = tables.embed_corpus(model, str(odd), output)
    with open(tables.error_path(output), encoding="utf-8", newline="") as file:
        listed = {row["path"]: row["reason"] for row in csv.DictReader(file)}
    return summary, dict(np.load(output)), listed


def by_name(values):
    return {os.path.basename(path): value for path, value in values.items()}


def refused(lengths):
    return {name for name, length in lengths.items() if length is None}


def test_about_half_of_the_trouble_is_sound(lengths):
    assert refused(lengths) == {
        name for name, odd in odd_audio.everything().items() if odd.samples is None
    }
    assert len(lengths) - len(refused(lengths)) > 35


def test_training_reads_the_same(odd, lengths):
    paths = audio.find_files(str(odd))
    answers = {
        path: None if isinstance(parts, UserError) else sum(map(len, parts))
        for path, parts in soundfile_decoding.decode_all(paths, RATE, 2)
    }
    assert by_name(answers) == lengths
    assert corpus_folder.estimate_samples(paths, RATE) == pytest.approx(
        sum(filter(None, lengths.values())), rel=0.05
    )


def test_prepare_reads_the_same(odd, lengths, tmp_path):
    layout = sharding.make_layout(RATE, 1.0, 0.0, "pcm")
    manifest = sharding.prepare(str(odd), str(tmp_path / "shards"), layout)
    assert set(manifest["skipped"]) == refused(lengths)


def test_corpus_reads_the_same_and_lists_the_doubts(odd, lengths):
    found = examination.examine(str(odd))
    faults = by_name({m.path: m.fault for m in found.measurements})
    assert {name for name, fault in faults.items() if fault} == refused(lengths)
    assert faults["nan.wav"] == "non_finite"
    for measured in found.measurements:
        name = os.path.basename(measured.path)
        if not measured.fault:
            assert round(measured.seconds * RATE) == lengths[name], name
    assert "1 .m4a, 1 .md, 1 .webm" in found.left_out
    doubtful = next(item for item in found.findings if item.kind == "doubtful")
    for name, reason in by_name(doubtful.files).items():
        assert odd_audio.everything()[name].says in reason
    listed = set(by_name(doubtful.files))
    assert listed == {
        name for name, odd in odd_audio.everything().items() if odd.samples and odd.says
    }


def test_a_task_reads_the_same(odd, lengths):
    names = tuple(lengths)
    task = tasks.Task(
        "odd", str(odd), names, np.zeros(len(names), int), ("a",), "fold", names
    )
    reader = crops.CropReader(task, RATE, RATE, 2)
    answers = {name: reader._crops(row) for row, name in enumerate(names)}
    unusable = {n for n, found in answers.items() if isinstance(found, UserError)}
    assert unusable == refused(lengths)
    paths = [str(odd / name) for name in names]
    assert labelled_folder.median_seconds(paths) == 1.5


def test_embed_reads_the_same_and_lists_the_doubts(odd, lengths, table):
    summary, rows, listed = table
    assert set(by_name(summary.errors)) == refused(lengths)
    ends = by_name(dict(zip(rows["path"], rows["end_s"], strict=True)))
    for name, end in ends.items():
        assert round(end * RATE) == lengths[name], name
    for name, reason in by_name(listed).items():
        assert odd_audio.everything()[name].says in reason
    assert {name for name, odd in odd_audio.everything().items() if odd.says} == set(
        by_name(listed)
    )
    assert "1 .m4a, 1 .md, 1 .webm" in summary.left_out


def test_scikit_learn_and_hear_read_the_same(odd, lengths, table, model):
    _, rows, _ = table
    expected = by_name(dict(zip(rows["path"], rows["embedding"], strict=True)))
    paths = [str(odd / name) for name in COMPARED]
    transformer = AudioEmbedding(model).fit(paths)
    by_sklearn = transformer.transform(paths)
    opened = hear.load_model(model)
    for name, path, vector in zip(COMPARED, paths, by_sklearn, strict=True):
        np.testing.assert_allclose(vector, expected[name], atol=1e-5)
        waveform = audio.load(path, RATE)[None]
        by_hear = hear.get_scene_embeddings(waveform, opened)[0]
        np.testing.assert_allclose(by_hear, expected[name], atol=1e-5)
    for name in ("lfs.wav", "hole.mp3", "nan.wav"):
        with pytest.raises(UserError, match="must be a readable audio file"):
            transformer.transform([str(odd / name)])
