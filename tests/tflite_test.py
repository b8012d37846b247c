"""TFLite: every file computes what the SavedModel computes, or there is no file."""

import concurrent.futures
import json
import os
import shutil
import subprocess
import sys
import venv

import numpy as np
import pytest

import byola_tf
from byola_tf import Encoder, checkpoint
from byola_tf.config import Config, EncoderConfig
from byola_tf.errors import UserError
from byola_tf.normalize import Statistics
from hub_export import check, saved_model
from hub_export.tflite import bundle as tflite_bundle
from hub_export.tflite import clips as tflite_clips
from hub_export.tflite import conversion, files, metadata, proof
from hub_export.tflite import runner as tflite_runner
from tests import commands, sounds

LITERT = pytest.importorskip("ai_edge_litert.interpreter")
# what converts differently; the others convert in the slow tests
FEW_FLAVOURS = ("float32", "dynamic", "int8")
VARIANTS = ("", "_any_length", "_mediapipe")


def generate(seed, num_samples, sample_rate):
    """Noise under a moving envelope, as speech has."""
    rng = np.random.default_rng(seed)
    time = np.arange(num_samples) / sample_rate
    envelope = 0.05 + np.sin(2 * np.pi * rng.uniform(2, 5) * time) ** 2
    return {
        name: (0.1 * envelope * rng.normal(size=num_samples)).astype(np.float32)
        for name in ("syllables", "more_syllables")
    }


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A small exported model with statistics of its own."""
    config = Config(encoder=EncoderConfig(channels=8, hidden_units=48, output_units=64))
    encoder = Encoder(config.encoder)
    rng = np.random.default_rng(0)
    for normalization in encoder.backbone.normalizations:
        normalization.moving_mean.assign(rng.normal(size=8) / 4)
        normalization.moving_variance.assign(rng.uniform(0.5, 2, size=8))
    opened = checkpoint.Checkpoint(encoder, config, Statistics(-7.0, 4.5, 10), {})
    path = str(tmp_path_factory.mktemp("tflite") / "model")
    saved_model.write(opened, path)
    return path


@pytest.fixture(scope="module")
def reference(model):
    return byola_tf.load(model)


def write_bundle(model, name, flavours):
    """Writes a folder beside the model; returns it and its report."""
    output = os.path.join(os.path.dirname(model), name)
    options = tflite_bundle.Options(flavours=flavours)
    return output, tflite_bundle.write(model, output, options, generate)


@pytest.fixture(scope="module")
def bundle(model):
    """The folder with a few flavours, and its report."""
    return write_bundle(model, "mobile", FEW_FLAVOURS)


@pytest.fixture(scope="module")
def whole_bundle(model):
    """The folder with all flavours, and its report."""
    return write_bundle(model, "all_mobile", tflite_bundle.FLAVOURS)


def file_names(flavours):
    names = []
    for flavour in flavours:
        if flavour in ("int8", "gpu"):
            names += [f"{flavour}_frontend.tflite", f"{flavour}_encoder.tflite"]
        else:
            names += [f"{flavour}{variant}.tflite" for variant in VARIANTS]
    return names


def assert_embeddings_agree(output, reference, flavours):
    names = [*file_names(flavours), "report.json", "report.md"]
    assert sorted(os.listdir(output)) == sorted(names)
    waveform = np.stack(list(generate(5, 16000, 16000).values()))
    expected = reference(waveform).numpy()
    floors = {"float32": 0.999999, "float16": 0.99999, "dynamic": 0.999, "int8": 0.99}
    floors["gpu"] = 0.99999
    for artefact in files.artefacts(flavours):
        found = tflite_runner.Runner(artefact.path(output)).embed(waveform)
        assert proof.cosine(found, expected) > floors[artefact.flavour], artefact


@pytest.mark.newest_smoke
def test_a_few_flavours_agree_with_the_saved_model(bundle, reference):
    assert_embeddings_agree(bundle[0], reference, FEW_FLAVOURS)


@pytest.mark.slow
@pytest.mark.newest_smoke
def test_every_flavour_agrees_with_the_saved_model(whole_bundle, reference):
    assert_embeddings_agree(whole_bundle[0], reference, tflite_bundle.FLAVOURS)


def assert_report_holds_the_proof(output, report):
    with open(os.path.join(output, "report.json")) as file:
        assert json.load(file) == json.loads(json.dumps(report))
    for row in report["artefacts"]:
        assert row["passes"] and row["min_cosine"] >= row["threshold"]
        # TensorFlow 2.17 with XNNPACK mixes up the half-precision weights of files
        # with several signatures; the report warns of it
        right = row["min_tensorflow_cosine"] >= row["threshold"]
        assert row["right_in_tensorflow"] == right
        assert right or row["files"] == ["float16.tflite"]
        assert {"silence", "click", "noise", "sine", "syllables"} <= set(row["clips"])
        assert row["latency_ms_1_thread"] > 0 and row["latency_ms_2_threads"] > 0
        assert 0 < row["peak_memory_mb"] < 500
        sizes = [os.path.getsize(os.path.join(output, name)) for name in row["files"]]
        assert row["size_bytes"] == sum(sizes)
        for operators in row["operators"]:
            assert not [name for name in operators if "CUSTOM" in name]
    with open(os.path.join(output, "report.md")) as file:
        assert file.read() == tflite_bundle.table(report) + "\n"


def test_the_report_holds_the_proof(bundle):
    assert_report_holds_the_proof(*bundle)
    assert len(bundle[1]["artefacts"]) == 7


@pytest.mark.slow
def test_the_report_of_all_flavours_holds_the_proof(whole_bundle):
    assert_report_holds_the_proof(*whole_bundle)
    assert len(whole_bundle[1]["artefacts"]) == 11


@pytest.mark.newest_smoke
@pytest.mark.parametrize("flavour", ["float32", "dynamic"])
@pytest.mark.parametrize("variant", ["", "_any_length"])
def test_signatures_agree_with_the_saved_model(bundle, reference, flavour, variant):
    assert_signatures_agree(bundle[0], reference, flavour, variant)


@pytest.mark.slow
@pytest.mark.newest_smoke
@pytest.mark.parametrize("variant", ["", "_any_length"])
def test_signatures_of_half_precision_agree(whole_bundle, reference, variant):
    assert_signatures_agree(whole_bundle[0], reference, "float16", variant)


def assert_signatures_agree(output, reference, flavour, variant):
    path = os.path.join(output, f"{flavour}{variant}.tflite")
    tolerance = {"float32": 1e-4, "float16": 1e-2, "dynamic": 0.05}[flavour]
    for seconds in (1.0, 0.02, 1.73) if variant else (1.0,):
        for clip in check.sounds(16000, seconds)[1:]:
            expected = reference.frames(clip)
            largest = np.abs(expected["frame_embeddings"]).max()
            frames = tflite_runner.signature(path, "frames")(waveform=clip[None])
            np.testing.assert_allclose(
                frames["frame_embeddings"],
                expected["frame_embeddings"],
                atol=tolerance * largest,
            )
            np.testing.assert_allclose(
                frames["timestamps"], expected["timestamps"], atol=1e-6
            )
            log_mel = tflite_runner.signature(path, "log_mel")(waveform=clip[None])
            # the front end stays float32, whatever becomes of the encoder
            np.testing.assert_allclose(
                log_mel["log_mel"], reference.log_mel(clip), atol=1e-3
            )


def test_the_default_subgraph_is_the_embedding(bundle):
    for name in file_names(("float32", "dynamic")):
        interpreter = LITERT.Interpreter(os.path.join(bundle[0], name))
        (waveform,) = interpreter.get_input_details()
        (embedding,) = interpreter.get_output_details()
        assert (waveform["name"], embedding["name"]) == ("waveform", "embedding")
        fixed = "any_length" not in name
        assert list(waveform["shape_signature"]) == [1, 16000 if fixed else -1]
        assert list(embedding["shape"]) == [1, 192]
        expected = {"embed"} if "mediapipe" in name else {"embed", "frames", "log_mel"}
        assert set(interpreter.get_signature_list()) == expected


def test_the_int8_encoder_is_integer_throughout(bundle):
    path = os.path.join(bundle[0], "int8_encoder.tflite")
    interpreter = LITERT.Interpreter(path)
    assert interpreter.get_input_details()[0]["dtype"] == np.int8
    assert interpreter.get_output_details()[0]["dtype"] == np.int8
    with open(path, "rb") as file:
        graph = metadata.schema.Model.GetRootAs(file.read()).Subgraphs(0)
    kinds = {graph.Tensors(index).Type() for index in range(graph.TensorsLength())}
    types = metadata.schema.TensorType
    assert kinds == {types.INT8, types.INT32}  # 32 bits: biases and shapes
    front = LITERT.Interpreter(os.path.join(bundle[0], "int8_frontend.tflite"))
    assert set(front.get_signature_list()) == {"log_mel"}


def test_quantisation_shrinks_the_encoder_and_signatures_share_it(bundle):
    facts = {row["files"][0]: row["size_bytes"] for row in bundle[1]["artefacts"]}
    weights = 4 * (128 * 48 + 48 * 64)  # float32 bytes of the dense layers
    assert facts["float32.tflite"] - facts["dynamic.tflite"] > 0.6 * weights
    shared = facts["float32.tflite"] - facts["float32_mediapipe.tflite"]
    assert shared < weights / 2


@pytest.mark.slow
def test_half_precision_halves_the_encoder(whole_bundle):
    facts = {row["files"][0]: row["size_bytes"] for row in whole_bundle[1]["artefacts"]}
    weights = 4 * (128 * 48 + 48 * 64)  # float32 bytes of the dense layers
    assert facts["float32.tflite"] - facts["float16.tflite"] > 0.4 * weights


def test_the_file_describes_itself(bundle):
    path = os.path.join(bundle[0], "dynamic.tflite")
    described = metadata.describe(path)
    assert (described["sample_rate"], described["channels"]) == (16000, 1)
    assert described["name"] == "byola-tf dynamic"
    assert "mono audio at 16000 Hz" in described["description"]
    assert described["version"] == byola_tf.__version__
    assert "unspecified" in described["licence"]
    assert described["signatures"]["embed"] == {
        "inputs": {"waveform": {"shape": [1, 16000], "dtype": "float32"}},
        "outputs": {"embedding": {"shape": [1, 192], "dtype": "float32"}},
    }
    facts = described["byola_tf"]
    assert (facts["flavour"], facts["window_samples"]) == ("dynamic", 16000)
    assert facts["statistics"]["mean"] == -7.0
    json.dumps(described)


def test_the_linear_probe_takes_a_file_at_its_own_rate(bundle, reference, tmp_path):
    from train_lib.probe.models import opening

    path = str(tmp_path / "model.tflite")
    shutil.copy(os.path.join(bundle[0], "float32.tflite"), path)
    waveform = np.stack(list(generate(5, 16000, 16000).values()))
    opened = opening.open_model(path)
    expected = reference(waveform).numpy()
    np.testing.assert_allclose(opened.embed(waveform), expected, atol=1e-4)
    facts = metadata.facts(path)
    metadata.write(path, {**facts, "sample_rate": 32000})
    assert opening.open_model(path).sample_rate == 32000
    assert opening.open_model(f"{path}@8000").sample_rate == 8000


def test_weights_stay_aligned(bundle):
    """The schema demands 16 bytes, and kernels on phones may rely on it."""
    for name in os.listdir(bundle[0]):
        if not name.endswith(".tflite"):
            continue
        with open(os.path.join(bundle[0], name), "rb") as file:
            content = file.read()
        root = metadata.schema.Model.GetRootAs(content)
        for index in range(root.BuffersLength()):
            buffer = root.Buffers(index)
            if not buffer.DataIsNone():
                start = buffer._tab.Vector(buffer._tab.Offset(4))
                assert start % 16 == 0


def test_runner_cuts_recordings_into_windows(bundle):
    waveform = check.sounds(16000, 2.4)[1:3]
    runner = tflite_runner.Runner(bundle[0])
    windows = np.pad(waveform, ((0, 0), (0, 9600))).reshape(2, 3, 16000)
    expected = np.stack([runner.embed(clip).mean(axis=0) for clip in windows])
    np.testing.assert_allclose(runner.embed(waveform), expected, atol=1e-6)
    assert (runner.window, runner.sample_rate) == (16000, 16000)
    with pytest.raises(UserError, match="Divide int16"):
        runner(np.zeros(16000, np.int16))


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_are_refused(bundle, wrong):
    waveform = np.zeros(16000, np.float32)
    waveform[123] = wrong
    path = os.path.join(bundle[0], "float32.tflite")
    for runner in (tflite_runner.Runner(path), tflite_runner.Runner(bundle[0])):
        with pytest.raises(UserError, match="finite. Received: -?(nan|inf) at.* 123"):
            runner(waveform)
    with pytest.raises(UserError, match="must be finite"):
        tflite_runner.signature(path, "frames")(waveform=waveform[None])


def test_threads_that_share_a_runner_get_their_own_vectors(bundle):
    clips = [check.sounds(16000, 0.1 * length)[1] for length in range(3, 11)] * 4
    for name in ("float32_any_length.tflite", "int8_encoder.tflite"):
        runner = tflite_runner.Runner(os.path.join(bundle[0], name))
        expected = [runner(clip) for clip in clips]
        with concurrent.futures.ThreadPoolExecutor(4) as threads:
            found = list(threads.map(runner, clips))
        np.testing.assert_array_equal(found, expected)
    frames = tflite_runner.signature(
        os.path.join(bundle[0], "float32_any_length.tflite"), "log_mel"
    )
    expected = [frames(waveform=clip[None])["log_mel"] for clip in clips]
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        found = list(
            threads.map(lambda clip: frames(waveform=clip[None])["log_mel"], clips)
        )
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_every_operator_of_the_gpu_encoder_runs_on_gpus(whole_bundle):
    """Operators of the GPU delegate's list that we use; no transform, no bits."""
    known = {"ADD", "CONCATENATION", "CONV_2D", "DEQUANTIZE", "FULLY_CONNECTED"}
    known |= {"MAX_POOL_2D", "MEAN", "REDUCE_MAX", "RESHAPE"}
    path = os.path.join(whole_bundle[0], "gpu_encoder.tflite")
    assert set(metadata.operators(path)) <= known
    front = metadata.operators(os.path.join(whole_bundle[0], "gpu_frontend.tflite"))
    assert {"RFFT2D", "BITCAST"} <= set(front)
    (row,) = [row for row in whole_bundle[1]["artefacts"] if row["flavour"] == "gpu"]
    assert row["min_cosine"] > 0.9999


