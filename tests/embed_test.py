"""The table of a folder: rows, times, errors, restarts, memory."""

import contextlib
import csv
import itertools
import json
import multiprocessing
import os
import pathlib
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile

import byola_tf
from byola_tf import audio, frontend, ownership
from byola_tf.config import Config
from byola_tf.embedding.inference import Inference
from byola_tf.errors import UserError
from hub_export.tables import corpus as corpus_embedding
from hub_export.tables import reading, writing
from hub_export.tables.corpus import Options
from tests import sounds, tiny_model
from train_lib.cli import faults

FORMATS = ["npz", "parquet"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model.write_checkpoint(tmp_path_factory.mktemp("models") / "tiny")


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
    other = tiny_model.write_checkpoint(tmp_path / "other", seed=1)
    assert run_until(other, corpus, output, 0) == 12
    sounds.write_folder(tmp_path / "corpus", 1, seconds=0.3, seed=5)
    assert run_until(model, corpus, output, 0) == 8
    assert corpus_embedding.embed_corpus(model, corpus, output).num_resumed == 4
    np.testing.assert_array_equal(read(output)["end_s"], [0.3] + [0.2] * 11)
    assert sorted(os.listdir(tmp_path)) == ["corpus", "other", "t.npz"]


def test_batch_seconds_counts_for_clips_of_one_length(model, tmp_path, monkeypatch):
    corpus = sounds.write_folder(tmp_path / "corpus", 12, seconds=5.0)
    sizes = []
    embed_batch = Inference.embed

    def watched(self, waveform, num_samples=None):
        sizes.append(len(waveform))
        return embed_batch(self, waveform, num_samples)

    monkeypatch.setattr(Inference, "embed", watched)
    for batch_seconds, expected in ((10.0, [2] * 6), (60.0, [12])):
        sizes.clear()
        options = Options(batch_seconds=batch_seconds)
        corpus_embedding.embed_corpus(model, corpus, str(tmp_path / "t.npz"), options)
        assert sizes == expected


def test_the_second_of_two_at_once_is_told_who_writes(model, tmp_path):
    corpus = sounds.write_folder(tmp_path / "corpus", 3, seconds=0.2)
    output = str(tmp_path / "t.npz")
    refused = []

    def progress(entries, total, description):
        for entry in entries:
            try:
                corpus_embedding.embed_corpus(model, corpus, output)
            except UserError as error:
                refused.append(str(error))
            yield entry

    corpus_embedding.embed_corpus(model, corpus, output, progress=progress)
    assert len(refused) == 3
    assert "`--output` must be written by one process at a time" in refused[0]
    assert f"process {os.getpid()} on " in refused[0]
    assert np.abs(read(output)["embedding"]).sum(axis=1).min() > 0
    assert sorted(os.listdir(tmp_path)) == ["corpus", "t.npz"]


@pytest.mark.parametrize("damage", ["zeros", "short", "list"])
def test_a_part_that_was_damaged_is_made_again(model, tmp_path, monkeypatch, damage):
    monkeypatch.setattr(corpus_embedding, "_FILES_PER_PART", 2)
    corpus = sounds.write_folder(tmp_path / "corpus", 6, seconds=0.2)
    output = str(tmp_path / "t.npz")
    assert run_until(model, corpus, output, 5) == 6
    lists = sorted((tmp_path / "t.npz.parts").glob("*.json"))
    assert len(lists) == 2
    rows = lists[0].with_suffix(".rows")
    content = rows.read_bytes()
    match damage:
        case "zeros":  # as a disk leaves them after a power cut
            rows.write_bytes(content[:-100] + bytes(100))
        case "short":
            rows.write_bytes(content[:-100])
        case "list":
            listed = json.loads(lists[0].read_text())
            listed["files"][0]["num_rows"] = "many"
            lists[0].write_text(json.dumps(listed))
    assert corpus_embedding.embed_corpus(model, corpus, output).num_resumed == 2
    resumed = read(output)
    corpus_embedding.embed_corpus(model, corpus, output)
    for name, column in read(output).items():
        np.testing.assert_array_equal(column, resumed[name])


def _killed_while_it_writes(model, corpus, output):
    """A process that ends in the middle of the table."""

    def half(path, table):
        with open(path, "wb") as file:
            file.write(b"half")
        os.kill(os.getpid(), signal.SIGKILL)

    writing._WRITERS[".npz"] = half
    corpus_embedding.embed_corpus(model, corpus, output)


def test_what_a_killed_run_left_goes_with_the_next_one(model, tmp_path):
    corpus = sounds.write_folder(tmp_path / "corpus", 3, seconds=0.2)
    output = tmp_path / "t.npz"
    process = multiprocessing.get_context("spawn").Process(
        target=_killed_while_it_writes, args=(model, corpus, str(output))
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    left = [path.name for path in tmp_path.iterdir()]
    assert any(name.endswith(".tmp") for name in left)
    assert "t.npz.parts" in left and "t.npz" not in left
    summary = corpus_embedding.embed_corpus(model, corpus, str(output))
    assert (summary.num_rows, summary.num_resumed) == (3, 3)
    assert sorted(os.listdir(tmp_path)) == ["corpus", "t.npz"]


def test_a_temporary_file_of_a_living_writer_stays(model, tmp_path):
    corpus = sounds.write_folder(tmp_path / "corpus", 2, seconds=0.2)
    output = tmp_path / "t.npz"
    with ownership.owned(str(output), "`--output`"):
        with writing.files.replacing(str(output)) as temporary:
            with open(temporary, "w") as file:
                file.write("being written")
            with pytest.raises(UserError, match="one process at a time"):
                corpus_embedding.embed_corpus(model, corpus, str(output))
            assert os.path.exists(temporary)


def test_an_output_that_cannot_be_written_is_one_line(model, tmp_path):
    corpus = sounds.write_folder(tmp_path / "corpus", 2, seconds=0.2)
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError) as below_a_file:
        corpus_embedding.embed_corpus(model, corpus, str(tmp_path / "file" / "t.npz"))
    said = faults.describe(below_a_file.value)
    assert str(tmp_path / "file") in said and "name another place" in said


def test_a_read_only_output_is_one_line_before_the_work(tmp_path):
    corpus = sounds.write_folder(tmp_path / "corpus", 2, seconds=0.2)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    if os.access(closed, os.W_OK):  # root may write everywhere else
        closed = pathlib.Path("/sys")
    if not closed.is_dir():
        pytest.skip("every folder can be written here")
    with pytest.raises(OSError) as refused:
        corpus_embedding.embed_corpus("no model", corpus, str(closed / "t.npz"))
    said = faults.describe(refused.value)
    assert str(closed / "t.npz") in said and "\n" not in said


@pytest.mark.parametrize("extension", FORMATS)
@pytest.mark.parametrize("when", ["parts", "table"])
def test_a_full_disk_is_one_line_and_the_old_table_stays(
    model, tmp_path, monkeypatch, when, extension
):
    if extension == "parquet":
        pytest.importorskip("pyarrow")
    corpus = sounds.write_folder(tmp_path / "corpus", 4, seconds=0.2)
    output = tmp_path / f"t.{extension}"
    output.write_text("the old table")
    own = writing.write

    def full_then_write(path, table):
        with size_limit(1000):
            own(path, table)

    if when == "table":
        monkeypatch.setattr(writing, "write", full_then_write)
    limit = 1000 if when == "parts" else resource.RLIM_INFINITY
    with pytest.raises(OSError) as full, size_limit(limit):
        corpus_embedding.embed_corpus(model, corpus, str(output))
    said = faults.describe(full.value)
    assert "File too large" in said and "\n" not in said
    assert output.read_text() == "the old table"
    monkeypatch.undo()
    assert corpus_embedding.embed_corpus(model, corpus, str(output)).num_rows == 4
    assert sorted(os.listdir(tmp_path)) == ["corpus", output.name]


@contextlib.contextmanager
def size_limit(num_bytes):
    """No file may grow beyond this: what a full disk looks like to a program."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("extension", FORMATS)
def test_names_that_are_not_utf_8_are_read_or_listed(model, tmp_path, extension):
    corpus = sounds.write_folder(tmp_path / "corpus", 2, seconds=0.2)
    source = os.fsencode(os.path.join(corpus, "tone_000.wav"))
    try:
        os.rename(source, os.path.join(os.fsencode(corpus), b"caf\xe9.wav"))
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    with open(os.path.join(os.fsencode(corpus), b"\xff\xfe.wav"), "wb") as file:
        file.write(b"no sound")
    summary, table = embed(model, corpus, tmp_path / f"t.{extension}")
    assert (summary.num_rows, len(summary.errors)) == (2, 1)
    assert [os.path.basename(path) for path in table["path"]] == [
        "caf\N{REPLACEMENT CHARACTER}.wav",
        "tone_001.wav",
    ]
    with open(corpus_embedding.error_path(f"{tmp_path}/t.{extension}")) as file:
        assert "udcff" in file.read()
    print(next(iter(summary.errors.values())))  # as the command does


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
