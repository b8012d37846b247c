"""Models of every family behind `open_model`, each a real one made here."""

import json
import pathlib
import socket
import subprocess
import sys
import sysconfig

import keras
import numpy as np
import pytest
import soundfile
import tensorflow as tf

import byola_tf
from byola_tf import checkpoint, log_mel_spectrogram
from byola_tf.config import Config, EncoderConfig
from byola_tf.errors import UserError
from byola_tf.networks.encoder import Encoder
from byola_tf.normalize import Statistics, normalize
from hub_export import saved_model
from train_lib.probe import embedding
from train_lib.probe.models import hub, inner_layers, opening
from train_lib.probe.tasks import tasks

TRANSFORMERS = ("torch==2.13.0", "transformers==5.23.0")
RATE = 16000
SMALL = EncoderConfig(channels=8, hidden_units=24, output_units=16)


def clips(num_clips=3, num_samples=RATE, seed=0):
    random = np.random.default_rng(seed)
    return random.normal(0, 0.1, (num_clips, num_samples)).astype(np.float32)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A checkpoint folder and an export of the same small encoder."""
    folder = tmp_path_factory.mktemp("small")
    config = Config(encoder=SMALL)
    keras.utils.set_random_seed(1)
    opened = checkpoint.Checkpoint(
        Encoder(config.encoder), config, Statistics(-7.0, 4.0), {}
    )
    (folder / "checkpoint").mkdir()
    checkpoint.save(str(folder / "checkpoint"), opened)
    saved_model.write(opened, str(folder / "export"))
    return folder, opened


class Frames(tf.Module):
    """A layer of random weights on frames of a waveform."""

    def __init__(self, window, units, seed=0):
        super().__init__()
        random = np.random.default_rng(seed)
        self.window = window
        weights = random.normal(0, 1, (window, units)).astype(np.float32)
        self.weights = tf.Variable(weights)

    def frames(self, waveform):
        framed = tf.signal.frame(waveform, self.window, self.window)
        return tf.nn.relu(framed @ self.weights)


WAVEFORM = tf.TensorSpec([None], tf.float32, name="waveform")


class VGGish(Frames):
    """google/vggish/1: mono waveform to [time, 128], 0.96 s a frame."""

    def __init__(self):
        super().__init__(15360, 128)

    @tf.function(input_signature=[WAVEFORM])
    def __call__(self, waveform):
        return self.frames(waveform)


class YAMNet(Frames):
    """google/yamnet/1: mono waveform to scores, embeddings, spectrogram."""

    def __init__(self):
        super().__init__(7680, 1024)
        self.classes = tf.Variable(tf.ones([1024, 521]))
        self.class_map = tf.constant("class_map.csv")

    @tf.function(input_signature=[WAVEFORM])
    def __call__(self, waveform):
        embeddings = self.frames(waveform)
        scores = tf.nn.sigmoid(embeddings @ self.classes)
        spectrogram = tf.signal.frame(waveform, 160, 160)[:, :64]
        return scores, embeddings, spectrogram


class TRILL(Frames):
    """nonsemantic-speech-benchmark/trill/3: samples and rate to a dict."""

    def __init__(self):
        super().__init__(2672, 512)
        self.wide = tf.Variable(np.random.default_rng(1).normal(size=(512, 96)))
        self.ranks = ([None], [None, None])

    @tf.function
    def __call__(self, samples, sample_rate):
        tf.debugging.assert_equal(sample_rate, RATE)
        embedding = self.frames(samples)
        layer19 = tf.cast(embedding, tf.float64) @ self.wide
        return {"embedding": embedding, "layer19": tf.cast(layer19, tf.float32)}

    def traced(self):
        rate = tf.TensorSpec([], tf.int32, name="sample_rate")
        for shape in self.ranks:
            samples = tf.TensorSpec(shape, tf.float32, name="samples")
            self.__call__.get_concrete_function(samples=samples, sample_rate=rate)
        return self


class FRILL(Frames):
    """nonsemantic-speech-benchmark/frill/1: a batch to one vector a clip."""

    def __init__(self):
        super().__init__(8000, 64)

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None], tf.float32, name="input_1"),
        ]
    )
    def __call__(self, input_1):
        return {"embedding": tf.reduce_mean(self.frames(input_1), 1)}


def save(module, folder, **options):
    path = str(folder / type(module).__name__)
    tf.saved_model.save(module, path, **options)
    return path


def relu_frames(module, waveform):
    window = module.window
    whole = waveform.shape[1] // window * window
    framed = waveform[:, :whole].reshape(len(waveform), -1, window)
    return np.maximum(framed @ module.weights.numpy(), 0)


class TestHub:
    def test_vggish_frames_are_pooled_by_mean_and_max(self, tmp_path):
        module = VGGish()
        model = opening.open_model(save(module, tmp_path))
        waveform = clips(2, 4 * 15360)
        frames = relu_frames(module, waveform)
        embedding = model.embed(waveform)
        assert embedding.shape == (2, 128) and model.sample_rate == 16000
        expected = frames.mean(axis=1) + frames.max(axis=1)
        np.testing.assert_allclose(embedding, expected, rtol=1e-4, atol=1e-4)

        mean = opening.open_model(model.name, "mean")
        np.testing.assert_allclose(
            mean.embed(waveform), frames.mean(axis=1), rtol=1e-4, atol=1e-4
        )
        assert mean.fingerprint != model.fingerprint

    def test_yamnet_embeddings_are_the_second_output(self, tmp_path):
        module = YAMNet()
        path = save(module, tmp_path)
        waveform = clips(2)
        frames = relu_frames(module, waveform)
        np.testing.assert_allclose(
            opening.open_model(f"hub:{path}").embed(waveform),
            frames.mean(axis=1) + frames.max(axis=1),
            rtol=1e-4,
            atol=1e-4,
        )
        assert opening.open_model(f"{path}#0").embed(waveform).shape == (2, 521)

    @pytest.mark.parametrize("ranks", [([None], [None, None]), ([None],)])
    def test_trill_gets_its_rate_and_gives_layer19(self, tmp_path, ranks):
        module = TRILL()
        module.ranks = ranks
        path = save(module.traced(), tmp_path)
        waveform = clips(3)
        model = opening.open_model(path)
        frames = relu_frames(module, waveform) @ module.wide.numpy()
        np.testing.assert_allclose(
            model.embed(waveform),
            frames.mean(axis=1) + frames.max(axis=1),
            rtol=1e-3,
            atol=1e-3,
        )
        assert opening.open_model(f"{path}#embedding").embed(waveform).shape == (3, 512)

    def test_frill_vectors_are_taken_as_they_are(self, tmp_path):
        module = FRILL()
        path = save(module, tmp_path)
        waveform = clips(3)
        expected = relu_frames(module, waveform).mean(axis=1)
        embedding = opening.open_model(path).embed(waveform)
        np.testing.assert_allclose(embedding, expected, rtol=1e-4, atol=1e-4)
        with pytest.raises(UserError, match="`pooling` must be left out.*one vector"):
            opening.open_model(path, "max").embed(waveform)

    def test_opens_signatures_where_there_is_no_call(self, tmp_path):
        module = VGGish()
        bare = tf.Module()
        bare.weights = module.weights
        path = str(tmp_path / "bare")
        tf.saved_model.save(bare, path, signatures=module.__call__)
        embedding = opening.open_model(f"{path}@22050").embed(clips(2, 20000))
        assert embedding.shape == (2, 128)
        assert opening.open_model(f"{path}@22050").sample_rate == 22050

    def test_refuses_what_takes_no_waveform(self, tmp_path):
        module = tf.Module()
        module.twice = tf.function(
            lambda image: 2 * image,
            input_signature=[tf.TensorSpec([None, 8, 8, 3], tf.float32)],
        )
        tf.saved_model.save(module, str(tmp_path), signatures=module.twice)
        with pytest.raises(UserError, match="takes one float32 waveform"):
            opening.open_model(str(tmp_path))

    def test_asks_which_output_is_meant(self, tmp_path):
        path = save(TRILL().traced(), tmp_path)
        with pytest.raises(UserError, match=r"one of .*layer19.*Received: 'logits'"):
            opening.open_model(f"{path}#logits").embed(clips())
        with pytest.raises(UserError, match="Choose with --model=PATH#NAME"):
            from train_lib.probe.models import hub

            hub.choose_output({"scores": tf.zeros(1), "logits": tf.zeros(1)})

    def test_a_clip_too_short_for_the_model_is_said(self, tmp_path):
        path = save(VGGish(), tmp_path)
        with pytest.raises(UserError, match="Use a longer --unit_seconds"):
            opening.open_model(path).embed(clips(2, 1000))

    def test_a_handle_that_cannot_be_had(self, tmp_path):
        with pytest.raises(UserError, match="A TF-Hub model must be a folder or"):
            opening.open_model(f"hub:{tmp_path}/nothing")


class TestOwn:
    @pytest.mark.parametrize("kind", ["checkpoint", "export"])
    def test_uses_the_statistics_of_the_task(self, small, kind):
        folder, opened = small
        model = opening.open_model(str(folder / kind))
        assert model.name == str(folder / kind) and model.sample_rate == RATE
        waveform = clips()
        log_mel = log_mel_spectrogram(waveform, opened.config.frontend)
        for statistics in (opened.statistics, Statistics(-9.0, 3.0)):
            model.with_statistics(statistics.mean, statistics.std)
            expected = opened.encoder(normalize(log_mel, statistics))
            np.testing.assert_allclose(
                model.embed(waveform), expected, rtol=1e-4, atol=1e-4
            )

    def test_checkpoint_and_export_agree_for_every_option(self, small):
        folder, _ = small
        waveform = clips()
        fingerprints = set()
        options = [
            {},
            {"pooling": "max"},
            {"layers": ["conv1"]},
            {"layers": ["all"], "pooling": "mean"},
        ]
        for choice in options:
            found = [
                opening.open_model(str(folder / kind), **choice)
                for kind in ("checkpoint", "export")
            ]
            first, second = (model.embed(waveform) for model in found)
            np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-4)
            fingerprints.update(model.fingerprint for model in found)
        assert len(fingerprints) == 2 * len(options)

    def test_layers_are_those_that_make_the_embedding(self, small):
        folder, opened = small
        assert inner_layers.layer_names(opened.encoder) == (
            "conv1",
            "conv2",
            "mlp1",
            "mlp2",
        )
        path, waveform = str(folder / "checkpoint"), clips()
        whole = opening.open_model(path).embed(waveform)
        parts = opening.open_model(path, layers=["conv2", "mlp2"]).embed(waveform)
        np.testing.assert_allclose(parts, whole, rtol=1e-5, atol=1e-5)
        everything = opening.open_model(path, layers=["all"]).embed(waveform)
        # conv1 has half of the 64 bins left, conv2 a quarter; 8 channels each
        assert everything.shape == (3, 32 * 8 + 16 * 8 + 24 + 16)
        with pytest.raises(UserError, match="different ones of conv1.*'?conv9"):
            opening.open_model(path, layers=["conv9"])

    def test_layers_of_the_variants(self):
        small = {"channels": 4, "hidden_units": 8, "output_units": 8}
        log_mel = np.random.default_rng(0).normal(size=(2, 48, 64)).astype("f")
        for names, changes in (
            (("conv1", "conv2", "mlp1", "mlp2"), {"local_features": "channel_mean"}),
            (("conv1", "conv2"), {"mlp": False, "pooling": "attention"}),
            (("backbone", "mlp1", "mlp2"), {"architecture": "resnet18"}),
        ):
            encoder = byola_tf.Encoder(EncoderConfig(**small, **changes))
            layers = inner_layers.layer_features(encoder, log_mel)
            assert tuple(layers) == names
            last = layers[names[-1]]
            np.testing.assert_allclose(
                encoder.frames(log_mel)[..., -last.shape[-1] :], last, atol=1e-5
            )

    def test_pooling_can_be_chosen(self, small):
        folder, opened = small
        waveform = clips()
        embedder = byola_tf.load(str(folder / "checkpoint"))
        frames = embedder.frames(waveform)["frame_embeddings"].numpy()
        for pooling, expected in (("mean", frames.mean(1)), ("max", frames.max(1))):
            model = opening.open_model(str(folder / "export"), pooling)
            np.testing.assert_allclose(
                model.embed(waveform), expected, rtol=1e-4, atol=1e-4
            )

    def test_floors(self):
        waveform = clips(2)
        assert opening.open_model("random:v1").embed(waveform).shape == (2, 2048)
        floor = opening.open_model("logmel")
        assert floor.embed(waveform).shape == (2, 128) and floor.name == "logmel"
        with pytest.raises(UserError, match="`random`, `random:v2` or `random:v1`"):
            opening.open_model("random:v3")
        with pytest.raises(UserError, match="`pooling` must be left out"):
            opening.open_model("logmel", "mean")

    def test_bad_options(self, small):
        folder, _ = small
        with pytest.raises(UserError, match="`pooling` must be one of"):
            opening.open_model(str(folder / "export"), "median")
        with pytest.raises(UserError, match="`layers` must be left out"):
            opening.open_model("logmel", layers=["conv1"])
        with pytest.raises(UserError, match="A model must be|A checkpoint must be"):
            opening.open_model("/nowhere")


HEAR = """
import tensorflow as tf