def test_a_file_that_tensorflow_gets_wrong_is_named(bundle):
    report = json.loads(json.dumps(bundle[1]))
    for row in report["artefacts"]:
        row["right_in_tensorflow"] = True
    assert "Warning" not in tflite_bundle.table(report)
    for row in report["artefacts"]:
        row["right_in_tensorflow"] = row["files"] != ["dynamic.tflite"]
    assert "Warning: tf.lite.Interpreter" in tflite_bundle.table(report)
    assert "embeddings with dynamic.tflite than LiteRT" in tflite_bundle.table(report)


def test_runner_says_what_it_misses(bundle, model, tmp_path):
    with pytest.raises(UserError, match="int8_frontend.tflite', which is absent"):
        tflite_runner.Runner(model)
    with pytest.raises(UserError, match="from `waveform` to `embedding`"):
        tflite_runner.Runner(os.path.join(bundle[0], "int8_frontend.tflite"))
    shutil.copy(
        os.path.join(bundle[0], "int8_encoder.tflite"), tmp_path / "gpu_encoder.tflite"
    )
    with pytest.raises(UserError, match="gpu_frontend.tflite', which is absent"):
        tflite_runner.Runner(str(tmp_path / "gpu_encoder.tflite"))
    (tmp_path / "other.tflite").write_bytes(b"no flatbuffer at all")
    with pytest.raises(UserError, match="must be a TFLite flatbuffer"):
        tflite_runner.Runner(str(tmp_path / "other.tflite"))
    with pytest.raises(UserError, match="signature 'frames'.*with log_mel"):
        front = os.path.join(bundle[0], "int8_frontend.tflite")
        tflite_runner.signature(front, "frames")


