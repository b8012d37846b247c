"""The ablation bench: rows, budgets, restarts, the table."""

import csv
import json

import numpy as np
import pytest

from byola_tf.config import BYOLConfig, Config, EncoderConfig, TrainConfig
from byola_tf.errors import UserError
from tests import commands, one_step, sounds
from train_lib.ablation import bench, summary
from train_lib.ablation.budget import Budget, timed
from train_lib.ablation.tables import TABLES

ROWS = [(table, row) for table in TABLES for row in TABLES[table].rows]
IDS = [f"{table}: {row.name}" for table, row in ROWS]


def small_bench(table, runs="W", budget="steps:4", **changes):
    base = Config(
        encoder=EncoderConfig(channels=4, hidden_units=12, output_units=8),
        byol=BYOLConfig(hidden_units=16, projection_units=8),
        train=TrainConfig(batch_size=4),
    )
    return bench.Bench(table, base, (), (), Budget.parse(budget), runs, **changes)


@pytest.mark.parametrize(("table", "row"), ROWS, ids=IDS)
def test_every_row_is_a_configuration_that_differs_as_it_says(table, row):
    rows = small_bench(table)
    config, base = rows.config(row), rows.config(TABLES[table].rows[0])
    flat = json.loads(config.to_json())
    for name, value in row.fields.items():
        section, field = name.split(".")
        if field == "warmup_steps":  # a twentieth of the run
            value = 0
        expected = list(value) if isinstance(value, tuple) else value
        assert flat[section][field] == expected
    first = TABLES[table].rows[0]
    if row.is_trained and row.fields != first.fields:
        assert config != base


def test_rows_that_are_alike_share_a_run_and_others_do_not():
    augmentation, pooling = small_bench("augmentation"), small_bench("pooling")
    base = augmentation.folder(TABLES["augmentation"].rows[0])
    assert pooling.folder(TABLES["pooling"].rows[0]) == base
    folders = {augmentation.folder(row) for row in TABLES["augmentation"].rows}
    assert len(folders) == len(TABLES["augmentation"].rows)
    longer = small_bench("pooling", budget="steps:5")
    assert longer.folder(TABLES["pooling"].rows[0]) != base
    recipes = small_bench("recipes")
    layers = recipes.rows(["multi_layer"])[-1]
    assert layers.layers and recipes.folder(layers) == base


def test_the_first_row_is_repeated_with_other_seeds():
    rows = small_bench("pooling", repeat_seeds=(43, 44)).rows(["(6)"])
    assert [row.is_repeat for row in rows] == [False, True, True, False]
    config = small_bench("pooling").config(rows[1])
    assert (config.seed, config.encoder.pooling) == (43, "mean+max")
    with pytest.raises(UserError, match="other seeds"):
        small_bench("pooling", repeat_seeds=(42,)).rows()


def test_a_recipe_s_warm_up_is_a_part_of_the_run_and_the_user_s_own_stays():
    rows = small_bench("recipes", budget="steps:100")
    warmup, other = rows.rows(["warmup_cosine", "ema_ramp"])[1:]
    assert rows.config(warmup).train.warmup_steps == 5
    rows.base.train.warmup_steps = 60
    assert rows.config(other).train.warmup_steps == 60


@pytest.mark.slow
@pytest.mark.parametrize(("table", "row"), ROWS, ids=IDS)
def test_every_row_trains_a_step(table, row):
    config = small_bench(table).config(row)
    config.train.batch_size = 4
    one_step.train(config)


def test_rows_of_other_batch_sizes_see_as_many_crops():
    rows = small_bench("batch", budget="steps:512")
    configs = [rows.config(row) for row in TABLES["batch"].rows]
    crops = {config.train.steps * config.train.batch_size for config in configs}
    assert crops == {512 * 4}
    epochs = small_bench("batch", budget="epochs:3").config(TABLES["batch"].rows[0])
    assert (epochs.train.epochs, epochs.train.steps) == (3, None)
    minutes = small_bench("batch", budget="minutes:1.5").config(TABLES["batch"].rows[0])
    assert minutes.train.seconds == 90


def test_wrong_input_says_what_is_right():
    with pytest.raises(UserError, match="steps:N"):
        Budget.parse("hours:3")
    with pytest.raises(UserError, match="steps:N"):
        Budget.parse("steps:0")
    with pytest.raises(UserError, match="one of augmentation"):
        small_bench("colour").rows()
    with pytest.raises(UserError, match="frequency mean"):
        small_bench("pooling").rows(["nonsense"])
    selected = small_bench("pooling").rows(["(6)"])
    assert [row.name[:3] for row in selected] == ["(1)", "(6)"]


def _result(name, published, shares, is_repeat=False):
    """A row whose tasks have 100 clips, of which so many are right with all seeds."""
    return {
        "name": name,
        "published": published,
        "is_repeat": is_repeat,
        "steps": 5,
        "epochs": 1.0,
        "loss": 1.0,
        "parameters": 10,
        "embedding_size": 8,
        "tasks": {task: _probe(name, task, right) for task, right in shares.items()},
    }


def _probe(name, task, right):
    predictions = [0] * right + [1] * (100 - right)
    return {
        "model": name,
        "task": task,
        "metric": "accuracy",
        "classes": ["x", "y"],
        "mean": right / 100,
        "ci95": 0.01,
        "clips": {
            "file_name": [str(clip) for clip in range(100)],
            "label": [0] * 100,
            "fold": ["test"] * 100,
            "predictions": [predictions, predictions],
        },
    }


