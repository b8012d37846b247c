"""The table of a folder: rows, times, errors, restarts, memory."""

import csv
import itertools
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile

import byola_tf
from byola_tf import Encoder, audio, checkpoint, frontend
from byola_tf.audio.clips import as_clips
from byola_tf.config import Config, EncoderConfig
from byola_tf.embedding import batching
from byola_tf.errors import UserError
from byola_tf.normalize import Statistics
from hub_export.tables import corpus as corpus_embedding
from hub_export.tables import reading
from hub_export.tables.corpus import Options
from tests import sounds

FORMATS = ["npz", "parquet"]


def save_model(folder, seed=0):
    config = Config(encoder=EncoderConfig(channels=4, hidden_units=8, output_units=8))
    encoder = Encoder(config.encoder)
    rng = np.random.default_rng(seed)
    encoder.set_weights([w + rng.normal(0, 0.01) for w in encoder.get_weights()])
    opened = checkpoint.Checkpoint(encoder, config, Statistics(-7.0, 4.0), {})
    os.makedirs(folder, exist_ok=True)
    checkpoint.save(str(folder), opened)
    return str(folder)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def embedder(model):
    return byola_tf.load(model)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Five usable files of all formats, lengths and rates, and three others."""
    folder = tmp_path_factory.mktemp("sounds")
    sounds.write_folder(folder / "a", 2, (16000, 44100))
    sounds.write_folder(folder / "b" / "c", 1, seconds=0.4)
    rng = np.random.default_rng(0)
    stereo = rng.normal(0, 0.1, (9000, 2))
    soundfile.write(folder / "a" / "stereo.flac", stereo, 22050)
    # longer than a batch: read in blocks
    long = rng.normal(0, 0.1, 48000 * 9)
    soundfile.write(folder / "b" / "long.ogg", long, 48000)
    (folder / "broken.flac").write_bytes(b"fLaC nothing else")
    (folder / "empty.wav").write_bytes(b"")
    (folder / "notes.txt").write_text("not audio")
    return str(folder)


def embed(model, pattern, output, **options):
    """Embeds a few seconds at a time; returns the summary and the columns."""
    options = Options(batch_seconds=4.0, **options)
    summary = corpus_embedding.embed_corpus(model, pattern, str(output), options)
    return summary, read(output)


def read(output):
    if str(output).endswith(".npz"):
        with np.load(output) as table:
            return dict(table)
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(output)
    columns = {name: np.array(table[name].to_pylist()) for name in table.column_names}
    size = table.schema.field("embedding").type.list_size
    assert columns["embedding"].shape == (len(table), size)
    return columns


def seconds_of(table, path):
    mine = table["path"] == path
    return table["start_s"][mine], table["end_s"][mine], table["embedding"][mine]


@pytest.mark.newest_smoke
@pytest.mark.parametrize("extension", FORMATS)
def test_a_row_a_file_equals_the_embedder(model, embedder, folder, tmp_path, extension):
    output = tmp_path / f"table.{extension}"
    summary, table = embed(model, folder, output)
    assert (summary.num_rows, summary.num_files, len(summary.errors)) == (5, 5, 2)
    assert list(table["path"]) == sorted(table["path"])
    for row, path in enumerate(table["path"]):
        waveform = audio.load(path, 16000)
        np.testing.assert_allclose(
            table["embedding"][row], embedder(waveform)[0], atol=2e-5
        )
        assert table["start_s"][row] == 0
        assert abs(table["end_s"][row] - len(waveform) / 16000) <= 1 / 16000
    expected = frontend.fingerprint(Config().frontend, -7.0, 4.0)
    assert set(np.atleast_1d(table["front_end_hash"])) == {expected}
    assert set(np.atleast_1d(table["model"])) == {"tiny"}
    assert sorted(os.listdir(tmp_path)) == [output.name, f"{output.name}.errors.csv"]
    with open(corpus_embedding.error_path(str(output)), newline="") as file:
        errors = list(csv.DictReader(file))
    assert [os.path.basename(row["path"]) for row in errors] == [
        "broken.flac",
        "empty.wav",
    ]
    assert "the file is empty" in errors[1]["reason"]


@pytest.mark.parametrize("extension", FORMATS)
def test_frame_rows_tile_the_clip_in_time(model, embedder, folder, tmp_path, extension):
    _, table = embed(model, folder, tmp_path / f"table.{extension}", frames=True)
    for path in set(table["path"]):
        starts, ends, vectors = seconds_of(table, path)
        waveform = audio.load(path, 16000)
        expected = embedder.frames(waveform)
        np.testing.assert_allclose(vectors, expected["frame_embeddings"][0], atol=2e-5)
        np.testing.assert_allclose(ends[:-1], starts[1:], atol=1e-9)
        centres = expected["timestamps"][0].numpy()
        np.testing.assert_allclose((starts + ends)[1:-1] / 2, centres[1:-1], atol=1e-5)
        assert starts[0] == 0
        assert ends[-1] <= len(waveform) / 16000 + 1e-4


def test_segment_rows_equal_the_pieces_alone(model, embedder, folder, tmp_path):
    output = tmp_path / "table.npz"
    _, table = embed(model, folder, output, segment_seconds=0.7)
    for path in set(table["path"]):
        starts, ends, vectors = seconds_of(table, path)
        waveform = audio.load(path, 16000)
        pieces = [waveform[i : i + 11200] for i in range(0, len(waveform), 11200)]
        assert len(pieces) == len(vectors)
        for piece, vector in zip(pieces, vectors, strict=True):
            np.testing.assert_allclose(vector, embedder(piece)[0], atol=1e-4)
        np.testing.assert_allclose(starts, np.arange(len(pieces)) * 0.7)
        np.testing.assert_allclose(ends[:-1], starts[1:])
        assert abs(ends[-1] - len(waveform) / 16000) <= 1 / 16000


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


def test_unequal_clips_equal_one_by_one(embedder):
    rng = np.random.default_rng(1)
    lengths = [1, 200, 9000, 9100, 9500, 16000, 16000, 16001, 40_000]
    clips = [rng.normal(0, 0.1, length).astype(np.float32) for length in lengths]
    given = as_clips(clips, None, 16000)
    together = embedder.inference.rows(given, 50_000)
    frames = embedder.inference.rows(given, 50_000, frames=True)
    for clip, vector, rows in zip(clips, together, frames, strict=True):
        np.testing.assert_allclose(vector, embedder(clip), atol=1e-5)
        alone = embedder.frames(clip)["frame_embeddings"][0]
        np.testing.assert_allclose(rows, alone, atol=1e-5)


def test_blocks_of_a_file_are_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr("byola_tf.audio.blocks._BLOCK_FRAMES", 10_007)
    stereo = np.random.default_rng(0).normal(0, 0.1, (100_000, 2))
    for name in ("a.wav", "a.flac", "a.ogg", "a.mp3"):
        path = str(tmp_path / name)
        soundfile.write(path, stereo, 44100)
        whole = audio.load(path, 16000)
        pieces = np.concatenate(list(reading.blocks(path, 16000)))
        assert abs(len(pieces) - len(whole)) <= 1
        shared = min(len(pieces), len(whole))
        np.testing.assert_allclose(pieces[:shared], whole[:shared], atol=1e-6)


def test_a_long_file_that_ends_early_leaves_no_rows(model, tmp_path):
    sound = np.random.default_rng(0).normal(0, 0.1, 16000 * 60)
    for name in ("good.flac", "ends_early.flac"):
        soundfile.write(tmp_path / name, sound, 16000)
    path = tmp_path / "ends_early.flac"
    path.write_bytes(path.read_bytes()[:-100_000])
    summary, table = embed(model, str(tmp_path), tmp_path / "t.npz", frames=True)
    assert list(summary.errors) == [str(path)]
    assert set(table["path"]) == {str(tmp_path / "good.flac")}


def test_nothing_usable_and_impossible_options_are_errors(model, folder, tmp_path):
    broken = os.path.join(folder, "broken.flac")
    with pytest.raises(UserError, match="none of them usable"):
        embed(model, broken, tmp_path / "table.npz")
    with pytest.raises(UserError, match=r"\*\.aiff', which matches no file"):
        embed(model, f"{folder}/*.aiff", tmp_path / "table.npz")
    with pytest.raises(UserError, match="1 other files.*notes.txt"):
        embed(model, f"{folder}/*.txt*", tmp_path / "table.npz")
    with pytest.raises(UserError, match=".parquet or .npz"):
        embed(model, folder, tmp_path / "table.xlsx")
    with pytest.raises(UserError, match="Leave one out"):
        embed(model, folder, tmp_path / "t.npz", frames=True, segment_seconds=1.0)
    with pytest.raises(UserError, match="segment_seconds` must be at least"):
        embed(model, folder, tmp_path / "t.npz", segment_seconds=-1.0)
    with pytest.raises(UserError, match="float32, bfloat16"):
        embed(model, folder, tmp_path / "t.npz", precision="int8")
    assert os.listdir(tmp_path) == []


class Killed(Exception):
    """Stands for the end of a process."""


def run_until(model, corpus, output, after, options=None):
    """Embeds until `after` files are done; returns how many were left to do."""
    left = []

    def progress(entries, total, description):
        left.append(total)
        yield from itertools.islice(entries, after)
        raise Killed

    with pytest.raises(Killed):
        corpus_embedding.embed_corpus(model, corpus, output, options, 2, progress)
    return left[0]


def test_finished_parts_are_kept_until_something_changes(model, tmp_path, monkeypatch):
    monkeypatch.setattr(corpus_embedding, "_FILES_PER_PART", 4)
    corpus = sounds.write_folder(tmp_path / "corpus", 12, seconds=0.2)
    output = str(tmp_path / "t.npz")
    assert run_until(model, corpus, output, 10) == 12
    assert not os.path.exists(output)
    assert run_until(model, corpus, output, 0) == 4
    assert run_until(model, corpus, output, 0, Options(frames=True)) == 12
    other = save_model(tmp_path / "other", seed=1)
    assert run_until(other, corpus, output, 0) == 12
    sounds.write_folder(tmp_path / "corpus", 1, seconds=0.3, seed=5)
    assert run_until(model, corpus, output, 0) == 8
    assert corpus_embedding.embed_corpus(model, corpus, output).num_resumed == 4
    np.testing.assert_array_equal(read(output)["end_s"], [0.3] + [0.2] * 11)
    assert sorted(os.listdir(tmp_path)) == ["corpus", "other", "t.npz"]


@pytest.mark.slow
@pytest.mark.parametrize("extension", ["npz", "parquet"])
def test_a_killed_run_goes_on_to_the_same_table(model, tmp_path, extension):
    corpus = sounds.write_folder(tmp_path / "corpus", 150, (16000, 22050), 1.0)
    (tmp_path / "corpus" / "broken.flac").write_bytes(b"fLaC nothing else")
    output, expected = (tmp_path / f"{name}.{extension}" for name in ("a", "b"))
    command = [sys.executable, "-m", "hub_export.embed", f"--model={model}"]
    command += [f"--audio={corpus}", f"--output={output}", "--precision=bfloat16"]
    command += ["--segment_seconds=0.3", "--batch_seconds=2", "--workers=1"]
    killed = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not list((tmp_path / f"a.{extension}.parts").glob("*.json")):
        assert killed.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not output.exists()
    run = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    assert "600 rows of 72 from 150 files" in run.stdout
    assert "files were finished by an earlier run" in run.stdout
    assert "1 files were left out" in run.stdout
    assert "of audio/s" in run.stderr
    options = Options(False, 0.3, "bfloat16", 2.0)
    corpus_embedding.embed_corpus(model, corpus, str(expected), options)
    assert output.read_bytes() == expected.read_bytes()
    assert not (tmp_path / f"a.{extension}.parts").exists()


_PEAK = """
import sys
from hub_export.tables import corpus as corpus_embedding
corpus_embedding.embed_corpus(*sys.argv[1:4], corpus_embedding.Options(True))
with open("/proc/self/status") as file:
    (line,) = [line for line in file if line.startswith("VmHWM")]
print(int(line.split()[1]) / 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc"), reason="reads the peak from /proc")
def test_three_hours_take_the_memory_of_three_minutes(model, tmp_path):
    rng = np.random.default_rng(0)
    minute = rng.uniform(-0.5, 0.5, 22050 * 60)
    peaks = {}
    for minutes in (3, 180):
        path = tmp_path / f"{minutes}.wav"
        with soundfile.SoundFile(path, "w", 22050, 1, "PCM_U8") as file:
            for _ in range(minutes):
                file.write(minute)
        output = tmp_path / f"{minutes}.npz"
        run = subprocess.run(
            [sys.executable, "-c", _PEAK, model, str(path), str(output)],
            capture_output=True,
            text=True,
            timeout=500,
        )
        assert run.returncode == 0, run.stderr
        peaks[minutes] = float(run.stdout)
        path.unlink()
        rows = minutes * 60 * 100 // 4
        assert abs(len(np.load(output)["embedding"]) - rows) <= 1
    # as float32 samples the long one has 950 MB, its rows 80 MB
    assert peaks[180] < peaks[3] + 150
