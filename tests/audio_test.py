"""Finding files, reading them, 16-bit samples."""

import glob
import os
import time

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from byola_tf import audio
from byola_tf.errors import UserError
from tests import encoded

NAMES = (
    "a.wav",
    "B.WAV",
    "c.Flac",
    "d.ogg",
    "e.mp3",
    "notes.txt",
    "f.wav.bak",
    ".hidden.wav",
    "with space.wav",
    "umlaut ä 音.wav",
    "bracket[1].wav",
    "brace{1}.wav",
    "star*.wav",
    "class 1/a.wav",
    "class 1/b.ogg",
    "[set] 2/x.wav",
    "[set] 2/deep/er/y.flac",
    ".cache/z.wav",
    "class 1/.cache/z.wav",
    "folder.wav/inside.wav",
    "empty.wav/.keep",
)
PATTERNS = (
    "*",
    "*.wav",
    "*.WAV",
    "?.wav",
    "[ab].wav",
    "[!a].wav",
    "[a-c].*",
    "**",
    "**/*",
    "**/*.wav",
    "*/**/*.wav",
    "**/a.wav",
    "**/deep/**/*",
    "**/**/*.wav",
    "*/*",
    "*/a.wav",
    "class*/*.wav",
    "class 1/*.wav",
    "class 1/**/*.wav",
    "[[]set] 2/**/*.*",
    "[[]*/*",
    "*[[]1].wav",
    "star[*].wav",
    ".*",
    ".cache/*.wav",
    "**/.cache/*.wav",
    "linked/*.wav",
    "*/x.wav",
    "./*.wav",
    "../sounds/*.wav",
    "class 1/../*.wav",
    "**/missing/*.wav",
    "a**/*.wav",
    "a.wav",
    "link.wav",
    "dangling*.wav",
)


@pytest.fixture
def sounds(tmp_path):
    """A folder with the names above and with links."""
    folder = tmp_path / "sounds"
    for name in NAMES:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (folder / "linked").symlink_to(folder / "[set] 2")
    (folder / "link.wav").symlink_to(folder / "a.wav")
    (folder / "dangling.wav").symlink_to(folder / "gone.wav")
    return folder


def globbed(pattern):
    """What Python's glob finds, folders and other files left out."""
    return sorted(
        {
            path
            for path in glob.glob(pattern, recursive=True)
            if path.lower().endswith(audio.EXTENSIONS) and not os.path.isdir(path)
        }
    )


def found(pattern):
    try:
        return audio.find_files(pattern)
    except UserError:
        return []


@pytest.mark.newest_smoke
@pytest.mark.parametrize("pattern", PATTERNS)
def test_globs_find_what_python_finds(sounds, pattern, monkeypatch):
    # a literal bracket in the folder's own name would be a wildcard
    absolute = f"{sounds}/{pattern}"
    assert found(absolute) == globbed(absolute)
    monkeypatch.chdir(sounds)
    assert found(pattern) == globbed(pattern)


def test_most_patterns_above_match_something(sounds):
    assert sum(bool(found(f"{sounds}/{pattern}")) for pattern in PATTERNS) >= 30


@pytest.mark.parametrize("suffix", ["", "/", "//"])
def test_a_folder_is_searched_to_its_depths(sounds, suffix, monkeypatch):
    expected = globbed(f"{sounds}/**/*")
    assert audio.find_files(f"{sounds}{suffix}") == expected
    monkeypatch.chdir(sounds.parent)
    relative = [os.path.relpath(path) for path in expected]
    assert audio.find_files(f"sounds{suffix}") == relative
    monkeypatch.chdir(sounds)
    assert audio.find_files(".") == sorted(f"./{path[7:]}" for path in relative)


def test_a_folder_with_brackets_in_its_name_is_a_folder(sounds):
    expected = [
        f"{sounds}/[set] 2/deep/er/y.flac",
        f"{sounds}/[set] 2/x.wav",
    ]
    assert audio.find_files(f"{sounds}/[set] 2") == expected


def test_a_file_is_itself_whatever_its_name(sounds):
    for name in ("bracket[1].wav", "star*.wav", "notes.txt"):
        assert audio.find_files(f"{sounds}/{name}") == [f"{sounds}/{name}"]


def test_folders_and_pipes_named_like_audio_are_left_out(sounds):
    os.mkfifo(sounds / "pipe.wav")
    (sounds / "linked pipe.wav").symlink_to(sounds / "pipe.wav")
    paths = audio.find_files(str(sounds))
    assert f"{sounds}/folder.wav/inside.wav" in paths
    assert not [path for path in paths if path.endswith(("folder.wav", "pipe.wav"))]


