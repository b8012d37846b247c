"""The card, the archive and the folders that a model is published with."""

import functools
import hashlib
import http.server
import io
import json
import os
import pathlib
import shutil
import tarfile
import threading

import numpy as np
import pytest
import yaml

import byola_tf
from byola_tf import Encoder, checkpoint
from byola_tf.config import Config, EncoderConfig
from byola_tf.errors import UserError
from byola_tf.normalize import Statistics
from hub_export import check, inspection
from hub_export.publishing import archive, layouts, model_card
from tests import commands

PROBE = {
    "task": "esc10",
    "metric": "accuracy",
    "mean": 0.88,
    "std": 0.004,
    "ci95": 0.0107,
    "unit_seconds": 5.0,
    "num_clips": 400,
}


def run_export(*arguments):
    return commands.run("hub_export.export", *arguments)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A folder with a checkpoint, and what one call of the command made of it."""
    folder = tmp_path_factory.mktemp("publishing")
    config = Config(encoder=EncoderConfig(channels=8, hidden_units=24, output_units=16))
    provenance = {"steps": 3, "num_files": 1234, "hours": 5.5, "pattern": "sounds/**"}
    opened = checkpoint.Checkpoint(
        Encoder(config.encoder), config, Statistics(-7.0, 4.5, 10), provenance
    )
    (folder / "run").mkdir()
    checkpoint.save(str(folder / "run"), opened)
    (folder / "probe.json").write_text(json.dumps(PROBE))
    done = run_export(
        f"--workdir={folder}/run",
        f"--output={folder}/model",
        "--licence=CC-BY-4.0",
        "--training_data=Bird song",
        f"--probe={folder}/probe.json",
        f"--publish={folder}/published",
        "--name=Byola birds",
        "--owner=aviary",
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def hub(monkeypatch, tmp_path):
    module = pytest.importorskip("tensorflow_hub")
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    return module


@pytest.fixture(scope="module")
def expected(published):
    waveform = check.sounds(16000, 0.3)
    return waveform, byola_tf.load(str(published / "run"))(waveform).numpy()


def test_card_says_what_is_known(published):
    card = (published / "model" / "README.md").read_text()
    _, front_matter, text = card.split("---\n", 2)
    front = yaml.safe_load(front_matter)
    assert front["license"] == "cc-by-4.0"
    assert front["pipeline_tag"] == "feature-extraction"
    (result,) = front["model-index"][0]["results"]
    assert result["dataset"]["name"] == "esc10"
    assert result["metrics"] == [{"type": "accuracy", "value": 0.88}]
    assert text.startswith("\n# Byola birds\n")
    for fact in (
        "| esc10 | accuracy | 88.0 ± 1.1 | 5 s crops, 400 clips |",
        "Bird song. 1,234 recordings, 5.50 hours.",
        "BYOL-A v2 (TASLP 2023)",
        "144 numbers a clip",
        "3 steps of 256 crops",
        "Weights: CC-BY-4.0.",
        "10.1109/TASLP.2022.3221007",
    ):
        assert fact in text
    for section in ("Intended use", "Training data", "Evaluation", "Limits", "Licence"):
        assert f"\n## {section}\n" in text


def test_card_invents_nothing():
    facts = json.loads(byola_tf.metadata.describe(Config(), Statistics(-7.0, 4.5), {}))
    card = model_card.make(facts, "model")
    front = yaml.safe_load(card.split("---\n", 2)[1])
    assert front["license"] == "unknown" and "model-index" not in front
    assert "No results were given" in card
    assert card.count("Not recorded.") == 2
    other = model_card.make({**facts, "licence": "Ask: us"}, "model")
    front = yaml.safe_load(other.split("---\n", 2)[1])
    assert (front["license"], front["license_name"]) == ("other", "Ask: us")


def test_probe_that_is_none_is_named(tmp_path):
    path = tmp_path / "probe.json"
    path.write_text('{"task": "esc10"}')
    with pytest.raises(UserError, match="probe.json.*metric"):
        model_card.read_evaluation(str(path))
    with pytest.raises(UserError, match="absent.json"):
        model_card.read_evaluation(str(tmp_path / "absent.json"))


def test_archive_has_the_model_at_its_root_and_its_checksum_beside(published):
    path = published / "model.tar.gz"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    beside = (published / "model.tar.gz.sha256").read_text()
    assert beside == f"{digest}  model.tar.gz\n"
    with tarfile.open(path) as tar:
        names = tar.getnames()
        data = tar.extractfile("variables/variables.data-00000-of-00001").read()
    assert {"saved_model.pb", "README.md", "metadata.json"} < set(names)
    variables = published / "model" / "variables" / "variables.data-00000-of-00001"
    assert data == variables.read_bytes()


def test_same_model_gives_the_same_archive(published, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(published / "model", copy)
    for path in copy.rglob("*"):
        os.utime(path, (1e9, 1e9))
        path.chmod(0o700)
    archive.write(str(copy), str(tmp_path / "again.tar.gz"))
    again = (tmp_path / "again.tar.gz").read_bytes()
    assert again == (published / "model.tar.gz").read_bytes()
    assert sorted(os.listdir(tmp_path)) == [
        "again.tar.gz",
        "again.tar.gz.sha256",
        "copy",
    ]


@pytest.mark.newest_smoke
def test_hub_loads_the_archive_from_a_web_server(published, hub, expected):
    handler = functools.partial(
        http.server.SimpleHTTPRequestHandler, directory=str(published)
    )
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        model = hub.load(f"http://127.0.0.1:{server.server_port}/model.tar.gz")
        server.shutdown()
    np.testing.assert_allclose(model(expected[0]), expected[1], atol=1e-5)


@pytest.mark.newest_smoke
def test_hub_loads_folder_and_archive_from_files(published, hub, expected):
    archive.register()
    for handle in (
        f"file://{published}/model",
        f"file://{published}/model.tar.gz",
        f"{published}/model.tar.gz",
    ):
        model = hub.load(handle)
        np.testing.assert_allclose(model(expected[0]), expected[1], atol=1e-5)


@pytest.mark.parametrize(
    ("beside", "reason"),
    [("", "64 hexadecimal"), ("x\n", "64 hexadecimal"), ("{upper}  m.tar.gz\n", None)],
)
def test_a_checksum_is_read_in_either_case_or_refused(
    published, tmp_path, beside, reason
):
    shutil.copy(published / "model.tar.gz", tmp_path)
    digest = archive.checksum(str(tmp_path / "model.tar.gz"))
    path = tmp_path / "model.tar.gz.sha256"
    path.write_text(beside.format(upper=digest.upper()))
    if reason is None:
        assert archive.verify(str(tmp_path / "model.tar.gz")) == digest
    else:
        with pytest.raises(UserError, match=reason):
            archive.verify(str(tmp_path / "model.tar.gz"))


def forged_archive(path, kind, monkeypatch):
    with tarfile.open(path, "w:gz") as tar:
        member = tarfile.TarInfo("saved_model.pb")
        if kind == "bomb":
            monkeypatch.setattr(archive, "MAX_UNPACKED_BYTES", 1 << 20)
            member.size = 2 << 20
            tar.addfile(member, io.BytesIO(bytes(2 << 20)))
            return
        if kind == "many":
            monkeypatch.setattr(archive, "MAX_MEMBERS", 3)
            for number in range(5):
                tar.addfile(tarfile.TarInfo(str(number)))
        elif kind == "link":
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        elif kind == "long name":
            member.type, member.size = tarfile.GNUTYPE_LONGNAME, 2 << 20
            tar.addfile(member, io.BytesIO(bytes(2 << 20)))
            return
        else:
            member.name = {"up": "a/../../b", "root": "/b", "drive": "C:\\b"}[kind]
        tar.addfile(member)


@pytest.mark.parametrize(
    "kind", ["bomb", "many", "link", "long name", "up", "root", "drive"]
)
def test_a_forged_archive_is_refused_before_it_is_unpacked(tmp_path, kind, monkeypatch):
    path = str(tmp_path / "model.tar.gz")
    forged_archive(path, kind, monkeypatch)
    with pytest.raises(UserError, match="model.tar.gz"):
        archive.check_contents(path)


def test_a_whole_model_passes_and_a_cut_one_does_not(published, tmp_path):
    archive.check_contents(str(published / "model.tar.gz"))
    content = (published / "model.tar.gz").read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="whole .tar.gz"):
        archive.check_contents(str(tmp_path / "cut.tar.gz"))


@pytest.mark.parametrize("content", ["[" * 100_000, "{", '{"task": "x"}', "[]"])
def test_a_result_that_is_none_is_named(tmp_path, content):
    (tmp_path / "probe.json").write_text(content)
    with pytest.raises(UserError, match="`--probe` must name results.*probe.json"):
        model_card.read_evaluation(str(tmp_path / "probe.json"))


def test_damaged_archive_is_not_loaded(published, hub, tmp_path):
    archive.register()
    content = bytearray((published / "model.tar.gz").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "model.tar.gz").write_bytes(content)
    shutil.copy(published / "model.tar.gz.sha256", tmp_path)
    with pytest.raises(UserError, match="It is damaged"):
        hub.load(f"file://{tmp_path}/model.tar.gz")
    with pytest.raises(UserError, match="no such file"):
        hub.load(f"file://{tmp_path}/absent.tar.gz")


def test_kaggle_layout(published):
    folder = published / "published" / "kaggle"
    model = json.loads((folder / "model-metadata.json").read_text())
    assert (model["ownerSlug"], model["slug"]) == ("aviary", "byola-birds")
    assert model["description"].startswith("# Byola birds")
    instance = folder / "tensorFlow2" / "v2-144"
    facts = json.loads((instance / "model-instance-metadata.json").read_text())
    assert facts["modelSlug"] == "byola-birds"
    assert (facts["framework"], facts["instanceSlug"]) == ("tensorFlow2", "v2-144")
    assert facts["licenseName"] == "Attribution 4.0 International (CC BY 4.0)"
    assert facts["trainingData"] == ["Bird song"]
    assert (instance / "saved_model.pb").is_file()


def test_hugging_face_layout(published, expected):
    folder = published / "published" / "huggingface"
    assert yaml.safe_load((folder / "README.md").read_text().split("---\n", 2)[1])
    config = json.loads((folder / "config.json").read_text())
    assert (config["model_type"], config["sample_rate"]) == ("byola", 16000)
    assert "*.pb filter=lfs" in (folder / ".gitattributes").read_text()
    np.testing.assert_allclose(
        byola_tf.load(str(folder))(expected[0]), expected[1], atol=1e-5
    )
    commands = (published / "published" / "PUBLISHING.md").read_text()
    assert "hf upload aviary/byola-birds huggingface ." in commands
    archived = published / "published" / "byola-birds.tar.gz"
    assert archive.verify(str(archived)) == archive.checksum(str(archived))


def test_what_is_somebody_elses_is_not_replaced(tmp_path):
    (tmp_path / "thesis.tar.gz").write_text("years of work")
    with pytest.raises(UserError, match="without a .sha256 beside it"):
        archive.check_output(str(tmp_path / "thesis.tar.gz"))
    with pytest.raises(UserError, match="older one of the same kind"):
        layouts.check_output(str(tmp_path))


def test_unknown_owner_and_licence_are_placeholders(published, tmp_path):
    facts = json.loads((published / "model" / "metadata.json").read_text())
    assert layouts.kaggle_licence(facts) == "Attribution 4.0 International (CC BY 4.0)"
    facts["licence"] = "ours"
    assert layouts.kaggle_licence(facts) == "INSERT_LICENSE_NAME_HERE"
    with pytest.raises(UserError, match="letters or digits"):
        layouts.make_slug("???")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "taken", "message"),
    [
        (["--publish={0}/thesis"], "thesis/chapter.tex", "older one of the same kind"),
        ([], "other.tar.gz", "without a .sha256 beside it"),
        (["--probe={0}/absent.json"], "x", "`--probe` must name results"),
    ],
)
def test_wrong_call_writes_nothing(published, tmp_path, arguments, taken, message):
    (tmp_path / taken).parent.mkdir(exist_ok=True)
    (tmp_path / taken).write_text("theirs")
    done = run_export(
        f"--workdir={published}/run",
        f"--output={tmp_path}/other",
        *[text.format(tmp_path) for text in arguments],
    )
    assert done.returncode == 2
    assert message in done.stderr
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files == [tmp_path / taken]
    assert (tmp_path / taken).read_text() == "theirs"


@pytest.mark.parametrize("which", ["model", "run"])
def test_inspection_reads_exported_models_and_checkpoints(published, which):
    facts = inspection.read(str(published / which))
    assert (facts["method"], facts["embedding_size"]) == ("v2", 144)
    table = inspection.table(facts)
    lines = {line.split("  ")[0]: line for line in table.splitlines()}
    assert "0.154 s (10 log-mel frames, 2464 samples)" in lines["receptive field"]
    assert lines["front-end hash"].endswith(facts["frontend_hash"])
    trained_on = {"model": "Bird song", "run": "sounds/**"}[which]
    assert lines["trained on"].endswith(trained_on)
    assert lines["steps"].endswith(" 3")
    if which == "model":
        assert lines["licence"].endswith("CC-BY-4.0")
        assert "tensorflow" in lines["written by"]


def test_table_of_a_tflite_file():
    port = {"shape": [1, 16000], "dtype": "float32"}
    facts = {
        "file": "x.tflite",
        "signatures": {"embed": {"inputs": {"waveform": port}}},
        "operators": {"CONV_2D": 2, "ADD": 1},
    }
    assert inspection.table(facts).splitlines() == [
        "file                              x.tflite",
        "signatures.embed.inputs.waveform  float32 [1, 16000]",
        "operators                         CONV_2D 2, ADD 1",
    ]


@pytest.mark.slow
def test_inspect_takes_the_path_first(published):
    done = commands.run("hub_export.inspect", f"{published}/model", "--json")
    assert done.returncode == 0, done.stderr
    metadata = pathlib.Path(published, "model", "metadata.json").read_text()
    assert json.loads(done.stdout) == json.loads(metadata)


@pytest.mark.parametrize(
    ("name", "message"),
    [("absent.tflite", "no file"), ("absent", "must be an exported model")],
)
def test_inspection_of_something_else(tmp_path, name, message):
    with pytest.raises(UserError, match=message):
        inspection.read(str(tmp_path / name))
