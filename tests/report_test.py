"""The page of many results: reading, tables, HTML in a browser, Markdown, CSV."""

import base64
import copy
import csv
import json
import os
import re
import shutil
import subprocess
import urllib.parse

import numpy as np
import pytest
from PIL import Image

from byola_tf.errors import UserError
from tests import commands, html_page
from train_lib.pages import figures
from train_lib.probe.report import (
    collection,
    evaluation_page,
    notes,
    pictures,
    plain,
    published,
    scores,
)

PNG = b"\x89PNG\r\n\x1a\n"
NINE = list(published.NINE_TASKS)


def probe(model, task, mean=0.5, ci95=0.012, num_classes=4, **changes):
    """A result as the probe writes it."""
    random = np.random.default_rng([len(model), len(task)])
    counts = random.integers(0, 5, (num_classes, num_classes))
    counts += 20 * np.eye(num_classes, dtype=int)
    classes = [f"class_{index}" for index in range(num_classes)]
    result = {
        "task": task,
        "model": model,
        "metric": "accuracy",
        "mean": mean,
        "std": 0.01,
        "ci95": ci95,
        "scores": [mean] * 3,
        "metrics": {"accuracy": {"mean": mean, "std": 0.01, "ci95": ci95}},
        "learning_rate": [0.0003, 0.001],
        "learning_rate_source": "validation",
        "learning_rate_curve": [
            {"learning_rate": rate, "valid_mean": mean - i / 50, "valid_std": 0.02}
            for i, rate in enumerate((1e-5, 1e-4, 1e-3, 1e-2))
        ],
        "confusion_matrix": counts.tolist(),
        "mode": "linear",
        "bootstrap95": [mean - 0.03, mean + 0.03],
        "unit_seconds": 5.0,
        "title": "A data set, and what its classes are",
        "partial": False,
        "split": "the published split",
        "notes": [],
        "absent_classes": {},
        "classes": classes,
        "per_class": [
            {"class": name, "clips": 40, "test_clips": 8, "accuracy": 0.1 * (i % 10)}
            for i, name in enumerate(classes)
        ],
        "num_clips": 160,
        "seeds": [42, 43, 44],
        "model_seed": None,
        "embedding_size": 3072,
        "skipped": [],
        "versions": {"byola_tf": "0.1.0", "tensorflow": "2.17.1"},
        "map": {
            "points": random.uniform(-1, 1, (40, 2)).round(3).tolist(),
            "labels": (np.arange(40) % num_classes).tolist(),
        },
    }
    return {**result, **changes}


def tagged(model, **changes):
    """A result on FSD50K: several labels a clip."""
    names = ("AUC", "d_prime", "mAP_single", "mAP_sequential", "mAP_scene", "mAP")
    values = (0.9, 1.8, 0.5, 0.33, 0.6, 0.456)
    result = probe(model, "fsd50k", 0.456, 0.002, metric="mAP", confusion_matrix=None)
    result["metrics"] = {
        name: {"mean": value, "std": 0.01, "ci95": 0.002}
        for name, value in zip(names, values, strict=True)
    }
    result["per_class"] = [
        {"class": f"Sound_{i}", "clips": 9, "test_clips": 3, "AP": i / 200, "AUC": 0.9}
        for i in range(200)
    ]
    del result["map"]
    return {**result, **changes}


def disturbed(model, task):
    """A result of `train_lib.robustness`."""
    return {
        "task": task,
        "model": model,
        "metric": "accuracy",
        "unit_seconds": 5.0,
        "num_clips": 77,
        "partial": False,
        "clean": {"mean": 0.8, "std": 0.01, "ci95": 0.02, "scores": [0.8]},
        "other_clips_cosine": 0.321,
        "rows": [
            {
                "kind": kind,
                "setting": setting,
                "cosine": 0.987,
                "cosine_std": 0.01,
                "mean": 0.75,
                "std": 0.01,
                "ci95": None,
                "scores": [0.75],
            }
            for kind, setting in (("white noise", "10 dB"), ("gain", "-6 dB"))
        ],
        "seeds": [42],
    }


