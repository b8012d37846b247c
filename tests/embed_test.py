"""The table of a folder: rows, times, errors."""

import os
import subprocess
import sys

import numpy as np
import pytest

import byola_tf
from byola_tf import Encoder, audio, checkpoint
from byola_tf.config import Config, EncoderConfig
from byola_tf.errors import UserError
from byola_tf.normalize import Statistics
from hub_export import corpus_embedding
from tests import sounds


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("checkpoint"))
    config = Config(encoder=EncoderConfig(channels=4, hidden_units=8, output_units=8))
    opened = checkpoint.Checkpoint(
        Encoder(config.encoder), config, Statistics(-7.0, 4.0), {}
    )
    checkpoint.save(folder, opened)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sounds")
    sounds.write_folder(folder / "a", 2, (16000, 44100))
    sounds.write_folder(folder / "b" / "c", 1, seconds=0.4)
    (folder / "broken.flac").write_bytes(b"fLaC nothing else")
    (folder / "notes.txt").write_text("not audio")
    return str(folder)


def test_a_row_a_file_equals_the_embedder(model, folder, tmp_path):
    output = str(tmp_path / "table.npz")
    summary = corpus_embedding.embed_corpus(model, folder, output)
    table = np.load(output)
    assert (summary.num_rows, summary.num_files, len(summary.errors)) == (3, 3, 1)
    embedder = byola_tf.load(model)
    for row, path in enumerate(table["path"]):
        waveform = audio.load(path, 16000)
        np.testing.assert_allclose(
            table["embedding"][row], embedder(waveform)[0], atol=1e-5
        )
        assert table["start_s"][row] == 0
        assert table["end_s"][row] == len(waveform) / 16000
    with open(corpus_embedding.error_path(output)) as file:
        assert "broken.flac" in file.read()


def test_frame_rows_tile_the_clip_in_time(model, folder, tmp_path):
    output = str(tmp_path / "table.parquet")
    corpus_embedding.embed_corpus(
        model, os.path.join(folder, "a", "tone_000.wav"), output, frames=True
    )
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(output)
    assert table.column_names == ["path", "start_s", "end_s", "embedding"]
    starts = table["start_s"].to_numpy()
    assert len(starts) == 121 // 4
    np.testing.assert_allclose(np.diff(starts[1:]), 0.04, atol=1e-6)
    np.testing.assert_allclose(table["end_s"].to_numpy()[1:-1], starts[2:], atol=1e-6)


def test_nothing_usable_and_unknown_formats_are_errors(model, folder, tmp_path):
    broken = os.path.join(folder, "broken.flac")
    output = str(tmp_path / "table.npz")
    with pytest.raises(UserError, match="none of them usable"):
        corpus_embedding.embed_corpus(model, broken, output)
    with pytest.raises(UserError, match="match at least one audio file"):
        corpus_embedding.embed_corpus(model, f"{folder}/*.aiff", output)
    with pytest.raises(UserError, match=".parquet or .npz"):
        corpus_embedding.embed_corpus(model, folder, "table.xlsx")
    assert os.listdir(tmp_path) == []


def test_command_says_what_it_wrote(model, folder, tmp_path):
    output = str(tmp_path / "table.npz")
    run = subprocess.run(
        [sys.executable, "-m", "hub_export.embed"]
        + [f"--model={model}", f"--audio={folder}", f"--output={output}"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    assert "3 rows of 72 from 3 files" in run.stdout
    assert "1 files were left out" in run.stdout
