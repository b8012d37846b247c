"""Linear evaluation from files to the JSON of the command."""

import json
import os
import subprocess
import tempfile
import threading

import keras
import numpy as np
import pytest
import soundfile

from byola_tf import audio, checkpoint, log_mel_spectrogram
from byola_tf.config import Config, EncoderConfig
from byola_tf.errors import UserError
from byola_tf.networks.encoder import Encoder
from byola_tf.normalize import Statistics
from tests import commands, odd_audio
from train_lib.probe import crops as probe_crops
from train_lib.probe import embedding
from train_lib.probe.linear import linear_probe
from train_lib.probe.models import floors
from train_lib.probe.results import table
from train_lib.probe.tasks import tasks
from train_lib.probe.tasks.presets import prepare

RATE = 16000
NUM_CLIPS = 60
CLASSES = ("hum", "noise", "whistle")


def sound(row, num_samples):
    random = np.random.default_rng(row)
    time = np.arange(num_samples) / RATE
    waveform = 0.01 * random.standard_normal(num_samples)
    match CLASSES[row % 3]:
        case "hum":
            waveform += 0.3 * np.sin(2 * np.pi * random.uniform(100, 200) * time)
        case "noise":
            waveform *= 20
        case "whistle":
            waveform += 0.3 * np.sin(2 * np.pi * random.uniform(2e3, 3e3) * time)
    return waveform.astype(np.float32)


