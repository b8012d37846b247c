"""What a `.tflite` file says about itself, and the writing of it.

Two entries are added to the file: `TFLITE_METADATA`, which mobile tools read (see
`flatbuffer`), and `byola_tf`, JSON with the metadata of the exported model.
The file itself is rewritten through the schema classes of ai-edge-litert.
"""

import collections
import functools
import json
import os

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from byola_tf import foreign
from byola_tf.errors import UserError
from hub_export.tflite import flatbuffer

METADATA_NAME = "TFLITE_METADATA"
FACTS_NAME = "byola_tf"
_FILE_IDENTIFIER = b"TFL3"
_WHAT = "A TFLite model"
_MAX_BYTES = 2 << 30  # offsets of a flatbuffer have 31 bits


def _of_others(read):
    """Makes whatever a forged flatbuffer provokes in its reader one sentence.

    The Python reader of flatbuffers has no verifier: it follows every offset.
    """

    @functools.wraps(read)
    def guarded(path: str):
        try:
            return read(path)
        except UserError:
            raise
        except Exception as error:
            reason = f"its tables lead nowhere ({type(error).__name__}: {error})"
            raise foreign.refused(path, _WHAT, reason) from error

    return guarded


def _indices(model, length: int) -> range:
    """The places of a vector, which cannot be more than the file has bytes."""
    if length > len(model._tab.Bytes):
        raise ValueError(f"a vector of {length} entries")
    return range(length)


class _AlignedBuilder(flatbuffers.Builder):
    """Aligns vectors to 16 bytes, as the schema demands of buffers of weights.

    The generated Python classes forget it.
    """

    def StartVector(self, elemSize, numElems, alignment):
        return super().StartVector(elemSize, numElems, max(alignment, 16))


def write(path: str, facts: dict) -> None:
    """Adds metadata to a file and gives its inputs and outputs plain names.

    Args:
        path: of the `.tflite` file, replaced.
        facts: JSON-ready; `name`, `description`, `version` and `licence` are
            texts, `sample_rate` is the rate of an input named "waveform", Hz.
            All of it is stored.
    """
    model = _unpack(path)
    model.description = facts["description"]
    for signature in model.signatureDefs:
        tensors = model.subgraphs[signature.subgraphIndex].tensors
        for entry in [*signature.inputs, *signature.outputs]:
            tensors[entry.tensorIndex].name = entry.name
    _put(model, METADATA_NAME, flatbuffer.encode(model, facts))
    _put(model, FACTS_NAME, json.dumps(facts).encode())
    _pack(model, path)


def keep_one_signature(path: str, name: str, output: str) -> None:
    """Copies a file with one of its signatures and that one's subgraph.

    Args:
        path: of the `.tflite` file, without metadata of `write`.
        name: of the signature.
        output: path of the copy.
    """
    model = _unpack(path)
    (kept,) = [s for s in model.signatureDefs if s.signatureKey == name.encode()]
    model.subgraphs = [model.subgraphs[kept.subgraphIndex]]
    kept.subgraphIndex = 0
    model.signatureDefs = [kept]
    used = {tensor.buffer for tensor in model.subgraphs[0].tensors}
    used |= {entry.buffer for entry in model.metadata or []}
    for index, buffer in enumerate(model.buffers):
        if index not in used:
            buffer.data = None
    _pack(model, output)


@_of_others
def describe(path: str) -> dict:
    """What a file says about itself.

    Args:
        path: of a `.tflite` file, ours or another.

    Returns:
        JSON-ready dictionary: `size_bytes`, `operators` (name → count),
        `signatures` (name → `inputs` and `outputs`, name → `shape`, with -1 for
        any length, and `dtype`), and as far as the file has them `name`,
        `description`, `version`, `author`, `licence`, `sample_rate`, `channels`
        and `byola_tf`, the facts of `write`.

    Raises:
        UserError: it is no TFLite file.
    """
    model = _read(path)
    described = {
        "file": os.path.basename(path),
        "size_bytes": os.path.getsize(path),
        "signatures": _signatures(model),
        "operators": dict(_operators(model)),
    }
    encoded = _get(model, METADATA_NAME)
    if encoded is not None:
        described.update(flatbuffer.decode(encoded))
    facts = _get(model, FACTS_NAME)
    if facts is not None:
        described[FACTS_NAME] = foreign.parse_json(facts, path, _WHAT)
    return described


