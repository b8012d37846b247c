"""The scikit-learn transformer, alone, in pipelines and under sklearn's own checks."""

import pickle
import shutil

import numpy as np
import pytest

pytest.importorskip("sklearn")
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

import byola_tf
from byola_tf import Encoder, audio, checkpoint
from byola_tf.config import Config, EncoderConfig
from byola_tf.errors import UserError
from byola_tf.normalize import Statistics
from byola_tf.sklearn import AudioEmbedding
from tests import sounds


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("model"))
    config = Config(encoder=EncoderConfig(channels=4, hidden_units=8, output_units=8))
    opened = checkpoint.Checkpoint(
        Encoder(config.encoder), config, Statistics(-7.0, 4.0), {}
    )
    checkpoint.save(folder, opened)
    return folder


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sounds")
    sounds.write_folder(folder / "a", 3, (16000, 44100))
    sounds.write_folder(folder / "b", 2, seconds=0.4)
    return [str(path) for path in sorted(folder.rglob("*.wav"))]


# Where scikit-learn asks for what recordings are not.
EXPECTED_FAILURES = {
    # recordings may differ in length from those of fit
    "check_transformer_general": "number of features",
    # an int64 is no sample
    "check_estimators_dtypes": "int16",
}

# They compare to 1e-9; matrix products round by a row's place in its batch on some
# processors (3e-8 with AVX2), so each recording has a batch of its own.
EXACT = ("check_methods_sample_order_invariance", "check_methods_subset_invariance")


def checks():
    estimator = AudioEmbedding()
    return [
        pytest.param(check, id=check.func.__name__ + str(index))
        for index, (_, check) in enumerate(estimator_checks_generator(estimator))
    ]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("check", checks())
def test_sklearns_checks(check, model, monkeypatch):
    monkeypatch.setenv("BYOLA_MODEL", model)
    name = check.func.__name__
    message = EXPECTED_FAILURES.get(name)
    if message is None:
        check(AudioEmbedding(batch_size=1) if name in EXACT else AudioEmbedding())
        return
    with pytest.raises((AssertionError, UserError), match=message):
        check(AudioEmbedding())


def test_files_and_arrays_give_what_the_embedder_gives(model, files):
    embedder = byola_tf.load(model)
    expected = np.concatenate([embedder(audio.load(path, 16000)) for path in files])
    transformer = AudioEmbedding(model, batch_size=2)
    vectors = transformer.fit_transform(files)
    np.testing.assert_allclose(vectors, expected, atol=1e-5)
    assert vectors.dtype == np.float32
    for given in (
        np.array(files),
        [audio.load(path, 16000) for path in files],
        [np.stack([audio.load(path, 16000)] * 2, axis=1) for path in files],
    ):
        np.testing.assert_allclose(transformer.transform(given), expected, atol=1e-5)


def test_arrays_of_another_rate_are_resampled(model):
    tone = np.sin(2 * np.pi * 440 * np.arange(48000) / 48000).astype("f")
    vector = AudioEmbedding(model, sample_rate=48000).fit_transform([tone])
    expected = byola_tf.load(model)(tone, sample_rate=48000)
    np.testing.assert_allclose(vector, expected, atol=1e-5)
    pcm = np.rint(tone * 32767).astype(np.int16)
    again = AudioEmbedding(model, sample_rate=48000).fit_transform([pcm])
    np.testing.assert_allclose(again, expected, atol=0.02 * np.abs(expected).max())


def test_a_long_list_is_read_while_it_is_embedded(model):
    alive, most = set(), 0

    class Clips:
        """Counts how many of its clips are in use."""

        def __len__(self):
            return 400

        def __iter__(self):
            nonlocal most
            for index in range(len(self)):
                clip = Clip(np.full(1600, 0.1, "f"))
                alive.add(index)
                clip.index = index
                most = max(most, len(alive))
                yield clip

    class Clip:
        def __init__(self, array):
            self.array = array

        def __array__(self, dtype=None, copy=None):
            return self.array

        def __del__(self):
            alive.discard(self.index)

    transformer = AudioEmbedding(model, batch_size=16)
    assert transformer.fit_transform(Clips()).shape == (400, 72)
    assert most < 64


def test_in_a_pipeline_with_a_classifier(model):
    rng = np.random.default_rng(0)
    noises = [0.1 * rng.standard_normal(4000 + 100 * i) for i in range(10)]
    tones = [np.sin(np.arange(4000 + 90 * i) * 0.3) / 2 for i in range(10)]
    labels = ["noise"] * 10 + ["tone"] * 10
    pipeline = make_pipeline(
        AudioEmbedding(model), StandardScaler(), LogisticRegression()
    )
    scores = cross_val_score(pipeline, noises + tones, labels, cv=2)
    assert scores.min() == 1.0
    pipeline.fit(noises + tones, labels)
    assert list(pipeline.predict([tones[0], noises[0]])) == ["tone", "noise"]


def test_pickle_and_clone_keep_the_path_and_not_the_model(model, files):
    fitted = AudioEmbedding(model).fit(files)
    data = pickle.dumps(fitted)
    assert len(data) < 2000
    restored = pickle.loads(data)
    np.testing.assert_array_equal(restored.transform(files), fitted.transform(files))
    assert clone(fitted).get_params() == fitted.get_params()
    assert pickle.loads(pickle.dumps(AudioEmbedding(model))).model == model


def test_a_pickled_pipeline_refuses_another_model_in_its_place(model, files, tmp_path):
    folder = str(tmp_path / "model")
    shutil.copytree(model, folder)
    pipeline = make_pipeline(AudioEmbedding(folder), StandardScaler())
    pipeline.fit(files)
    content = pickle.dumps(pipeline)
    pickle.loads(content).transform(files)
    opened = checkpoint.load(folder)
    opened.encoder.set_weights([1.1 * w for w in opened.encoder.get_weights()])
    checkpoint.save(folder, opened)
    with pytest.raises(UserError, match="another model at"):
        pickle.loads(content).transform(files)
    other = checkpoint.load(model)
    checkpoint.save(folder, checkpoint.with_statistics(other, Statistics(-8.0, 4.0)))
    with pytest.raises(UserError, match="another model at"):
        pickle.loads(content).transform(files)
    shutil.copytree(model, folder, dirs_exist_ok=True)
    pickle.loads(content).transform(files)


def test_names_of_the_features(model, files):
    fitted = AudioEmbedding(model).fit(files)
    names = fitted.get_feature_names_out()
    assert (len(names), names[0]) == (fitted.embedding_size_, "audioembedding0")
    pytest.importorskip("pandas")
    table = fitted.set_output(transform="pandas").transform(files)
    assert list(table.columns) == list(names)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("one.wav", "into a list"),
        (np.zeros(16000, "f"), "into a list"),
        ([], "at least one recording"),
        (["absent.wav"], "absent.wav"),
        ([np.zeros(10, np.int64)], "float in"),
        ([np.array([0.0, np.nan])], "must be finite"),
        ([np.zeros(0, "f")], "at least one sample"),
    ],
)
def test_wrong_recordings_say_what_is_expected(model, given, message):
    with pytest.raises(UserError, match=message):
        AudioEmbedding(model).fit_transform(given)


def test_no_model_at_all(monkeypatch):
    monkeypatch.delenv("BYOLA_MODEL", raising=False)
    with pytest.raises(UserError, match="BYOLA_MODEL"):
        AudioEmbedding().fit([np.zeros(10, "f")])