@pytest.fixture(scope="session")
def sounds(tmp_path_factory):
    """A folder of 60 sounds of 3 classes: folds.csv and splits.csv."""
    folder = tmp_path_factory.mktemp("sounds")
    folds, splits = ["file_name,label,fold"], ["file_name,label,split"]
    for row in range(NUM_CLIPS):
        # shorter than, equal to and longer than the unit of 0.5 s
        num_samples = (6000, 8000, 12000, 16000)[row // 3 % 4]
        soundfile.write(folder / f"{row}.wav", sound(row, num_samples), RATE)
        folds.append(f"{row}.wav,{CLASSES[row % 3]},{row // 3 % 5 + 1}")
        part = ("train", "train", "train", "valid", "test")[row // 3 % 5]
        splits.append(f"{row}.wav,{CLASSES[row % 3]},{part}")
    (folder / "folds.csv").write_text("\n".join(folds))
    (folder / "splits.csv").write_text("\n".join(splits))
    return folder


@pytest.fixture
def broken(sounds, tmp_path):
    """Copies the sounds, with the given rows replaced by garbage."""

    def copy(rows):
        for path in sounds.iterdir():
            (tmp_path / path.name).write_bytes(path.read_bytes())
        for row in rows:
            (tmp_path / f"{row}.wav").write_bytes(b"garbage")
        return tmp_path

    return copy


class Recorder:
    """An embedder that keeps the waveforms it was given."""

    sample_rate = RATE

    def __init__(self):
        self.waveforms = []

    def __call__(self, waveform):
        self.waveforms.extend(waveform)
        return waveform[:, :16]


def read(sounds, name="folds"):
    return tasks.read_task(str(sounds / f"{name}.csv"), str(sounds))


class TestEmbedding:
    def test_crops_follow_the_protocol(self, sounds):
        task, recorder = read(sounds), Recorder()
        embedded = embedding.embed_task(task, recorder, 0.5)
        crops = np.array(recorder.waveforms)
        assert crops.shape[1] == 8000
        moved = set()
        for row in range(NUM_CLIPS):
            waveform = audio.load(task.path(row), RATE)
            padded = np.pad(waveform, (0, max(0, 8000 - len(waveform))))
            tested = crops[embedded.testing[row]]
            trained = crops[embedded.training[row]]
            np.testing.assert_array_equal(tested, padded[:8000])
            windows = np.lib.stride_tricks.sliding_window_view(padded, 8000)
            starts = np.flatnonzero((windows == trained).all(axis=1))
            assert len(starts) == 1
            moved.add(int(starts[0]))
        assert len(moved) > 20 and max(moved) < 8000

    @pytest.mark.parametrize("rate", [44_100, 16_000])
    def test_a_long_recording_is_read_in_pieces(self, tmp_path, monkeypatch, rate):
        sound = np.random.default_rng(0).normal(0, 0.1, (700_001, 2)).astype("f")
        path = str(tmp_path / "long.flac")
        soundfile.write(path, sound, rate)
        whole = audio.load(path, RATE)
        starts = [0, 1, 8000, 200_000, len(whole) - 8001, len(whole) - 50, len(whole)]
        monkeypatch.setattr(probe_crops, "LONG_SECONDS", 1)
        monkeypatch.setattr(audio, "load", None)
        counted = []
        found = probe_crops.read_crops(
            path, RATE, 8000, lambda count: counted.append(count) or starts
        )
        assert counted == [len(whole)]
        for start, crop in zip(starts, found, strict=True):
            expected = probe_crops.unit_crop(whole, start, 8000)
            np.testing.assert_array_equal(crop, expected)

    def test_split_embeds_each_file_once(self, sounds):
        task, recorder = read(sounds, "splits"), Recorder()
        embedded = embedding.embed_task(task, recorder, 0.5)
        assert len(recorder.waveforms) == NUM_CLIPS
        assert ((embedded.testing >= 0) == (np.array(task.parts) == "test")).all()
        assert ((embedded.training >= 0) == (np.array(task.parts) != "test")).all()

    def test_decodes_once_and_repeats_exactly(self, sounds, monkeypatch):
        decoded = []
        load = audio.load
        monkeypatch.setattr(
            audio, "load", lambda *args: decoded.append(args) or load(*args)
        )
        first = embedding.embed_task(read(sounds), floors.LogMelFloor(), 0.5)
        assert len(decoded) == NUM_CLIPS
        again = embedding.embed_task(
            read(sounds), floors.LogMelFloor(), 0.5, batch_size=7
        )
        np.testing.assert_allclose(first.features, again.features, atol=1e-5)
        assert first.statistics == again.statistics

    @pytest.mark.parametrize("kept_bytes", [0, 2**29])
    def test_statistics_are_those_of_the_first_fold(
        self, sounds, monkeypatch, kept_bytes
    ):
        monkeypatch.setattr("train_lib.probe.crops.KEPT_BYTES", kept_bytes)
        task, recorder = read(sounds), Recorder()
        statistics = embedding.embed_task(task, floors.LogMelFloor(), 0.5).statistics
        embedded = embedding.embed_task(task, recorder, 0.5)
        train = task.folds()[0].train
        crops = np.array(recorder.waveforms)[embedded.training[train]]
        log_mel = log_mel_spectrogram(crops, Config().frontend).numpy()
        assert statistics.num_crops == len(train) == 48
        assert statistics.mean == pytest.approx(log_mel.mean(dtype=np.float64))
        assert statistics.std == pytest.approx(log_mel.std(dtype=np.float64))

    def test_statistics_take_a_limited_number_of_crops(self, sounds, monkeypatch):
        monkeypatch.setattr(embedding, "STATISTICS_CROPS", 10)
        embedded = embedding.embed_task(read(sounds), floors.LogMelFloor(), 0.5)
        assert embedded.statistics.num_crops == 10

    def test_resamples_to_the_rate_of_the_model(self, sounds):
        recorder = Recorder()
        recorder.sample_rate = 8000
        embedding.embed_task(read(sounds), recorder, 0.5)
        assert recorder.waveforms[0].shape == (4000,)

    def test_log_mel_floor_is_mean_and_deviation_over_time(self):
        floor = floors.LogMelFloor().with_statistics(-7.0, 4.0)
        waveform = np.stack([sound(0, 8000), sound(1, 8000)])
        log_mel = (log_mel_spectrogram(waveform, Config().frontend) + 7.0) / 4.0
        expected = np.concatenate([log_mel.numpy().mean(1), log_mel.numpy().std(1)], 1)
        np.testing.assert_allclose(floor(waveform), expected, atol=1e-5)
        assert expected.shape == (2, floor.embedding_size) == (2, 128)

    def test_refuses_a_model_that_diverged(self, sounds):
        recorder = Recorder()
        recorder.__class__ = type(
            "Diverged",
            (Recorder,),
            {"__call__": lambda self, waveform: np.full((len(waveform), 3), np.nan)},
        )
        with pytest.raises(UserError, match="must be finite. Received: NaN"):
            embedding.embed_task(read(sounds), recorder, 0.5)


class TestLinearProbe:
    def probe(self, folder, model="logmel", name="folds", **options):
        return linear_probe(
            model, str(folder / f"{name}.csv"), str(folder), 0.5, **options
        )

    @pytest.mark.parametrize("name, num_runs", [("folds", 15), ("splits", 3)])
    def test_hears_the_difference(self, sounds, name, num_runs):
        probe = self.probe(sounds, name=name)
        result = json.loads(json.dumps(probe.result))
        assert result["task"] == name and result["model"] == "logmel"
        assert result["metric"] == "accuracy"
        assert result["mean"] == pytest.approx(1, abs=0.05)
        assert len(result["runs"]) == num_runs
        assert result["learning_rate_source"] == "validation"
        assert result["classes"] == list(CLASSES)
        num_tested = NUM_CLIPS if name == "folds" else 12
        assert np.sum(result["confusion_matrix"]) == 3 * num_tested
        assert probe.embeddings.shape == (NUM_CLIPS, 128)
        assert [probe.classes[label] for label in probe.labels[:3]] == list(CLASSES)
        assert "accuracy" in table(result)

    def test_random_encoder_depends_on_its_seed_alone(self, sounds):
        config = Config(encoder=EncoderConfig(hidden_units=16, output_units=16))
        waveform = np.stack([sound(0, 8000)])
        first, again, other = (
            np.array(floors.random_encoder(seed, config)(waveform))
            for seed in (1, 1, 2)
        )
        np.testing.assert_array_equal(first, again)
        assert np.abs(first - other).max() > 0.01

    def test_an_embedder_keeps_its_own_statistics(self, sounds):
        config = Config(encoder=EncoderConfig(hidden_units=16, output_units=16))
        embedder = floors.random_encoder(1, config)
        waveform = np.stack([sound(0, 8000)])
        before = np.array(embedder(waveform))
        result = self.probe(sounds, embedder, seeds=[42], model_name="mine").result
        np.testing.assert_array_equal(before, np.array(embedder(waveform)))
        assert result["model"] == "mine"
        assert result["statistics"]["num_crops"] == 48
        assert result["std"] is None and result["ci95"] is None

    def test_opens_a_checkpoint(self, sounds, tmp_path):
        config = Config(encoder=EncoderConfig(hidden_units=16, output_units=16))
        keras.utils.set_random_seed(3)
        opened = checkpoint.Checkpoint(
            Encoder(config.encoder), config, Statistics(-8.0, 4.0), {}
        )
        checkpoint.save(str(tmp_path), opened)
        options = {"seeds": [42], "learning_rate": 1e-3}
        by_path = self.probe(sounds, str(tmp_path), **options)
        in_memory = self.probe(sounds, floors.random_encoder(3, config), **options)
        assert by_path.result["model"] == str(tmp_path)
        np.testing.assert_allclose(
            by_path.embeddings, in_memory.embeddings, rtol=1e-4, atol=1e-5
        )
        assert by_path.result["mean"] == in_memory.result["mean"]

    def test_a_class_that_loses_its_test_files_is_not(self, broken):
        folder = broken([12])
        rows = (folder / "splits.csv").read_text().splitlines()
        for row, part in ((0, "train"), (3, "train"), (9, "valid"), (12, "test")):
            rows[row + 1] = f"{row}.wav,rare,{part}"
        (folder / "splits.csv").write_text("\n".join(rows))
        result = self.probe(folder, name="splits", seeds=[42]).result
        assert result["skipped"][0]["file_name"] == "12.wav"
        (rare,) = [row for row in result["per_class"] if row["class"] == "rare"]
        assert rare == {"class": "rare", "clips": 3, "test_clips": 0, "accuracy": None}

    def test_given_and_published_learning_rates(self, sounds, tmp_path):
        given = self.probe(sounds, Recorder(), learning_rate="2e-3", seeds=[42]).result
        assert given["learning_rate"] == 2e-3
        assert given["learning_rate_source"] == "given"

        (tmp_path / "us8k.csv").write_bytes((sounds / "folds.csv").read_bytes())
        arguments = (str(tmp_path / "us8k.csv"), str(sounds))
        published = linear_probe(Recorder(), *arguments, seeds=[42]).result
        assert published["learning_rate"] == 3e-5
        assert published["learning_rate_source"] == "published"
        assert published["unit_seconds"] == 4.0
        floor = linear_probe("logmel", *arguments, 0.5, seeds=[42]).result
        assert floor["learning_rate_source"] == "validation"

    def test_a_few_broken_files_are_skipped_and_listed(self, broken):
        probe = self.probe(broken([3, 31]))
        assert [file["file_name"] for file in probe.result["skipped"]] == [
            "3.wav",
            "31.wav",
        ]
        assert "does not decode" in probe.result["skipped"][0]["reason"]
        assert probe.result["num_clips"] == len(probe.embeddings) == 58
        assert np.sum(probe.result["confusion_matrix"]) == 3 * 58
        assert "2 broken files: 3.wav, 31.wav" in table(probe.result)

    def test_a_task_of_odd_previews_is_read_as_far_as_it_decodes(self, tmp_path):
        """Cut at the end, begun inside a frame, with tags of others around them."""
        names = ("cut_preview", "begun_inside", "icy", "junk_behind")
        previews = odd_audio.mp3s()
        rows = ["file_name,label,split"]
        for row in range(40):
            (tmp_path / f"{row}.mp3").write_bytes(
                previews[f"{names[row // 2 % 4]}.mp3"].content
            )
            part = ("train", "train", "valid", "test")[row // 8 % 4]
            rows.append(f"{row}.mp3,{'ab'[row % 2]},{part}")
        (tmp_path / "previews.csv").write_text("\n".join(rows))
        task = read(tmp_path, "previews")
        embedded = embedding.embed_task(task, Recorder(), 0.1)
        assert embedded.skipped == {} and len(embedded.rows) == 40

    def test_many_broken_files_are_an_error(self, broken):
        with pytest.raises(UserError, match="At most 10%.*at least 7 of 60; the first"):
            self.probe(broken(range(20, 27)))

    def test_a_class_that_loses_its_training_files_is_an_error(self, broken, tmp_path):
        folder = broken([0, 3])
        rows = (folder / "splits.csv").read_text().splitlines()
        for row, part in ((0, "train"), (3, "train"), (9, "valid"), (12, "test")):
            rows[row + 1] = f"{row}.wav,rare,{part}"
        (folder / "splits.csv").write_text("\n".join(rows))
        with pytest.raises(
            UserError, match="training files.*'rare'.*2 broken files were left"
        ):
            self.probe(folder, name="splits")

    @pytest.mark.parametrize(
        "options, message",
        [
            ({"learning_rate": "fast"}, "`lr` must be a positive number, several"),
            ({"learning_rate": -1}, "`lr` must be a positive number"),
            ({"seeds": ["4", "x"]}, "`seeds` must be different integers"),
            ({"seeds": [4, 4]}, "`seeds` must be different integers"),
            ({"model": "/nowhere"}, "A model must be"),
        ],
    )
    def test_bad_options(self, sounds, options, message):
        with pytest.raises(UserError, match=message):
            self.probe(sounds, **options)

    def test_given_rates_are_searched(self, sounds):
        result = self.probe(
            sounds, Recorder(), learning_rate="1e-4,1e-2", seeds=[1]
        ).result
        assert result["learning_rate_source"] == "validation"
        rates = [point["learning_rate"] for point in result["learning_rate_curve"]]
        assert rates == [1e-4, 1e-2]

    @pytest.mark.parametrize("seconds", [None, 0, -1, float("nan"), 1e-6])
    def test_bad_unit(self, sounds, seconds):
        with pytest.raises(UserError, match="`unit_seconds` must be"):
            linear_probe("logmel", str(sounds / "folds.csv"), str(sounds), seconds)


class TestCache:
    def embed(self, sounds, cache, name="folds", embedder=None, seconds=0.5):
        """Embeddings, and how many files were decoded for them."""
        decoded = []
        load = audio.load
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                audio, "load", lambda *args: decoded.append(args) or load(*args)
            )
            embedded = embedding.embed_task(
                read(sounds, name), embedder or self.floor(), seconds, cache=str(cache)
            )
        return embedded, len(decoded)

    def floor(self, fingerprint="logmel"):
        floor = floors.LogMelFloor()
        floor.fingerprint = fingerprint
        return floor

    def test_embeds_once(self, sounds, tmp_path):
        first, decoded = self.embed(sounds, tmp_path)
        assert decoded == NUM_CLIPS
        again, decoded = self.embed(sounds, tmp_path)
        assert decoded == 0
        assert again.folder == first.folder and again.folder.startswith(str(tmp_path))
        np.testing.assert_array_equal(first.features, again.features)
        for name in ("rows", "training", "testing"):
            np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
        assert first.statistics == again.statistics

    def test_the_model_keeps_the_statistics_of_the_task(self, sounds, tmp_path):
        for _ in range(2):  # embedded, and found
            floor = self.floor()
            found, _ = self.embed(sounds, tmp_path, embedder=floor)
            assert floor.statistics.mean == found.statistics.mean != 0

    def test_no_room_is_said(self, sounds, tmp_path):
        (tmp_path / "cache").write_text("in the way")
        with pytest.raises(UserError, match="must be written to disk.*--cache"):
            self.embed(sounds, tmp_path / "cache")

    def test_two_at_once_embed_once(self, sounds, tmp_path):
        """The one that comes later waits, then takes what is there."""
        found, decoded = [], []
        load = audio.load

        def embed():
            task = read(sounds, "folds")
            found.append(
                embedding.embed_task(task, self.floor(), 0.5, cache=str(tmp_path))
            )

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                audio, "load", lambda *args: decoded.append(args) or load(*args)
            )
            threads = [threading.Thread(target=embed) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert len(decoded) == NUM_CLIPS
        np.testing.assert_array_equal(found[0].features, found[1].features)

    def test_what_a_killed_run_left_in_the_temporary_folder_goes(
        self, sounds, tmp_path, monkeypatch
    ):
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        ended = subprocess.Popen(["true"])
        ended.wait()
        left = tmp_path / f"byola-embeddings-{ended.pid}-abc"
        left.mkdir()
        alive = tmp_path / f"byola-embeddings-{os.getppid()}-abc"
        alive.mkdir()
        embedded = embedding.embed_task(read(sounds, "folds"), self.floor(), 0.5)
        assert not left.exists() and alive.exists()
        assert len(embedded.features)

    def test_equals_embedding_without_a_cache(self, sounds, tmp_path):
        cached, _ = self.embed(sounds, tmp_path)
        plain = embedding.embed_task(read(sounds), self.floor(), 0.5)
        assert not plain.folder
        np.testing.assert_array_equal(cached.features, plain.features)

    def test_everything_that_matters_makes_another_entry(self, sounds, tmp_path):
        folder = tmp_path / "sounds"
        folder.mkdir()
        for path in sounds.iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        cache = tmp_path / "cache"
        assert self.embed(folder, cache)[1] == NUM_CLIPS
        assert self.embed(folder, cache, embedder=self.floor("other"))[1] == NUM_CLIPS
        assert self.embed(folder, cache, seconds=0.4)[1] == NUM_CLIPS
        assert self.embed(folder, cache, name="splits")[1] == NUM_CLIPS
        config = Config()
        config.frontend.f_min = 100.0
        other = floors.LogMelFloor(config)
        other.fingerprint = "logmel"
        assert self.embed(folder, cache, embedder=other)[1] == NUM_CLIPS
        soundfile.write(folder / "7.wav", sound(8, 8000), RATE)
        assert self.embed(folder, cache)[1] == NUM_CLIPS
        assert self.embed(folder, cache)[1] == 0
        assert len(list(cache.iterdir())) == 6

    def test_a_damaged_entry_is_made_anew(self, sounds, tmp_path):
        first, _ = self.embed(sounds, tmp_path)
        expected = np.array(first.features)
        folder = first.folder
        del first
        for name in ("embeddings.npy", "crops.npz"):
            with open(f"{folder}/{name}", "r+b") as file:
                file.truncate(200)
            again, decoded = self.embed(sounds, tmp_path)
            assert decoded == NUM_CLIPS
            np.testing.assert_array_equal(again.features, expected)

    def test_broken_files_are_remembered(self, broken, tmp_path_factory):
        folder, cache = broken([3]), tmp_path_factory.mktemp("cache")
        first, _ = self.embed(folder, cache)
        again, _ = self.embed(folder, cache)
        assert first.skipped == again.skipped and list(again.skipped) == [3]

    def test_a_model_without_a_fingerprint_is_not_cached(self, sounds, tmp_path):
        embedded, _ = self.embed(sounds, tmp_path, embedder=Recorder())
        assert not embedded.folder and not list(tmp_path.iterdir())

    def test_an_error_leaves_nothing(self, sounds, tmp_path):
        recorder = Recorder()
        recorder.fingerprint = "broken"
        recorder.__class__ = type(
            "Diverged",
            (Recorder,),
            {"__call__": lambda self, waveform: np.full((len(waveform), 3), np.nan)},
        )
        with pytest.raises(UserError, match="must be finite"):
            self.embed(sounds, tmp_path, embedder=recorder)
        assert not list(tmp_path.iterdir())


class TestPreparedTasks:
    @pytest.fixture(scope="class")
    def events(self, sounds, tmp_path_factory):
        """The sounds as a partial FSD50K: a hum is also a Rain, with labels."""
        source = tmp_path_factory.mktemp("fsd50k")
        truth = source / "FSD50K.ground_truth"
        truth.mkdir()
        dev, evaluation = ["fname,labels,mids,split"], ["fname,labels,mids"]
        labels = {"hum": '"Rain,Applause"', "noise": "Rain", "whistle": "Idling"}
        for row in range(NUM_CLIPS):
            label = labels[CLASSES[row % 3]]
            part = ("train", "train", "train", "val", "test")[row // 3 % 5]
            if part == "test":
                evaluation.append(f"{row},{label},m")
            else:
                dev.append(f"{row},{label},m,{part}")
            folder = source / f"FSD50K.{'eval' if part == 'test' else 'dev'}_audio"
            folder.mkdir(exist_ok=True)
            (folder / f"{row}.wav").write_bytes((sounds / f"{row}.wav").read_bytes())
        (truth / "dev.csv").write_text("\n".join(dev))
        (truth / "eval.csv").write_text("\n".join(evaluation))
        return source

    @pytest.mark.newest_smoke
    def test_several_labels_from_download_to_result(self, events, tmp_path):
        output = tmp_path / "task"
        prepare.prepare("fsd50k", str(events), str(output), partial=True)
        probe = linear_probe(
            floors.LogMelFloor(), str(output / "fsd50k.csv"), str(output), 0.5
        )
        result = json.loads(json.dumps(probe.result, allow_nan=False))
        assert result["metric"] == "mAP" and result["mean"] > 0.95
        assert result["learning_rate"] == 3e-4
        assert result["learning_rate_source"] == "published"
        assert result["multi_label"] and result["confusion_matrix"] is None
        assert result["partial"] and result["split"] == "the published split"
        assert result["counts"] == {"train": 36, "valid": 12, "test": 12}
        assert result["expected_counts"]["train"] == 36796
        assert list(result["metrics"]) == [
            "AUC",
            "d_prime",
            "mAP_single",
            "mAP_sequential",
            "mAP_scene",
            "mAP",
        ]
        by_class = {row["class"]: row for row in result["per_class"]}
        assert list(by_class) == ["Applause", "Idling", "Rain"]
        assert by_class["Rain"]["clips"] == 40 and by_class["Rain"]["test_clips"] == 8
        for subset, name in (("scene", "Applause"), ("sequential", "Idling")):
            score = result["metrics"][f"mAP_{subset}"]["mean"]
            assert score == pytest.approx(by_class[name]["AP"])
        assert probe.labels.shape == (NUM_CLIPS, 3)
        text = table(result)
        assert "mAP_scene" in text and "incomplete copy" in text

    def test_copies_below_the_rate_of_the_model_are_an_error(self, events, tmp_path):
        output = tmp_path / "task"
        prepare.prepare(
            "fsd50k", str(events), str(output), partial=True, sample_rate=8000
        )
        arguments = (str(output / "fsd50k.csv"), str(output), 0.5)
        with pytest.raises(
            UserError, match="copies at 8000 Hz of task 'fsd50k' for a model of 16000"
        ):
            linear_probe(floors.LogMelFloor(), *arguments)
        recorder = Recorder()
        recorder.sample_rate = 8000
        assert linear_probe(recorder, *arguments, seeds=[1]).result["partial"]

    def test_a_prepared_folder_brings_its_unit(self, sounds, tmp_path):
        source, output = tmp_path / "source", tmp_path / "task"
        for row in range(NUM_CLIPS):
            folder = source / CLASSES[row % 3]
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{row}.wav").write_bytes((sounds / f"{row}.wav").read_bytes())
        facts = prepare.prepare("noises", str(source), str(output))
        result = linear_probe(
            Recorder(), str(output / "noises.csv"), str(output), seeds=[1]
        ).result
        assert result["unit_seconds"] == facts["unit_seconds"] == 0.62
        assert result["split"] == facts["split"] and not result["partial"]


class TestCommand:
    def run(self, *arguments):
        return commands.run("train_lib.linear_probe", *arguments)

    def test_writes_the_result(self, sounds, tmp_path):
        output = tmp_path / "results" / "floor.json"
        done = self.run(
            "--model=logmel",
            f"--metadata={sounds / 'folds.csv'}",
            f"--audio={sounds}",
            "--unit_seconds=0.5",
            "--seeds=1,2",
            "--lr=3e-3",
            f"--output={output}",
        )
        assert done.returncode == 0, done.stderr
        result = json.loads(output.read_text())
        assert result["seeds"] == [1, 2] and result["learning_rate"] == 3e-3
        assert len(result["map"]["points"]) == result["num_clips"]
        assert "accuracy" in done.stdout and str(output) in done.stdout
        assert [path.name for path in output.parent.iterdir()] == ["floor.json"]
        assert os.listdir(os.path.join(os.environ["BYOLA_CACHE"], "embeddings"))

    def test_a_user_fault_is_one_line_and_status_2(self, sounds, tmp_path):
        output = tmp_path / "floor.json"
        output.write_text("precious")
        done = self.run(
            "--model=logmel",
            f"--metadata={sounds / 'none.csv'}",
            f"--audio={sounds}",
            "--unit_seconds=0.5",
            f"--output={output}",
        )
        assert done.returncode == 2
        assert done.stderr.strip().splitlines()[-1].startswith("error: `metadata` must")
        assert "Traceback" not in done.stderr
        assert output.read_text() == "precious"


@pytest.mark.slow
@pytest.mark.parametrize(
    "model, floor, tolerance", [("logmel", 76, 4), ("random", 86, 3)]
)
def test_floors_of_esc10(shared, model, floor, tolerance):
    """Measured in PyTorch: log-mel 76.2, random v2 encoder 86.0 %."""
    folder = shared / "data" / "esc10"
    result = linear_probe(model, str(folder / "esc10.csv"), str(folder), 5.0).result
    assert 100 * result["mean"] == pytest.approx(floor, abs=tolerance)
    assert not result["skipped"]
