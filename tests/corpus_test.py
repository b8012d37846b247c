"""The corpus doctor finds each fault, and accuses nothing else."""

import dataclasses
import json
import os
import pathlib

import numpy as np
import pytest
import soundfile

from byola_tf import audio, pipeline
from byola_tf.audio import content as audio_content
from byola_tf.config import Config
from byola_tf.corpus import corpus as waveforms
from byola_tf.corpus import folder
from byola_tf.errors import UserError
from tests import commands
from train_lib.doctor import examination, findings, leakage, measurement, report
from train_lib.doctor import schedule as schedule_lib

RATE = 16_000
REPOSITORY = pathlib.Path(__file__).parents[1]


def _noise(seed, seconds=1.5, rate=RATE, level=0.1):
    rng = np.random.default_rng(seed)
    return (level * rng.standard_normal(int(seconds * rate))).astype(np.float32)


def _write_good(folder):
    """Files of many formats in which nothing is wrong."""
    good = {
        "pcm16.wav": (_noise(1), RATE, "PCM_16"),
        "pcm24.wav": (_noise(2, rate=44_100), 44_100, "PCM_24"),
        "pcm8.wav": (_noise(3), RATE, "PCM_U8"),
        "float.wav": (_noise(4, rate=48_000), 48_000, "FLOAT"),
        "sixteen.flac": (_noise(5, rate=22_050), 22_050, "PCM_16"),
        "vorbis.ogg": (_noise(6, rate=44_100), 44_100, "VORBIS"),
        "layer3.mp3": (_noise(7, rate=44_100), 44_100, None),
        "stereo.wav": (_noise(8, 3.0).reshape(-1, 2), RATE, "PCM_16"),
        "quiet.wav": (_noise(9, level=0.004), RATE, "PCM_16"),
        # its loudest samples touch full scale, as normalised files do
        "peak.wav": (np.clip(_noise(10, level=0.25), -1, 1), RATE, "PCM_16"),
        # dark, but it fades out: no abrupt end
        "dark.wav": (_dark(11), RATE, "PCM_16"),
        "one/deep/folder/hum.wav": (_noise(12), RATE, "PCM_16"),
    }
    for name, (samples, rate, subtype) in good.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, samples, rate, subtype)
    return set(good)


def _dark(seed):
    spectrum = np.fft.rfft(_noise(seed))
    hertz = np.fft.rfftfreq(2 * (len(spectrum) - 1), 1 / RATE)
    spectrum /= 1 + (hertz / 300) ** 2  # 12 dB an octave
    return np.fft.irfft(spectrum).astype(np.float32)


