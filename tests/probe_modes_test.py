"""Neighbours, few labels, fine-tuning, and how far a score can be trusted."""

import json
import unicodedata

import keras
import numpy as np
import pytest
import soundfile
from absl import flags
from absl.testing import flagsaver
from scipy import stats
from sklearn import neighbors

from byola_tf import checkpoint
from byola_tf.config import Config, EncoderConfig
from byola_tf.errors import UserError
from byola_tf.networks.encoder import Encoder
from byola_tf.normalize import Statistics
from tests import commands
from train_lib import compare
from train_lib.probe.judging import (
    classifier,
    few_shot,
    finetune,
    neighbours,
    significance,
)
from train_lib.probe.linear import linear_probe
from train_lib.probe.models import opening
from train_lib.probe.report import checking
from train_lib.probe.results import table
from train_lib.probe.tasks import tasks

RATE = 16000
CONFIG = Config(
    encoder=EncoderConfig(channels=8, hidden_units=24, output_units=16, dropout=0.1)
)


def blobs(num_clips=240, size=12, num_classes=4, spread=1.0, seed=0):
    """Gaussian classes, float32 [clips, d] and bool [clips, classes]."""
    random = np.random.default_rng(seed)
    labels = np.arange(num_clips) % num_classes
    centres = random.standard_normal((num_classes, size))
    noise = spread * random.standard_normal((num_clips, size))
    features = (centres[labels] + noise).astype(np.float32)
    return features, labels[:, None] == np.arange(num_classes)