@_of_others
def operators(path: str) -> collections.Counter:
    """Counts the operators of the default subgraph by name.

    Operators beyond the builtin ones count as "CUSTOM:" and their name.
    """
    return _operators(_read(path))


def _operators(model) -> collections.Counter:
    names = {
        value: name
        for name, value in vars(schema.BuiltinOperator).items()
        if not name.startswith("_")
    }
    codes = []
    for index in _indices(model, model.OperatorCodesLength()):
        code = model.OperatorCodes(index)
        # the older field holds codes below 127, the newer one the others
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        name = names.get(number, f"operator {number}")
        custom = code.CustomCode()
        codes.append(f"CUSTOM:{custom.decode()}" if custom else name)
    graph = model.Subgraphs(0)
    return collections.Counter(
        codes[graph.Operators(index).OpcodeIndex()]
        for index in _indices(model, graph.OperatorsLength())
    )


@_of_others
def facts(path: str) -> dict:
    """The facts that `write` stored.

    Raises:
        UserError: the file is none of ours.
    """
    stored = _get(_read(path), FACTS_NAME)
    if stored is None:
        raise UserError(
            "A model must be a file of byola tflite. Received: "
            f"{path!r}, which lacks the metadata {FACTS_NAME!r}."
        )
    found = foreign.parse_json(stored, path, _WHAT)
    return foreign.fields(found, {"sample_rate": int}, path, _WHAT)


def _unpack(path: str) -> schema.ModelT:
    with open(path, "rb") as file:
        return schema.ModelT.InitFromObj(schema.Model.GetRootAs(file.read()))


def _pack(model: schema.ModelT, path: str) -> None:
    builder = _AlignedBuilder(2**20)
    builder.Finish(model.Pack(builder), _FILE_IDENTIFIER)
    with open(path, "wb") as file:
        file.write(builder.Output())


def _read(path: str):
    content = foreign.read_bytes(path, _WHAT, _MAX_BYTES)
    if content[4:8] != _FILE_IDENTIFIER:
        raise UserError(
            f"A TFLite model must be a TFLite flatbuffer. Received: {path!r}, which "
            "is none. Write one with byola tflite."
        )
    return schema.Model.GetRootAs(content)


def _get(model, name: str) -> bytes | None:
    for index in _indices(model, model.MetadataLength()):
        entry = model.Metadata(index)
        if entry.Name() == name.encode():
            return model.Buffers(entry.Buffer()).DataAsNumpy().tobytes()
    return None


def _put(model, name: str, content: bytes) -> None:
    model.metadata = [m for m in model.metadata or [] if m.name != name.encode()]
    model.metadata.append(schema.MetadataT(name, len(model.buffers)))
    model.buffers.append(schema.BufferT(np.frombuffer(content, np.uint8)))


def _signatures(model) -> dict:
    types = {
        value: name.lower()
        for name, value in vars(schema.TensorType).items()
        if not name.startswith("_")
    }
    described = {}
    for index in _indices(model, model.SignatureDefsLength()):
        signature = model.SignatureDefs(index)
        graph = model.Subgraphs(signature.SubgraphIndex())

        def ports(count, port, graph=graph):
            result = {}
            for number in _indices(model, count):
                tensor = graph.Tensors(port(number).TensorIndex())
                shape = tensor.ShapeSignatureAsNumpy()
                if isinstance(shape, int):  # absent: nothing is dynamic
                    shape = tensor.ShapeAsNumpy()
                result[port(number).Name().decode()] = {
                    "shape": np.atleast_1d(shape).tolist(),
                    "dtype": types[tensor.Type()],
                }
            return result

        described[signature.SignatureKey().decode()] = {
            "inputs": ports(signature.InputsLength(), signature.Inputs),
            "outputs": ports(signature.OutputsLength(), signature.Outputs),
        }
    return described
