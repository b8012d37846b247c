"""Tries the parts of the environment, each in a process of its own."""

import concurrent.futures
import dataclasses
import os
import subprocess
import sys

_SECONDS = 300


@dataclasses.dataclass(frozen=True)
class Trial:
    """A part that is tried.

    Attributes:
        name: of the part.
        needed: whether the project cannot work without it.
        program: Python text that prints one line, or fails. Its exit status is
            3 where the part is not installed.
    """

    name: str
    needed: bool
    program: str


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a trial.

    Attributes:
        name: of the part.
        status: "works", "absent" or "fails".
        detail: what it printed, or the last line of its error.
        needed: see `Trial`.
    """

    name: str
    status: str
    detail: str
    needed: bool


def run_all(trials=None, workers: int = 2, progress=lambda items, total, label: items):
    """Runs the trials; a crash of one, even of its process, is its outcome.

    Args:
        trials: of `Trial`; `TRIALS` by default.
        workers: processes at a time.
        progress: wraps an iterable, e.g. in a progress bar.

    Returns:
        a list of `Outcome`, in order.
    """
    trials = TRIALS if trials is None else trials
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        return list(progress(pool.map(run, trials), len(trials), "trying"))


def run(trial: Trial) -> Outcome:
    """Runs one trial."""
    environment = {
        **os.environ,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONWARNINGS": "ignore",
    }
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROLOGUE + trial.program],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            env=environment,
        )
    except subprocess.TimeoutExpired:
        return Outcome(trial.name, "fails", f"nothing in {_SECONDS} s", trial.needed)
    if done.returncode == 0:
        return Outcome(trial.name, "works", _last(done.stdout), trial.needed)
    if done.returncode == 3:
        return Outcome(trial.name, "absent", _last(done.stdout), trial.needed)
    reason = _last(done.stderr) or f"ended with status {done.returncode}"
    if done.returncode < 0:
        reason = f"killed by signal {-done.returncode}. {_last(done.stderr)}"
    return Outcome(trial.name, "fails", reason, trial.needed)


def _last(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else ""


# `needs` ends a program whose package is not installed at all; one that is
# installed and does not import is a failure.
_PROLOGUE = """
import importlib.util, io, sys

def needs(*modules):
    for module in modules:
        if importlib.util.find_spec(module) is None:
            print(f"{module} is not installed")
            sys.exit(3)

def wav():
    import numpy, soundfile
    file = io.BytesIO()
    tone = 0.5 * numpy.sin(numpy.arange(16000) * 2 * numpy.pi * 440 / 16000)
    soundfile.write(file, tone, 16000, format="WAV", subtype="PCM_16")
    return file.getvalue(), tone
"""

TRIALS = (
    Trial(
        "train and embed",
        True,
        """
import numpy, byola_tf
from byola_tf.config import EncoderConfig
encoder = byola_tf.Encoder(EncoderConfig(channels=4, hidden_units=8, output_units=8))
waveform = wav()[1][None].astype("f")
log_mel = byola_tf.log_mel_spectrogram(waveform, byola_tf.Config().frontend)
assert numpy.isfinite(encoder(log_mel).numpy()).all()
print("a waveform through front end and encoder")
""",
    ),
    Trial(
        "decode with soundfile",
        True,
        """
import numpy, soundfile
content, tone = wav()
samples, rate = soundfile.read(io.BytesIO(content))
assert rate == 16000 and abs(samples - tone).max() < 1e-4
print(soundfile.__libsndfile_version__)
""",
    ),
    Trial(
        "resample with soxr",
        True,
        """
import soxr
assert len(soxr.resample(wav()[1], 16000, 8000)) == 8000
print("16 kHz to 8 kHz")
""",
    ),
    Trial(
        "decode with tensorflow-io",
        False,
        """
needs("tensorflow_io")
import tensorflow as tf, tensorflow_io as tfio
decoded = tfio.audio.decode_wav(wav()[0], dtype=tf.int16)
assert decoded.shape == (16000, 1)
print("native operations load")
""",
    ),
    Trial(
        "hub.load, hub.KerasLayer",
        False,
        """
needs("tensorflow_hub", "tf_keras")
import os, tempfile
import tensorflow as tf, tensorflow_hub as hub, tf_keras
module = tf.Module()
one = tf.constant([[1.0]])
signature = [tf.TensorSpec([None, 1])]
module.__call__ = tf.function(lambda x: 2 * x, input_signature=signature)
with tempfile.TemporaryDirectory() as folder:
    tf.saved_model.save(module, folder)
    assert hub.load(folder)(one).numpy() == 2
    assert tf_keras.Sequential([hub.KerasLayer(folder)])(one).numpy() == 2
print("a SavedModel opens in both")
""",
    ),
    Trial(
        "TFLite conversion and LiteRT",
        False,
        """
needs("ai_edge_litert")
import numpy, tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
module = tf.Module()
double = tf.function(lambda x: 2 * x, input_signature=[tf.TensorSpec([4])])
module.double = double
model = tf.lite.TFLiteConverter.from_concrete_functions(
    [double.get_concrete_function()], module).convert()
interpreter = Interpreter(model_content=model)
runner = interpreter.get_signature_runner()
(result,) = runner(x=numpy.ones(4, "f")).values()
assert (result == 2).all()
print("a model converts and runs")
""",
    ),
    Trial(
        "Parquet tables",
        False,
        """
needs("pyarrow")
import os, tempfile
import pyarrow, pyarrow.parquet
# by path: after reading a Python file object, pyarrow 25 now and then aborts at exit
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "table.parquet")
    pyarrow.parquet.write_table(pyarrow.table({"x": [1, 2]}), path)
    assert pyarrow.parquet.read_table(path).num_rows == 2
print("written and read")
""",
    ),
    Trial(
        "scikit-learn",
        False,
        """
needs("sklearn")
from sklearn.linear_model import LogisticRegression
assert LogisticRegression().fit([[0.0], [1.0]], [0, 1]).predict([[2.0]])[0] == 1
print("a classifier fits")
""",
    ),
    Trial(
        "figures",
        False,
        """
needs("matplotlib")
import matplotlib
matplotlib.use("agg")
from matplotlib import pyplot
pyplot.plot([1, 2])
pyplot.savefig(io.BytesIO())
print("a figure is drawn")
""",
    ),
    Trial(
        "tensorflow-datasets",
        False,
        """
needs("tensorflow_datasets")
import tensorflow_datasets
print("imports")
""",
    ),
    Trial(
        "accelerators",
        False,
        """
import tensorflow as tf
list_devices = tf.config.list_physical_devices
devices = [device.name for device in list_devices("GPU") + list_devices("TPU")]
if not devices:
    print("none visible: everything runs on the CPU")
    sys.exit(3)
print(", ".join(devices))
""",
    ),
)
