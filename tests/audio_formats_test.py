"""Every format through libsndfile and through the graph, to 16-bit precision."""

import struct
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from byola_tf import audio
from byola_tf.audio import graph, headers
from tests import encoded

BIT_16 = 1 / 32768
CHANNELS = (1, 2, 3, 6, 8)
RATES = (8000, 11025, 16000, 22050, 32000, 44100, 48000, 96000, 192000)
MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)


def hand_written_wavs():
    """Yields (name, bytes, mono sound that they hold)."""
    for channels in CHANNELS:
        sound = encoded.tones(channels)
        for bits in (8, 16, 24, 32):
            integers = encoded.quantize(sound, bits)
            data = encoded.pcm_bytes(integers, bits)
            mono = integers.mean(axis=1) / 2 ** (bits - 1)
            plain = encoded.wav(data, encoded.PCM, channels, bits)
            yield f"{bits}-bit x{channels}", plain, mono
            extensible = encoded.wav(
                data, encoded.EXTENSIBLE, channels, bits, encoded.PCM
            )
            yield f"{bits}-bit extensible x{channels}", extensible, mono
        for bits, kind in ((32, "f"), (64, "d")):
            data = sound.astype(kind).tobytes()
            mono = sound.mean(axis=1)
            plain = encoded.wav(data, encoded.FLOAT, channels, bits)
            yield f"float{bits} x{channels}", plain, mono
            extensible = encoded.wav(
                data, encoded.EXTENSIBLE, channels, bits, encoded.FLOAT
            )
            yield f"float{bits} extensible x{channels}", extensible, mono


WAVS = [pytest.param(*case[1:], id=case[0]) for case in hand_written_wavs()]
# what the encoder may change, and how it is written
ENCODINGS = {
    "flac16": (BIT_16, ("FLAC", "PCM_16")),
    "flac24": (1e-6, ("FLAC", "PCM_24")),
    "flac8": (1 / 256, ("FLAC", "PCM_S8")),
    "ogg": (0.5, ("OGG", "VORBIS")),
    "mp3": (0.5, ("MP3", "MPEG_LAYER_III")),
    "wavex": (BIT_16, ("WAVEX", "PCM_16")),
    "rf64": (BIT_16, ("RF64", "PCM_16")),
    "float_with_peak_chunk": (1e-7, ("WAV", "FLOAT")),
    "a_law": (0.05, ("WAV", "ALAW")),
    "adpcm": (0.2, ("WAV", "MS_ADPCM")),
    "opus": (0.5, ("OGG", "OPUS")),
}


@pytest.fixture(params=["tensorflow_io", "soundfile"])
def decode_in_graph(request, monkeypatch):
    """Runs `decode_op` inside tf.data, with and without tensorflow-io."""
    if request.param == "soundfile":
        monkeypatch.setattr(graph, "_tensorflow_io_decoders", dict)
    elif not graph._tensorflow_io_decoders():
        pytest.skip("needs tensorflow-io, whose native ops do not load here")

    def decode(*contents):
        dataset = tf.data.Dataset.from_tensor_slices(list(contents))
        return list(dataset.map(audio.decode_op).as_numpy_iterator())

    return decode


def assert_same(results, expected, atol):
    for (waveform, rate), (expected_waveform, expected_rate) in zip(
        results, expected, strict=True
    ):
        assert waveform.dtype == np.float32 and rate == expected_rate
        np.testing.assert_allclose(waveform, expected_waveform, rtol=0, atol=atol)


@pytest.mark.newest_smoke
@pytest.mark.parametrize(("content", "mono"), WAVS)
def test_wav_is_scaled_by_its_type_and_averaged(content, mono):
    assert_same([audio.decode_bytes(content, "x.wav")], [(mono, 16000)], 1e-6)


