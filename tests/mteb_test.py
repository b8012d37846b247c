"""The MTEB encoder: with batches of the documented shape, and with mteb itself."""

import os

import numpy as np
import pytest

import byola_tf
from byola_tf import Encoder, checkpoint
from byola_tf.config import Config, EncoderConfig
from byola_tf.errors import UserError
from byola_tf.mteb import AudioEncoder
from byola_tf.normalize import Statistics


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("mteb") / "model")
    os.mkdir(folder)
    config = Config(encoder=EncoderConfig(channels=4, hidden_units=8, output_units=8))
    opened = checkpoint.Checkpoint(
        Encoder(config.encoder), config, Statistics(-7.0, 4.0), {"licence": "MIT"}
    )
    checkpoint.save(folder, opened)
    return folder


@pytest.fixture(scope="module")
def encoder(model):
    return AudioEncoder(model)


class Loader:
    """Iterates batches, as torch's DataLoader does after MTEB's collation."""

    def __init__(self, items, batch_size):
        self.items, self.batch_size = items, batch_size

    def __iter__(self):
        for first in range(0, len(self.items), self.batch_size):
            chosen = self.items[first : first + self.batch_size]
            yield {"audio": chosen, "label": [0] * len(chosen)}


def make_items():
    """Clips of several lengths, rates and channel counts."""
    rng = np.random.default_rng(0)
    shapes = [(8000, 16000), (20000, 44100), (16000, 16000), (2, 9000, 8000)]
    return [
        {"array": 0.1 * rng.standard_normal(shape), "sampling_rate": rate}
        for *shape, rate in shapes
    ]


def test_batches_give_what_the_embedder_gives(model, encoder):
    items = make_items()
    vectors = encoder.encode(
        Loader(items, 3),
        task_metadata=None,
        hf_split="test",
        hf_subset="default",
        batch_size=3,
        show_progress_bar=False,
    )
    embedder = byola_tf.load(model)
    arrays = [item["array"] for item in items]
    arrays[3] = arrays[3].mean(axis=0)
    for vector, array, item in zip(vectors, arrays, items, strict=True):
        expected = embedder(array.astype("f"), sample_rate=item["sampling_rate"])
        np.testing.assert_allclose(vector, expected[0], atol=1e-4)
    assert vectors.dtype == np.float32
    again = encoder.get_audio_embeddings(Loader(items, 1))
    np.testing.assert_allclose(again, vectors, atol=1e-5)
    assert encoder.encode(Loader([], 3)).shape == (0, vectors.shape[1])


def test_similarity_is_the_cosine(encoder):
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(3, 8)), rng.normal(size=(2, 8))
    matrix = encoder.similarity(first, second)
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            cosine = a @ b / np.sqrt((a @ a) * (b @ b))
            np.testing.assert_allclose(matrix[i, j], cosine, rtol=1e-5)
    pairs = encoder.similarity_pairwise(first[:2], second)
    np.testing.assert_allclose(pairs, np.diag(matrix[:2]), rtol=1e-5)
    assert encoder.similarity(first[0], np.zeros((1, 8))).tolist() == [[0.0]]


def test_tasks_without_audio_are_refused(encoder):
    with pytest.raises(UserError, match="batch of: text"):
        encoder.encode([{"text": ["no sound"]}])


def test_model_comes_from_the_environment(model, monkeypatch):
    monkeypatch.setenv("BYOLA_MODEL", model)
    assert AudioEncoder().name == "byola-tf/model"
    named = AudioEncoder("aviary/birds", "1", device="cpu", model=model)
    assert (named.name, named.path) == ("aviary/birds", model)
    monkeypatch.delenv("BYOLA_MODEL")
    with pytest.raises(UserError, match="BYOLA_MODEL"):
        AudioEncoder()


def test_mteb_evaluates_it(model, encoder):
    mteb = pytest.importorskip("mteb")
    import datasets
    from mteb.mocks import MockAudioClassification
    from mteb.models.models_protocols import EncoderProtocol

    class Task(MockAudioClassification):
        """Noises and tones as plain columns, so that nothing has to decode."""

        def load_data(self, **kwargs):
            rng = np.random.default_rng(0)
            clips = []
            for index in range(24):
                time = np.arange(4000 + 50 * index) / 16000
                noise = 0.1 * rng.standard_normal(len(time))
                tone = 0.5 * np.sin(2 * np.pi * (300 + 50 * index) * time)
                array = [noise, tone][index % 2]
                clips.append({"array": array.tolist(), "sampling_rate": 16000})
            columns = {"audio": clips, "label": [0, 1] * 12}
            split = datasets.Dataset.from_dict(columns)
            self.dataset = datasets.DatasetDict({"train": split, "test": split})
            self.data_loaded = True

    assert isinstance(encoder, EncoderProtocol)
    meta = encoder.mteb_model_meta
    assert (meta.name, meta.license, meta.embed_dim) == ("byola-tf/model", "mit", 72)
    assert meta.modalities == ["audio"]
    results = mteb.evaluate(encoder, Task(), cache=None, overwrite_strategy="always")
    assert results[0].get_score() > 0.9