def test_files_of_another_model_fail_the_proof(bundle, reference):
    other = proof.Answers(reference.model)
    clips = proof.artificial_clips(16000, 16000)
    path = os.path.join(bundle[0], "float32.tflite")
    assert proof.compare(path, other, clips).holds(0.9999)
    other = proof.Answers(reference.model)
    other.embedding = lambda name, clip: reference(clip)[0].numpy()[::-1]
    assert not proof.compare(path, other, clips).holds(0.9999)


@pytest.mark.slow
def test_below_the_threshold_the_old_folder_stays(bundle, model, tmp_path, monkeypatch):
    def converted(folder, *_):
        shutil.copy(os.path.join(bundle[0], "dynamic.tflite"), folder)

    monkeypatch.setattr(files, "write", converted)
    monkeypatch.setattr(files, "artefacts", lambda _: [files.Artefact("dynamic")])
    output = tmp_path / "mobile"
    output.mkdir()
    (output / "report.json").write_text("old")
    monkeypatch.setitem(proof.THRESHOLDS, "dynamic", 1.1)
    options = tflite_bundle.Options(flavours=("dynamic",))
    with pytest.raises(UserError, match="at least 1.1 for dynamic"):
        tflite_bundle.write(model, str(output), options, generate)
    assert os.listdir(tmp_path) == ["mobile"]
    assert (output / "report.json").read_text() == "old"