def test_links_in_a_circle_are_followed_once(tmp_path):
    deep = tmp_path / "one" / "two"
    deep.mkdir(parents=True)
    (deep / "a.wav").touch()
    (deep / "up").symlink_to(tmp_path / "one")
    (deep / "here").symlink_to(deep)
    (deep / "itself").symlink_to(deep / "itself")
    (deep / "itself.wav").symlink_to(deep / "itself.wav")
    expected = [f"{deep}/a.wav", f"{deep}/itself.wav"]
    assert audio.find_files(str(tmp_path)) == expected
    assert audio.find_files(f"{tmp_path}/**/*.wav") == expected


def test_two_links_to_one_folder_are_two_folders(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.wav").touch()
    for name in ("first", "second"):
        (tmp_path / name).symlink_to(tmp_path / "real")
    assert len(audio.find_files(str(tmp_path))) == 3


@pytest.mark.newest_smoke
def test_paths_that_only_tensorflow_reads():
    for name in ("a.wav", "one/b.ogg", "one/two/c.flac", "one/x.wav/d.mp3", "e.txt"):
        folder = os.path.dirname(f"ram://audio_test/{name}")
        tf.io.gfile.makedirs(folder)
        with tf.io.gfile.GFile(f"ram://audio_test/{name}", "w") as file:
            file.write("x")
    everything = [
        f"ram://audio_test/{name}"
        for name in ("a.wav", "one/b.ogg", "one/two/c.flac", "one/x.wav/d.mp3")
    ]
    for pattern in ("", "/", "/**", "/**/*"):
        assert audio.find_files(f"ram://audio_test{pattern}") == everything
    assert audio.find_files("ram://audio_test/*") == everything[:1]
    assert audio.find_files("ram://audio_test/*/*") == everything[1:2]
    assert audio.find_files("ram://audio_test/one/**/*.flac") == everything[2:3]


def test_thousands_of_files_are_found_at_once(tmp_path):
    for folder in range(20):
        (tmp_path / str(folder)).mkdir()
        for index in range(500):
            os.close(os.open(tmp_path / str(folder) / f"{index}.wav", os.O_CREAT))
    start = time.process_time()
    assert len(audio.find_files(f"{tmp_path}/**/*")) == 10_000
    assert time.process_time() - start < 2.0


def test_files_of_other_endings_are_counted(tmp_path):
    for name in "a.wav b.OPUS c.oga d.aif e.caf f.w64 g.au h.aiff i.rf64".split():
        (tmp_path / name).touch()
    assert audio.find(str(tmp_path)).left_out == ""
    for name in "j.m4a k.M4A l.webm README .hidden.m4a".split():
        (tmp_path / name).touch()
    found = audio.find(str(tmp_path))
    assert len(found.paths) == 9
    assert found.others == {".m4a": 2, ".webm": 1, "": 1}
    assert found.left_out.startswith(
        "4 files were left out by ending (2 .m4a, 1 without an ending, 1 .webm)."
    )


def test_every_command_says_once_what_it_leaves_out(tmp_path, caplog):
    for name in ("a.wav", "labels.csv", "README.md"):
        (tmp_path / name).touch()
    audio.find_files(str(tmp_path))
    assert not caplog.records  # what lies beside sound needs no word
    (tmp_path / "b.m4a").touch()
    for _ in range(2):
        audio.find_files(str(tmp_path))
    (record,) = caplog.records
    assert "3 files were left out by ending (1 .csv, 1 .m4a, 1 .md)" in record.message


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("", "must be given"),
        ("/nowhere/**/*.wav", "'/nowhere' is not a folder. Check the path"),
        ("{}/class 1/*.mp3", "matches no file. Use e.g. '.*/class 1/\\*\\*/\\*'"),
        ("{}/*.txt", "matches 1 other files \\(such as '.*notes.txt'\\)"),
        ("{}/*.{{wav,ogg}}", "matches no file. Braces are not expanded."),
        ("{}/nothing.wav", "must match at least one audio file"),
    ],
)
def test_nothing_found_says_what_is_there(sounds, pattern, message):
    with pytest.raises(UserError, match=message):
        audio.find_files(pattern.format(sounds))


@pytest.mark.newest_smoke
def test_load_decodes_averages_and_resamples(tmp_path):
    path = tmp_path / "x.flac"
    soundfile.write(path, encoded.tones(2, 44100, 44100), 44100, "PCM_16")
    waveform = audio.load(str(path), 16000)
    decoded, rate = audio.decode(str(path))
    assert (len(waveform), len(decoded), rate) == (16000, 44100, 44100)
    np.testing.assert_array_equal(waveform, audio.resample(decoded, 44100, 16000))


def test_pcm16_rounds_clips_and_returns():
    samples = audio.to_pcm16(np.array([0.0, 0.5, 1.0, -1.0, -2.0, 1.6 / 32768]))
    assert samples.tolist() == [0, 16384, 32767, -32768, -32768, 2]
    everything = np.arange(-32768, 32768).astype(np.int16)
    np.testing.assert_array_equal(
        audio.to_pcm16(audio.from_pcm16(everything)), everything
    )
