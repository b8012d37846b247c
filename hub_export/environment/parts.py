"""The parts of the environment that the project uses, and how each is tried."""

import io
import os
import tempfile

from hub_export.environment.trials import Absent, Trial

# Each function runs in a process of its own and imports only what it tries.


def train_and_embed() -> str:
    """A waveform through front end and a small encoder."""
    import numpy as np

    import byola_tf
    from byola_tf.config import EncoderConfig

    encoder = byola_tf.Encoder(
        EncoderConfig(channels=4, hidden_units=8, output_units=8)
    )
    waveform = _tone()[None].astype("float32")
    log_mel = byola_tf.log_mel_spectrogram(waveform, byola_tf.Config().frontend)
    _require(np.isfinite(encoder(log_mel).numpy()).all(), "the embedding is not finite")
    return "a waveform through front end and encoder"


def decode_with_soundfile() -> str:
    """A WAV, written and read; returns the version of libsndfile."""
    import soundfile

    samples, rate = soundfile.read(io.BytesIO(_wav()))
    _require(rate == 16000 and abs(samples - _tone()).max() < 1e-4, "other samples")
    return soundfile.__libsndfile_version__


def resample_with_soxr() -> str:
    """16 kHz to 8 kHz."""
    import soxr

    _require(len(soxr.resample(_tone(), 16000, 8000)) == 8000, "another length")
    return "16 kHz to 8 kHz"


def decode_with_tensorflow_io() -> str:
    """A WAV through the native operation."""
    import tensorflow as tf
    import tensorflow_io as tfio

    decoded = tfio.audio.decode_wav(_wav(), dtype=tf.int16)
    _require(decoded.shape == (16000, 1), f"shape {decoded.shape}")
    return "native operations load"


def open_a_hub_module() -> str:
    """A SavedModel through hub.load and hub.KerasLayer."""
    import tensorflow as tf
    import tensorflow_hub as hub
    import tf_keras

    module = tf.Module()
    module.__call__ = tf.function(
        lambda x: 2 * x, input_signature=[tf.TensorSpec([None, 1])]
    )
    one = tf.constant([[1.0]])
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder)
        loaded = hub.load(folder)(one)
        layer = tf_keras.Sequential([hub.KerasLayer(folder)])(one)
    _require(loaded.numpy() == layer.numpy() == 2, "other numbers")
    return "a SavedModel opens in both"


def convert_to_tflite() -> str:
    """A function through the converter and LiteRT."""
    import numpy as np
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    module = tf.Module()
    module.double = tf.function(
        lambda x: 2 * x, input_signature=[tf.TensorSpec([4], name="x")]
    )
    model = tf.lite.TFLiteConverter.from_concrete_functions(
        [module.double.get_concrete_function()], module
    ).convert()
    runner = Interpreter(model_content=model).get_signature_runner()
    (result,) = runner(x=np.ones(4, "float32")).values()
    _require((result == 2).all(), "other numbers")
    return "a model converts and runs"


def write_parquet() -> str:
    """A table, written and read."""
    import pyarrow
    import pyarrow.parquet

    # by path: after reading a Python file object, pyarrow 25 now and then aborts
    # at exit
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "table.parquet")
        pyarrow.parquet.write_table(pyarrow.table({"x": [1, 2]}), path)
        _require(pyarrow.parquet.read_table(path).num_rows == 2, "another table")
    return "written and read"


def fit_a_classifier() -> str:
    """scikit-learn on two points."""
    from sklearn.linear_model import LogisticRegression

    classifier = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    _require(classifier.predict([[2.0]])[0] == 1, "another class")
    return "a classifier fits"


def draw() -> str:
    """A figure without a display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure()
    figure.subplots().plot([1, 2])
    FigureCanvasAgg(figure).print_png(io.BytesIO())
    return "a figure is drawn"


def import_datasets() -> str:
    """tensorflow-datasets, which protobuf's version may stop."""
    import tensorflow_datasets

    return f"imports, {tensorflow_datasets.__version__}"


def find_accelerators() -> str:
    """Names of the GPUs and TPUs that TensorFlow sees."""
    import tensorflow as tf

    kinds = [tf.config.list_physical_devices(kind) for kind in ("GPU", "TPU")]
    names = [device.name for devices in kinds for device in devices]
    if not names:
        raise Absent("none visible: everything runs on the CPU")
    return ", ".join(names)


PARTS = (
    Trial("train and embed", train_and_embed, needed=True),
    Trial("decode with soundfile", decode_with_soundfile, needed=True),
    Trial("resample with soxr", resample_with_soxr, needed=True),
    Trial(
        "decode with tensorflow-io",
        decode_with_tensorflow_io,
        modules=("tensorflow_io",),
    ),
    Trial(
        "hub.load, hub.KerasLayer",
        open_a_hub_module,
        modules=("tensorflow_hub", "tf_keras"),
    ),
    Trial(
        "TFLite conversion and LiteRT", convert_to_tflite, modules=("ai_edge_litert",)
    ),
    Trial("Parquet tables", write_parquet, modules=("pyarrow",)),
    Trial("scikit-learn", fit_a_classifier, modules=("sklearn",)),
    Trial("figures", draw, modules=("matplotlib",)),
    Trial("tensorflow-datasets", import_datasets, modules=("tensorflow_datasets",)),
    Trial("accelerators", find_accelerators),
)


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise RuntimeError(otherwise)


def _tone():
    """float64 [16000]: a second of 440 Hz at 16 kHz."""
    import numpy as np

    return 0.5 * np.sin(np.arange(16000) * 2 * np.pi * 440 / 16000)


def _wav() -> bytes:
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, _tone(), 16000, format="WAV", subtype="PCM_16")
    return file.getvalue()
