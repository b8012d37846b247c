"""The augmentation blocks against the golden vectors, and the random draw."""

import numpy as np
import pytest
import tensorflow as tf

from byola_tf import augment
from byola_tf.config import AugmentConfig

ATOL = 1e-4


@pytest.fixture(scope="module")
def vectors(golden):
    return golden("augment.npz")


@pytest.fixture
def log_mel():
    return np.random.default_rng(0).normal(size=(6, 96, 64)).astype("f")


def repeated(clip, count):
    return np.repeat(clip[None], count, axis=0)


@pytest.mark.newest_smoke
def test_resize_crop_equals_golden(vectors):
    boxes = vectors["rrc/boxes"]
    cropped = augment.resize_crop(repeated(vectors["input"], len(boxes)), boxes, 144)
    np.testing.assert_allclose(cropped, vectors["rrc/output"], atol=ATOL)


@pytest.mark.newest_smoke
def test_log_mixup_exp_equals_golden(vectors):
    ratios = vectors["mixup/lambda"]
    clips = repeated(vectors["input"], len(ratios))
    backgrounds = repeated(vectors["background"], len(ratios))
    mixed = augment.log_mixup_exp(clips, backgrounds, ratios)
    np.testing.assert_allclose(mixed, vectors["mixup/output"], atol=ATOL)


@pytest.mark.newest_smoke
def test_linear_fade_equals_golden(vectors):
    ends = vectors["fader/head_tail"]
    clips = repeated(vectors["input"], len(ends))
    faded = augment.linear_fade(clips, ends[:, 0], ends[:, 1])
    np.testing.assert_allclose(faded, vectors["fader/output"], atol=ATOL)


@pytest.mark.newest_smoke
def test_post_normalize_equals_golden(vectors):
    views = augment.post_normalize(vectors["post_norm/input"])
    np.testing.assert_allclose(views, vectors["post_norm/output"], atol=ATOL)


def test_scalar_parameters_equal_batched_ones(log_mel):
    background = log_mel[::-1].copy()
    np.testing.assert_array_equal(
        augment.log_mixup_exp(log_mel, background, 0.1),
        augment.log_mixup_exp(log_mel, background, np.full(6, 0.1, "f")),
    )
    np.testing.assert_array_equal(
        augment.linear_fade(log_mel, -1.0, 0.5),
        augment.linear_fade(log_mel, np.full(6, -1, "f"), np.full(6, 0.5, "f")),
    )


def test_box_of_the_input_itself_is_the_identity(log_mel):
    boxes = np.tile([0, 24, 64, 96], (6, 1))
    np.testing.assert_allclose(
        augment.resize_crop(log_mel, boxes, 144), log_mel, atol=1e-6
    )


def test_boxes_beside_the_input_read_zeros(log_mel):
    boxes = np.tile([0, 0, 64, 24], (6, 1))
    assert not np.any(augment.resize_crop(log_mel, boxes, 144))


def test_single_cell_box_repeats_that_cell(log_mel):
    boxes = np.tile([5, 24 + 7, 1, 1], (6, 1))
    cropped = augment.resize_crop(log_mel, boxes, 144)
    expected = np.broadcast_to(log_mel[:, 7:8, 5:6], log_mel.shape)
    np.testing.assert_allclose(cropped, expected, atol=1e-6)


def test_gaussian_with_ratio_zero_adds_unit_noise_floor(log_mel):
    noisy = augment.add_gaussian(log_mel, np.zeros_like(log_mel), 0.0)
    np.testing.assert_allclose(noisy, np.log(np.exp(log_mel) + 1), atol=1e-5)


def test_drawn_parameters_stay_in_their_ranges():
    config = AugmentConfig()
    drawn = augment.draw_parameters([1, 2], [4000, 96, 64], 50, config)
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
    full = augment.draw_parameters([3, 4], [8, 96, 64], 10, AugmentConfig())
    part = augment.draw_parameters(
        [3, 4], [8, 96, 64], 10, AugmentConfig(blocks=("gaussian", "fade"))
    )
    for name in full:
        np.testing.assert_array_equal(full[name], part[name])


def test_views_are_a_function_of_the_seed_and_differ_from_each_other(log_mel):
    bank = np.random.default_rng(1).normal(size=(9, 96, 64)).astype("f")
    config = AugmentConfig()
    first = augment.make_views(log_mel, bank, [1, 5], config)
    again = augment.make_views(log_mel, bank, tf.constant([1, 5], tf.int64), config)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
    assert np.abs(first[0] - first[1]).mean() > 0.1
    for seed in ([1, 6], [2, 5]):
        assert (
            np.abs(augment.make_views(log_mel, bank, seed, config)[0] - first[0]).mean()
            > 0.1
        )


def test_views_are_post_normalised_together(log_mel):
    views = np.stack(augment.make_views(log_mel, log_mel[:0], [0, 0], AugmentConfig()))
    assert views.mean() == pytest.approx(0, abs=1e-5)
    assert views.std(ddof=1) == pytest.approx(1, abs=1e-5)
    assert abs(views[0].mean()) > 1e-4


def test_empty_bank_mixes_nothing(log_mel):
    config = AugmentConfig(blocks=("mixup",), post_normalize=False)
    for view in augment.make_views(log_mel, log_mel[:0], [0, 0], config):
        np.testing.assert_array_equal(view, log_mel)


def test_eager_graph_and_data_set_give_the_same_views(log_mel):
    config = AugmentConfig(blocks=("mixup", "gaussian", "resize_crop", "fade"))

    def views(clips):
        return augment.make_views(clips, clips, [7, 8], config)

    dataset = tf.data.Dataset.from_tensors(log_mel).map(views)
    for eager, mapped in zip(views(log_mel), next(iter(dataset)), strict=True):
        np.testing.assert_allclose(eager, mapped, atol=1e-5)