@pytest.mark.parametrize(
    "program, message",
    [
        ("print('LLVM ERROR: no', file=sys.stderr); os.abort()", "signal SIGABRT"),
        ("print('converting x.tflite', file=sys.stderr); os.abort()", "made x.tflite"),
        ("raise ValueError('cannot legalise')", "ValueError: cannot legalise"),
        ("pass", "must write every file"),
    ],
)
def test_a_converter_that_dies_is_a_message(
    model, tmp_path, monkeypatch, program, message
):
    worker = (sys.executable, "-c", f"import os, sys; {program}")
    monkeypatch.setattr(conversion, "WORKER", worker)
    job = conversion.Job(model, str(tmp_path / "x.tflite"), "float32")
    with pytest.raises(UserError, match=message):
        conversion.convert([job])


def test_the_front_end_alone_calibrated_on_audio_given(model, tmp_path, monkeypatch):
    audio = sounds.write_folder(tmp_path / "audio", count=8, rates=(16000, 44100))
    captured = {}

    def stop(folder, flavours, opened, num_samples, calibration, *_):
        captured.update(calibration=calibration, statistics=opened.statistics)
        raise UserError("enough")

    monkeypatch.setattr(files, "write", stop)
    options = tflite_bundle.Options(calibration=audio, statistics=Statistics(-5.0, 3.0))
    with pytest.raises(UserError, match="enough"):
        tflite_bundle.write(model, str(tmp_path / "out"), options, generate)
    names = [os.path.basename(name) for name in captured["calibration"]]
    assert names[:5] == ["silence", "noise", "sine", "click", "rising_tone"]
    assert names[5:] == [f"tone_00{i}.wav" for i in (1, 2, 3, 5, 6, 7)]
    assert all(clip.shape == (16000,) for clip in captured["calibration"].values())
    assert captured["statistics"].mean == -5.0
    assert sorted(os.listdir(tmp_path)) == ["audio"]


