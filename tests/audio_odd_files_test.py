"""What people do with sound files, and what the reader makes of it."""

import itertools
import os
import struct
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from byola_tf import audio
from byola_tf.audio import blocks, content, graph, headers, mp3_frames
from tests import encoded, odd_audio

ODDITIES = odd_audio.everything()
RATE = 16_000


@pytest.mark.newest_smoke
@pytest.mark.parametrize("name", ODDITIES)
def test_an_odd_file_is_read_or_refused_and_the_reason_is_true(name):
    odd, doubts = ODDITIES[name], []
    if odd.samples is None:
        with pytest.raises(audio.AudioError, match="must be a readable audio") as error:
            audio.decode_bytes(odd.content, name)
        assert odd.says in str(error.value)
        return
    decoded = audio.decode_bytes(odd.content, name, on_doubt=doubts.append)
    least, most = odd.samples
    assert least <= len(audio.resample(*decoded, RATE)) <= most
    assert bool(doubts) == bool(odd.says)
    assert odd.says in " ".join(doubts)


@pytest.mark.parametrize("name", ["cut.flac", "cut.wav", "cut.mp3", "cut.ogg"])
def test_what_a_cut_file_still_holds_is_the_sound_itself(name):
    container = name.removeprefix("cut.").upper()
    sound = encoded.tones(num_samples=odd_audio.SAMPLES)
    whole, _ = audio.decode_bytes(encoded.encode(sound, container), "whole")
    cut, _ = audio.decode_bytes(ODDITIES[name].content, name)
    np.testing.assert_array_equal(cut, whole[: len(cut)])


@pytest.mark.parametrize("name", ODDITIES)
def test_duration_is_what_is_read(name, tmp_path):
    odd, path = ODDITIES[name], str(tmp_path / name)
    (tmp_path / name).write_bytes(odd.content)
    if odd.samples is None:
        with pytest.raises(audio.AudioError):
            audio.load(path, RATE)
    else:
        seconds = len(audio.load(path, RATE)) / RATE
        assert audio.duration(path) == pytest.approx(seconds, abs=0.08)


def test_odd_files_give_the_graph_no_plain_header():
    for name, odd in ODDITIES.items():
        if odd.says and name != "nan.wav":  # the graph tests the samples itself
            try:
                assert not headers.read_header(odd.content).is_plain, name
            except headers.BrokenAudio:
                pass
    if graph._tensorflow_io_decoders():
        for name in ("never_closed.wav", "joined.mp3", "cut.mp3", "mp3_inside.wav"):
            waveform, _ = tf.function(graph.decode_op)(
                tf.constant(ODDITIES[name].content), name
            )
            expected, _ = audio.decode_bytes(ODDITIES[name].content, name)
            np.testing.assert_array_equal(waveform, expected)


def test_a_stereo_file_joined_to_a_mono_one_has_both():
    waveform, _ = audio.decode_bytes(ODDITIES["joined.mp3"].content, "joined.mp3")
    mono, _ = audio.decode_bytes(
        encoded.encode(encoded.tones(num_samples=odd_audio.SAMPLES), "MP3"), "mono"
    )
    np.testing.assert_array_equal(waveform[odd_audio.SAMPLES :], mono)


def test_tags_and_junk_in_front_of_other_containers():
    for container in ("FLAC", "WAV", "AIFF", "OGG"):
        whole = encoded.encode(encoded.tones(), container)
        for front in (encoded.id3(9) + encoded.id3(100), encoded.id3(70_000)):
            assert len(audio.decode_bytes(front + whole, "x")[0]) == 6000


def test_what_is_not_read_of_a_wav_is_said():
    data, doubts = encoded.pcm_bytes(np.zeros(800, int), 16), []
    content_ = encoded.wav(
        data, encoded.PCM, 1, 16, after=[encoded.chunk(b"data", data)]
    )
    assert len(audio.decode_bytes(content_, "x", on_doubt=doubts.append)[0]) == 800
    assert "second data chunk, which are not read" in doubts[0]


def frame_starts(content_):
    """Where the frames of an MP3 begin."""
    position, starts = 0, []
    while frame := mp3_frames.read_header(content_[position : position + 4]):
        starts.append(position)
        position += frame.size
    return starts


def test_an_mp3_that_lost_whole_frames_is_not_taken_for_whole():
    sound = encoded.tones(num_samples=160_000)
    whole = encoded.encode(sound, "MP3", bitrate_mode="VARIABLE")
    starts, doubts = frame_starts(whole), []
    begin, end = starts[100], starts[120]
    with pytest.raises(audio.AudioError, match="MP3 frames do not decode"):
        audio.decode_bytes(whole[:begin] + whole[end:], "x")
    bare = whole[starts[1] : begin] + whole[end:]  # no count tells of the loss
    audio.decode_bytes(bare, "x", on_doubt=doubts.append)
    assert "MP3 frames do not decode, the first at 3.6 s" in doubts[0]


