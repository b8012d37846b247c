"""Import of PyTorch checkpoints without PyTorch."""

import pickle
import zipfile

import numpy as np
import pytest

import byola_tf
from byola_tf.errors import UserError
from hub_export import state_dict, torch_archive
from tests.conftest import GOLDEN


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_archive_equals_the_arrays_stored_without_pytorch(golden, version):
    tensors = torch_archive.read(str(GOLDEN / f"encoder_{version}.pth"))
    arrays = golden(f"encoder_{version}.state.npz")
    assert set(tensors) == set(arrays.files)
    for name in arrays.files:
        np.testing.assert_array_equal(tensors[name], arrays[name])


@pytest.mark.parametrize(
    ("version", "scale", "size"), [("v1", "htk", 96), ("v2", "slaney", 1088)]
)
def test_imported_model_reproduces_the_golden_embeddings(
    golden, tmp_path, version, scale, size
):
    path = str(GOLDEN / f"encoder_{version}.pth")
    state_dict.import_checkpoint(path, 0.0, 1.0, str(tmp_path / "model"))
    embedder = byola_tf.load(str(tmp_path / "model"))
    assert embedder.embedding_size == size
    assert embedder.config.frontend.mel_scale == scale
    encoder, _ = state_dict.encoder_from_state(torch_archive.read(path))
    vectors = golden(f"encoder_{version}.npz")
    np.testing.assert_allclose(
        encoder(vectors["t501/input"]), vectors["t501/embedding"], atol=1e-4
    )
    waveform = np.random.default_rng(0).normal(0, 0.1, (2, 8000)).astype("f")
    np.testing.assert_allclose(
        embedder(waveform), encoder(embedder.log_mel(waveform)), atol=1e-4
    )


@pytest.mark.parametrize(
    "prefix", ["", "model.", "module.", "online_encoder.net.", "state_dict"]
)
def test_prefixes_and_nesting_are_looked_through(golden, prefix):
    archive = golden("encoder_v2.state.npz")
    state = {name: archive[name] for name in archive.files}
    wrapped = {prefix + name: value for name, value in state.items()}
    if prefix == "state_dict":
        wrapped = {"state_dict": {f"module.{n}": v for n, v in state.items()}, "e": 1}
    encoder, _ = state_dict.encoder_from_state(wrapped)
    np.testing.assert_array_equal(encoder.hidden.bias, state["fc.0.bias"])


def write_archive(path, pickled):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)


def test_nothing_in_the_file_is_executed(tmp_path):
    class Attack:
        def __reduce__(self):
            return (open, (str(tmp_path / "proof"), "w"))

    write_archive(tmp_path / "bad.pth", pickle.dumps({"x": Attack()}, protocol=2))
    with pytest.raises(UserError, match="no tensor"):
        torch_archive.read(str(tmp_path / "bad.pth"))
    assert not (tmp_path / "proof").exists()


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04cut"])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "bad.pth"
    path.write_bytes(content)
    with pytest.raises(UserError, match="zip archive of tensors"):
        torch_archive.read(str(path))
    with pytest.raises(UserError, match="does not exist"):
        torch_archive.read(str(tmp_path / "absent.pth"))


def test_missing_layer_and_wrong_shape_are_named(golden):
    archive = golden("encoder_v2.state.npz")
    state = {name: archive[name] for name in archive.files}
    with pytest.raises(UserError, match="`features.5.bias`"):
        state_dict.encoder_from_state(
            {n: v for n, v in state.items() if n != "features.5.bias"}
        )
    with pytest.raises(UserError, match="`fc.3.bias` must have"):
        state_dict.encoder_from_state({**state, "fc.3.bias": np.zeros(3, "f")})
