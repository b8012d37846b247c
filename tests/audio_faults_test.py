"""Broken files: a clear error each, never a hang, a crash or a poisoned waveform."""

import os
import struct
import tempfile

import numpy as np
import pytest
import tensorflow as tf

from byola_tf import audio
from tests import encoded

FORMATS = {
    "wav8": ("WAV", "PCM_U8"),
    "wav16": ("WAV", "PCM_16"),
    "wav24": ("WAV", "PCM_24"),
    "float": ("WAV", "FLOAT"),
    "extensible": ("WAVEX", "PCM_16"),
    "adpcm": ("WAV", "IMA_ADPCM"),
    "rf64": ("RF64", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "flac24": ("FLAC", "PCM_24"),
    "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "aiff": ("AIFF", "PCM_16"),
    "au": ("AU", "PCM_16"),
    "caf": ("CAF", "PCM_16"),
    "w64": ("W64", "PCM_16"),
}
CONTAINERS = ("wav16", "flac", "ogg", "mp3")


def file_of(name, num_samples=12000):
    return encoded.encode(encoded.tones(num_samples=num_samples), *FORMATS[name])


def damaged(content, rng):
    """Cuts, overwrites, removes or inserts some bytes."""
    content = bytearray(content)
    position = int(rng.integers(len(content)))
    length = int(rng.integers(1, 2000))
    kind = rng.integers(6)
    if kind == 0:
        del content[position:]
    elif kind == 1:
        for position in rng.integers(len(content), size=3):
            content[position] = rng.integers(256)
    elif kind == 2:  # in the headers
        for position in rng.integers(min(120, len(content)), size=4):
            content[position] = rng.integers(256)
    elif kind == 3:
        content[position : position + length] = rng.bytes(length)
    elif kind == 4:
        del content[position : position + length]
    else:
        content[position:position] = rng.bytes(length)
    return bytes(content)


def error_of(content):
    with pytest.raises(audio.AudioError, match="'x' must be a readable") as caught:
        audio.decode_bytes(content, "x")
    return str(caught.value)


@pytest.mark.newest_smoke
@pytest.mark.parametrize("name", FORMATS)
def test_random_damage_gives_an_error_or_finite_sound(name):
    whole = file_of(name)
    outcomes = set()
    for seed in range(300):
        content = damaged(whole, np.random.default_rng([seed, 1]))
        try:
            waveform, rate = audio.decode_bytes(content, "x")
        except audio.AudioError as error:
            outcomes.add("error")
            assert str(error).startswith("'x' must be a readable audio file, but ")
            continue
        assert waveform.dtype == np.float32 and waveform.ndim == 1
        assert np.isfinite(waveform).all() and len(waveform) and rate >= 1000
    assert "error" in outcomes


@pytest.mark.parametrize("name", FORMATS)
def test_random_damage_in_the_graph_gives_an_error_or_finite_sound(name):
    whole = file_of(name)
    decode = tf.function(
        audio.decode_op, input_signature=[tf.TensorSpec([], tf.string)]
    )
    for seed in range(100):
        content = damaged(whole, np.random.default_rng([seed, 2]))
        try:
            waveform, _ = decode(content)
        except tf.errors.InvalidArgumentError:
            continue
        assert np.isfinite(waveform).all() and len(waveform)


@pytest.mark.newest_smoke
@pytest.mark.parametrize("name", FORMATS)
def test_a_truncated_file_is_read_as_far_as_it_goes_and_is_doubtful(name):
    content, doubts = file_of(name, 40_000), []
    whole, _ = audio.decode_bytes(content, "x", on_doubt=doubts.append)
    assert not doubts
    for length in (1, 20):
        assert "but it" in error_of(content[:length])
    for missing in (1, 2, 100, len(content) // 10, len(content) // 3):
        cut, _ = audio.decode_bytes(content[:-missing], "x", on_doubt=doubts.append)
        assert "but it may be truncated" in doubts.pop()
        assert 0.35 * len(whole) < len(cut) <= len(whole)
        np.testing.assert_array_equal(cut, whole[: len(cut)])


@pytest.mark.parametrize("name", ["flac", "ogg", "mp3"])
def test_damage_inside_compressed_audio_is_an_error(name):
    whole = file_of(name, 40_000)
    noise = np.random.default_rng(0).bytes(600)
    for position in (len(whole) // 3, len(whole) // 2):
        assert "but it" in error_of(encoded.mend(whole, position, noise))


@pytest.mark.newest_smoke
def test_reasons_are_clear():
    wav, ogg, mp3 = (file_of(name) for name in ("wav16", "ogg", "mp3"))
    assert "but the file is empty." in error_of(b"")
    noise = np.random.default_rng(0).bytes(5000)
    assert "does not decode (neither WAV, FLAC, Ogg nor MP3)." in error_of(noise)
    assert "its samples are missing" in error_of(wav[:36])
    assert "no format chunk" in error_of(wav[:20])
    assert "truncated inside its first Ogg page" in error_of(ogg[:30])
    damaged_ogg = encoded.mend(ogg, len(ogg) // 2, b"????")
    assert "Ogg page at byte" in error_of(damaged_ogg)
    assert "chain of 2 Ogg streams" in error_of(ogg + ogg)
    hole = mp3[:1900] + bytes(500) + mp3[2400:]
    assert "it is damaged at byte 2016: no MP3 frame" in error_of(hole)
    silent = encoded.wav(b"", encoded.PCM, 1, 16)
    assert "it has no samples" in error_of(silent)


def test_missing_ogg_page_is_an_error():
    content = file_of("ogg", 120_000)
    starts = [
        position
        for position in range(len(content))
        if content.startswith(b"OggS", position)
    ]
    assert len(starts) >= 5
    hole = content[: starts[3]] + content[starts[4] :]
    assert "Ogg pages are missing before byte" in error_of(hole)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("channels", [1, 2])
def test_samples_that_are_no_sound_are_an_error(value, channels):
    sound = encoded.tones(channels)
    sound[1000, -1] = value
    content = encoded.wav(sound.tobytes(), encoded.FLOAT, channels, 32)
    reason = "times full scale" if value == 1e30 else "NaN or infinite samples"
    assert reason in error_of(content)
    with pytest.raises(tf.errors.InvalidArgumentError, match="NaN|full scale"):
        tf.function(audio.decode_op)(tf.constant(content))


def test_header_that_lies_about_the_size_of_the_samples():
    whole, doubts = file_of("wav16"), []
    for size in (24002, 2**31 - 1, 2**32 - 8):
        lying = encoded.mend(whole, 40, struct.pack("<I", size))
        assert len(audio.decode_bytes(lying, "x")[0]) == 12000
    shorter = encoded.mend(whole, 40, struct.pack("<I", 2000))
    assert len(audio.decode_bytes(shorter, "x", on_doubt=doubts.append)[0]) == 1000
    assert "22000 bytes behind its samples are in no chunk" in doubts[0]


def test_header_that_promises_more_than_memory_holds():
    flac, doubts = file_of("flac"), []
    promise = bytes([flac[21] | 0x0F]) + b"\xff" * 4  # 2**36 - 1 samples
    lying = encoded.mend(flac, 21, promise)
    assert len(audio.decode_bytes(lying, "x", on_doubt=doubts.append)[0]) == 12000
    mp3 = file_of("mp3")
    position = mp3.index(b"Xing") + 8
    lying = encoded.mend(mp3, position, b"\xff" * 4)
    assert len(audio.decode_bytes(lying, "x", on_doubt=doubts.append)[0]) == 12000
    assert "12000 of 68719476735 samples" in doubts[0]
    assert "23 of 4294967295 MP3 frames" in doubts[1]


@pytest.mark.parametrize("rate", [0, 1, 999, 1_000_001, 2**30])
def test_rate_that_no_recording_has_is_an_error(rate):
    content = encoded.wav(bytes(200), encoded.PCM, 1, 16, rate=rate)
    assert f"its sampling rate is {rate} Hz" in error_of(content)


def test_wav_that_ends_or_stops_tensorflow_io():
    # measured with tensorflow-io 0.37.1: SIGFPE, SIGFPE and a loop for ever
    whole = file_of("wav16")
    for content in (
        encoded.mend(whole, 32, struct.pack("<H", 0)),
        encoded.mend(whole, 22, struct.pack("<H", 0)),
        encoded.mend(whole, 40, struct.pack("<I", 2**32 - 8)),
    ):
        try:
            waveform, _ = tf.function(audio.decode_op)(tf.constant(content))
        except tf.errors.InvalidArgumentError:
            continue
        assert len(waveform) == 12000


def test_error_in_the_graph_names_the_file():
    with pytest.raises(tf.errors.InvalidArgumentError, match="'sounds/a.wav' must be"):
        tf.function(audio.decode_op)(tf.constant(b"no audio"), "sounds/a.wav")


@pytest.mark.newest_smoke
def test_paths_that_are_no_file(tmp_path):
    (tmp_path / "folder.wav").mkdir()
    os.mkfifo(tmp_path / "pipe.wav")  # opening it would wait for ever
    (tmp_path / "dangling.wav").symlink_to(tmp_path / "gone.wav")
    (tmp_path / "empty.wav").touch()
    for name, reason in (
        ("folder.wav", "is not a regular file"),
        ("pipe.wav", "is not a regular file"),
        ("dangling.wav", "cannot be read"),
        ("missing.wav", "cannot be read"),
        ("empty.wav", "is empty"),
    ):
        with pytest.raises(audio.AudioError, match=reason) as caught:
            audio.load(str(tmp_path / name), 16000)
        assert name in str(caught.value)


def test_remote_file_that_is_missing():
    with pytest.raises(audio.AudioError, match="'ram://nowhere/x.wav' .* be read"):
        audio.load("ram://nowhere/x.wav", 16000)


@pytest.fixture
def without_privileges():
    """A world-readable folder; the test runs as a user who owns nothing in it."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        if os.geteuid() != 0:
            yield folder, os.geteuid
            return
        try:
            os.seteuid(65534)
        except OSError:
            pytest.skip("root ignores permissions, and cannot become another user")
        os.seteuid(0)
        try:
            yield folder, lambda: os.seteuid(65534)
        finally:
            os.seteuid(0)


def test_unreadable_file_and_folder(without_privileges):
    folder, drop_privileges = without_privileges
    os.makedirs(f"{folder}/closed")
    for name in ("a.wav", "b.wav", "closed/c.wav"):
        with open(f"{folder}/{name}", "wb") as file:
            file.write(file_of("wav16"))
    os.chmod(f"{folder}/b.wav", 0)
    os.chmod(f"{folder}/closed", 0)
    drop_privileges()
    assert audio.find_files(folder) == [f"{folder}/a.wav", f"{folder}/b.wav"]
    assert len(audio.load(f"{folder}/a.wav", 16000)) == 12000
    with pytest.raises(audio.AudioError, match="Permission denied"):
        audio.load(f"{folder}/b.wav", 16000)
    if os.getuid() != 0:
        os.chmod(f"{folder}/closed", 0o700)


@pytest.mark.parametrize("name", CONTAINERS)
def test_many_broken_files_say_nothing_on_stderr(name, capfd):
    whole = file_of(name)
    for seed in range(50):
        rng = np.random.default_rng(seed)
        for content in (
            rng.bytes(5000),
            whole[:100] + rng.bytes(5000),
            whole[: int(rng.integers(len(whole)))],
            whole + rng.bytes(1000),
            whole[:4] + rng.bytes(5000),
        ):
            try:
                audio.decode_bytes(content, "x")
            except audio.AudioError:
                pass
    assert capfd.readouterr().err == ""
