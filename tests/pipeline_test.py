"""Files to views: the bank, determinism, resume, equality with make_views."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from byola_tf import frontend, normalize, pipeline, two_views
from byola_tf.config import AugmentConfig, Config, TrainConfig
from byola_tf.corpus import corpus as waveforms
from byola_tf.normalize import Statistics
from tests import sounds

STATISTICS = Statistics(-7.0, 4.0)


def make_config(batch_size=4, bank_size=10):
    return Config(
        augment=AugmentConfig(bank_size=bank_size),
        train=TrainConfig(batch_size=batch_size),
    )


def noise_batches(config, steps):
    rng = np.random.default_rng(0)
    shape = (steps, config.train.batch_size, config.unit_samples)
    return tf.data.Dataset.from_tensor_slices(
        (rng.normal(0, 3000, shape)).astype(np.int16)
    )


def views(dataset, first, count):
    return [
        np.stack(pair)
        for pair in itertools.islice(dataset.as_numpy_iterator(), first, count)
    ]


@pytest.mark.newest_smoke
@pytest.mark.parametrize(
    ("batch_size", "bank_size"),
    [(4, 10), (4, 8), (4, 3), (4, 0), (2, 150)],
    ids=["uneven", "even", "below a batch", "no bank", "many small batches"],
)
def test_views_equal_make_views_with_the_last_inputs(batch_size, bank_size):
    config = make_config(batch_size, bank_size)
    batches = noise_batches(config, 6)
    found = views(pipeline.make_views_dataset(batches, config, STATISTICS), 0, 6)
    past = np.zeros((0, config.unit_frames, 64), "f")
    for step, waveform in enumerate(batches):
        log_mel = normalize.normalize(
            frontend.log_mel_spectrogram(pipeline.to_float(waveform), config.frontend),
            STATISTICS,
        )
        bank = past[::-1][:bank_size]  # newest first
        expected = two_views.make_views(
            log_mel, bank, [config.seed, step], config.augment
        )
        np.testing.assert_allclose(found[step], np.stack(expected), atol=1e-5)
        past = np.concatenate([past, log_mel])


def test_first_step_inside_the_run_gives_the_same_views():
    config = make_config()
    batches = noise_batches(config, 8)
    whole = views(pipeline.make_views_dataset(batches, config, STATISTICS), 5, 8)
    later = views(
        pipeline.make_views_dataset(batches, config, STATISTICS, first_step=5), 0, 3
    )
    np.testing.assert_array_equal(whole, later)


def test_two_segments_are_one_for_each_view(tmp_path):
    sounds.write_folder(tmp_path, 4, seconds=4.0)
    config = make_config()
    config.data.pattern, config.data.num_segments = str(tmp_path), 2
    config.augment.blocks, config.augment.post_normalize = (), False
    corpus = waveforms.open_corpus(
        config.validate(), waveforms.find_batch(config), str(tmp_path / "cache")
    )
    both = corpus.crops(0)
    assert both.shape == (4, 2 * config.unit_samples)
    dataset = pipeline.make_views_dataset(corpus.batches, config, STATISTICS)
    found = views(dataset, 0, 1)[0]
    for view, segment in zip(found, np.split(both, 2, axis=1), strict=True):
        log_mel = frontend.log_mel_spectrogram(
            pipeline.to_float(tf.constant(segment)), config.frontend
        )
        np.testing.assert_allclose(
            view, normalize.normalize(log_mel, STATISTICS), atol=1e-5
        )
    assert np.abs(found[0] - found[1]).max() > 0.1


def test_moments_are_those_before_post_normalisation():
    config = make_config()
    dataset = pipeline.make_views_dataset(
        noise_batches(config, 2), config, STATISTICS, with_moments=True
    )
    config.augment.post_normalize = False
    raw = views(
        pipeline.make_views_dataset(noise_batches(config, 2), config, STATISTICS), 0, 2
    )
    for (_, (mean, std)), pair in zip(dataset, raw, strict=True):
        assert float(mean) == pytest.approx(pair.mean(), abs=1e-4)
        assert float(std) == pytest.approx(pair.std(), abs=1e-4)


@pytest.fixture
def corpus_config(tmp_path):
    config = make_config()
    config.data.pattern = sounds.write_folder(tmp_path / "sounds", 10, (16000, 8000))
    return config


def run(config, tmp_path, steps):
    corpus = waveforms.open_corpus(
        config, waveforms.find_batch(config), str(tmp_path / "cache")
    )
    dataset = pipeline.make_views_dataset(corpus.batches, config, STATISTICS)
    return views(dataset, 0, steps)


@pytest.mark.newest_smoke
def test_same_seed_gives_bit_identical_views_in_two_runs(corpus_config, tmp_path):
    first = run(corpus_config, tmp_path, 5)
    np.testing.assert_array_equal(first, run(corpus_config, tmp_path, 5))
    corpus_config.seed += 1
    assert np.abs(first[0] - run(corpus_config, tmp_path, 1)[0]).mean() > 0.1


def test_views_differ_between_steps_epochs_and_the_two_views(tmp_path):
    config = make_config(batch_size=4)
    one = sounds.write_folder(tmp_path / "sounds", 4)
    config.data.pattern = one
    found = run(config, tmp_path, 3)  # one step is one epoch over the same files
    for step in found:
        assert np.abs(step[0] - step[1]).mean() > 0.1
    for one, other in itertools.combinations(found, 2):
        assert np.abs(one - other).mean() > 0.1


def test_statistics_equal_those_of_all_log_mels():
    config = make_config()
    batches = noise_batches(config, 5)
    log_mels = np.concatenate(
        [
            frontend.log_mel_spectrogram(pipeline.to_float(batch), config.frontend)
            for batch in batches
        ]
    )
    statistics = pipeline.compute_statistics(batches, config)
    assert statistics.mean == pytest.approx(log_mels.mean(), rel=1e-5)
    assert statistics.std == pytest.approx(log_mels.std(), rel=1e-5)
    assert statistics.num_crops == 20
