"""Perturbations of sound, and what they do to embeddings and accuracy."""

import errno
import json
import os

import numpy as np
import pytest
import soundfile

from byola_tf.errors import UserError
from tests import commands
from train_lib.probe import embedding, perturbations, robustness, store
from train_lib.probe.report import checking

RATE = 16000


def tone(hertz=440.0, seconds=1.0, amplitude=0.3):
    time = np.arange(int(RATE * seconds)) / RATE
    return (amplitude * np.sin(2 * np.pi * hertz * time)).astype(np.float32)[None]


def peak_hertz(waveform):
    window = np.hanning(waveform.shape[1])
    spectrum = np.abs(np.fft.rfft(waveform * window, 8 * waveform.shape[1]))
    return spectrum.argmax(axis=1) * RATE / (8 * waveform.shape[1])


class TestPerturbations:
    @pytest.mark.parametrize("snr_db", [20, 0, -5])
    def test_noise_has_the_ratio(self, snr_db):
        waveform = np.concatenate([tone(), 0.01 * tone(1000), 0 * tone()])
        noise = perturbations.pink_noise([1, 2, 3], RATE)
        added = perturbations.add_noise(waveform, noise, snr_db) - waveform
        for clip in range(2):
            power = np.square(waveform[clip]).mean() / np.square(added[clip]).mean()
            assert 10 * np.log10(power) == pytest.approx(snr_db, abs=0.01)
        np.testing.assert_array_equal(added[2], 0)

    def test_noise_of_a_clip_does_not_depend_on_its_neighbours(self):
        for make in (perturbations.white_noise, perturbations.pink_noise):
            both = make([(1, 5), (1, 6)], 1000)
            np.testing.assert_allclose(make([(1, 6)], 1000)[0], both[1], atol=1e-6)
            assert np.abs(both[0] - both[1]).max() > 0.1

    def test_pink_noise_has_equal_power_an_octave(self):
        noise = perturbations.pink_noise(range(20), 16384)
        power = np.square(np.abs(np.fft.rfft(noise))).mean(axis=0)
        octaves = [power[2**k : 2 ** (k + 1)].sum() for k in range(5, 13)]
        np.testing.assert_allclose(octaves / np.mean(octaves), 1, atol=0.1)

    def test_gain_and_shift_are_exact(self):
        waveform = np.random.default_rng(0).normal(size=(2, 100)).astype(np.float32)
        louder = perturbations.change_gain(waveform, 6)
        np.testing.assert_allclose(louder / waveform, 10**0.3, rtol=1e-5)
        shifted = perturbations.shift_time(waveform, 0.25)
        np.testing.assert_array_equal(shifted[:, 25:], waveform[:, :75])
        np.testing.assert_array_equal(shifted[:, :25], waveform[:, 75:])

    @pytest.mark.parametrize("semitones", [-2, -1, 1, 2])
    def test_pitch_moves_and_tempo_stays(self, semitones):
        # two tones, one after the other
        waveform = np.concatenate([tone(440, 0.8), tone(1200, 1.2)], axis=1)
        moved = perturbations.shift_pitch(waveform, semitones, RATE)
        assert moved.shape == waveform.shape and moved.dtype == np.float32
        factor = 2 ** (semitones / 12)
        for start, stop, hertz in ((2000, 11000, 440), (15000, 30000, 1200)):
            part = moved[:, start:stop]
            assert peak_hertz(part)[0] == pytest.approx(factor * hertz, rel=0.003)
            level = np.sqrt(np.square(part).mean() / np.square(waveform).mean())
            assert level == pytest.approx(1, abs=0.1)

    def test_no_shift_of_pitch_is_the_clip(self):
        waveform = np.random.default_rng(0).normal(0, 0.1, (2, 9000)).astype("f")
        same = perturbations.shift_pitch(waveform, 0, RATE)
        np.testing.assert_allclose(same[:, :8000], waveform[:, :8000], atol=1e-4)

    def test_short_clips(self):
        moved = perturbations.shift_pitch(tone(seconds=0.01), 2, RATE)
        assert moved.shape == (1, 160) and np.isfinite(moved).all()


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    """Low tones, high tones and noise, in 5 folds; and a folder of background."""
    folder = tmp_path_factory.mktemp("sounds")
    rows = ["file_name,label,fold"]
    for row in range(60):
        random = np.random.default_rng(row)
        hertz = (random.uniform(200, 400), random.uniform(2000, 4000), 0.0)[row % 3]
        waveform = tone(hertz, 0.5)[0] + 0.02 * random.standard_normal(RATE // 2)
        if row % 3 == 2:
            waveform *= 8
        soundfile.write(folder / f"{row}.wav", waveform, RATE)
        rows.append(f"{row}.wav,{('low', 'high', 'noise')[row % 3]},{row // 3 % 5}")
    (folder / "tones.csv").write_text("\n".join(rows))
    (folder / "background").mkdir()
    soundfile.write(folder / "background" / "hum.wav", tone(150, 0.2)[0], RATE)
    # neither stops a run
    (folder / "background" / "README.md").write_text("what hums")
    (folder / "background" / "broken.wav").write_text("no sound")
    return folder


def measure(sounds, model="logmel", **options):
    return robustness.measure(
        model,
        str(sounds / "tones.csv"),
        str(sounds),
        0.5,
        learning_rate=3e-3,
        seeds=(1, 2),
        **options,
    )


def test_louder_noise_moves_embeddings_further(sounds, tmp_path):
    (tmp_path / "result.json").write_text(json.dumps(measure(sounds)))
    result = checking.read(str(tmp_path / "result.json"))  # as the report does
    assert result["num_clips"] == 60 and result["clean"]["mean"] > 0.95
    rows = {(row["kind"], row["setting"]): row for row in result["rows"]}
    assert len(rows) == 2 * 3 + 4 + 4 + 3
    for noise in ("white noise", "pink noise"):
        cosines = [rows[noise, f"{level} dB SNR"]["cosine"] for level in (20, 10, 0)]
        assert 1 > cosines[0] > cosines[1] > cosines[2]
        assert result["other_clips_cosine"] < cosines[0]
    # the mean and deviation over time of a steady sound do not mind a shift
    assert rows["time shift", "50% of the clip"]["cosine"] > 0.99
    assert rows["time shift", "50% of the clip"]["mean"] > 0.9
    assert rows["white noise", "0 dB SNR"]["mean"] < result["clean"]["mean"]
    text = robustness.table(result)
    assert "| none | | 1.000 |" in text
    assert sum(line.startswith("| ") for line in text.splitlines()) == 2 + len(rows)


def test_a_model_that_ignores_level_ignores_gain(sounds):
    class Direction:
        sample_rate = RATE

        def __call__(self, waveform):
            spectrum = np.abs(np.fft.rfft(waveform))[:, :256]
            return spectrum / np.linalg.norm(spectrum, axis=1, keepdims=True)

    result = measure(sounds, Direction(), max_clips=20)
    assert result["num_clips"] == 20
    for row in result["rows"]:
        if row["kind"] == "gain":
            assert row["cosine"] == pytest.approx(1, abs=1e-5)
            assert row["mean"] == result["clean"]["mean"]


def test_background_of_recordings(sounds, tmp_path):
    result = measure(sounds, noise=str(sounds / "background"), max_clips=15)
    kinds = {row["kind"] for row in result["rows"]}
    assert kinds == {"background noise", "gain", "pitch", "time shift"}
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="`noise` must be a folder of recordings"):
        measure(sounds, noise=str(tmp_path / "empty"))