def test_wav_in_the_graph_is_the_same(decode_in_graph):
    contents = [case.values[0] for case in WAVS]
    expected = [(case.values[1], 16000) for case in WAVS]
    assert_same(decode_in_graph(*contents), expected, 1e-6)


@pytest.mark.newest_smoke
@pytest.mark.parametrize("name", ENCODINGS)
def test_encoded_sound_comes_back(name):
    loss, (container, subtype) = ENCODINGS[name]
    rate = 48000 if name == "opus" else 16000
    sound = encoded.tones(num_samples=8000, rate=rate)
    content = encoded.encode(sound, container, subtype, rate)
    waveform, decoded_rate = audio.decode_bytes(content, name)
    assert decoded_rate == rate
    error = waveform[: len(sound)] - sound[:, 0]
    assert len(waveform) == len(sound) or name == "adpcm"  # it pads its last block
    assert np.sqrt(np.mean(error**2)) < loss


@pytest.mark.parametrize("name", ENCODINGS)
def test_encoded_channels_in_the_graph_are_the_same(name, decode_in_graph):
    _, (container, subtype) = ENCODINGS[name]
    most = 2 if name in ("mp3", "adpcm", "opus") else 8
    rate = 48000 if name == "opus" else 16000
    contents = [
        encoded.encode(encoded.tones(channels, rate=rate), container, subtype, rate)
        for channels in CHANNELS
        if channels <= most
    ]
    expected = [audio.decode_bytes(content, name) for content in contents]
    assert_same(decode_in_graph(*contents), expected, BIT_16 / 2)


@pytest.mark.parametrize("container", ["WAV", "FLAC", "OGG", "MP3"])
def test_every_rate_in_the_graph_is_the_same(container, decode_in_graph):
    rates = MP3_RATES if container == "MP3" else RATES
    contents = [
        encoded.encode(encoded.tones(2, rate=rate), container, rate=rate)
        for rate in rates
    ]
    expected = [audio.decode_bytes(content, "x") for content in contents]
    assert tuple(rate for _, rate in expected) == rates
    assert_same(decode_in_graph(*contents), expected, BIT_16 / 2)


@pytest.mark.parametrize("container", ["WAV", "FLAC", "OGG", "MP3"])
def test_every_length_in_the_graph_is_the_same(container, decode_in_graph):
    lengths = (1, 2, 47, 575, 576, 577, 1105, 1152, 1153, 5000)
    contents = [
        encoded.encode(encoded.tones(num_samples=length), container)
        for length in lengths
    ]
    expected = [audio.decode_bytes(content, "x") for content in contents]
    assert tuple(len(waveform) for waveform, _ in expected) == lengths
    assert_same(decode_in_graph(*contents), expected, BIT_16 / 2)


def test_real_recordings_in_the_graph_are_the_same(shared, decode_in_graph):
    folders = ("esc10/audio/*-A.ogg", "fsdd/**/*_1.wav")
    paths = [
        path
        for folder in folders
        for path in audio.find_files(f"{shared}/data/{folder}")[:10]
    ]
    contents = [open(path, "rb").read() for path in paths]
    expected = [audio.decode(path) for path in paths]
    assert_same(decode_in_graph(*contents), expected, BIT_16 / 2)


def test_tensorflow_io_decodes_what_it_decodes_right():
    if not graph._tensorflow_io_decoders():
        pytest.skip("needs tensorflow-io, whose native ops do not load here")
    sound = encoded.tones(2)
    for container, subtype in (
        ("WAV", "PCM_U8"),
        ("WAV", "PCM_16"),
        ("WAV", "PCM_24"),
        ("WAV", "FLOAT"),
        ("WAVEX", "PCM_16"),
        ("OGG", "VORBIS"),
        ("MP3", "MPEG_LAYER_III"),
    ):
        header = headers.read_header(encoded.encode(sound, container, subtype))
        assert header.is_plain, (container, subtype)
        assert header.encoding in graph._tensorflow_io_decoders()