def test_windows_are_the_loudest_and_padded(tmp_path):
    import soundfile

    quiet = np.full(24000, 0.01)
    soundfile.write(tmp_path / "a.wav", np.r_[quiet, np.full(8000, 0.5)], 16000)
    soundfile.write(tmp_path / "b.wav", np.full(100, 0.5), 16000)
    (tmp_path / "c.wav").write_bytes(b"broken")
    windows = tflite_clips.read_windows(str(tmp_path), 16000, 8000)
    first, second = windows.values()
    np.testing.assert_allclose(first, 0.5, atol=1e-3)
    assert second.shape == (8000,) and not second[100:].any()


@pytest.mark.parametrize(
    "change, message",
    [
        ({"flavours": ("float33",)}, "some of float32,float16,dynamic,int8"),
        ({"flavours": ()}, "Leave it out for all"),
        ({"seconds": 0.1}, "receptive field of a frame embedding, 2464 samples"),
        ({"seconds": float("nan")}, "receptive field"),
        ({"calibration": "absent"}, "must match at least one audio file"),
    ],
)
def test_bad_options_are_explained(model, tmp_path, monkeypatch, change, message):
    monkeypatch.chdir(tmp_path)
    options = tflite_bundle.Options(**change)
    with pytest.raises(UserError, match=message):
        tflite_bundle.write(model, "out", options, generate)
    assert os.listdir(tmp_path) == []


def test_bad_folders_are_explained(model, tmp_path):
    options = tflite_bundle.Options()
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="which is no exported model"):
        tflite_bundle.write(str(tmp_path), str(tmp_path / "out"), options, generate)
    with pytest.raises(UserError, match="which does not exist"):
        tflite_bundle.write("absent", str(tmp_path / "out"), options, generate)
    with pytest.raises(UserError, match="holds something else"):
        tflite_bundle.write(model, str(tmp_path / "thesis"), options, generate)
    (tmp_path / "silent").mkdir()
    (tmp_path / "silent" / "x.wav").write_bytes(b"broken")
    options = tflite_bundle.Options(calibration=str(tmp_path / "silent"))
    with pytest.raises(UserError, match="At least one file must be readable"):
        tflite_bundle.write(model, str(tmp_path / "out"), options, generate)
    assert sorted(os.listdir(tmp_path)) == ["silent", "thesis"]


