"""Corpus statistics: exact, stable, saved."""

import numpy as np
import pytest

from byola_tf.errors import UserError
from byola_tf.normalize import Statistics, StatisticsAccumulator, normalize


def accumulate(values, sizes):
    accumulator = StatisticsAccumulator()
    for part in np.split(values, np.cumsum(sizes)[:-1]):
        accumulator.update(part)
    return accumulator.result()


def test_streamed_statistics_equal_those_of_everything():
    values = np.random.default_rng(0).normal(-9, 4, (100, 5, 3)).astype("f")
    statistics = accumulate(values, [1, 60, 7, 32])
    assert statistics.mean == pytest.approx(values.astype("d").mean(), rel=1e-9)
    assert statistics.std == pytest.approx(values.astype("d").std(), rel=1e-9)
    assert statistics.num_crops == 100


def test_tiny_variance_on_a_large_mean_is_not_lost():
    values = 1e6 + np.random.default_rng(0).normal(0, 1e-3, (1000, 4, 4))
    statistics = accumulate(values, [10] * 100)
    assert statistics.std == pytest.approx(values.std(), rel=1e-5)


def test_statistics_survive_saving(tmp_path):
    statistics = Statistics(-7.25, 4.5, 12)
    statistics.save(tmp_path / "statistics.json")
    assert Statistics.load(tmp_path / "statistics.json") == statistics
    assert [p.name for p in tmp_path.iterdir()] == ["statistics.json"]


def test_a_file_that_is_not_statistics_is_refused(tmp_path):
    path = tmp_path / "statistics.json"
    path.write_text('{"colour": 3}')
    with pytest.raises(UserError, match="`mean` and `std`"):
        Statistics.load(str(path))
    with pytest.raises(UserError, match="statistics file"):
        Statistics.load(str(tmp_path / "absent.json"))


def test_constant_corpus_is_refused():
    accumulator = StatisticsAccumulator()
    accumulator.update(np.zeros((4, 3, 2)))
    with pytest.raises(UserError, match="silence"):
        accumulator.result()


def test_normalize_gives_zero_mean_and_unit_variance():
    values = np.random.default_rng(0).normal(-9, 4, (50, 5, 3))
    normal = normalize(values, accumulate(values, [50]))
    assert normal.mean() == pytest.approx(0, abs=1e-9)
    assert normal.std() == pytest.approx(1, abs=1e-9)