@pytest.mark.newest_smoke
def test_import_does_not_load_tensorflow_io():
    program = "import sys, byola_tf.audio; print('tensorflow_io' in sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "False"


class OpsDoNotLoad:
    """What tensorflow-io 0.37.1 does under TensorFlow 2.18 and later."""

    class audio:
        @staticmethod
        def decode_wav(content, dtype):
            raise NotImplementedError("unable to open file: libtensorflow_io.so")


@pytest.mark.newest_smoke
@pytest.mark.parametrize("module", [None, OpsDoNotLoad])
def test_without_tensorflow_io_the_graph_decodes_with_libsndfile(module, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_io", module)
    for remembered in (graph._native, graph._tensorflow_io_decoders):
        remembered.cache_clear()
    try:
        content = encoded.encode(encoded.tones(2), "OGG")
        decoded = tf.function(audio.decode_op)(tf.constant(content), "x.ogg")
        expected = [audio.decode_bytes(content, "x.ogg")]
        assert graph._tensorflow_io_decoders() == {}
        assert_same([[part.numpy() for part in decoded]], expected, 0)
    finally:
        for remembered in (graph._native, graph._tensorflow_io_decoders):
            remembered.cache_clear()


def test_shapes_are_known_in_the_graph():
    dataset = tf.data.Dataset.from_tensors(b"").map(audio.decode_op)
    waveform, rate = dataset.element_spec
    assert (waveform.shape.as_list(), waveform.dtype) == ([None], tf.float32)
    assert (rate.shape.as_list(), rate.dtype) == ([], tf.int32)


def test_24_bits_in_a_32_bit_container_are_scaled_by_the_container():
    integers = encoded.quantize(encoded.tones(), 24) << 8
    content = encoded.wav(
        encoded.pcm_bytes(integers, 32), encoded.EXTENSIBLE, 1, 32, encoded.PCM
    )
    content = encoded.mend(content, 38, struct.pack("<H", 24))  # valid bits
    waveform, _ = audio.decode_bytes(content, "x.wav")
    np.testing.assert_allclose(waveform, integers[:, 0] / 2**31, atol=1e-7)


def test_quiet_integers_stay_quiet():
    content = encoded.wav(struct.pack("<3h", 0, 1, -1), encoded.PCM, 1, 16)
    waveform, _ = audio.decode_bytes(content, "x.wav")
    assert waveform.tolist() == [0.0, BIT_16, -BIT_16]


def test_float_wav_keeps_samples_above_full_scale():
    content = encoded.wav(struct.pack("<2f", 1.5, -3.0), encoded.FLOAT, 1, 32)
    assert audio.decode_bytes(content, "x.wav")[0].tolist() == [1.5, -3.0]


@pytest.mark.newest_smoke
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [16000, 44100])
@pytest.mark.parametrize("mode", ["VARIABLE", "CONSTANT"])
def test_mp3_without_a_header_keeps_its_length(mode, rate, channels):
    sound = encoded.tones(channels, 2 * rate, rate)
    content = encoded.encode(
        sound, "MP3", rate=rate, bitrate_mode=mode, compression_level=0.5
    )
    bare, bare_rate = audio.decode_bytes(encoded.mp3_without_header(content), "x")
    whole, _ = audio.decode_bytes(content, "x")
    # without a header the encoder's delay of 576 samples stays, and its padding
    assert bare_rate == rate and len(bare) >= len(whole) + 576
    np.testing.assert_allclose(bare[576 : 576 + len(whole)], whole, atol=BIT_16)


def test_mp3_header_with_a_wrong_count_does_not_hide_audio(decode_in_graph):
    content = encoded.encode(encoded.tones(num_samples=20000), "MP3")
    position = content.index(b"Xing") + 8
    (count,) = struct.unpack_from(">I", content, position)
    wrong = encoded.mend(content, position, struct.pack(">I", count - 10))
    expected = [audio.decode_bytes(content, "x")]
    assert_same(decode_in_graph(wrong), expected, BIT_16 / 2)


