"""Collapse and lost numbers are noticed, named, and stop the run."""

import numpy as np
import pytest

from byola_tf import diagnostics
from byola_tf.config import Config
from tests import commands
from train_lib.configs import smoke
from train_lib.training import health, trainer

HEALTHY = {
    "loss": 2.0,
    "gradient_norm": 1.0,
    "embedding_std": 0.5,
    "projection_std": 0.8,
    "effective_rank": 20.0,
    "dead_units": 0.0,
}


def test_spread_is_one_for_random_directions_and_zero_for_equal_ones():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(2000, 64)).astype("f")
    assert float(diagnostics.spread(vectors)) == pytest.approx(1, abs=0.02)
    equal = np.repeat(vectors[:1], 50, axis=0)
    assert float(diagnostics.spread(equal)) == pytest.approx(0, abs=1e-5)


def test_effective_rank_counts_directions():
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(64, 64)))[0][:3]
    vectors = rng.choice([-1, 1], (4000, 1)) * basis[rng.integers(3, size=4000)]
    rank = float(diagnostics.effective_rank(vectors.astype("f")))
    assert rank == pytest.approx(3, abs=0.05)


def test_dead_units_are_the_constant_dimensions():
    vectors = np.random.default_rng(0).normal(size=(10, 8)).astype("f")
    vectors[:, :2] = 3.0
    assert float(diagnostics.dead_units(vectors)) == pytest.approx(0.25)


def test_one_low_value_is_forgiven_and_a_series_is_not():
    guard = health.Guard(Config())
    low = {**HEALTHY, "projection_std": 0.001}
    for step in range(4):
        guard.observe(step, low)
    guard.observe(4, HEALTHY)
    for step in range(5, 9):
        guard.observe(step, low)
    with pytest.raises(health.Unhealthy, match="collapsed at step 9"):
        guard.observe(9, low)


@pytest.mark.parametrize("name", ["loss", "gradient_norm"])
def test_numbers_that_are_not_finite_stop_at_once(name):
    with pytest.raises(health.Unhealthy, match=name.replace("_", " ")):
        health.Guard(Config()).observe(1, {**HEALTHY, name: float("nan")})


def collapsing(folder):
    """No predictor, target = online, a huge learning rate."""
    config = smoke.get_config()
    config.data.pattern = folder
    config.train.steps = 200
    config.train.learning_rate = 0.1
    config.byol.predictor = False
    config.byol.ema_decay = 0.0
    return config


@pytest.mark.slow
def test_a_provoked_collapse_is_diagnosed(folder, tmp_path):
    with pytest.raises(health.Unhealthy) as stopped:
        trainer.pretrain(collapsing(folder), str(tmp_path / "run"))
    message = str(stopped.value)
    assert "no predictor" in message and "LARS-scale" in message
    assert "target is almost the online network" in message


@pytest.mark.slow
def test_the_published_framework_does_not_alarm(folder, tmp_path):
    config = smoke.get_config()
    config.data.pattern = folder
    config.train.steps = 60
    assert trainer.pretrain(config, str(tmp_path / "run")).steps == 60


@pytest.mark.slow
def test_the_command_leaves_with_status_3(folder, tmp_path):
    run = commands.run(
        "train_lib.pretrain",
        "--config=smoke",
        f"--config.data.pattern={folder}",
        "--config.train.learning_rate=1e30",
        f"--workdir={tmp_path / 'run'}",
    )
    assert run.returncode == 3
    assert "stopped: " in run.stderr and "LARS-scale" in run.stderr
