"""What a model says about itself is true."""

import json

import numpy as np
import pytest
import tensorflow as tf

from byola_tf import Encoder, frontend, metadata
from byola_tf.config import AugmentConfig, Config, EncoderConfig, FrontendConfig
from byola_tf.networks import geometry
from byola_tf.normalize import Statistics
from train_lib.configs import byola_v1, byola_v2, demo


def facts(config, **provenance):
    return json.loads(metadata.describe(config, Statistics(-7.0, 4.5), provenance))


def test_facts_of_the_published_model():
    told = facts(Config(), steps=7, licence="apache-2.0")
    assert told["method"] == "v2"
    assert told["dimensions"] == {
        "embedding": 3072,
        "frame_embedding": 3072,
        "local": 1024,
        "global": 2048,
    }
    assert told["receptive_field"] == {
        "log_mel_frames": 10,
        "samples": 9 * 160 + 1024,
        "seconds": 0.154,
    }
    assert (told["frame_hop_samples"], told["frame_hop_seconds"]) == (640, 0.04)
    assert told["frontend_hash"] == frontend.fingerprint(FrontendConfig(), -7.0, 4.5)
    assert (told["licence"], told["provenance"]["steps"]) == ("apache-2.0", 7)
    assert told["versions"]["tensorflow"] == tf.__version__
    assert "whoever trained" in facts(Config())["licence"]


@pytest.mark.parametrize(
    ("config", "version"),
    [
        (byola_v2.get_config(), "v2"),
        (byola_v1.get_config(), "v1"),
        (demo.get_config(), "v2"),
        (Config.from_json(byola_v1.get_config().to_json()), "v1"),
        (Config(augment=AugmentConfig(blocks=("mixup",))), "custom"),
        (Config(encoder=EncoderConfig(pooling="max")), "custom"),
        (Config(frontend=FrontendConfig(mel_scale="htk")), "custom"),
        (Config(frontend=FrontendConfig(hop_length=320)), "custom"),
    ],
)
def test_method_version_is_the_papers_or_custom(config, version):
    assert metadata.method_version(config) == version


@pytest.mark.parametrize("num_blocks", [1, 2, 3])
def test_receptive_field_is_what_a_frame_embedding_depends_on(num_blocks):
    config = EncoderConfig(
        num_blocks=num_blocks, channels=4, hidden_units=8, output_units=8
    )
    encoder = Encoder(config)
    rng = np.random.default_rng(0)
    log_mel = tf.Variable(rng.normal(size=(1, 64, 64)).astype("f"))
    embeddings = []
    for frame in range(64):
        changed = log_mel.numpy()
        changed[0, frame] += 100.0
        embeddings.append(encoder.frames(changed)[0, 32 // config.time_stride])
    unchanged = encoder.frames(log_mel)[0, 32 // config.time_stride]
    seen = [np.abs(vector - unchanged).max() > 0 for vector in embeddings]
    first, last = np.flatnonzero(seen)[[0, -1]]
    shape = encoder.geometry
    assert last - first + 1 == shape.last_seen - shape.first_seen + 1


def test_a_window_shorter_than_the_transform_counts_once_and_as_it_is():
    front = FrontendConfig(n_fft=1024, win_length=400)
    config = Config(frontend=front)
    told = facts(config)["receptive_field"]
    assert told["samples"] == 9 * 160 + 400
    assert geometry.receptive_field(config).num_samples_seen == told["samples"]
