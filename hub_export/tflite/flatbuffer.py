"""The flatbuffer ModelMetadata that mobile tools look for in a `.tflite` file.

MediaPipe and Android Studio read it: names, licence, and the rate and channels of
an audio input. The slots are those of metadata_schema.fbs, which MediaPipe keeps
(https://github.com/google-ai-edge/mediapipe, mediapipe/tasks/metadata). No package
that both stacks can install brings its generated classes: tflite-support is no
longer maintained.
"""

import flatbuffers

AUTHOR = "byola-tf"
_METADATA_IDENTIFIER = b"M001"
_PARSER_VERSION = "1.3.0"  # the first that knows AudioProperties
_AUDIO_PROPERTIES = 4  # in the union ContentProperties
_OFFSET_BYTES = 4


def encode(model, facts: dict) -> bytes:
    """Makes the metadata of a file, with one SubGraphMetadata a signature.

    Args:
        model: `ModelT` of the TFLite schema.
        facts: see `metadata.write`.

    Returns:
        the flatbuffer ModelMetadata.
    """
    builder = flatbuffers.Builder(1024)
    graphs = {s.subgraphIndex: s for s in model.signatureDefs}
    offsets = []
    for index, graph in enumerate(model.subgraphs):
        signature = graphs[index]
        names = {e.tensorIndex: e.name for e in [*signature.inputs, *signature.outputs]}
        inputs = [_tensor(builder, names[i], facts) for i in graph.inputs]
        outputs = [_tensor(builder, names[i], facts) for i in graph.outputs]
        fields = {
            0: builder.CreateString(signature.signatureKey),
            2: _vector(builder, inputs),
            3: _vector(builder, outputs),
        }
        offsets.append(_table(builder, 10, fields))
    fields = {
        0: builder.CreateString(facts["name"]),
        1: builder.CreateString(facts["description"]),
        2: builder.CreateString(facts["version"]),
        3: _vector(builder, offsets),
        4: builder.CreateString(AUTHOR),
        5: builder.CreateString(facts["licence"]),
        7: builder.CreateString(_PARSER_VERSION),
    }
    builder.Finish(_table(builder, 8, fields), _METADATA_IDENTIFIER)
    return bytes(builder.Output())


def _tensor(builder, name: bytes, facts: dict) -> int:
    """TensorMetadata; that of a waveform has AudioProperties."""
    name = name.decode()
    fields = {
        0: builder.CreateString(name),
        1: builder.CreateString(_TENSORS[name].format(**facts)),
    }
    if name == "waveform":
        builder.StartObject(2)
        builder.PrependUint32Slot(0, facts["sample_rate"], 0)
        builder.PrependUint32Slot(1, 1, 0)  # mono
        audio = builder.EndObject()
        builder.StartObject(3)
        builder.PrependUint8Slot(0, _AUDIO_PROPERTIES, 0)
        builder.PrependUOffsetTRelativeSlot(1, audio, 0)
        fields[3] = builder.EndObject()
    return _table(builder, 7, fields)


_TENSORS = {
    "waveform": "Mono audio in [-1, 1] at {sample_rate} Hz.",
    "embedding": "One vector for the clip.",
    "frame_embeddings": "One vector a frame.",
    "timestamps": "Centres of the frames, seconds.",
    "log_mel": "Normalised log-mel spectrogram, [1, time, mel].",
}


def _table(builder, num_fields: int, fields: dict[int, int]) -> int:
    builder.StartObject(num_fields)
    for slot, offset in fields.items():
        builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
    return builder.EndObject()


def _vector(builder, offsets: list[int]) -> int:
    builder.StartVector(_OFFSET_BYTES, len(offsets), _OFFSET_BYTES)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()


def decode(encoded: bytes) -> dict:
    """Reads what `encode` or another tool wrote.

    Returns:
        `name`, `description`, `version`, `author`, `licence`, and `sample_rate`
        and `channels` of an audio input, as far as they are there.
    """
    position = flatbuffers.encode.Get(flatbuffers.packer.uoffset, encoded, 0)
    root = flatbuffers.table.Table(encoded, position)
    texts = {"name": 0, "description": 1, "version": 2, "author": 4, "licence": 5}
    decoded = {
        name: _text(root, slot)
        for name, slot in texts.items()
        if root.Offset(_field(slot))
    }
    for graph in _tables(root, 3)[:1]:
        for tensor in _tables(graph, 2):
            content = _child(tensor, 3)
            if content and _child(content, 1):
                kind = content.Get(
                    flatbuffers.number_types.Uint8Flags,
                    content.Pos + content.Offset(_field(0)),
                )
                if kind == _AUDIO_PROPERTIES:
                    audio = _child(content, 1)
                    decoded["sample_rate"] = _number(audio, 0)
                    decoded["channels"] = _number(audio, 1)
    return decoded


def _field(slot: int) -> int:
    """Where a vtable holds a slot."""
    return 4 + 2 * slot


def _text(table, slot: int) -> str:
    return table.String(table.Offset(_field(slot)) + table.Pos).decode()


def _number(table, slot: int) -> int:
    flags = flatbuffers.number_types.Uint32Flags
    return table.GetSlot(_field(slot), 0, flags)


def _child(table, slot: int):
    offset = table.Offset(_field(slot))
    if not offset:
        return None
    position = table.Indirect(offset + table.Pos)
    return flatbuffers.table.Table(table.Bytes, position)


def _tables(table, slot: int) -> list:
    offset = table.Offset(_field(slot))
    if not offset:
        return []
    start = table.Vector(offset)
    if table.VectorLen(offset) > len(table.Bytes):
        raise ValueError("a vector that is longer than its file")
    return [
        flatbuffers.table.Table(
            table.Bytes, table.Indirect(start + _OFFSET_BYTES * index)
        )
        for index in range(table.VectorLen(offset))
    ]
