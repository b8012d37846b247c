"""The augmentation blocks against the golden vectors."""

import numpy as np
import pytest

from byola_tf import augment

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
