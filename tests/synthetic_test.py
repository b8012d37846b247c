"""The generated bank of sounds."""

import collections
import csv
import hashlib
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from byola_tf.errors import UserError
from train_lib.synthesis import bank as synthetic
from train_lib.synthesis import signals

RATE = 16_000


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sounds") / "bank"
    synthetic.write_bank(folder, clips_per_class=6, seed=3, seconds=0.5)
    return folder


def read_rows(folder):
    with open(folder / synthetic.METADATA, newline="") as file:
        return list(csv.DictReader(file))


def digests(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_there_are_at_least_16_classes_in_three_families():
    families = collections.Counter(synthetic.CLASSES.values())
    assert len(synthetic.CLASSES) >= 16
    assert set(families) == {"environmental", "speech", "musical"}
    assert min(families.values()) >= 5


@pytest.mark.parametrize("name", synthetic.CLASSES)
def test_a_clip_is_finite_in_range_and_not_silent(name):
    for seed in range(3):
        clip = synthetic.generate(name, np.random.default_rng(seed), 1.0, RATE)
        assert clip.shape == (RATE,)
        assert clip.dtype == np.float32
        assert np.isfinite(clip).all()
        assert 0.04 < np.abs(clip).max() <= 1
        assert clip.std() > 1e-3


@pytest.mark.parametrize("name", synthetic.CLASSES)
def test_a_clip_follows_from_its_seed(name):
    clips = [
        synthetic.generate(name, np.random.default_rng(seed), 0.5, RATE)
        for seed in (7, 7, 8)
    ]
    np.testing.assert_array_equal(clips[0], clips[1])
    assert not np.allclose(clips[0], clips[2])


@pytest.mark.parametrize(("seconds", "rate"), [(0.25, 16_000), (0.73, 22_050)])
def test_any_length_and_rate(seconds, rate):
    for name in synthetic.CLASSES:
        clip = synthetic.generate(name, np.random.default_rng(0), seconds, rate)
        assert len(clip) == round(seconds * rate)
        assert np.isfinite(clip).all()


def test_generate_names_what_it_cannot_make():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="Received: 'whale'"):
        synthetic.generate("whale", rng)
    with pytest.raises(ValueError, match="at least 0.25"):
        synthetic.generate("rain", rng, seconds=0.1)


def test_the_table_lists_every_file_once(bank):
    rows = read_rows(bank)
    assert list(rows[0]) == ["file_name", "label", "fold"]
    assert len(rows) == 6 * len(synthetic.CLASSES)
    names = {row["file_name"] for row in rows}
    assert names == {path.relative_to(bank).as_posix() for path in bank.rglob("*.wav")}
    for row in rows:
        assert row["file_name"].startswith(f"{row['label']}/{row['label']}_")
    folds = collections.Counter((row["label"], row["fold"]) for row in rows)
    assert len(folds) == 5 * len(synthetic.CLASSES)
    assert set(folds.values()) == {1, 2}


def test_files_are_16_bit_wav(bank):
    for row in read_rows(bank):
        info = soundfile.info(bank / row["file_name"])
        assert (info.format, info.subtype) == ("WAV", "PCM_16")
        assert (info.samplerate, info.frames, info.channels) == (RATE, RATE // 2, 1)


def test_the_same_seed_gives_the_same_bytes(bank, tmp_path):
    same, other = tmp_path / "same", tmp_path / "other"
    synthetic.write_bank(same, clips_per_class=6, seed=3, seconds=0.5)
    synthetic.write_bank(other, clips_per_class=6, seed=4, seconds=0.5)
    assert digests(same) == digests(bank)
    wavs = {name for name in digests(bank) if name.endswith(".wav")}
    assert all(digests(other)[name] != digests(bank)[name] for name in wavs)


def test_a_larger_bank_begins_with_the_smaller_one(bank, tmp_path):
    synthetic.write_bank(tmp_path / "one", clips_per_class=1, seed=3, seconds=0.5)
    small = digests(tmp_path / "one")
    del small[synthetic.METADATA]
    assert small.items() <= digests(bank).items()


def test_an_earlier_bank_is_replaced_and_nothing_else(tmp_path):
    folder = tmp_path / "bank"
    synthetic.write_bank(folder, clips_per_class=2, seconds=0.25)
    synthetic.write_bank(folder, clips_per_class=1, seconds=0.25)
    assert len(read_rows(folder)) == len(synthetic.CLASSES)
    assert [path.name for path in tmp_path.iterdir()] == ["bank"]

    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "song.wav").write_bytes(b"precious")
    with pytest.raises(UserError, match="mine"):
        synthetic.write_bank(mine, clips_per_class=1, seconds=0.25)
    assert (mine / "song.wav").read_bytes() == b"precious"


def test_an_interrupted_bank_leaves_the_earlier_one(tmp_path, monkeypatch):
    folder = tmp_path / "bank"
    synthetic.write_bank(folder, clips_per_class=1, seconds=0.25)
    before = digests(folder)

    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(synthetic, "generate", interrupt)
    with pytest.raises(KeyboardInterrupt):
        synthetic.write_bank(folder, clips_per_class=1, seconds=0.25, seed=9)
    assert digests(folder) == before
    assert [path.name for path in tmp_path.iterdir()] == ["bank"]


def test_the_bank_needs_no_tensorflow():
    code = "import sys; from train_lib import synthetic; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert "tensorflow" not in done.stdout.split()


def test_a_moving_filter_of_gain_one_changes_nothing():
    signal = np.random.default_rng(0).standard_normal(5_000)
    filtered = signals.filter_moving(
        signal, RATE, lambda seconds, frequency: np.ones((len(seconds), 257))
    )
    np.testing.assert_allclose(filtered, signal, atol=1e-9)


def test_a_harmonic_tone_has_falling_harmonics():
    tone = signals.harmonic_tone(np.full(RATE, 400.0), RATE, 800.0)
    spectrum = np.abs(np.fft.rfft(tone))
    harmonics = spectrum[[400, 800, 1200]]
    np.testing.assert_allclose(harmonics[1:] / harmonics[:-1], np.exp(-0.5), rtol=0.01)
    assert spectrum[600] < 1e-3 * harmonics[0]