class Model(tf.Module):
    sample_rate = 22050
    scene_embedding_size = 6
    timestamp_embedding_size = 6

    def __init__(self, scale):
        super().__init__()
        self.scale = tf.Variable(scale)

def load_model(model_file_path=""):
    if not model_file_path:
        return Model(1.0)
    with open(model_file_path) as file:
        return Model(float(file.read()))

def get_timestamp_embeddings(audio, model):
    embeddings = model.scale * tf.signal.frame(audio, 1000, 1000)[:, :, :6]
    times = 22.0 + 45.0 * tf.range(embeddings.shape[1], dtype=tf.float32)
    return embeddings, tf.tile(times[None], [len(audio), 1])

def get_scene_embeddings(audio, model):
    return tf.reduce_mean(get_timestamp_embeddings(audio, model)[0], axis=1)
"""

PYTHON = """
import numpy as np

def embed(waveform):
    return waveform.reshape(len(waveform), -1, 100)

embed.sample_rate = 8000

def vector(waveform):
    return np.abs(waveform).mean(axis=1, keepdims=True)
"""


class TestModules:
    def test_hear_module_with_weights(self, tmp_path, monkeypatch):
        (tmp_path / "heard_model.py").write_text(HEAR)
        (tmp_path / "weights.txt").write_text("2.0")
        monkeypatch.syspath_prepend(str(tmp_path))
        waveform = clips(3, 5000)
        frames = waveform.reshape(3, 5, 1000)[:, :, :6]
        model = opening.open_model("hear:heard_model")
        assert model.sample_rate == 22050
        np.testing.assert_allclose(model.embed(waveform), frames.mean(1), atol=1e-5)

        spec = f"hear:heard_model:{tmp_path / 'weights.txt'}"
        peak = opening.open_model(spec, "max")
        np.testing.assert_allclose(peak.embed(waveform), 2 * frames.max(1), atol=1e-5)
        (tmp_path / "weights.txt").write_text("3.0")
        assert opening.open_model(spec, "max").fingerprint != peak.fingerprint

    def test_hear_module_that_is_none(self, tmp_path, monkeypatch):
        (tmp_path / "half_heard.py").write_text("def load_model(): pass")
        monkeypatch.syspath_prepend(str(tmp_path))
        with pytest.raises(UserError, match="without get_scene_embeddings"):
            opening.open_model("hear:half_heard")
        with pytest.raises(UserError, match="a module that can be imported"):
            opening.open_model("hear:never_heard_of_it")

    def test_python_function_of_a_file(self, tmp_path):
        path = tmp_path / "mine.py"
        path.write_text(PYTHON)
        waveform = clips(2, 800)
        model = opening.open_model(f"python:{path}:embed")
        frames = waveform.reshape(2, 8, 100)
        assert model.sample_rate == 8000
        np.testing.assert_allclose(
            model.embed(waveform), frames.mean(1) + frames.max(1), atol=1e-6
        )
        vector = opening.open_model(f"python:{path}:vector@32000")
        assert vector.sample_rate == 32000
        assert vector.embed(waveform).shape == (2, 1)
        with pytest.raises(UserError, match="must say its sampling rate"):
            opening.open_model(f"python:{path}:vector")
        with pytest.raises(UserError, match="must name a function"):
            opening.open_model(f"python:{path}:nothing")

    def test_a_wrong_shape_is_said(self):
        model = opening.as_model(
            type("Bad", (), {"sample_rate": 8, "__call__": lambda self, x: x[0]})()
        )
        with pytest.raises(UserError, match=r"\[batch, d\] or .*Received: shape \(9,"):
            model.embed(clips(2, 9))


class TestTFLite:
    def convert(self, function, shape, path):
        module = tf.Module()
        module.run = tf.function(
            function, input_signature=[tf.TensorSpec(shape, tf.float32)]
        )
        converter = tf.lite.TFLiteConverter.from_concrete_functions(
            [module.run.get_concrete_function()], module
        )
        path.write_bytes(converter.convert())
        return str(path)

    @pytest.mark.newest_smoke
    def test_fixed_window_and_dynamic_length(self, tmp_path):
        def embed(waveform):
            framed = tf.reshape(waveform, [1, -1, 100])
            return tf.reduce_mean(tf.abs(framed), axis=1)

        waveform = clips(2, 2500)
        fixed = opening.open_model(
            self.convert(embed, [1, 1000], tmp_path / "fixed.tflite")
        )
        padded = np.pad(waveform, ((0, 0), (0, 500))).reshape(2, 3, 10, 100)
        windows = np.abs(padded).mean(axis=2)
        np.testing.assert_allclose(fixed.embed(waveform), windows.mean(1), atol=1e-5)

        path = self.convert(embed, [1, None], tmp_path / "dynamic.tflite")
        dynamic = opening.open_model(f"{path}@8000")
        assert dynamic.sample_rate == 8000
        expected = np.abs(waveform.reshape(2, 25, 100)).mean(1)
        np.testing.assert_allclose(dynamic.embed(waveform), expected, atol=1e-5)

    def test_refuses_what_is_no_waveform_model(self, tmp_path):
        path = self.convert(lambda x: 2 * x, [1, 4, 4, 1], tmp_path / "image.tflite")
        with pytest.raises(UserError, match="one float32 waveform input"):
            opening.open_model(path)
        (tmp_path / "garbage.tflite").write_bytes(b"garbage")
        with pytest.raises(UserError, match="that LiteRT opens"):
            opening.open_model(str(tmp_path / "garbage.tflite"))


def test_a_task_is_embedded_at_the_rate_of_the_model(tmp_path):
    module = VGGish()
    path = save(module, tmp_path)
    rows = ["file_name,label,split"]
    for row, split in enumerate(("train", "train", "test", "test")):
        soundfile.write(tmp_path / f"{row}.wav", clips(1, 44100, row)[0], 44100)
        rows.append(f"{row}.wav,{'ab'[row % 2]},{split}")
    (tmp_path / "task.csv").write_text("\n".join(rows))
    task = tasks.read_task(str(tmp_path / "task.csv"), str(tmp_path))
    model = opening.open_model(path)
    embedded = embedding.embed_task(task, model, 1.0)
    assert embedded.features.shape == (4, 128) and embedded.statistics is None


def test_hugging_face_models_need_their_libraries(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "wav2vec2"}))
    try:
        import transformers  # noqa: F401

        pytest.skip("transformers is installed here")
    except ImportError:
        pass
    with pytest.raises(UserError, match=r"byola-tf\[transformers\]"):
        opening.open_model(str(tmp_path))


@pytest.fixture(scope="session")
def torch_python(request):
    """The Python of an environment with PyTorch and transformers, made once."""
    folder = request.config.cache.mkdir("transformers_environment")
    python = folder / "bin" / "python"
    finished = folder / "finished"
    if finished.exists():
        return str(python)
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    # what this environment has is not installed twice
    (packages / "this_environment.pth").write_text(sysconfig.get_paths()["purelib"])
    installed = subprocess.run(
        [python, "-m", "pip", "install", "-q", *TRANSFORMERS],
        capture_output=True,
        text=True,
    )
    if installed.returncode:
        reason = (installed.stderr.strip() or "pip failed").splitlines()[-1]
        pytest.skip(f"PyTorch and transformers cannot be installed: {reason}")
    finished.touch()
    return str(python)


@pytest.mark.slow
def test_hugging_face_families(torch_python):
    """Runs the tests of huggingface_test.py where PyTorch and transformers are."""
    tests = pathlib.Path(__file__).with_name("huggingface_test.py")
    done = subprocess.run(
        [torch_python, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tests)],
        capture_output=True,
        text=True,
        cwd=tests.parents[1],
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout and "skipped" not in done.stdout, done.stdout


def test_a_server_that_says_nothing_is_given_up(monkeypatch, tmp_path):
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(hub, "_SERVER_SECONDS", 0.5)
    with socket.create_server(("localhost", 0)) as silent:
        address = f"http://localhost:{silent.getsockname()[1]}/model.tar.gz"
        with pytest.raises(UserError, match="timed out"):
            hub.resolve(address)
    assert socket.getdefaulttimeout() is None