@pytest.mark.slow
def test_mediapipe_embeds_with_our_file(whole_bundle, reference, tmp_path):
    """MediaPipe's own AudioEmbedder, in an environment of its own."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    # the last release whose AudioEmbedder takes TFLite files and runs on Python
    # 3.11 and 3.12; 1.x wants .litertlm
    pip = [python, "-m", "pip", "install", "-q", "mediapipe==0.10.21"]
    installed = subprocess.run(pip, capture_output=True, text=True)
    if installed.returncode:
        reason = installed.stderr.strip().splitlines()[-1:]
        pytest.skip(f"mediapipe cannot be installed here: {reason}")
    clip = check.sounds(16000, 1.0)[1]
    np.save(tmp_path / "clip.npy", clip)
    program = tmp_path / "program.py"
    program.write_text(MEDIAPIPE_PROGRAM)
    for flavour, tolerance in (("float32", 1e-4), ("float16", 1e-2), ("dynamic", 0.05)):
        path = os.path.join(whole_bundle[0], f"{flavour}_mediapipe.tflite")
        output = tmp_path / f"{flavour}.npy"
        subprocess.run(
            [python, program, path, tmp_path / "clip.npy", output], check=True
        )
        expected = reference(clip).numpy()
        np.testing.assert_allclose(
            np.load(output), expected, atol=tolerance * np.abs(expected).max()
        )


MEDIAPIPE_PROGRAM = """
import sys
import venv
import numpy as np
from mediapipe.tasks import python
from mediapipe.tasks.python import audio
from mediapipe.tasks.python.components import containers

model, clip, output = sys.argv[1:]
options = audio.AudioEmbedderOptions(python.BaseOptions(model_asset_path=model))
with audio.AudioEmbedder.create_from_options(options) as embedder:
    data = containers.AudioData.create_from_array(np.load(clip), 16000)
    results = embedder.embed(data)
heads = [result.embeddings for result in results]
assert {head.head_name for head, in heads} == {"embedding"}
np.save(output, [head.embedding for head, in heads])
"""


@pytest.mark.slow
def test_benchmark_rows_come_from_the_commands():
    from train_lib.benchmark import mobile

    config = Config(encoder=EncoderConfig(channels=8, hidden_units=48, output_units=64))
    rows = dict(mobile.tflite_rates(config=config))
    assert sorted(rows) == sorted(mobile.ROWS)
    assert all(np.isfinite(rate) and rate > 0 for rate in rows.values())


@pytest.mark.slow
def test_the_command_adds_a_probe_row(model, tmp_path):
    from train_lib.synthesis import bank as synthetic

    bank = synthetic.write_bank(tmp_path / "bank", 5, seconds=0.5)
    table = bank.read_text().replace(",fold\n", ",split\n")
    for fold, part in enumerate(("test", "valid", "train", "train", "train"), 1):
        table = table.replace(f",{fold}\n", f",{part}\n")
    bank.write_text(table)
    output = tmp_path / "mobile"
    flags = [f"--model={model}", f"--output={output}", "--flavours=float32,int8"]
    flags += ["--seconds=0.5", f"--probe_metadata={bank}"]
    flags += [f"--probe_audio={tmp_path / 'bank'}"]
    finished = commands.run("hub_export.tflite", *flags)
    assert finished.returncode == 0, finished.stderr
    report = json.loads((output / "report.json").read_text())
    rows = {row["files"][0]: row.get("accuracy") for row in report["artefacts"]}
    accuracy = report["saved_model"]["accuracy"]
    assert accuracy > 2 / len(synthetic.CLASSES)
    assert abs(rows["float32.tflite"] - accuracy) < 0.02
    assert abs(rows["int8_frontend.tflite"] - accuracy) < 0.1
    assert f"SavedModel {100 * accuracy:.1f}" in finished.stdout


def test_the_command_explains_an_unknown_flavour(model, tmp_path):
    output = tmp_path / "mobile"
    flags = [f"--model={model}", f"--output={output}", "--flavours=float32,int7"]
    finished = commands.run("hub_export.tflite", *flags)
    assert finished.returncode == 2
    assert finished.stderr.splitlines()[-1].startswith("error: `--flavours` must be")
    assert not output.exists()