@pytest.mark.parametrize("container", ["WAV", "FLAC", "OGG", "MP3"])
def test_tags_around_the_audio_are_skipped(container, decode_in_graph):
    content = encoded.encode(encoded.tones(), container)
    expected = [audio.decode_bytes(content, "x")]
    contents = [encoded.id3() + content]
    if container == "MP3":
        contents.append(encoded.id3() + content + b"TAG" + b"x" * 125)
        contents.append(content + b"APETAGEX" + b"x" * 50)
        contents.append(encoded.id3(300) + bytes(100) + content + bytes(50))
    assert_same(decode_in_graph(*contents), expected * len(contents), BIT_16 / 2)


def test_mp3_files_one_after_the_other_are_one_recording():
    content = encoded.encode(encoded.tones(), "MP3")
    waveform, _ = audio.decode_bytes(content + encoded.id3() + content, "x")
    assert len(waveform) > 2 * 6000


def test_wav_chunks_that_confuse_tensorflow_io(decode_in_graph):
    data = encoded.pcm_bytes(encoded.quantize(encoded.tones(), 16), 16)
    odd, even = (encoded.chunk(b"LIST", b"INFO" + bytes(size)) for size in (5, 6))
    contents = [
        encoded.wav(data, encoded.PCM, 1, 16, before=before, after=after)
        for before, after in (
            ([], []),
            ([odd], []),
            ([even], []),
            ([], [odd]),
            ([], [even]),
            ([odd, odd], [odd, even]),
        )
    ]
    expected = [audio.decode_bytes(contents[0], "x")] * len(contents)
    assert_same(decode_in_graph(*contents), expected, 0)


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFF000])
def test_wav_of_a_recorder_that_could_not_seek_back(size, decode_in_graph):
    whole = encoded.encode(encoded.tones(), "WAV")
    streamed = encoded.mend(whole, 4, struct.pack("<I", size))
    streamed = encoded.mend(streamed, 40, struct.pack("<I", size))
    expected = [audio.decode_bytes(whole, "x")] * 2
    assert_same([audio.decode_bytes(streamed, "x")], expected[:1], 0)
    assert_same(decode_in_graph(streamed), expected[:1], 0)


def test_big_endian_wav(decode_in_graph):
    integers = encoded.quantize(encoded.tones(), 16)
    body = b"WAVE" + encoded.chunk(
        b"fmt ", encoded.format_body(encoded.PCM, 1, 16, order=">"), ">"
    )
    body += encoded.chunk(b"data", encoded.pcm_bytes(integers, 16, ">"), ">")
    content = b"RIFX" + struct.pack(">I", len(body)) + body
    expected = [(integers[:, 0] / 32768, 16000)]
    assert_same(decode_in_graph(content), expected, 0)


def test_flac_of_unknown_length(decode_in_graph):
    whole = encoded.encode(encoded.tones(), "FLAC")
    streamed = encoded.mend(whole, 21, bytes([whole[21] & 0xF0]) + bytes(4))
    expected = [audio.decode_bytes(whole, "x")]
    assert headers.read_header(streamed).num_samples == 6000
    assert_same([audio.decode_bytes(streamed, "x")], expected, 0)
    assert_same(decode_in_graph(streamed), expected, 0)


def test_ogg_without_its_end_mark(decode_in_graph):
    content = encoded.encode(encoded.tones(num_samples=60000), "OGG")
    last_page = content.rindex(b"OggS")
    cut = content[:last_page]
    waveform, rate = audio.decode_bytes(cut, "x")
    whole, _ = audio.decode_bytes(content, "x")
    assert 0 < len(waveform) < len(whole)
    np.testing.assert_array_equal(waveform, whole[: len(waveform)])
    assert_same(decode_in_graph(cut), [(waveform, rate)], BIT_16 / 2)