def test_an_mp3_of_noise_in_good_frames_is_refused_without_a_flood(capfd):
    whole = encoded.encode(encoded.tones(num_samples=160_000), "MP3")
    rng, starts, made = np.random.default_rng(0), frame_starts(whole), bytearray(whole)
    for begin, end in itertools.pairwise(starts[1:]):
        made[begin + 4 : end] = rng.bytes(end - begin - 4)
    with pytest.raises(audio.AudioError, match="of 281 MP3 frames do not decode"):
        audio.decode_bytes(bytes(made), "x")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_whole_mp3s_of_any_kind_give_no_doubt(rate):
    for channels, mode, level in itertools.product(
        (1, 2), ("VARIABLE", "CONSTANT", "AVERAGE"), (0.2, 0.9)
    ):
        doubts, sound = [], encoded.tones(channels, rate, rate)
        sound[rate // 3 : rate // 2] = 0
        whole = encoded.encode(
            sound, "MP3", rate=rate, bitrate_mode=mode, compression_level=level
        )
        audio.decode_bytes(whole, "x", on_doubt=doubts.append)
        assert not doubts


def test_mp3s_of_two_rates_are_refused():
    joined = b"".join(
        encoded.encode(encoded.tones(rate=rate), "MP3", rate=rate)
        for rate in (44_100, 22_050)
    )
    with pytest.raises(audio.AudioError, match=r"joins MP3s of \[22050, 44100\] Hz"):
        audio.decode_bytes(joined, "x")


def test_what_servers_and_editors_leave_is_named():
    for start, reason in (
        (b"<!DOCTYPE html>", "a web page"),
        (b"\x1aE\xdf\xa3" + bytes(9), "WebM: convert it with ffmpeg"),
        (b"../.git/annex/objects/aa", "git annex get"),
        (b"PK\x03\x04" + bytes(30), "a ZIP archive: unpack it"),
    ):
        with pytest.raises(audio.AudioError, match=reason):
            audio.decode_bytes(start, "x")


def test_a_header_of_a_server_in_front_of_ogg_and_flac():
    for container in ("OGG", "FLAC", "WAV"):
        whole, doubts = encoded.encode(encoded.tones(), container), []
        front = b"HTTP/1.1 200 OK\r\n\r\n"
        waveform, _ = audio.decode_bytes(front + whole, "x", on_doubt=doubts.append)
        assert len(waveform) == 6000
        assert "begins at byte 19 only" in doubts[0]


@pytest.fixture
def long_wav(tmp_path):
    """Makes a sparse WAV of so many bytes of silence, and a last sample."""

    def make(num_bytes, claimed, name="long.wav", channels=2, rate=48_000):
        form = encoded.format_body(encoded.PCM, channels, 16, rate)
        path = tmp_path / name
        with open(path, "wb") as file:
            if claimed is None:
                sizes = struct.pack("<QQQI", num_bytes + 72, num_bytes, 0, 0)
                file.write(b"RF64\xff\xff\xff\xffWAVE" + encoded.chunk(b"ds64", sizes))
                claimed = 0xFFFFFFFF
            else:
                file.write(b"RIFF" + struct.pack("<I", claimed) + b"WAVE")
            file.write(encoded.chunk(b"fmt ", form))
            file.write(b"data" + struct.pack("<I", claimed))
            file.seek(num_bytes - 2 * channels, os.SEEK_CUR)
            file.write(b"\0\x40" * channels)
        return str(path)

    return make


def test_recordings_above_4_gib_keep_their_length(long_wav):
    size = 4_800_000_000
    for claimed in (0xFFFFFFFF, size % 2**32, None):
        assert audio.duration(long_wav(size, claimed)) == size / 192_000


@pytest.mark.slow
def test_a_recording_of_5_gb_that_ffmpeg_left_open_is_read_to_its_end(long_wav):
    path = long_wav(4_800_000_000, 0xFFFFFFFF)
    with audio.open_blocks(path) as reader:
        total, last = 0, None
        for block in reader.mono():
            total, last = total + len(block), block[-1]
    assert (total, last) == (1_200_000_000, 0.5)


def test_a_day_of_sound_is_refused_before_it_fills_the_memory(long_wav, monkeypatch):
    monkeypatch.setattr(blocks, "_BLOCK_FRAMES", 1 << 22)
    path = long_wav(24 * 3600 * 192_000, None)
    with pytest.raises(audio.AudioError, match=r"longer than max_hours \(0.1 h\): cut"):
        audio.load(path, RATE, max_hours=0.1)
    with audio.open_blocks(path) as reader:
        assert reader.num_samples == 24 * 3600 * 48_000
        assert len(next(reader.mono())) <= 1 << 22


_LIMITED = """
import itertools, sys
from byola_tf import audio, hardware
before = hardware.peak_memory()
for path in sys.argv[1:]:
    try:
        audio.load(path, 16_000)
        sys.exit("loaded")
    except audio.AudioError as error:
        assert "max_hours" in str(error), error
    with audio.open_blocks(path) as reader:
        blocks = itertools.islice(reader.resampled(16_000), 100)
        assert sum(len(block) for block in blocks) > 16_000_000
print(int(hardware.peak_memory() - before))
"""


@pytest.mark.slow
def test_a_day_and_a_bomb_take_little_memory(long_wav, tmp_path):
    bomb = str(tmp_path / "bomb.flac")
    with soundfile.SoundFile(bomb, "w", 44_100, 1, "PCM_16") as file:
        for _ in range(2800):  # 4.6 hours
            file.write(np.zeros(1 << 18, np.int16))
    run = subprocess.run(
        [sys.executable, "-c", _LIMITED, long_wav(24 * 3600 * 192_000, None), bomb],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(run.stdout) < 200


def test_a_long_recording_is_loaded_as_a_short_one(tmp_path):
    sound = np.random.default_rng(0).normal(0, 0.1, (700_001, 2)).astype("f")
    soundfile.write(tmp_path / "a.flac", sound, 44_100, "PCM_16")
    decoded, rate = audio.decode(str(tmp_path / "a.flac"))
    assert len(decoded) > blocks._BLOCK_FRAMES
    loaded = audio.load(str(tmp_path / "a.flac"), RATE)
    np.testing.assert_array_equal(loaded, audio.resample(decoded, rate, RATE))


@pytest.mark.parametrize("size", [1_000, content.WHOLE_BYTES + 1])
def test_a_file_that_is_rewritten_while_it_is_read_gives_a_message(tmp_path, size):
    path = str(tmp_path / "x.wav")

    def write(seed):
        samples = np.random.default_rng(seed).integers(0, 9, size, "int16")
        soundfile.write(path, samples, RATE, "PCM_16")

    write(0)
    with audio.open_blocks(path) as reader:
        os.utime(path, ns=(1, 1))
        with pytest.raises(audio.AudioError, match="was written to while it was read"):
            list(reader.mono())


def test_a_file_that_shrinks_while_it_is_read_gives_a_message(tmp_path):
    path = str(tmp_path / "x.wav")
    soundfile.write(path, np.zeros(content.WHOLE_BYTES), RATE, "PCM_16")
    with audio.open_blocks(path) as reader:
        pieces = reader.mono()
        next(pieces)
        os.truncate(path, 3_000_000)
        with pytest.raises(audio.AudioError, match="became shorter while it was read"):
            list(pieces)


def test_no_file_is_mapped(tmp_path, monkeypatch):
    monkeypatch.setattr("mmap.mmap", None)  # as on a mount without shared maps
    for name in ("whole.aif", "piped.flac", "cut.mp3", "arecord_pipe.wav"):
        (tmp_path / name).write_bytes(ODDITIES[name].content)
        with audio.open_blocks(str(tmp_path / name)) as reader:
            assert sum(len(block) for block in reader.mono())


def test_pipes_devices_and_folders_are_no_recordings(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    for path in (tmp_path / "pipe.wav", tmp_path, "/dev/zero", "/dev/stdin"):
        for read in (audio.open_blocks, audio.decode, audio.duration):
            with pytest.raises(audio.AudioError, match="not a regular file"):
                read(str(path))


def test_a_name_that_is_no_text_is_read(tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav")
    soundfile.write(os.fsencode(path), np.zeros(800), RATE, format="WAV")
    assert audio.find_files(str(tmp_path)) == [path]
    assert len(audio.load(path, RATE)) == 800
    assert audio.duration(path) == 0.05


def test_millions_of_tags_and_chunks_are_refused_at_once(capfd):
    mp3 = encoded.encode(encoded.tones(), "MP3")
    wav = encoded.encode(encoded.tones(), "WAV")
    tags = encoded.id3(0) * 1_000_000
    chunks = encoded.chunk(b"junk", b"") * 1_000_000
    for content_ in (tags + mp3, mp3 + tags + mp3):
        with pytest.raises(audio.AudioError, match="more than 10000 tags"):
            audio.decode_bytes(content_, "x")
    joined = (mp3 + ODDITIES["joined.mp3"].content) * 501
    with pytest.raises(audio.AudioError, match="joins more than 1000 MP3s"):
        audio.decode_bytes(joined, "x")
    with pytest.raises(audio.AudioError, match="more than 10000 chunks"):
        audio.decode_bytes(wav[:12] + chunks + wav[12:], "x")
    with pytest.raises(audio.AudioError, match="more than 1000 empty Ogg pages"):
        audio.decode_bytes(odd_audio.empty_pages(2000), "x")
    assert capfd.readouterr().err == ""


def test_a_doubt_is_logged_once(tmp_path, caplog):
    path = str(tmp_path / "cut.wav")
    (tmp_path / "cut.wav").write_bytes(ODDITIES["cut.wav"].content)
    for _ in range(3):
        audio.load(path, RATE)
    assert sum("may be truncated" in record.message for record in caplog.records) <= 1
    doubts = []
    audio.load(path, RATE, on_doubt=doubts.append)
    assert len(doubts) == 1 and path in doubts[0]