def few(model, task):
    shots = {
        str(count): {"mean": count / 20, "std": 0.1, "ci95": 0.05, "scores": []}
        for count in (1, 5, 10)
    }
    return probe(model, task, 0.5, mode="few_shot", few_shot=shots, map=None)


def save(folder, *results):
    folder.mkdir(parents=True, exist_ok=True)
    for number, result in enumerate(results):
        (folder / f"{number:02d}.json").write_text(json.dumps(result))
    return str(folder)


def everything():
    """Three models on the nine tasks, FSD50K and a task of one's own."""
    results, plain = [], {"confusion_matrix": None, "map": None}
    for index, model in enumerate(("runs/trained", "random", "logmel")):
        for number, task in enumerate((*NINE, "my_sounds")):
            mean = 0.9 - 0.1 * index - 0.03 * ((number * (index + 2)) % 7)
            results.append(probe(model, task, mean, **({} if number < 2 else plain)))
        results.append(tagged(model))
        results.append({**disturbed(model, "esc50"), "partial": True})
        results.append(probe(model, "esc50", 0.6, mode="knn"))
    results[0] |= {"partial": True, "counts": {"total": 36}}
    results[0] |= {"expected_counts": {"total": 2000}}
    results[1]["split"] = "a seeded split of ours"
    results.append(few("runs/trained", "esc50"))
    return results


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A page of everything, with its neighbours."""
    folder = tmp_path_factory.mktemp("report")
    results = save(folder / "results", *everything())
    return evaluation_page.write(results, str(folder / "out" / "report.html"))


@pytest.fixture(scope="module")
def page(written):
    with open(written.paths[0], encoding="utf-8") as file:
        return file.read()


class TestPublished:
    """Facts, checked against what else is printed about them."""

    @pytest.mark.parametrize("row", (*published.main(), *published.later()))
    def test_the_printed_average_is_that_of_the_row(self, row):
        if row.average is None:
            assert len(row.scores) == 8
        else:
            assert list(row.scores) == NINE
            mean = np.mean([mean for mean, _ in row.scores.values()])
            assert mean == pytest.approx(row.average, abs=0.1)

    def test_numbers_of_rows(self):
        assert len(published.main()) == len(published.fsd50k()) == 12
        assert len(published.later()) == 28
        assert published.main()[-1].scores["vc1"] == (57.6, 0.2)
        assert published.fsd50k()[-1].scores["mAP_single"] == (47.3, None)

    def test_correlations_are_those_of_the_papers_figure(self):
        lines = scores.of_published(published.main())
        values = scores.correlation(lines)[-1]
        found = {line.model: value for line, value in zip(lines, values, strict=True)}
        figure_6 = {
            "VGGish-4K": 0.75,
            "PANNs CNN14": 0.73,
            "ESResNeXt": 0.82,
            "AST": 0.78,
            "COALA": 0.75,
            "OpenL3-M": 0.95,
            "TRILL": 0.96,
            "Wav2Vec2-F": 0.95,
        }
        for model, expected in figure_6.items():
            assert found[model] == pytest.approx(expected, abs=0.006), model


class TestReading:
    def test_models_get_the_shortest_names_that_differ(self, tmp_path):
        names = {
            "/x/a/run/model": "a/run/model",
            "/x/b/run/model": "b/run/model",
            "/x/b/other": "other",
            "random": "random",
            "hub:https://hub.dev/google/vggish/1": "vggish/1",
            "hf:models/wav2vec2/": "wav2vec2",
        }
        read = collection.read(save(tmp_path, *(probe(m, "t") for m in names)))
        assert set(read.models) == set(names.values())

    def test_what_was_done_to_a_model_is_part_of_its_name(self, tmp_path):
        results = save(
            tmp_path,
            probe("m", "t"),
            probe("m", "t", pooling="mean"),
            probe("m", "t", layers=["conv1", "mlp2"]),
            probe("random", "t", model_seed=42),
            probe("random", "t", model_seed=7),
        )
        assert set(collection.read(results).models) == {
            "m",
            "m (mean)",
            "m (conv1 + mlp2)",
            "random",
            "random (seed 7)",
        }

    def test_tasks_stand_in_the_papers_order(self, tmp_path):
        tasks = ("a_task", "surge", "fsd50k", "esc50")
        read = collection.read(save(tmp_path, *(probe("m", task) for task in tasks)))
        assert list(read.tasks) == ["esc50", "surge", "fsd50k", "a_task"]

    def test_sub_folders_are_read(self, tmp_path):
        save(tmp_path / "a" / "b", probe("m", "t"))
        save(tmp_path / ".hidden", {"no": "result"})
        assert len(collection.read(str(tmp_path)).results) == 1

    def test_no_folder(self, tmp_path):
        with pytest.raises(UserError, match="must be a folder.*not there"):
            collection.read(str(tmp_path / "x"))

    def test_no_json(self, tmp_path):
        (tmp_path / "scores.txt").write_text("1")
        with pytest.raises(UserError, match=r"\*\*/\*\.json.*holds scores\.txt"):
            collection.read(str(tmp_path))

    def test_a_folder_without_any_result_names_the_first_file(self, tmp_path):
        (tmp_path / "bad.json").write_text("{")
        with pytest.raises(UserError, match="No file of `results`.*bad.json.*no JSON"):
            collection.read(str(tmp_path))

    def test_two_of_the_same_are_named(self, tmp_path):
        results = save(tmp_path, probe("m", "t"), probe("m", "t", 0.9))
        with pytest.raises(UserError, match=r"'m' on 't' in '.*00.*' and in '.*01"):
            collection.read(results)
        save(tmp_path, probe("m", "t"), probe("m", "t", mode="knn"))
        assert len(collection.read(results).results) == 2


class TestAverages:
    def read(self, folder, *results):
        return collection.read(save(folder, *results))

    def test_the_papers_is_of_all_nine_tasks_and_no_other(self, tmp_path):
        read = self.read(
            tmp_path,
            *(probe("m", task, 0.1 * (i + 1)) for i, task in enumerate(NINE)),
            probe("m", "esc10", 0.0),
            tagged("m"),
            probe("half", "esc50", 1.0),
        )
        average = scores.average_of(read)
        assert average.heading == "average of the paper’s 9 tasks"
        lines = {line.model: line for line in scores.measured(read, average)}
        assert lines["m"].average == pytest.approx(50)
        assert lines["half"].average is None

    def test_another_is_named_so_and_never_of_unlike_tasks(self, tmp_path):
        read = self.read(
            tmp_path,
            probe("both", "esc50", 0.8),
            probe("both", "esc10", 0.6),
            probe("one", "esc10", 0.9),
            tagged("both"),
        )
        average = scores.average_of(read)
        assert average.heading == "average of the 2 tasks shown"
        lines = {line.model: line for line in scores.measured(read, average)}
        assert lines["both"].average == pytest.approx(70)
        assert lines["one"].average is None

    def test_one_task_has_none(self, tmp_path):
        read = self.read(tmp_path, probe("m", "esc50"), tagged("m"))
        assert scores.average_of(read) is None

    def test_correlation_takes_three_common_tasks(self, tmp_path):
        read = self.read(
            tmp_path,
            *(
                probe("a", task, x)
                for task, x in zip("xyz", (0.1, 0.5, 0.6), strict=True)
            ),
            *(
                probe("b", task, x)
                for task, x in zip("xyz", (0.2, 0.3, 0.9), strict=True)
            ),
            *(probe("c", task, x) for task, x in zip("xy", (0.2, 0.3), strict=True)),
            *(probe("d", task, 0.5) for task in "xyz"),
        )
        lines = scores.profiles(read)
        values = scores.correlation(lines)
        at = {line.model: index for index, line in enumerate(lines)}
        expected = np.corrcoef((0.1, 0.5, 0.6), (0.2, 0.3, 0.9))[0, 1]
        assert values[at["a"], at["b"]] == pytest.approx(expected)
        assert np.isnan(values[at["a"], at["c"]]) and np.isnan(values[at["a"], at["d"]])


class TestFootnotes:
    def of(self, tmp_path, *results):
        read = collection.read(save(tmp_path, *results))
        return read, notes.footnotes(read)

    def test_partial_data_says_how_much(self, tmp_path):
        partial = {"partial": True, "counts": {"train": 36, "test": 4}}
        partial["expected_counts"] = {"train": 36796, "test": 10231}
        _, found = self.of(tmp_path, probe("m", "t", **partial))
        assert found.texts == (
            "t: an incomplete copy of the data set, 36 of 36,796 (train), 4 of 10,231 "
            "(test).",
        )

    def test_what_two_results_share_has_one_number(self, tmp_path):
        split = {"split": "70 % of the archives, seed 0", "notes": ["not by speaker"]}
        read, found = self.of(
            tmp_path,
            probe("a", "t", **split),
            probe("b", "t", **split, ci95=None),
            probe("c", "u"),
        )
        assert len(found.texts) == 3
        marks = {result.model: found.of(result) for result in read.results}
        assert marks == {"a": "1,2", "b": "1,2,3", "c": ""}

    def test_odd_settings_are_said(self, tmp_path):
        _, found = self.of(
            tmp_path,
            probe("a", "t"),
            probe("b", "t"),
            probe("c", "t", unit_seconds=1.0),
            probe("d", "t", learning_rate_source="given", learning_rate=0.003),
            probe("e", "t", skipped=[{"file_name": "x/bad.wav", "reason": "empty"}]),
            probe("f", "t", absent_classes={"test": ["rare", "rarer"]}),
        )
        joined = "\n".join(found.texts)
        for expected in (
            "crops of 1 s, not 5 s as elsewhere",
            "given by hand (0.003)",
            "1 broken file left out: bad.wav",
            "not in test: rare, rarer",
        ):
            assert expected in joined


class TestPage:
    def test_it_contains_everything_it_needs(self, page):
        _, references = html_page.parse(page, " ")
        assert references
        for reference in references:
            kind, _, data = reference.partition(",")
            assert kind == "data:image/png;base64"
            assert base64.b64decode(data).startswith(PNG)
        assert not re.findall(r"@import|url\(|<script|<link|https?://", page)

    def test_it_says_every_kind_of_number(self, page):
        shown, _ = html_page.parse(page, " ")
        for expected in (
            "3 models on 11 tasks",
            "average of the paper’s 9 tasks",
            "90.0 ± 1.2 1 84.0 ± 1.2 2 78.0",  # with marks of footnotes
            "36 of 2,000 (total)",
            "a seeded split of ours",
            "BYOL-A v2 83.2 ± 0.6 79.7 ± 0.5",
            "M2D-CLAP 2024 96.3 88.8",
            "table IV",
            "45.6 ± 0.2 90.0 ± 0.2 50.0 ± 0.2",
            "Nearest neighbours",
            "5 examples a class",
            "white noise 10 dB 0.987 75.0 -5.0",
            "trained on clean ones. An incomplete copy of the data set. Two different",
            "show all 200 classes",
            "The most frequent confusion",
            "Measured with byola_tf 0.1.0, tensorflow 2.17.1",
        ):
            assert expected in shown, expected

    def test_published_rows_are_marked_and_measured_ones_are_not(self, page):
        published_rows = re.findall(r'<tr class="published"><td>([^<]*)', page)
        assert published_rows.count("BYOL-A v2") == 2
        assert page.count("<em>BYOL-A v2</em>") == 2  # of the correlations
        assert not {"trained", "random", "logmel"} & set(published_rows)

    def test_published_tables_without_a_measured_row_are_folded(self, tmp_path):
        output = tmp_path / "r.html"
        evaluation_page.write(save(tmp_path / "in", probe("m", "esc10")), str(output))
        found = output.read_text()
        assert "<details><summary>Beside the published results" in found
        assert "BYOL-A v2" not in (tmp_path / "r.md").read_text()
        assert "BYOL-A v2" in (tmp_path / "r.csv").read_text()

    @pytest.mark.parametrize("kind", ["older", "bare", "many classes", "robustness"])
    def test_a_section_appears_when_its_data_is_there(self, tmp_path, kind):
        result = probe("m", "t", num_classes=80 if kind == "many classes" else 4)
        if kind == "older":  # before per-class scores, curves and modes
            result["search"] = [
                {"fold": "1", "seed": 1, "learning_rate": rate, "valid_score": 0.5}
                for rate in (1e-3, 1e-2)
            ]
            for name in ("per_class", "learning_rate_curve", "mode", "map", "metrics"):
                del result[name]
        elif kind == "bare":
            keys = ("task", "model", "metric", "mean")
            result = {key: result[key] for key in keys}
        elif kind == "robustness":
            result = disturbed("m", "t")
        output = tmp_path / "r.html"
        evaluation_page.write(save(tmp_path / "in", result), str(output))
        shown, _ = html_page.parse(output.read_text(), " ")
        headings = re.findall("<h2>(.*?)</h2>", output.read_text())
        expected = {
            "older": {"Class by class", "Which classes are confused", "Learning rates"},
            "bare": set(),
            "many classes": {
                "Class by class",
                "Which classes are confused",
                "Learning rates",
                "Maps of the embeddings",
            },
            "robustness": {"Robustness"},
        }[kind]
        always = {"Published results", "Record"}
        always |= set() if kind == "robustness" else {"Results"}
        assert set(headings) == expected | always
        assert ("true class taken for" in shown) == (kind == "many classes")

    def test_text_is_escaped(self, tmp_path):
        evil = probe("<b>m", "t", notes=["<script>x</script> | y"], split="a|b")
        evil["classes"] = [f"<i>{name}" for name in evil["classes"]]
        output = tmp_path / "r.html"
        evaluation_page.write(
            save(tmp_path / "in", evil), str(output), title="<u>A & B"
        )
        assert not re.findall("<b>m|<script|<i>class|<u>", output.read_text())
        assert "\\|" in (tmp_path / "r.md").read_text()


def changed(**changes):
    return json.dumps({**probe("bad", "esc50"), **changes})


BAD_RESULTS = {
    "torn": changed()[:-40],
    "empty": "",
    "no object": "[1, 2]",
    "deep": "[" * 100_000,
    "deep in a field": changed()[:-1] + ', "x": ' + "[" * 999 + "]" * 999 + "}",
    "not UTF-8": "\udce9",
    "a part alone": '{"task": "t", "model": "m", "mean": 1}',
    "infinite": changed(mean=float("inf")),
    "no number": changed(mean=None),
    "a huge number": changed(unit_seconds=10**400),
    "more than all": changed(mean=5),
    "a model without a name": changed(model=3),
    "text for a list": changed(notes="x"),
    "a number for a list": changed(confusion_matrix=3),
    "another matrix": changed(confusion_matrix=[[1, 2]]),
    "a torn map": changed(map={"points": [[1, 2]], "labels": []}),
    "labels of no class": changed(map={"points": [[1, 2]], "labels": [9]}),
    "scores of no class": changed(per_class=[{"clips": 3}]),
    "a curve at zero": changed(
        learning_rate_curve=[{"learning_rate": 0, "valid_mean": 1, "valid_std": 0}]
    ),
    "a number of examples in words": changed(few_shot={"one": {"mean": 0.5}}),
    "half a perturbation": json.dumps(
        {"task": "t", "model": "m", "clean": {"mean": 1}, "rows": [{"kind": "gain"}]}
    ),
}


JUNK = (
    *(None, True, 0, -1, 1e308, 10**20, 0.5, "", "$x^{2$", "a\nb", "\udce9", "=1"),
    *([], {}, [[]], [1], {"a": 1}, [None], "x" * 5000),
)


def change_one(value, random):
    """Replaces or removes one field or element, at any depth."""
    while True:
        keys = list(value) if isinstance(value, dict) else range(len(value))
        key = keys[random.integers(len(keys))]
        inner = value[key]
        if not (isinstance(inner, dict | list) and inner) or random.random() < 0.4:
            break
        value = inner
    if random.random() < 0.2:
        del value[key]
    else:
        value[key] = copy.deepcopy(JUNK[random.integers(len(JUNK))])


class TestBadResults:
    """One bad file costs itself alone."""

    @pytest.mark.parametrize("kind", BAD_RESULTS)
    def test_a_bad_file_is_left_out_and_named(self, tmp_path, kind):
        good = probe("good", "esc50")
        bare = {key: good[key] for key in ("task", "model", "metric", "mean", "ci95")}
        folder = save(tmp_path / "in", bare)
        (tmp_path / "in" / "bad.json").write_bytes(
            BAD_RESULTS[kind].encode("utf-8", "surrogateescape")
        )
        done = evaluation_page.write(folder, str(tmp_path / "r.html"))
        assert "good: ESC-50 50.0 ± 1.2" in done.summary
        assert done.summary.count("left out") == 1 and "bad.json" in done.summary
        for path in done.paths[:2]:
            with open(path, encoding="utf-8") as file:
                shown = file.read()
            assert "Left out" in shown and "bad.json" in shown
        assert "bad.json" not in open(done.paths[2]).read()

    def test_a_file_changed_at_random_is_shown_or_left_out(self, tmp_path, monkeypatch):
        random = np.random.default_rng(0)
        for module, name in (
            (figures, "confusion_matrix"),
            (pictures, "draw_maps"),
            (pictures, "draw_learning_rates"),
        ):
            monkeypatch.setattr(module, name, lambda *_: PNG)
        whole = [
            json.dumps(result)
            for result in (
                probe("m", "esc50"),
                tagged("m", per_class=[{"class": "a", "AP": 0.5}]),
                disturbed("m", "esc50"),
                few("m", "esc50"),
            )
        ]
        good = {"task": "esc50", "model": "good", "metric": "accuracy", "mean": 0.5}
        left_out = 0
        for number in range(100):
            changed = json.loads(whole[number % len(whole)])
            for _ in range(random.integers(1, 4)):
                change_one(changed, random)
            folder = save(tmp_path / "in", good, changed)
            done = evaluation_page.write(folder, str(tmp_path / "r.html"))
            left_out += "left out" in done.summary
        assert 30 < left_out < 97

    def test_a_pipe_among_the_files_is_left_out(self, tmp_path):
        folder = save(tmp_path, probe("good", "esc50"))
        os.mkfifo(tmp_path / "pipe.json")  # nobody writes: reading would wait
        assert list(collection.read(folder).left_out) == [str(tmp_path / "pipe.json")]

    @pytest.mark.parametrize("name", ["$x^{2$", "a\nb", "猫", "\udce9", "=1+1"])
    def test_a_class_a_model_and_a_task_may_have_any_name(self, tmp_path, name):
        odd = probe(f"m{name}", f"t{name}", metric=f"accuracy{name}")
        odd["classes"] = [f"{index}{name}" for index in range(4)]
        for index, row in enumerate(odd["per_class"]):
            row["class"] = odd["classes"][index]
        folder = save(tmp_path / "in", odd, few(f"m{name}", f"t{name}"))
        done = evaluation_page.write(folder, str(tmp_path / "r.html"))
        assert "left out" not in done.summary
        html_page.parse(open(done.paths[0], encoding="utf-8").read(), " ")

    def test_names_take_no_effect_in_markdown_and_csv(self, tmp_path):
        evil = probe("=cmd()", "<img src=x>", notes=["[a](b)", "@SUM(1)"])
        folder = save(tmp_path / "in", evil)
        done = evaluation_page.write(folder, str(tmp_path / "r.html"), "<b>T")
        shown = open(done.paths[1], encoding="utf-8").read()
        assert "<img" not in shown and "<b>" not in shown
        assert "\\[a\\](b)" in shown
        with open(done.paths[2], encoding="utf-8", newline="") as file:
            row = next(csv.DictReader(file))
        assert row["model"] == "'=cmd()" and float(row["mean"]) == 0.5
        assert not any(value.startswith(("=", "+", "-", "@")) for value in row.values())


PROBE = """<script>
function colour(text) {
  const found = text.match(/[0-9.]+/g).map(Number);
  return found.length < 4 ? [...found.slice(0, 3), 1] : found;
}
function behind(element) {
  const layers = [];
  for (let at = element; at; at = at.parentElement)
    layers.push(colour(getComputedStyle(at).backgroundColor));
  return layers.reverse().reduce(
    (below, layer) => below.map((c, i) => c * (1 - layer[3]) + layer[i] * layer[3]),
    [255, 255, 255]);
}
function luminance(rgb) {
  const [r, g, b] = rgb.map(c => c / 255).map(
    c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
function contrast(element) {
  const two = [colour(getComputedStyle(element).color).slice(0, 3), behind(element)];
  const [low, high] = two.map(luminance).sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}
window.addEventListener("load", () => {
  for (const folded of document.querySelectorAll("details")) folded.open = true;
  const root = document.documentElement, found = {};
  found.dark = matchMedia("(prefers-color-scheme: dark)").matches;
  found.overflow = root.scrollWidth - root.clientWidth;
  found.pictures = [...document.images].map(image => image.naturalWidth);
  found.requests = performance.getEntriesByType("resource").map(entry => entry.name)
    .filter(name => !name.startsWith("data:"));
  const texts = [...document.querySelectorAll("body *")].filter(element =>
    element.tagName != "SCRIPT" &&
    [...element.childNodes].some(node => node.nodeType == 3 && node.data.trim()));
  found.texts = texts.length;
  found.faint = texts.filter(element => contrast(element) < 4.5)
    .map(element => `${element.tagName} ${element.className} ${element.textContent}`);
  found.small = texts.filter(element =>
    parseFloat(getComputedStyle(element).fontSize) < 10).map(e => e.textContent);
  found.scrolled = [...document.querySelectorAll(".scroll")].filter(box => {
    box.scrollLeft = 200;
    return box.scrollLeft > 0;
  }).map(box => Math.round(box.getBoundingClientRect().left -
    box.querySelector("tr:not(.group) td").getBoundingClientRect().left));
  document.body.innerHTML =
    `<pre id="found">${btoa(encodeURIComponent(JSON.stringify(found)))}</pre>`;
});
</script>"""


@pytest.mark.slow
class TestBrowser:
    """The page in headless Chromium."""

    def chromium(self, folder, *arguments):
        program = shutil.which("chromium") or shutil.which("chromium-browser")
        if not program:
            pytest.skip("needs Chromium, which is not installed")
        flags = (
            "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
            "--disable-background-networking --disable-component-update "
            "--disable-sync --hide-scrollbars"
        ).split()
        profile = f"--user-data-dir={folder / 'profile'}"
        return subprocess.run(
            [program, *flags, profile, *arguments],
            capture_output=True,
            text=True,
            timeout=110,
            check=True,
        ).stdout

    def look(self, folder, page, *arguments):
        """What the page's own browser says about it."""
        path = folder / "probe.html"
        path.write_text(page.replace("</body>", f"{PROBE}</body>"), encoding="utf-8")
        shown = self.chromium(folder, *arguments, "--dump-dom", path.as_uri())
        (found,) = re.findall('<pre id="found">(.*?)</pre>', shown)
        return json.loads(urllib.parse.unquote(base64.b64decode(found).decode()))

    @pytest.mark.parametrize("width", [1280, 600])
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_it_fits_and_can_be_read(self, tmp_path, page, width, scheme):
        number = {"dark": 0, "light": 1}[scheme]
        found = self.look(
            tmp_path,
            page,
            f"--window-size={width},900",
            f"--blink-settings=preferredColorScheme={number}",
        )
        assert found["dark"] == (scheme == "dark")
        assert found["overflow"] == 0
        assert found["requests"] == []
        assert len(found["pictures"]) > 8 and min(found["pictures"]) > 0
        assert found["texts"] > 500
        assert found["faint"] == [] and found["small"] == []
        assert set(found["scrolled"]) <= {0}  # the first column stays
        if width == 600:
            assert found["scrolled"]

    def test_picture(self, tmp_path, page):
        """Takes the README's picture of a folder of real results:

        BYOLA_REPORT_RESULTS=results BYOLA_REPORT_PICTURE=docs/report.png \
            python -m pytest tests/report_test.py -k picture
        """
        source, picture = tmp_path / "report.html", tmp_path / "report.png"
        if results := os.environ.get("BYOLA_REPORT_RESULTS"):
            evaluation_page.write(results, str(source))
        else:
            source.write_text(page, encoding="utf-8")
        self.chromium(
            tmp_path,
            "--window-size=1240,1640",
            "--blink-settings=preferredColorScheme=1",
            f"--screenshot={picture}",
            source.as_uri(),
        )
        with Image.open(picture) as full:
            pixels = np.asarray(full.convert("RGB"))
        assert pixels.shape == (1640, 1240, 3)
        colours = np.unique(pixels.reshape(-1, 3), axis=0)
        assert len(colours) > 200  # text, bars and maps, not an empty page
        if target := os.environ.get("BYOLA_REPORT_PICTURE"):
            with Image.open(picture) as full:
                full.convert("RGB").quantize(256).save(target, optimize=True)
            assert os.path.getsize(target) < 300_000


class TestText:
    def test_markdown_has_the_same_rows(self, written):
        with open(written.paths[1], encoding="utf-8") as file:
            shown = file.read()
        lines = shown.splitlines()
        for expected in (
            "| trained | 90.0 ± 1.2<sup>1</sup> |",
            "| *BYOL-A v2* | 83.2",
        ):
            assert any(line.startswith(expected) for line in lines), expected
        assert "\n1. esc50: an incomplete copy" in shown
        for table in re.findall(r"(?:^\|.*\n)+", shown, re.MULTILINE):
            columns = {line.count("|") for line in table.splitlines()}
            assert len(columns) == 1

    def test_a_task_with_several_labels_alone(self, tmp_path):
        own = tagged("m", task="my_tags", partial=True)
        evaluation_page.write(save(tmp_path / "in", own), str(tmp_path / "r.html"))
        shown = (tmp_path / "r.md").read_text()
        assert "| m | 45.6 ± 0.2<sup>1</sup> |" in shown
        assert "tasks shown" not in shown
        assert "\n1. my_tags: an incomplete copy of the data set.\n" in shown
        page = (tmp_path / "r.html").read_text()
        assert "Several labels a clip" in page and "<li>my_tags: an" in page

    def test_csv_has_every_number(self, written):
        with open(written.paths[2], encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert tuple(rows[0]) == plain.CSV_COLUMNS

        def one(**wanted):
            (found,) = [
                row for row in rows if all(row[k] == v for k, v in wanted.items())
            ]
            return found

        esc50 = one(model="trained", task="esc50", mode="linear")
        assert float(esc50["mean"]) == 0.9 and float(esc50["ci95"]) == 0.012
        assert esc50["partial"] == "True" and esc50["source"].startswith("measured: ")
        scene = one(model="logmel", task="fsd50k", metric="mAP_scene")
        assert float(scene["mean"]) == 0.6
        shot = one(model="trained", mode="few_shot", metric="accuracy, 1-shot")
        assert float(shot["mean"]) == 0.05
        noise = one(
            model="random", mode="robustness", metric="cosine, white noise 10 dB"
        )
        assert float(noise["mean"]) == 0.987
        paper = one(model="BYOL-A v2", task="vc1")
        assert float(paper["mean"]) == 0.576 and "table IV" in paper["source"]


class TestCommand:
    def run(self, *arguments):
        return commands.run("train_lib.report", *arguments)

    @pytest.mark.newest_smoke
    def test_writes_three_files(self, tmp_path):
        results = save(tmp_path / "results", probe("m", "t"), probe("n", "t", 0.7))
        done = self.run(f"--results={results}", f"--output={tmp_path}/new/page.html")
        assert done.returncode == 0, done.stderr
        assert sorted(os.listdir(tmp_path / "new")) == [
            "page.csv",
            "page.html",
            "page.md",
        ]
        assert "n: t 70.0 ± 1.2" in done.stdout and "page.html" in done.stdout

    def test_a_user_fault_is_one_line_and_status_2(self, tmp_path):
        done = self.run(f"--results={tmp_path}", "--output=page.html")
        assert done.returncode == 2
        last = done.stderr.strip().splitlines()[-1]
        assert last.startswith("error: `results` must hold files")
        assert "Traceback" not in done.stderr

    @pytest.mark.parametrize("output", ["page.pdf", "page"])
    def test_the_output_is_a_page(self, tmp_path, output):
        results = save(tmp_path, copy.deepcopy(probe("m", "t")))
        with pytest.raises(UserError, match="must be the name of an .html file"):
            evaluation_page.write(results, str(tmp_path / output))