def _write_faults(folder):
    """One or two files of each fault; returns kind -> names."""

    def write(name, samples, rate=RATE, subtype="PCM_16"):
        (folder / name).parent.mkdir(exist_ok=True)
        soundfile.write(folder / name, samples, rate, subtype)

    write("f/zeros.wav", np.zeros(RATE * 2))
    write("f/zeros_again.wav", np.zeros(RATE * 2))  # silent, not a duplicate
    write("f/hiss.wav", _noise(20, level=2e-4))
    write("f/silent_offset.wav", np.full(RATE, 0.25))  # constant: no sound
    write("f/clipped.wav", np.clip(_noise(21, level=1.5), -1, 1))
    write("f/one_side.wav", _one_clipped_channel())
    write("f/offset.wav", _noise(22) + 0.05)
    broken_samples = _noise(23)
    broken_samples[100] = np.nan
    write("f/nan.wav", broken_samples, subtype="FLOAT")
    broken_samples[100] = np.inf
    write("f/inf.wav", broken_samples, subtype="FLOAT")
    write("f/integers_as_float.wav", _noise(24) * 32768, subtype="FLOAT")
    write("f/inverted.wav", np.stack([_noise(25), -_noise(25)], axis=1))
    write("f/upsampled.wav", audio.resample(_noise(26, rate=8000), 8000, RATE))
    write("f/telephone.wav", _noise(27, rate=8000), rate=8000)
    write("f/word.wav", _noise(28, seconds=0.4))
    write("f/padded.wav", np.pad(_noise(29), (0, 3 * RATE)))

    write("f/whole.wav", _noise(30))
    content = (folder / "f/whole.wav").read_bytes()
    (folder / "f/cut.wav").write_bytes(content[: len(content) // 2])
    (folder / "f/garbage.wav").write_bytes(np.random.default_rng(0).bytes(5000))
    (folder / "f/empty.wav").write_bytes(b"")
    (folder / "f/header_only.wav").write_bytes(content[:44])
    (folder / "f/folder.wav").mkdir()
    (folder / "f/notes.txt").write_text("no sound")

    write("d/bark.wav", _noise(31))
    bark, _ = soundfile.read(folder / "d/bark.wav", dtype="int16")
    write("d/bark_copy.flac", bark)  # another container, the same samples
    (folder / "d/whole_copy.wav").write_bytes(content)  # of f/whole.wav
    return {
        "silent": {
            "f/zeros.wav",
            "f/zeros_again.wav",
            "f/hiss.wav",
            "f/silent_offset.wav",
        },
        "clipped": {"f/clipped.wav", "f/one_side.wav"},
        "offset": {"f/offset.wav"},
        "non_finite": {"f/nan.wav", "f/inf.wav"},
        "unscaled": {"f/integers_as_float.wav"},
        "silent_mix": {"f/inverted.wav"},
        "narrow": {"f/upsampled.wav", "f/telephone.wav"},
        "short": {"f/word.wav", "f/cut.wav"},
        "mostly_silent": {"f/padded.wav"},
        "broken": {"f/garbage.wav", "f/empty.wav", "f/header_only.wav"},
        "doubtful": {"f/cut.wav"},
        # of each group the first by path is kept
        "duplicate": {"d/bark_copy.flac", "f/whole.wav"},
    }


def _one_clipped_channel():
    left = np.clip(_noise(32, level=2), -1, 1)
    return np.stack([left, _noise(33)], axis=1)


@pytest.fixture(scope="module")
def sick(tmp_path_factory):
    """(folder, kind -> names of its faulty files, the metadata CSV)."""
    folder = tmp_path_factory.mktemp("sick")
    _write_good(folder)
    faults = _write_faults(folder)
    metadata = folder / "bank.csv"
    metadata.write_text(
        "file_name,label,split\n"
        "pcm16.wav,noise,train\n"
        "pcm24.wav,noise,test\n"
        "f/zeros.wav,nothing,train\n"
        "f/zeros_again.wav,nothing,test\n"  # silence in two splits is no leak
        "d/bark.wav,dog,train\n"
        "d/bark_copy.flac,dog,test\n"
        "d/whole_copy.wav,cat,train\n"
        "f/whole.wav,dog,train\n"  # the same split, but another label
        "unused.wav,cat,\n"
    )
    return folder, faults, metadata


@pytest.fixture(scope="module")
def examined(sick):
    folder, _, metadata = sick
    return examination.examine(str(folder), [str(metadata)], num_workers=3)


def _named(finding_files, folder):
    return {os.path.relpath(path, folder) for path in finding_files}


def test_exactly_the_faults_are_found(sick, examined):
    folder, faults, _ = sick
    found = {f.kind: _named(f.files, folder) for f in examined.findings}
    assert found.pop("leak") == {"d/bark.wav", "d/bark_copy.flac"}
    assert found.pop("label_conflict") == {"d/whole_copy.wav", "f/whole.wav"}
    faults = dict(faults)
    # an inverted channel leaves no sound at all in the mix: silent to the model
    faults["silent"] = faults["silent"] | faults.pop("silent_mix")
    assert found == faults


def test_the_verdicts_are_plain_words(sick, examined):
    verdicts = {finding.kind: finding.verdict for finding in examined.findings}
    total = len(examined.measurements)
    assert verdicts["silent"] == (
        f"5 of {total} files are silent (below -60 dBFS throughout): leave them out."
    )
    assert verdicts["offset"].startswith(f"1 of {total} files has a constant offset.")
    assert verdicts["leak"].startswith("1 sound is in more than one split of bank.csv")


def test_details_say_what_is_wrong(sick, examined):
    folder, _, _ = sick
    details = {}
    for finding in examined.findings:
        for path, detail in finding.files.items():
            details[finding.kind, os.path.relpath(path, folder)] = detail
    assert details["doubtful", "f/cut.wav"].startswith("it may be truncated: ")
    assert "empty" in details["broken", "f/empty.wav"]
    assert details["silent", "f/inverted.wav"].endswith("channels cancel each other")
    assert details["duplicate", "d/bark_copy.flac"].startswith("same samples as")
    assert details["duplicate", "f/whole.wav"].startswith("byte-identical to")
    assert details["narrow", "f/upsampled.wav"] == (
        "ends near 3.9 kHz, sampled at 16 kHz"
    )
    # neither the path nor the decoder's objects
    assert not {"/", "<"} & set(details["broken", "f/garbage.wav"])
    assert details["leak", "d/bark.wav"] == (
        "split train; the same audio is d/bark_copy.flac in split test"
    )


def test_a_faulty_channel_is_heard_in_a_mix_that_has_sound(tmp_path):
    shared, own = _noise(1, level=0.3), _noise(2, level=0.02)
    soundfile.write(
        tmp_path / "a.wav", np.stack([shared + own, own - shared], axis=1), RATE
    )
    (finding,) = examination.examine(str(tmp_path)).findings
    assert finding.kind == "cancelling"


def test_usable_is_what_the_training_reader_accepts(sick, examined):
    for m in examined.measurements:
        try:
            audio.load(m.path, RATE)
            accepted = True
        except audio.AudioError:
            accepted = False
        assert accepted == (not m.fault), m.path


def test_exclude_list_names_what_to_leave_out(sick, examined):
    folder, faults, _ = sick
    text = findings.exclude_list(examined.findings)
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    kinds = ("broken", "non_finite", "silent", "silent_mix", "duplicate")
    assert _named(lines, folder) == set().union(*(faults[kind] for kind in kinds))
    assert len(lines) == len(set(lines)) == len(examined.excluded)
    assert not set(lines) & {m.path for m in examined.usable}
    assert "# Silent: loudest 10 ms at -120 dBFS" in text.splitlines()


def test_exclude_list_survives_odd_names():
    finding = findings.Finding(
        "silent", findings.LEAVE_OUT, "Silent", "", {"#1.wav": "a", "x\ny.wav": "b"}
    )
    assert findings.exclude_list([finding]).splitlines()[2:] == [
        "# Silent: a",
        "./#1.wav",
        "# cannot be listed, its name is 'x\\ny.wav': Silent: b",
    ]


def test_a_sound_corpus_is_not_accused(tmp_path):
    names = _write_good(tmp_path)
    result = examination.examine(str(tmp_path))
    assert _named([m.path for m in result.measurements], tmp_path) == names
    assert result.findings == [] and result.excluded == {}


def test_statistics_are_those_of_training(examined, tmp_path):
    config = Config()
    config.train.batch_size = 4
    config.data.statistics_samples = 12
    paths = [m.path for m in examined.usable]
    corpus = waveforms.open_corpus(config, folder.Folder(paths), str(tmp_path))
    assert corpus.is_cached
    expected = pipeline.compute_statistics(corpus.statistics_batches(12), config)
    result = examination.examine(os.path.commonpath(paths), config=config)
    assert dataclasses.asdict(result.profile.statistics) == dataclasses.asdict(expected)
    assert result.profile.statistics.num_crops == 12
    np.testing.assert_allclose(result.profile.mean.mean(), expected.mean, rtol=1e-6)


@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_large_files_measure_the_same_in_pieces(tmp_path, monkeypatch, subtype):
    path = str(tmp_path / "long.wav")
    samples = np.stack([_noise(1, 40, 44_100, 0.5), _noise(2, 40, 44_100)], axis=1)
    soundfile.write(path, samples, 44_100, subtype)
    whole = measurement.measure(path)
    monkeypatch.setattr(audio_content, "WHOLE_BYTES", 1)
    assert measurement.measure(path) == whole
    content = pathlib.Path(path).read_bytes()
    pathlib.Path(path).write_bytes(content[:-1000])
    cut = measurement.measure(path)
    assert not cut.fault and "truncated" in cut.doubt
    samples[-1] = np.nan
    soundfile.write(path, samples, 44_100, "FLOAT")
    assert measurement.measure(path).fault == "non_finite"


def test_one_sample_and_odd_rates(tmp_path):
    soundfile.write(tmp_path / "one.wav", [0.5], 11_025)
    soundfile.write(tmp_path / "slow.wav", _noise(1, 3, 1000), 1000)
    soundfile.write(tmp_path / "fast.wav", _noise(1, 1, 192_000), 192_000)
    result = examination.examine(str(tmp_path))
    assert [m.fault for m in result.measurements] == ["", "", ""]
    assert [m.is_silent for m in result.measurements] == [False, True, False]


def test_what_only_looks_like_a_file_is_broken(tmp_path):
    soundfile.write(tmp_path / "a.wav", _noise(1), RATE)
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "dangling.wav").symlink_to(tmp_path / "nowhere.wav")
    result = examination.examine(str(tmp_path))
    assert _named([m.path for m in result.usable], tmp_path) == {"a.wav"}
    pipe = measurement.measure(str(tmp_path / "pipe.wav"))
    assert pipe.reason == "it is not a regular file"


def test_a_corpus_without_sound_has_no_statistics(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(RATE), RATE)
    (tmp_path / "b.wav").write_bytes(b"")
    page = tmp_path / "report.html"
    summary = report.run(str(tmp_path), str(page))
    assert "0 fit for training" in summary
    assert json.loads((tmp_path / "report.json").read_text())["statistics"] is None


def test_a_leak_between_folds_and_one_file_in_two(tmp_path):
    for seed, name in enumerate("abc"):
        soundfile.write(tmp_path / f"{name}.wav", _noise(seed), RATE)
    csv = tmp_path / "tables" / "t.csv"
    csv.parent.mkdir()
    csv.write_text("file_name,fold\na.wav,1\nb.wav,2\na.wav,2\n,3\nmissing.wav,1\n")
    found = {
        f.kind: f.files
        for f in examination.examine(f"{tmp_path}/*.wav", [str(csv)]).findings
    }
    assert _named(found["leak"], tmp_path) == {"a.wav"}
    assert found["absent"] == {"missing.wav": "fold 1"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no rows"),
        ("file_name,label\na.wav,x\n", "fold"),
        ("file_name,fold\nnot_there.wav,1\n", "not_there.wav"),
    ],
)
def test_a_useless_table_is_refused_before_the_scan(tmp_path, text, words):
    soundfile.write(tmp_path / "a.wav", _noise(1), RATE)
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(UserError, match=words):
        examination.examine(str(tmp_path), [str(tmp_path / "t.csv")])


