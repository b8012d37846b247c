"""The ablation bench: rows, budgets, restarts, the table."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import byola_tf
from byola_tf import BYOL
from byola_tf.config import BYOLConfig, Config, EncoderConfig, TrainConfig
from byola_tf.errors import UserError
from tests import sounds
from train_lib.ablation import bench, summary
from train_lib.ablation.tables import TABLES

ROWS = [(table, row) for table in TABLES for row in TABLES[table].rows]
IDS = [f"{table}: {row.name}" for table, row in ROWS]


def small_bench(table, workdir="W", budget="steps:4", **changes):
    base = Config(
        encoder=EncoderConfig(channels=4, hidden_units=12, output_units=8),
        byol=BYOLConfig(hidden_units=16, projection_units=8),
        train=TrainConfig(batch_size=4),
    )
    return bench.Bench(
        table, base, (), (), bench.Budget.parse(budget), workdir, **changes
    )


@pytest.mark.parametrize(("table", "row"), ROWS, ids=IDS)
def test_every_row_is_a_configuration_that_differs_as_it_says(table, row):
    rows = small_bench(table)
    config, base = rows.config(row), rows.config(TABLES[table].rows[0])
    flat = json.loads(config.to_json())
    for name, value in row.fields.items():
        section, field = name.split(".")
        expected = list(value) if isinstance(value, tuple) else value
        assert flat[section][field] == expected
    first = TABLES[table].rows[0]
    if row.is_trained and row.fields != first.fields:
        assert config != base


@pytest.mark.slow
@pytest.mark.parametrize(("table", "row"), ROWS, ids=IDS)
def test_every_row_trains_a_step(table, row):
    config = small_bench(table).config(row)
    config.train.batch_size = 4
    model = BYOL(config)
    model.compile()
    views = byola_tf.make_views(
        tf.random.stateless_normal([4, 96, 64], [1, 1]),
        tf.random.stateless_normal([8, 96, 64], [2, 2]),
        [0, 0],
        config.augment,
    )
    before = model.online_variables[0].numpy()
    assert np.isfinite(float(model.train_step(views)["loss"]))
    assert np.abs(model.online_variables[0].numpy() - before).max() > 0


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
        bench.Budget.parse("hours:3")
    with pytest.raises(UserError, match="steps:N"):
        bench.Budget.parse("steps:0")
    with pytest.raises(UserError, match="one of augmentation"):
        small_bench("colour").rows()
    with pytest.raises(UserError, match="frequency mean"):
        small_bench("pooling").rows(["nonsense"])
    selected = small_bench("pooling").rows(["(6)"])
    assert [row.name[:3] for row in selected] == ["(1)", "(6)"]


def _result(name, published, means, half_width=0.01):
    return {
        "name": name,
        "published": published,
        "steps": 5,
        "epochs": 1.0,
        "loss": 1.0,
        "parameters": 10,
        "embedding_size": 8,
        "tasks": {
            task: {"mean": mean, "ci95": half_width} for task, mean in means.items()
        },
    }


def test_the_table_has_differences_and_their_intervals():
    rows = summary.summarise(
        [
            _result("base", 70.0, {"a": 0.8, "b": 0.6}),
            _result("worse", 60.0, {"a": 0.6, "b": 0.4}),
            _result("better", None, {"a": 0.9, "b": 0.7}),
            _result("also", 65.0, {"a": 0.7, "b": 0.5}),
        ]
    )
    np.testing.assert_allclose([row["average"] for row in rows], [70, 50, 80, 60])
    np.testing.assert_allclose([row["difference"] for row in rows], [0, -20, 10, -10])
    assert rows[1]["average_ci"] == pytest.approx(np.sqrt(2) / 2)
    assert rows[1]["difference_ci"] == pytest.approx(1.0)
    assert rows[1]["published_difference"] == -10
    assert "+1.00 over 3 rows" in summary.agreement(rows)
    assert "2; in the published direction: 2" in summary.agreement(rows)
    text = summary.markdown(TABLES["pooling"], rows, {"pre-training": "x"})
    assert (
        "| worse | 60.0 ± 1.0 | 40.0 ± 1.0 | 50.0 ± 0.7 | -20.0 ± 1.0 | 60.0 |" in text
    )
    assert "| better | 90.0 ± 1.0 | 70.0 ± 1.0 | 80.0 ± 0.7 | +10.0 ± 1.0 |  |" in text
    assert "other data" in text


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
    return subprocess.run(
        [sys.executable, "-m", "train_lib.ablation"]
        + [f"--{name}={value}" for name, value in options.items()],
        capture_output=True,
        text=True,
    )


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
    checkpoint = tmp_path / "contributions" / "trained_base" / "training.json"
    before = checkpoint.stat().st_mtime_ns
    (tmp_path / "contributions" / "untrained" / "task.json").unlink()
    again = _command(corpus, tmp_path)
    assert again.returncode == 0, again.stderr
    assert checkpoint.stat().st_mtime_ns == before
    assert json.loads((tmp_path / "table.json").read_text())["rows"] == rows
    other = _command(corpus, tmp_path, budget="steps:3")
    assert other.returncode == 2
    assert "another configuration or budget" in other.stderr