def split(num_clips, seed=0):
    order = np.random.default_rng(seed).permutation(num_clips)
    train, valid, test = np.split(order, [num_clips // 2, 3 * num_clips // 4])
    return tasks.Fold("split", train, valid, test)


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    """A folder of 48 low and high tones in noise, with splits.csv."""
    folder = tmp_path_factory.mktemp("sounds")
    rows = ["file_name,label,split"]
    for row in range(48):
        random = np.random.default_rng(row)
        time = np.arange(RATE // 2) / RATE
        hertz = random.uniform(200, 600) if row % 2 else random.uniform(2000, 5000)
        waveform = 0.2 * np.sin(2 * np.pi * hertz * time)
        waveform += 0.05 * random.standard_normal(len(time))
        soundfile.write(folder / f"{row}.wav", waveform, RATE)
        part = ("train", "train", "valid", "test")[row // 2 % 4]
        rows.append(f"{row}.wav,{('high', 'low')[row % 2]},{part}")
    (folder / "splits.csv").write_text("\n".join(rows))
    return folder


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A checkpoint folder of a small untrained encoder."""
    folder = tmp_path_factory.mktemp("small")
    keras.utils.set_random_seed(1)
    encoder = Encoder(CONFIG.encoder)
    checkpoint.save(
        str(folder), checkpoint.Checkpoint(encoder, CONFIG, Statistics(-7.0, 4.0), {})
    )
    return str(folder)


class TestNeighbours:
    def test_one_neighbour_equals_scikit_learn(self):
        features, targets = blobs()
        fold = split(len(features))
        evaluation = neighbours.evaluate(
            features, targets, [fold], seeds=[42], numbers=[1]
        )
        standardizer = classifier.Standardizer.fit(features, fold.train)
        reference = neighbors.KNeighborsClassifier(1, metric="cosine")
        labels = targets.argmax(axis=1)
        reference.fit(standardizer(features[fold.train]), labels[fold.train])
        expected = reference.predict(standardizer(features[fold.test]))
        np.testing.assert_array_equal(evaluation.logits[0].argmax(axis=1), expected)
        assert evaluation.mean == (expected == labels[fold.test]).mean()

    def test_nearest_are_sorted_and_found_across_blocks(self, monkeypatch):
        monkeypatch.setattr(neighbours, "QUERIES_AT_A_TIME", 7)
        features, _ = blobs()
        rows, cosines = neighbours.nearest(features[:20], features, 5)
        np.testing.assert_array_equal(rows[:, 0], np.arange(20))
        np.testing.assert_allclose(cosines[:, 0], 1, atol=1e-6)
        assert (np.diff(cosines, axis=1) <= 0).all()

    def test_a_task_with_its_own_valid_part_is_one_run_without_interval(self):
        features, targets = blobs(spread=2.0)
        rows = np.arange(len(features))
        given = tasks.Fold("split", rows[:120], rows[120:160], rows[160:])
        evaluation = neighbours.evaluate(features, targets, [given], seeds=[42, 43, 44])
        assert len(evaluation.runs) == len(evaluation.scores) == 1
        assert evaluation.std is None and evaluation.ci95 is None
        drawn = tasks.Fold("split", rows[:160], None, rows[160:])
        evaluation = neighbours.evaluate(features, targets, [drawn], seeds=[42, 43, 44])
        assert len(evaluation.runs) == 3 and evaluation.ci95 is not None

    def test_number_is_chosen_on_validation(self):
        features, targets = blobs(spread=2.0)
        fold = split(len(features))
        evaluation = neighbours.evaluate(features, targets, [fold], seeds=[1, 2])
        search = evaluation.details["k_search"]
        best = max(trial["valid_score"] for trial in search)
        (chosen,) = evaluation.details["k"]
        assert {trial["k"] for trial in search} == set(neighbours.NUMBERS)
        assert any(
            trial["k"] == chosen and trial["valid_score"] == best for trial in search
        )

    def test_several_labels_a_clip(self):
        features, targets = blobs()
        targets = targets | np.roll(targets, 1, axis=1)
        evaluation = neighbours.evaluate(
            features,
            targets,
            [split(len(features))],
            seeds=[42],
            objective=classifier.MULTI_LABEL,
        )
        assert evaluation.metric == "mAP" and 0.8 < evaluation.mean <= 1

    def test_zero_embeddings_are_no_fault(self):
        features, targets = blobs()
        features[:] = 0
        evaluation = neighbours.evaluate(features, targets, [split(240)], seeds=[42])
        assert np.isfinite(evaluation.mean)


class TestFewShot:
    def test_more_shots_are_better(self):
        features, targets = blobs(spread=1.5)
        evaluation = few_shot.evaluate(features, targets, [split(len(features))])
        found = evaluation.details["few_shot"]
        assert list(found) == ["1", "5", "10"]
        assert found["1"]["mean"] < found["5"]["mean"] < found["10"]["mean"]
        assert len(found["1"]["scores"]) == few_shot.DRAWS
        assert found["1"]["ci95"] > 0
        assert evaluation.mean == found["10"]["mean"]

    def test_all_shots_are_the_nearest_class_mean(self):
        features, targets = blobs(num_clips=80)
        labels = targets.argmax(axis=1)
        rows = np.arange(80)
        fold = tasks.Fold("split", rows[:40], None, rows[40:])
        evaluation = few_shot.evaluate(features, targets, [fold], shots=[10], draws=2)
        standardizer = classifier.Standardizer.fit(features, fold.train)
        unit = neighbours.unit_length(standardizer(features))
        means = np.stack(
            [unit[:40][labels[:40] == label].mean(axis=0) for label in range(4)]
        )
        expected = (unit[40:] @ neighbours.unit_length(means).T).argmax(axis=1)
        for logits in evaluation.logits:
            np.testing.assert_array_equal(logits.argmax(axis=1), expected)

    def test_says_which_class_has_too_few(self):
        features, targets = blobs(num_clips=40)
        with pytest.raises(UserError, match="Received: . of 'c'.*--shots=1,5"):
            few_shot.evaluate(
                features, targets, [split(40)], shots=[1, 9], classes="ccccc"
            )
        targets = targets | np.roll(targets, 1, axis=1)
        with pytest.raises(UserError, match="one class a clip"):
            few_shot.evaluate(features, targets, [split(40)])


class TestFineTuning:
    def test_learns_what_the_frozen_head_cannot(self, sounds, small):
        task = tasks.read_task(str(sounds / "splits.csv"), str(sounds))
        opened = opening.open_encoder(small)
        before = [weight.copy() for weight in opened.encoder.get_weights()]
        schedule = finetune.TuningSchedule(3e-3, batch_size=8, max_epochs=6, patience=6)
        from train_lib.probe import embedding

        embedded = embedding.embed_task(task, finetune.LogMels(CONFIG), 0.5)
        assert embedded.features.shape == (48, 51 * 64)
        evaluation = finetune.evaluate(
            embedded.features,
            task.targets(embedded.rows),
            [embedded.fold(fold) for fold in task.folds()],
            opened,
            seeds=[42],
            schedule=schedule,
        )
        assert evaluation.mean > 0.8
        assert evaluation.details["schedule"]["batch_size"] == 8
        for old, new in zip(before, opened.encoder.get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)  # a copy was trained

    def test_one_epoch_moves_the_encoder_and_keeps_the_best(self, small):
        random = np.random.default_rng(0)
        log_mels = random.standard_normal((16, 20, 64)).astype(np.float32)
        targets = np.arange(16)[:, None] % 2 == np.arange(2)
        opened = opening.open_encoder(small)
        keras.utils.set_random_seed(0)
        schedule = finetune.TuningSchedule(1e-2, batch_size=5, max_epochs=4, patience=2)
        tuned = finetune.TunedModel(opened, 2, classifier.SINGLE_LABEL, schedule)
        rows = np.arange(16)
        tuned.prepare(log_mels, rows, np.random.default_rng(1))
        score, best, epochs = tuned.fit(
            log_mels, targets, rows[:12], rows[12:], np.random.default_rng(2)
        )
        assert 1 <= best <= epochs <= 4
        logits = tuned.logits(log_mels, rows[12:])
        assert score == (logits.argmax(1) == targets[12:].argmax(1)).mean()
        moved = zip(
            opened.encoder.trainable_variables,
            tuned.encoder.trainable_variables,
            strict=True,
        )
        assert all(np.abs(old - new).max() > 0 for old, new in moved)

    @pytest.mark.parametrize(
        "model, options, message",
        [
            ("logmel", {}, "must have an encoder of ours"),
            ("random", {"pooling": "max"}, "must be left out for --mode=finetune"),
            ("random", {"learning_rate": "search"}, "must be one number"),
            ("random", {"learning_rate": "1e-3,1e-4"}, "must be one number"),
        ],
    )
    def test_bad_options(self, sounds, model, options, message):
        with pytest.raises(UserError, match=message):
            linear_probe(
                model,
                str(sounds / "splits.csv"),
                str(sounds),
                0.5,
                mode="finetune",
                **options,
            )


class TestResults:
    @pytest.mark.parametrize("mode", ["linear", "knn", "few_shot", "finetune"])
    def test_every_mode_writes_its_predictions(self, sounds, small, mode, tmp_path):
        result = linear_probe(
            small,
            str(sounds / "splits.csv"),
            str(sounds),
            0.5,
            seeds=[42, 43],
            mode=mode,
            shots=[1, 3],
            learning_rate=None if mode == "finetune" else 1e-3,
        ).result
        (tmp_path / "result.json").write_text(json.dumps(result))
        result = checking.read(str(tmp_path / "result.json"))  # as the report does
        assert result["mode"] == mode and result["embedding_size"] == 16 * 8 + 16
        clips = result["clips"]
        assert len(clips["file_name"]) == len(set(clips["file_name"])) == 12
        predictions = np.array(clips["predictions"])
        num_runs = {"few_shot": few_shot.DRAWS, "knn": 1}.get(mode, 2)
        assert predictions.shape == (num_runs, 12)
        accuracies = (predictions == np.array(clips["label"])).mean(axis=1)
        np.testing.assert_allclose(accuracies, result["scores"])
        low, high = result["bootstrap95"]
        assert 0 <= low <= result["mean"] <= high <= 1
        assert {"knn": "neighbours", "few_shot": "3-shot"}.get(
            mode, "learning rate"
        ) in table(result)

    def test_layers_and_pooling_reach_the_model(self, sounds, small):
        arguments = small, str(sounds / "splits.csv"), str(sounds), 0.5
        result = linear_probe(
            *arguments, mode="knn", layers=["conv1", "mlp1"], pooling="max"
        ).result
        assert result["embedding_size"] == 32 * 8 + 24
        assert result["layers"] == ["conv1", "mlp1"] and result["pooling"] == "max"
        with pytest.raises(UserError, match="`mode` must be one of linear, knn"):
            linear_probe(*arguments, mode="guess")


class TestSignificance:
    def test_interval_equals_the_normal_one_of_many_clips(self):
        random = np.random.default_rng(0)
        correct = random.random((1, 4000)) < 0.8
        low, high = significance.bootstrap_interval(correct, np.zeros(4000))
        mean, half = correct.mean(), 1.96 * np.sqrt(0.16 / 4000)
        assert low == pytest.approx(mean - half, abs=0.001)
        assert high == pytest.approx(mean + half, abs=0.001)

    def test_folds_are_resampled_apart(self):
        values = np.concatenate([np.ones(10), np.zeros(30)])
        folds = np.repeat(["a", "b"], [10, 30])
        means = significance.resampled_means(values, folds, 50)
        np.testing.assert_allclose(means, 0.5)  # the mean of both folds, always

    def result(self, correct, model="model", task="sounds"):
        num_seeds, num_clips = correct.shape
        label = np.arange(num_clips) % 3
        return {
            "task": task,
            "model": model,
            "metric": "accuracy",
            "mean": float(correct.mean()),
            "classes": ["a", "b", "c"],
            "clips": {
                "file_name": [f"{clip}.wav" for clip in range(num_clips)],
                "fold": ["split"] * num_clips,
                "label": label.tolist(),
                "predictions": np.where(correct, label, (label + 1) % 3).tolist(),
            },
        }

    def test_finds_a_real_difference_and_no_other(self):
        random = np.random.default_rng(0)
        level = random.random(500)  # how hard a clip is
        weak, strong = (
            np.stack([level < share + random.normal(0, 0.02, 500) for _ in range(3)])
            for share in (0.70, 0.80)
        )
        found = significance.compare(self.result(weak), self.result(strong))
        assert found.difference == pytest.approx(strong.mean() - weak.mean())
        assert found.interval[0] > 0.05 and found.interval[1] < 0.15
        assert found.p_bootstrap < 0.001 and found.p_mcnemar < 0.001
        backwards = significance.compare(self.result(strong), self.result(weak))
        assert backwards.difference == -found.difference
        assert backwards.p_mcnemar == found.p_mcnemar
        same = significance.compare(self.result(weak), self.result(weak))
        assert same.p_bootstrap == same.p_mcnemar == 1 and same.interval == (0, 0)

    def test_p_values_are_rarely_small_without_a_difference(self):
        random = np.random.default_rng(1)
        small = 0
        for _ in range(100):
            first, second = random.random((2, 1, 200)) < 0.7
            found = significance.compare(
                self.result(first), self.result(second), resamples=500
            )
            small += found.p_bootstrap < 0.05
        assert small <= stats.binom.ppf(0.9999, 100, 0.05)

    def test_order_of_clips_does_not_matter(self):
        random = np.random.default_rng(0)
        first, second = random.random((2, 1, 50)) < 0.7
        result, turned = self.result(first), self.result(second)
        expected = significance.compare(result, turned)
        for name in ("file_name", "fold", "label"):
            turned["clips"][name].reverse()
        turned["clips"]["predictions"] = [turned["clips"]["predictions"][0][::-1]]
        assert significance.compare(result, turned) == expected

    def test_refuses_what_cannot_be_compared(self):
        correct = np.ones((1, 9), bool)
        result = self.result(correct)
        with pytest.raises(UserError, match="the same task.*'sounds' and 'others'"):
            significance.compare(result, self.result(correct, task="others"))
        with pytest.raises(UserError, match="same test clips.*Received: 1 that differ"):
            significance.compare(result, self.result(correct[:, :8]))
        with pytest.raises(UserError, match="must hold its predictions"):
            significance.compare(result, {**result, "clips": None})
        with pytest.raises(UserError, match="must be a JSON file of byola probe"):
            significance.read_result(__file__)

    WRONG = {
        "a list": "[1, 2]",
        "nested deeply": "[" * 100_000,
        "no JSON": "task,mean",
        "a mean that is text": {"mean": "high"},
        "a mean that is NaN": {"mean": float("nan")},
        "a task that is a number": {"task": 7},
        "no metric": {"metric": None},
        "classes that are text": {"classes": "abc"},
        "clips that are a list": {"clips": [1]},
        "clips without labels": {"clips": {"file_name": ["a"], "fold": ["1"]}},
        "names that are numbers": {"file_name": [1] * 9},
        "labels that are text": {"label": ["a"] * 9},
        "labels that are too few": {"label": [0]},
        "predictions that are numbers": {"predictions": [1, 2]},
        "predictions that are too few": {"predictions": [[1, 2]]},
        "no predictions": {"predictions": []},
        "no clips at all": {
            "clips": dict.fromkeys(("file_name", "fold", "label", "predictions"), [])
        },
    }

    @pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
    def test_a_result_of_another_program_is_named(self, tmp_path, wrong):
        path = tmp_path / "foreign.json"
        result = self.result(np.ones((1, 9), bool))
        if isinstance(wrong, str):
            path.write_text(wrong)
        else:
            (name,) = wrong
            (result["clips"] if name in result["clips"] else result).update(wrong)
            path.write_text(json.dumps(result))
        with pytest.raises(UserError, match="foreign.json") as error:
            significance.read_result(str(path))
        assert "\n" not in str(error.value)

    def test_names_with_accents_of_macos_are_the_same_clips(self):
        correct = np.ones((1, 9), bool)
        first, second = self.result(correct), self.result(correct)
        for result, form in ((first, "NFC"), (second, "NFD")):
            result["clips"]["file_name"][0] = unicodedata.normalize(form, "é.wav")
        assert significance.compare(first, second).num_clips == 9

    def test_the_numbers_are_shown_before_the_file_fails(self, tmp_path, capsys):
        path = tmp_path / "a,b.json"
        path.write_text(json.dumps(self.result(np.ones((1, 9), bool))))
        (tmp_path / "file").touch()
        output = tmp_path / "file" / "comparison.json"
        flags.FLAGS.mark_as_parsed()
        with flagsaver.flagsaver(
            (compare.RESULTS, [str(path), str(path)]), (compare.OUTPUT, str(output))
        ):
            with pytest.raises(OSError):
                compare.main()
        assert "No difference that these clips can prove" in capsys.readouterr().out

    def test_command(self, tmp_path):
        random = np.random.default_rng(0)
        paths = []
        for name, share in (("first", 0.5), ("second", 0.9)):
            path = tmp_path / f"{name}.json"
            correct = random.random((3, 200)) < share
            path.write_text(json.dumps(self.result(correct, name)))
            paths.append(str(path))

        output = tmp_path / "comparison.json"
        done = commands.run("train_lib.compare", *paths, f"--output={output}")
        assert done.returncode == 0, done.stderr
        assert "both p < 0.05" in done.stdout and "second" in done.stdout
        assert json.loads(output.read_text())["difference"] > 0.2