def test_the_table_has_differences_and_their_intervals():
    rows = summary.summarise(
        [
            _result("base", 70.0, {"a": 80, "b": 60}),
            _result("repeat", None, {"a": 81, "b": 60}, is_repeat=True),
            _result("worse", 60.0, {"a": 60, "b": 40}),
            _result("better", None, {"a": 90, "b": 70}),
            _result("also", 65.0, {"a": 70, "b": 50}),
            _result("nearly", 69.0, {"a": 79, "b": 60}),
        ]
    )
    np.testing.assert_allclose(
        [row["difference"] for row in rows], [0, 0.5, -20, 10, -10, -0.5]
    )
    assert rows[2]["average_ci"] == pytest.approx(np.sqrt(2) / 2)
    # 20 of 100 clips lost on each task: a binomial share
    width = 1.96 * np.sqrt(0.2 * 0.8 / 100) * 100 / np.sqrt(2)
    assert rows[2]["difference_ci"] == pytest.approx(width, rel=0.1)
    assert rows[2]["published_difference"] == -10
    assert "+1.00 over 4 rows" in summary.agreement(rows)
    assert "interval: 2; in the published direction: 2" in summary.agreement(rows)
    assert "by +0.5:" in summary.chance(rows)
    text = summary.markdown(TABLES["pooling"], rows, {"pre-training": "x"})
    assert "| worse | 60.0 ± 1.0 | 40.0 ± 1.0 | 50.0 ± 0.7 | -20.0 ± 5." in text
    assert "| better | 90.0 ± 1.0 | 70.0 ± 1.0 | 80.0 ± 0.7 | +10.0 ± " in text
    assert "other data" in text
    ours = [{**row, "published": None, "published_difference": None} for row in rows]
    assert "published" not in summary.markdown(TABLES["recipes"], ours, {}).lower()
    assert summary.figure("Pooling", rows).startswith(b"\x89PNG")


def test_a_multi_label_task_leaves_the_difference_without_interval():
    results = [_result("base", 70.0, {"a": 80}), _result("other", 60.0, {"a": 70})]
    for result in results:
        result["tasks"]["a"]["clips"] = None
    rows = summary.summarise(results)
    assert rows[1]["difference_ci"] is None
    assert "| -10.0 | 60.0 |" in summary.markdown(TABLES["pooling"], rows, {})
    assert summary.figure("Pooling", rows).startswith(b"\x89PNG")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A folder of sounds with a CSV of two classes beside them."""
    folder = tmp_path_factory.mktemp("ablation") / "sounds"
    sounds.write_task(folder)
    return folder


def _command(corpus, workdir, **flags):
    options = {
        "config": "smoke",
        "table": "contributions",
        "data": f"{corpus}/**/*",
        "tasks": f"{corpus}/task.csv",
        "unit_seconds": "1",
        "budget": "steps:2",
        "workdir": str(workdir),
        "config.train.batch_size": "4",
        **flags,
    }
    words = [f"--{name}={value}" for name, value in options.items()]
    return commands.run("train_lib.ablation", *words)


@pytest.mark.slow
def test_command_writes_the_table_and_does_nothing_twice(corpus, tmp_path):
    finished = _command(corpus, tmp_path)
    assert finished.returncode == 0, finished.stderr
    rows = json.loads((tmp_path / "table.json").read_text())["rows"]
    assert [row["name"] for row in rows] == ["trained (base)", "untrained"]
    assert [row["steps"] for row in rows] == [2, 0]
    assert "| untrained |" in (tmp_path / "table.md").read_text()
    with open(tmp_path / "table.csv") as file:
        table = list(csv.DictReader(file))
    assert float(table[0]["task"]) == pytest.approx(rows[0]["scores"]["task"][0])
    training = tmp_path.glob("runs/*/training.json")
    before = {path: path.stat().st_mtime_ns for path in training}
    probes = sorted(tmp_path.glob("runs/*/task-*.json"))
    assert len(before) == len(probes) == 2
    probes[0].unlink()
    again = _command(corpus, tmp_path)
    assert again.returncode == 0, again.stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert json.loads((tmp_path / "table.json").read_text())["rows"] == rows
    # seconds of another task are another probe of the same runs
    other = _command(corpus, tmp_path, unit_seconds="0.5")
    assert other.returncode == 0, other.stderr
    assert len(list(tmp_path.glob("runs/*/task-*.json"))) == 4
    assert len(list(tmp_path.glob("runs/*/training.json"))) == 2


@pytest.mark.slow
def test_minutes_become_the_same_steps_again(corpus, tmp_path):
    config = small_bench("contributions", budget="minutes:0.05").base
    config.data.pattern = f"{corpus}/**/*"
    config.data.cache_dir = str(tmp_path / "cache")
    config.train.seconds = 3.0
    steps = timed(config, str(tmp_path)).train.steps
    assert steps > 1 and config.train.steps is None
    recorded = json.loads((tmp_path / "steps.json").read_text())
    assert steps == round(3.0 / recorded["seconds_per_step"])
    assert timed(config, str(tmp_path)).train == timed(config, str(tmp_path)).train
    assert timed(config, str(tmp_path)).train.seconds is None
