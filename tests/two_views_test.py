"""The random draw of the augmentations, and the two views made with it."""

import numpy as np
import pytest
import tensorflow as tf

from byola_tf import two_views
from byola_tf.config import AugmentConfig


@pytest.fixture
def log_mel():
    return np.random.default_rng(0).normal(size=(6, 96, 64)).astype("f")


def test_drawn_parameters_stay_in_their_ranges():
    config = AugmentConfig()
    drawn = two_views.draw_parameters([1, 2], [4000, 96, 64], 50, config)
    drawn = {name: value.numpy() for name, value in drawn.items()}
    mel_start, time_start, height, width = drawn["boxes"].T
    assert (height.min(), height.max()) == (38, 64)
    assert (width.min(), width.max()) == (57, 143)
    assert mel_start.min() == 0 and np.all(mel_start + height <= 64)
    assert time_start.min() == 0 and np.all(time_start + width <= 144)
    assert np.any(mel_start + height == 64) and np.any(time_start + width == 144)
    assert 0 <= drawn["ratio"].min() and 0.19 < drawn["ratio"].max() < 0.2
    assert set(drawn["background"]) == set(range(50))
    for end in ("head", "tail"):
        assert -1 <= drawn[end].min() < -0.99 and 0.99 < drawn[end].max() <= 1
    # crops of at least the full height are as frequent as published: (1.5-1)/0.9
    assert np.mean(height == 64) == pytest.approx(0.5 / 0.9, abs=0.03)


def test_leaving_a_block_out_changes_no_other_draw():
    full = two_views.draw_parameters([3, 4], [8, 96, 64], 10, AugmentConfig())
    part = two_views.draw_parameters(
        [3, 4], [8, 96, 64], 10, AugmentConfig(blocks=("gaussian", "fade"))
    )
    for name in full:
        np.testing.assert_array_equal(full[name], part[name])


def test_views_are_a_function_of_the_seed_and_differ_from_each_other(log_mel):
    bank = np.random.default_rng(1).normal(size=(9, 96, 64)).astype("f")
    config = AugmentConfig()
    first = two_views.make_views(log_mel, bank, [1, 5], config)
    again = two_views.make_views(log_mel, bank, tf.constant([1, 5], tf.int64), config)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
    assert np.abs(first[0] - first[1]).mean() > 0.1
    for seed in ([1, 6], [2, 5]):
        other = two_views.make_views(log_mel, bank, seed, config)
        assert np.abs(other[0] - first[0]).mean() > 0.1


def test_views_are_post_normalised_together(log_mel):
    views = np.stack(
        two_views.make_views(log_mel, log_mel[:0], [0, 0], AugmentConfig())
    )
    assert views.mean() == pytest.approx(0, abs=1e-5)
    assert views.std(ddof=1) == pytest.approx(1, abs=1e-5)
    assert abs(views[0].mean()) > 1e-4


def test_empty_bank_mixes_nothing(log_mel):
    config = AugmentConfig(blocks=("mixup",), post_normalize=False)
    for view in two_views.make_views(log_mel, log_mel[:0], [0, 0], config):
        np.testing.assert_array_equal(view, log_mel)


def test_eager_graph_and_data_set_give_the_same_views(log_mel):
    config = AugmentConfig(blocks=("mixup", "gaussian", "resize_crop", "fade"))

    def views(clips):
        return two_views.make_views(clips, clips, [7, 8], config)

    dataset = tf.data.Dataset.from_tensors(log_mel).map(views)
    for eager, mapped in zip(views(log_mel), next(iter(dataset)), strict=True):
        np.testing.assert_allclose(eager, mapped, atol=1e-5)