def test_an_absent_table_is_refused():
    with pytest.raises(UserError, match="readable CSV"):
        leakage.read_table("/nowhere/t.csv")


@pytest.mark.parametrize(
    ("num_files", "batch_size", "epochs"),
    [
        (2, 2, 5000),
        (100, 64, 5000),
        (400, 64, 3400),
        (1024, 256, 2300),
        (40_966, 256, 500),
        (1_963_807, 256, 100),
        (10**9, 256, 20),
    ],
)
def test_schedule(num_files, batch_size, epochs):
    plan = schedule_lib.suggest(num_files, num_files * 5.0, 0.95)
    assert (plan.batch_size, plan.epochs) == (batch_size, epochs)
    assert plan.crops == plan.steps * batch_size


def test_no_schedule_for_one_file():
    assert schedule_lib.suggest(1, 5.0, 0.95) is None


def _command(*flags):
    return commands.run("train_lib.corpus", *flags)


def test_command_reports_and_exits_with_zero(sick, examined, tmp_path):
    folder, _, metadata = sick
    page = tmp_path / "new" / "report.html"
    exclude = tmp_path / "exclude.txt"
    done = _command(
        f"--audio={folder}",
        f"--report={page}",
        f"--metadata={metadata}",
        f"--exclude_list={exclude}",
        "--workers=2",
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr and "Warning" not in done.stderr
    total = len(examined.measurements)
    assert done.stdout.startswith(f"{total} files")
    assert "5 of" in done.stdout and str(page) in done.stdout
    text = page.read_text()
    assert len(text) < 1_000_000
    assert 'src="http' not in text and "href" not in text and "<script" not in text
    assert text.count("data:image/svg+xml;base64,") == 4
    for finding in examined.findings:
        assert finding.title in text
    data = json.loads((tmp_path / "new" / "report.json").read_text())
    assert data["files"] == total and data["usable_files"] == len(examined.usable)
    assert data["statistics"]["mean"] == examined.profile.statistics.mean
    assert {f["kind"] for f in data["findings"]} == {f.kind for f in examined.findings}
    assert exclude.read_text() == findings.exclude_list(examined.findings)
    assert sorted(os.listdir(tmp_path)) == ["exclude.txt", "new"]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--audio=.", "--report=r.pdf"], "end in .html"),
        (["--audio=/nowhere", "--report=/tmp/r.html"], "/nowhere"),
    ],
)
def test_user_errors_exit_with_two(flags, words):
    done = _command(*flags)
    assert done.returncode == 2
    assert words in done.stderr and "Traceback" not in done.stderr


def test_hostile_names_are_escaped(tmp_path):
    name = "<script>alert(1)</script>".replace("/", "_") + ".wav"
    (tmp_path / name).write_bytes(b"")
    soundfile.write(tmp_path / "a.wav", _noise(1), RATE)
    page = tmp_path / "report.html"
    report.run(str(tmp_path), str(page))
    assert "<script" not in page.read_text()
    assert "&lt;script&gt;" in page.read_text()