def test_noise_is_what_decodes_and_is_checked_before_the_work(sounds, tmp_path, caplog):
    folder = tmp_path / "noise"
    folder.mkdir()
    (folder / "README").write_text("recorded by the river")
    (folder / "hum.wav").write_bytes((sounds / "background" / "hum.wav").read_bytes())
    (folder / "broken.wav").write_bytes(b"garbage")
    caplog.set_level("INFO", "train_lib")
    expected = measure(sounds, noise=str(sounds / "background"), max_clips=10)
    assert measure(sounds, noise=str(folder), max_clips=10)["rows"] == expected["rows"]
    assert "1 file was left out by ending (1 without an ending)" in caplog.text
    assert "Left out of the noise: " in caplog.text and "broken.wav" in caplog.text

    os.remove(folder / "hum.wav")

    def embed(*arguments, **options):
        raise AssertionError("the work has begun")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedding, "embed_task", embed)
        with pytest.raises(UserError, match="none of whose 1 can be used.*broken.wav"):
            measure(sounds, noise=str(folder))


def test_a_full_temporary_folder_is_an_error_in_words(sounds, monkeypatch):
    """The disk gets full among the perturbed clips, as writing reports it."""
    append, embed_task = store.EmbeddingWriter.append, embedding.embed_task

    def fill(self, batch):
        if self._rows > 100:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        append(self, batch)

    def embed(*arguments, **options):
        embedded = embed_task(*arguments, **options)
        monkeypatch.setattr(store.EmbeddingWriter, "append", fill)
        return embedded

    monkeypatch.setattr(embedding, "embed_task", embed)
    with pytest.raises(UserError, match="must fit on disk.*No space.*TMPDIR"):
        measure(sounds, max_clips=20)


def test_command_writes_json_and_markdown(sounds, tmp_path):
    output = tmp_path / "robustness.json"
    done = commands.run(
        "train_lib.robustness",
        "--model=logmel",
        f"--metadata={sounds / 'tones.csv'}",
        f"--audio={sounds}",
        "--unit_seconds=0.5",
        "--lr=3e-3",
        "--seeds=1",
        "--max_clips=10",
        f"--output={output}",
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(output.read_text())["num_clips"] == 10
    assert "| pitch | +1 semitone |" in (tmp_path / "robustness.md").read_text()
    assert (tmp_path / "robustness.md").read_text() in done.stdout
