"""Import of PyTorch checkpoints without PyTorch."""

import ast
import json
import os
import pathlib
import pickle
import struct
import zipfile

import numpy as np
import pytest

import byola_tf
from byola_tf.errors import UserError
from hub_export.pytorch import archive as torch_archive
from hub_export.pytorch import state_dict
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
    facts = json.loads((tmp_path / "model" / "metadata.json").read_text())
    assert facts["method"] == version
    assert f"owner of encoder_{version}.pth" in facts["licence"]
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


@pytest.mark.parametrize("width", [16, 40])
@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_v1_of_any_width_and_precision(golden, width, dtype):
    archive = golden("encoder_v1.state.npz")
    state = {name: archive[name] for name in archive.files}
    channels = len(state["features.0.bias"])
    rng = np.random.default_rng(0)
    for name, shape in {
        "fc.0.weight": (width, 8 * channels),
        "fc.0.bias": (width,),
        "fc.3.weight": (width, width),
        "fc.3.bias": (width,),
    }.items():
        state[name] = rng.normal(size=shape).astype(dtype)
    encoder, config = state_dict.encoder_from_state(state)
    assert (config.encoder.embedding_size, config.frontend.n_mels) == (width, 64)
    kernel = state["fc.0.weight"].T
    np.testing.assert_allclose(encoder.hidden.kernel, kernel, rtol=1e-6)


def write_archive(path, pickled, storage=None):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        if storage is not None:
            archive.writestr("archive/data/0", storage)


def pickled_tensor(offset, size, stride):
    """What torch.save writes for {"x": tensor}, four float32 in its storage."""

    def number(value):
        return b"J" + struct.pack("<i", value)

    def numbers(values):
        return b"(" + b"".join(map(number, values)) + b"t"

    storage = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpu"
    return (
        b"\x80\x02}X\x01\0\0\0xctorch._utils\n_rebuild_tensor_v2\n("
        + (storage + number(4) + b"tQ" + number(offset) + numbers(size))
        + (numbers(stride) + b"\x89}tRs.")
    )


def test_tensors_are_read_as_their_strides_say(tmp_path):
    values = np.arange(4, dtype="<f4")
    pickled = pickled_tensor(0, (2, 2), (1, 2))
    write_archive(tmp_path / "x.pth", pickled, values.tobytes())
    read = torch_archive.read(str(tmp_path / "x.pth"))["x"]
    np.testing.assert_array_equal(read, [[0, 2], [1, 3]])


@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [
        (0, (5,), (1,)),
        (2, (2, 2), (2, 1)),
        (-1, (2,), (1,)),
        (3, (4,), (-1,)),
        (0, (1 << 30, 1 << 30), (0, 0)),
        (0, (-2, -2), (1, 1)),
    ],
)
def test_tensors_outside_their_storage_are_refused(tmp_path, offset, size, stride):
    pickled = pickled_tensor(offset, size, stride)
    write_archive(tmp_path / "x.pth", pickled, np.zeros(4, "<f4").tobytes())
    with pytest.raises(UserError, match="a tensor (has|reaches)"):
        torch_archive.read(str(tmp_path / "x.pth"))


def test_help_says_whose_the_weights_are():
    path = pathlib.Path(state_dict.__file__).parents[1] / "import_pytorch.py"
    shown = ast.get_docstring(ast.parse(path.read_text()))
    assert "The weights keep their owner's licence" in shown


def test_nothing_in_the_file_is_executed(tmp_path):
    class Attack:
        def __reduce__(self):
            return (open, (str(tmp_path / "proof"), "w"))

    write_archive(tmp_path / "bad.pth", pickle.dumps({"x": Attack()}, protocol=2))
    with pytest.raises(UserError, match="no tensor"):
        torch_archive.read(str(tmp_path / "bad.pth"))
    assert not (tmp_path / "proof").exists()


def test_bfloat16_is_read(tmp_path):
    values = np.array([1.0, -2.5, 0.0, 3e38], "<f4")
    stored = (values.view("<u4") >> 16).astype("<u2")
    pickled = pickled_tensor(0, (4,), (1,)).replace(b"FloatStorage", b"BFloat16Storage")
    write_archive(tmp_path / "x.pth", pickled, stored.tobytes())
    read = torch_archive.read(str(tmp_path / "x.pth"))["x"]
    assert read.dtype == np.float32
    np.testing.assert_allclose(read, values, rtol=2**-7)


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04cut"])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "bad.pth"
    path.write_bytes(content)
    with pytest.raises(UserError, match="zip archive of tensors"):
        torch_archive.read(str(path))
    with pytest.raises(UserError, match="does not exist"):
        torch_archive.read(str(tmp_path / "absent.pth"))


@pytest.mark.parametrize(("mean", "std"), [(0.0, 0.0), (0.0, -1.0), (np.nan, 1.0)])
def test_impossible_statistics_are_refused(tmp_path, mean, std):
    path = str(GOLDEN / "encoder_v2.pth")
    with pytest.raises(UserError, match="`--mean` must be finite"):
        state_dict.import_checkpoint(path, mean, std, str(tmp_path / "model"))


def test_missing_layer_and_wrong_shape_are_named(golden):
    archive = golden("encoder_v2.state.npz")
    state = {name: archive[name] for name in archive.files}
    with pytest.raises(UserError, match="`features.5.bias`"):
        state_dict.encoder_from_state(
            {n: v for n, v in state.items() if n != "features.5.bias"}
        )
    with pytest.raises(UserError, match="`fc.3.bias` must have"):
        state_dict.encoder_from_state({**state, "fc.3.bias": np.zeros(3, "f")})


def put(index):
    return b"r" + struct.pack("<I", index)


HOSTILE_PICKLES = {
    "a hundred axes": pickled_tensor(0, [0] + [1] * 99, [0] * 100),
    "billion laughs": b"\x80\x02]"
    + b"".join(
        put(n) + b"0](" + (b"j" + struct.pack("<I", n)) * 10 + b"e" for n in range(12)
    )
    + b".",
    "a list in itself": b"\x80\x02]" + put(0) + b"j\0\0\0\0a.",
    "a memo of 2**31 entries, deep": b"\x80\x02" + b"]" * 5000 + b"a" * 4999 + b".",
    "a huge integer": b"\x80\x02\x8b\xff\xff\xff\x7f" + b"\1" * 10 + b".",
    "a length beyond the file": b"\x80\x02X\xff\xff\xff\x7fabc.",
    "a call of a type": b"\x80\x02ctorch\nFloatStorage\n(K\x05tR.",
    "another function": b"\x80\x02cos\nsystem\n(X\x04\0\0\0truetR.",
    "no end": b"\x80\x02}",
    "nothing": b"",
    "a popped mark": b"\x80\x02(0.",
    "a set on a text": b"\x80\x02X\x01\0\0\0aX\x01\0\0\0bX\x01\0\0\0cs.",
}


@pytest.mark.parametrize("name", HOSTILE_PICKLES)
def test_a_forged_pickle_is_refused_in_words(tmp_path, name):
    write_archive(tmp_path / "x.pth", HOSTILE_PICKLES[name], bytes(16))
    with pytest.raises(UserError, match="zip archive of tensors"):
        state_dict.encoder_from_state(torch_archive.read(str(tmp_path / "x.pth")))


def test_a_memo_index_of_a_file_takes_no_memory(tmp_path):
    pickled = b"\x80\x02}" + put(2**31) + b"."
    write_archive(tmp_path / "x.pth", pickled)
    assert torch_archive.read(str(tmp_path / "x.pth")) == {}


def test_other_kinds_of_files_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.pth")
    for name in ("pipe.pth", "."):
        with pytest.raises(UserError, match="not a regular file"):
            torch_archive.read(str(tmp_path / name))
    bomb = tmp_path / "bomb.pth"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(1 << 20))
    with pytest.raises(UserError, match="compressed"):
        torch_archive.read(str(bomb))
    plain = tmp_path / "encrypted.pth"
    write_archive(plain, b"\x80\x02}.")
    content = bytearray(plain.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    plain.write_bytes(content)
    with pytest.raises(UserError, match="encrypted"):
        torch_archive.read(str(plain))
