"""Published tasks from tiny folders with the layout of their downloads."""

import csv
import dataclasses
import io
import json
import os

import numpy as np
import pytest
import soundfile

from byola_tf.errors import UserError
from tests import commands
from train_lib.probe import embedding
from train_lib.probe.models import floors
from train_lib.probe.tasks import presets, tasks
from train_lib.probe.tasks import table as task_table
from train_lib.probe.tasks.presets import prepare

RATE = 16000


def sound(path, seconds=0.1, rate=RATE):
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(len(path.name))
    soundfile.write(path, 0.1 * random.standard_normal(int(seconds * rate)), rate)


def table(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows(rows)


def lines(path, *names):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(names) + "\n")


# --- The layouts: each writes files and returns the expected rows ---


def esc50(root):
    """Categories dog and rain, 5 folds; dog is in ESC-10."""
    rows = [("filename", "fold", "target", "category", "esc10", "src_file", "take")]
    for fold in range(1, 6):
        for target, name in ((0, "dog"), (10, "rain"), (5, "cat")):
            file = f"{fold}-100-A-{target}.wav"
            sound(root / "ESC-50-master" / "audio" / file)
            is_esc10 = str(name != "cat")
            rows.append((file, fold, target, name, is_esc10, 100, "A"))
    table(root / "ESC-50-master" / "meta" / "esc50.csv", *rows)
    return {(f"audio/{row[0]}", row[3], str(row[1])) for row in rows[1:]}


def esc10(root):
    return {row for row in esc50(root) if row[1] != "cat"}


def us8k(root):
    header = "slice_file_name,fsID,start,end,salience,fold,classID,class".split(",")
    rows = []
    for fold in range(1, 11):
        for number, name in enumerate(("siren", "drilling")):
            file = f"{fold}-{number}-0-0.wav"
            sound(root / "audio" / f"fold{fold}" / file)
            rows.append((file, fold, 0, 1, 1, fold, number, name))
    table(root / "metadata" / "UrbanSound8K.csv", header, *rows)
    return {(f"audio/fold{row[5]}/{row[0]}", row[7], str(row[5])) for row in rows}


def fsd50k(root):
    dev = [("1", "Bark,Dog", "m1,m2", "train"), ("2", "Rain", "m3", "train")]
    dev += [("3", "Bark,Dog", "m1,m2", "val"), ("4", "Rain", "m3", "val")]
    evaluation = [("5", "Dog,Bark,Rain", "m"), ("6", "Rain", "m3")]
    truth = root / "FSD50K.ground_truth"
    table(truth / "dev.csv", ("fname", "labels", "mids", "split"), *dev)
    table(truth / "eval.csv", ("fname", "labels", "mids"), *evaluation)
    expected = set()
    for name, labels, _, split in dev:
        sound(root / "FSD50K.dev_audio" / f"{name}.wav")
        part = {"train": "train", "val": "valid"}[split]
        expected.add((f"FSD50K.dev_audio/{name}.wav", labels, part))
    for name, labels, _ in evaluation:
        sound(root / "FSD50K.eval_audio" / f"{name}.wav")
        expected.add((f"FSD50K.eval_audio/{name}.wav", labels, "test"))
    return expected


def as20k(root):
    """Two clips a list, one of them twice on disk in other forms; one is gone."""
    expected = set()
    for folder, part in (
        ("balanced_train_segments", "train"),
        ("eval_segments", "test"),
    ):
        ids = [f"-{part[0]}dQw4w9Wg0", f"Y{part[0]}_dQw4w9W1", f"{part[0]}dQw4w9Wgon"]
        lines(
            root / f"{folder}.csv",
            "# Segments csv created Sun Mar  5 10:54:31 2017",
            "# num_ytids=3",
            "# YTID, start_seconds, end_seconds, positive_labels",
            f'{ids[0]}, 30.000, 40.000, "/m/09x0r,/t/dd00088"',
            f'{ids[1]}, 0.000, 10.000, "/m/09x0r"',
            f'{ids[2]}, 0.000, 10.000, "/t/dd00088"',
        )
        sound(root / folder / "sub" / f"{ids[0]}_30.wav")
        sound(root / folder / f"Y{ids[1]}.wav")
        sound(root / folder / "a_stranger_of_that_list.wav")
        expected.add((f"{folder}/sub/{ids[0]}_30.wav", "/m/09x0r,/t/dd00088", part))
        expected.add((f"{folder}/Y{ids[1]}.wav", "/m/09x0r", part))
    return expected


def spcv2(root):
    parts = {"0": "train", "1": "valid", "2": "test"}
    expected = {
        (f"{word}/a_nohash_{number}.wav", word, part)
        for word in ("yes", "no")
        for number, part in parts.items()
    }
    for file, _, _ in expected:
        sound(root / file)
    for name, part in (("validation", "valid"), ("testing", "test")):
        names = [row[0] for row in expected if row[2] == part]
        lines(root / f"{name}_list.txt", *names)
    sound(root / "_background_noise_" / "pink_noise.wav")
    return expected


def vc1(root):
    expected = set()
    for speaker in ("id10001", "id10002"):
        for number, part in (("1", "train"), ("2", "valid"), ("3", "test")):
            file = f"{speaker}/1zcIwhmdeo4/0000{number}.wav"
            sound(root / "wav" / file)
            expected.add((f"wav/{file}", speaker, part))
    order = {"train": 1, "valid": 2, "test": 3}
    rows = [f"{order[part]} {file[4:]}" for file, _, part in sorted(expected)]
    lines(root / "iden_split.txt", *rows)
    return expected


def cremad(root):
    """Speakers of each part, and a recording that the evaluation leaves out."""
    expected = set()
    for speaker, part in (("1002", "train"), ("1009", "valid"), ("1001", "test")):
        for emotion in ("ANG", "SAD"):
            file = f"{speaker}_IEO_{emotion}_HI.wav"
            sound(root / "AudioWAV" / file)
            expected.add((file, emotion, part))
    sound(root / "AudioWAV" / "1017_IWW_FEA_XX.wav")
    return expected


def gtzan(root):
    expected = set()
    for number, part in enumerate(("train", "valid", "test")):
        names = [f"{genre}/{genre}.0000{number}.wav" for genre in ("blues", "jazz")]
        lines(root / "GTZAN_split" / f"{part}_filtered.txt", *names)
        for name in names:
            sound(root / "genres" / name)
            expected.add((f"genres/{name}", name.partition("/")[0], part))
    sound(root / "genres" / "blues" / "blues.00099.wav")
    return expected


def nsynth(root):
    """synth_lead is in train alone, as in the original."""
    expected = set()
    for part in ("train", "valid", "test"):
        families = ["bass", "organ"] + ["synth_lead"] * (part == "train")
        notes = {}
        for family in families:
            note = f"{family}_synthetic_000-{part}-050"
            notes[note] = {"instrument_family_str": family, "pitch": 60}
            file = f"nsynth-{part}/audio/{note}.wav"
            sound(root / file)
            expected.add((file, family, part))
        (root / f"nsynth-{part}" / "examples.json").write_text(json.dumps(notes))
    return expected


def surge(root):
    """Twelve tones of two pitches; which tone goes where is the split's business."""
    for tone in range(12):
        for pitch in ("021", "108"):
            sound(root / f"Tone {tone}-velocity64" / f"{pitch}.ogg")
    split = [("tone", "split")]
    parts = dict.fromkeys(range(10), "train") | {10: "valid", 11: "test"}
    split += [(f"Tone {tone}", part) for tone, part in parts.items()]
    table(root.parent / "surge_split.csv", *split)
    return {
        (f"Tone {tone}-velocity64/{pitch}.ogg", pitch, part)
        for tone, part in parts.items()
        for pitch in ("021", "108")
    }


def voxforge(root):
    """Twenty archives, of two languages by their URLs."""
    urls, expected = [], set()
    rows = [("file_name", "label", "split")]
    for number in range(20):
        language = ("de", "it")[number % 2]
        archive = f"speaker{number}-20100101-abc"
        base = f"repository/{language}/Trunk/Audio/Main/16kHz_16bit"
        urls.append(f"{base}/{archive}.tgz")
        part = "train" if number < 12 else "valid" if number < 16 else "test"
        for take in ("a1", "a2"):
            file = f"{archive}/wav/{take}.wav"
            sound(root / file)
            rows.append((file, language, part))
            expected.add((file, language, part))
    lines(root / "voxforge_urls.txt", *urls)
    table(root.parent / "voxforge_split.csv", *rows)
    return expected


def fsdd(root):
    names = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
    expected = set()
    for fold, speaker in enumerate(names, 1):
        for digit in ("0", "1"):
            file = f"recordings/{digit}_{speaker}_7.wav"
            sound(root / file)
            expected.add((file, digit, str(fold)))
    return expected


LAYOUTS = {
    layout.__name__: layout
    for layout in (
        esc50,
        esc10,
        us8k,
        fsd50k,
        as20k,
        spcv2,
        vc1,
        cremad,
        gtzan,
        nsynth,
        surge,
        voxforge,
        fsdd,
    )
}
TWICE = {  # a line that puts a clip of the data set into a second part
    "spcv2": ("testing_list.txt", "yes/a_nohash_1.wav"),
    "vc1": ("iden_split.txt", "3 id10001/1zcIwhmdeo4/00001.wav"),
    "gtzan": ("GTZAN_split/test_filtered.txt", "jazz/jazz.00000.wav"),
    "voxforge": ("../voxforge_split.csv", "speaker0-20100101-abc/wav/a1.wav,de,test"),
}
SPLIT_FILES = {"surge": "surge_split.csv", "voxforge": "voxforge_split.csv"}


def rows_of(output, name):
    with open(output / f"{name}.csv", newline="") as file:
        return {tuple(row.values()) for row in csv.DictReader(file)}


@pytest.fixture
def folders(tmp_path):
    return tmp_path / "source", tmp_path / "output"


class TestLayouts:
    @pytest.mark.parametrize("name", LAYOUTS)
    def test_rows_and_links(self, name, folders, tmp_path):
        source, output = folders
        source.mkdir()
        expected = LAYOUTS[name](source)
        split = SPLIT_FILES.get(name)
        facts = prepare.prepare(
            name,
            str(source),
            str(output),
            partial=True,
            split=split and str(tmp_path / split),
        )
        assert rows_of(output, name) == expected
        assert [path.name for path in output.glob("*.csv")] == [f"{name}.csv"]
        for file, _, _ in expected:
            assert (output / file).is_symlink() and (output / file).stat().st_size
        task = tasks.read_task(str(output / f"{name}.csv"), str(output))
        assert task.multi_label == (name in ("fsd50k", "as20k"))
        assert task.partial == (name != "as20k")
        assert facts == task.facts == json.loads(json.dumps(facts))
        assert sum(facts["counts"].values()) == len(expected)
        assert facts["num_classes"] == len(task.classes)

    @pytest.mark.parametrize("name", [name for name in LAYOUTS if name != "as20k"])
    def test_an_incomplete_copy_is_an_error_that_counts(self, name, folders, tmp_path):
        source, output = folders
        source.mkdir()
        total = len(LAYOUTS[name](source))
        split = SPLIT_FILES.get(name)
        split = split and str(tmp_path / split)
        with pytest.raises(UserError, match="all clips must be there") as error:
            prepare.prepare(name, str(source), str(output), split=split)
        counts = presets.PRESETS[name].counts
        first = next(iter(counts.values()))
        assert f"of {first:,}" in str(error.value)
        if "total" in counts:
            assert f"{total} of {first:,}" in str(error.value)
        assert "--partial" in str(error.value)
        assert not output.exists()

    def test_missing_files_are_counted_and_named(self, folders):
        source, output = folders
        source.mkdir()
        us8k(source)
        for fold in (2, 3, 5, 7):
            os.remove(source / "audio" / f"fold{fold}" / f"{fold}-0-0-0.wav")
        with pytest.raises(
            UserError,
            match="16 of 8,732 clips in .*; 4 listed files are missing, such as "
            "'audio/fold2/2-0-0-0.wav', 'audio/fold3/3-0-0-0.wav', 'audio/fold5",
        ):
            prepare.prepare("us8k", str(source), str(output))
        facts = prepare.prepare("us8k", str(source), str(output), partial=True)
        assert facts["partial"] and facts["missing"]["count"] == 4
        assert facts["missing"]["first"][0] == "audio/fold2/2-0-0-0.wav"
        assert len(rows_of(output, "us8k")) == 16

    @pytest.mark.parametrize("name", LAYOUTS)
    def test_another_folder_is_an_error_that_says_what_is_there(self, name, folders):
        source, output = folders
        sound(source / "holiday.wav")
        with pytest.raises(UserError) as error:
            prepare.prepare(name, str(source), str(output), partial=True)
        assert str(source) in str(error.value)
        assert not output.exists()

    def test_complete_presets_are_not_partial(self, folders, monkeypatch):
        source, output = folders
        source.mkdir()
        total = len(esc50(source))
        preset = presets.PRESETS["esc50"]
        whole = dataclasses.replace(preset, counts={"total": total})
        monkeypatch.setitem(presets.PRESETS, "esc50", whole)
        facts = prepare.prepare("esc50", str(source), str(output))
        assert not facts["partial"] and facts["split"] == "the 5 published folds"


class TestSeededSplits:
    def test_surge_divides_by_tone(self, folders):
        source, output = folders
        source.mkdir()
        surge(source)
        facts = prepare.prepare("surge", str(source), str(output), partial=True)
        assert "seed 0 (not the published split)" in facts["split"]
        parts = {}
        for file, _, part in rows_of(output, "surge"):
            parts.setdefault(file.partition("/")[0], set()).add(part)
        assert all(len(found) == 1 for found in parts.values())
        assert facts["counts"] == {"train": 20, "valid": 2, "test": 2}
        assert facts["expected_counts"] == {"total": 183392}

    def test_a_tone_in_two_parts_is_an_error(self, folders, tmp_path):
        source, output = folders
        source.mkdir()
        surge(source)
        split = tmp_path / "surge_split.csv"
        arguments = ("surge", str(source), str(output))
        with open(split, "a") as file:
            file.write("Tone 11-velocity64,test\nTone 3,valid\nTone 4,test\n")
        message = "'Tone 3' in several on lines 5, 15 of .*, and 1 more tones. Corr"
        with pytest.raises(UserError, match=message):
            prepare.prepare(*arguments, partial=True, split=str(split))
        rows = [("file_name", "split")]
        rows += [(f"Tone 3/{pitch}.ogg", "valid") for pitch in ("021", "108")]
        table(split, *rows)
        facts = prepare.prepare(*arguments, partial=True, split=str(split))
        assert facts["counts"] == {"valid": 2}
        table(split, *rows, ("Tone 3/022.ogg", "test"))
        with pytest.raises(UserError, match="'Tone 3' in several on lines 2, 4 of"):
            prepare.prepare(*arguments, partial=True, split=str(split))

    @pytest.mark.parametrize("name", TWICE)
    def test_a_clip_in_two_parts_is_an_error(self, name, folders):
        source, output = folders
        source.mkdir()
        LAYOUTS[name](source)
        path, line = TWICE[name]
        with open(source / path, "a") as file:
            file.write(f"{line}\n")
        split = str(source / path) if name in SPLIT_FILES else None
        with pytest.raises(UserError, match="each clip into one part, once. Received"):
            prepare.prepare(name, str(source), str(output), partial=True, split=split)

    def test_voxforge_divides_by_archive_whatever_is_on_disk(self, folders):
        source, output = folders
        source.mkdir()
        voxforge(source)
        prepare.prepare("voxforge", str(source), str(output), partial=True)
        complete = rows_of(output, "voxforge")
        assert sorted(
            len({row[0].split("/")[0] for row in complete if row[2] == part})
            for part in ("train", "valid", "test")
        ) == [3, 3, 14]
        for file in (source / "speaker4-20100101-abc" / "wav").iterdir():
            file.unlink()
        facts = prepare.prepare("voxforge", str(source), str(output), partial=True)
        assert facts["split"].startswith("archives seeded 70/15/15, seed 0")
        gone = {row for row in complete if row[0].startswith("speaker4-")}
        assert rows_of(output, "voxforge") == complete - gone and len(gone) == 2

    def test_voxforge_by_folders_of_languages(self, folders):
        source, output = folders
        for number in range(20):
            language = ("de", "it")[number % 2]
            sound(source / language / f"speaker{number}-1-a" / "wav" / "1.wav")
        prepare.prepare("voxforge", str(source), str(output), partial=True)
        rows = rows_of(output, "voxforge")
        assert len(rows) == 20
        assert all(file.startswith(f"{label}/") for file, label, _ in rows)

    def test_gtzan_needs_the_lists(self, folders, tmp_path):
        source, output = folders
        source.mkdir()
        expected = gtzan(source)
        lists = (source / "GTZAN_split").rename(tmp_path / "lists")
        arguments = ("gtzan", str(source), str(output))
        with pytest.raises(UserError, match="jongpillee/music_dataset_split"):
            prepare.prepare(*arguments, partial=True)
        prepare.prepare(*arguments, partial=True, split=str(lists))
        assert rows_of(output, "gtzan") == expected

    def test_a_split_that_means_nothing_is_an_error(self, folders):
        source, output = folders
        source.mkdir()
        esc50(source)
        with pytest.raises(UserError, match="`split` must be left out for esc50"):
            prepare.prepare("esc50", str(source), str(output), split="x.csv")


class TestOwnData:
    def birds(self, source, files_a_class=6):
        for label in ("crow", "wren"):
            for number in range(files_a_class):
                sound(source / label / f"{number}.wav", seconds=0.5)

    def test_a_folder_a_class(self, folders):
        source, output = folders
        self.birds(source, 40)
        facts = prepare.prepare("birds", str(source), str(output))
        assert facts["unit_seconds"] == 0.5 and facts["metric"] == "accuracy"
        assert facts["counts"] == {str(fold): 16 for fold in range(1, 6)}
        assert {row[1] for row in rows_of(output, "birds")} == {"crow", "wren"}

    @pytest.mark.parametrize("by_path", [True, False])
    def test_a_metadata_csv(self, folders, by_path):
        source, output = folders
        self.birds(source, 2)
        rows = [("file_name", "label", "split", "note")]
        for label in ("crow", "wren"):
            rows += [
                (f"{label}/{n}.wav", label, ("train", "test")[n], "") for n in (0, 1)
            ]
        table(source / "mine.csv", *rows)
        task = str(source / "mine.csv") if by_path else "mine"
        facts = prepare.prepare(task, str(source), str(output))
        assert facts["task"] == "mine" and not facts["partial"]
        assert rows_of(output, "mine") == {row[:3] for row in rows[1:]}
        (source / "crow" / "1.wav").unlink()
        with pytest.raises(UserError, match="3 of 4 clips .*; 1 listed files are miss"):
            prepare.prepare(task, str(source), str(output))
        assert prepare.prepare(task, str(source), str(output), partial=True)["partial"]

    def test_files_of_other_endings_are_counted(self, folders):
        source, output = folders
        self.birds(source)
        (source / "crow" / "song.m4a").touch()
        (source / "wren" / "notes").touch()
        (source / "owl").mkdir()
        (source / "owl" / "hoot.m4a").touch()
        notes = prepare.prepare("birds", str(source), str(output))["notes"]
        assert notes == [
            "3 files were left out by ending (2 .m4a, 1 without an ending). Convert "
            "those that hold sound to WAV or FLAC, e.g. with ffmpeg.",
            "1 sub-folders without audio files are no classes: 'owl'",
        ]
        classes = {row[1] for row in rows_of(output, "birds")}
        assert classes == {"crow", "wren"}

    @pytest.mark.parametrize("sample_rate", [None, 16000])
    def test_names_that_are_not_utf8(self, folders, sample_rate):
        source, output = folders
        self.birds(source)
        name, folder = os.fsdecode(b"caf\xe9.wav"), os.fsdecode(b"m\xf6we")
        os.rename(source / "crow" / "0.wav", source / "crow" / name)
        os.rename(source / "wren", source / folder)
        prepare.prepare("birds", str(source), str(output), sample_rate=sample_rate)
        task = tasks.read_task(str(output / "birds.csv"), str(output))
        assert f"crow/{name}" in task.file_names and len(task.file_names) == 12
        assert task.classes == ("crow", r"m\xf6we")
        embedded = embedding.embed_task(task, floors.LogMelFloor(), 0.5)
        assert len(embedded.rows) == 12 and not embedded.skipped

    def test_the_unit_is_what_decodes_not_what_a_header_claims(self, folders):
        """FLAC written through a pipe claims no length."""
        source, output = folders
        self.birds(source, 4)
        for path in sorted(source.glob("*/*.wav")):
            samples, rate = soundfile.read(path)
            flac = io.BytesIO()
            soundfile.write(flac, np.stack([samples, samples], 1), rate, format="FLAC")
            content = bytearray(flac.getvalue())
            content[21] &= 0xF0  # of STREAMINFO's 36 bits for the length
            content[22:26] = bytes(4)
            path.with_suffix(".flac").write_bytes(content)
            path.unlink()
        facts = prepare.prepare("birds", str(source), str(output))
        assert facts["unit_seconds"] == 0.5

    @pytest.mark.parametrize(
        "row, words",
        [
            ("1-100-A-0.wav,1,0,Dog, wet,True,1,A", "Received: more on line 2 of"),
            ("1-100-A-0.wav,1,0,dog,True", "Received: fewer on line 2 of"),
            ("1-100-A-0.wav,nan,0,dog,True,1,A", "Received: 'nan' on line 2 of"),
        ],
    )
    def test_a_published_table_that_was_edited_wrongly(self, folders, row, words):
        source, output = folders
        source.mkdir()
        esc50(source)
        path = source / "ESC-50-master" / "meta" / "esc50.csv"
        rows = path.read_text().splitlines()
        path.write_text("\n".join([rows[0], row, *rows[2:]]))
        with pytest.raises(UserError, match=words):
            prepare.prepare("esc50", str(source), str(output), partial=True)

    def test_facts_of_another_program_are_named(self, folders):
        source, output = folders
        self.birds(source)
        prepare.prepare("birds", str(source), str(output))
        path = output / "birds.task.json"
        facts = json.loads(path.read_text())
        path.write_text(json.dumps({**facts, "unit_seconds": "long"}))
        with pytest.raises(UserError, match="birds.task.json.*'unit_seconds' must be"):
            tasks.read_task(str(output / "birds.csv"), str(output))

    def test_a_slip_in_a_name_is_no_folder_of_classes(self, folders):
        source, output = folders
        self.birds(source)
        with pytest.raises(UserError, match="'esc-50', which is very near to 'esc50'"):
            prepare.prepare("esc-50", str(source), str(output))

    def test_file_names_must_not_leave_the_source(self, folders):
        source, output = folders
        self.birds(source)
        table(
            source / "mine.csv",
            ("file_name", "label", "split"),
            ("../crow/0.wav", "crow", "train"),
            ("wren/0.wav", "wren", "test"),
        )
        with pytest.raises(UserError, match="`file_name` must lie below the source"):
            prepare.prepare("mine", str(source), str(output))


class TestCopies:
    def test_are_made_at_the_rate(self, folders):
        source, output = folders
        source.mkdir()
        fsdd(source)
        sound(source / "recordings" / "0_george_8.flac", rate=44100)
        os.rename(
            source / "recordings" / "0_george_8.flac",
            source / "recordings" / "0_george_7.flac",
        )
        facts = prepare.prepare(
            "fsdd", str(source), str(output), partial=True, sample_rate=8000
        )
        assert facts["sample_rate"] == 8000
        names = [row[0] for row in rows_of(output, "fsdd")]
        assert len(set(names)) == 13  # two of them had the same stem
        for name in names:
            info = soundfile.info(output / name)
            assert (info.samplerate, info.subtype) == (8000, "PCM_16")
            assert info.duration == pytest.approx(0.1, abs=1e-3)
            assert not (output / name).is_symlink()

    def test_what_does_not_decode_is_left_to_the_probe(self, folders):
        source, output = folders
        source.mkdir()
        fsdd(source)
        (source / "recordings" / "0_george_7.wav").write_bytes(b"garbage")
        prepare.prepare(
            "fsdd", str(source), str(output), partial=True, sample_rate=8000
        )
        assert (output / "recordings" / "0_george_7.wav").read_bytes() == b"garbage"
        assert len(rows_of(output, "fsdd")) == 12


class TestOutput:
    def test_an_earlier_one_is_replaced(self, folders):
        source, output = folders
        source.mkdir()
        fsdd(source)
        arguments = ("fsdd", str(source), str(output))
        prepare.prepare(*arguments, partial=True, sample_rate=8000)
        prepare.prepare(*arguments, partial=True)
        assert (output / "recordings" / "0_george_7.wav").is_symlink()

    def test_the_originals_stay_when_it_is_replaced(self, folders):
        source, output = folders
        source.mkdir()
        expected = fsdd(source)
        for _ in range(2):
            prepare.prepare("fsdd", str(source), str(output), partial=True)
        assert all((source / row[0]).is_file() for row in expected)

    def test_what_is_not_ours_is_never_touched(self, folders):
        source, output = folders
        source.mkdir()
        fsdd(source)
        table(output / "fsdd.csv", ("file_name", "label"), ("precious", "work"))
        with pytest.raises(UserError, match="`output` must be a new or empty folder"):
            prepare.prepare("fsdd", str(source), str(output), partial=True)
        assert "precious" in (output / "fsdd.csv").read_text()

    @pytest.mark.parametrize("inner", [".", "sub", ".."])
    def test_it_lies_apart_from_the_source(self, folders, inner):
        source, _ = folders
        source.mkdir()
        fsdd(source)
        with pytest.raises(UserError, match="`output` must lie outside of the source"):
            prepare.prepare("fsdd", str(source), str(source / inner), partial=True)

    def test_copies_where_links_are_refused(self, folders, monkeypatch):
        source, output = folders
        source.mkdir()
        fsdd(source)

        def refuse(*args):
            raise OSError("no links here")

        monkeypatch.setattr(os, "symlink", refuse)
        monkeypatch.setattr(os, "link", refuse)
        prepare.prepare("fsdd", str(source), str(output), partial=True)
        name = "recordings/0_george_7.wav"
        assert not (output / name).is_symlink()
        assert (output / name).read_bytes() == (source / name).read_bytes()


class TestPresets:
    def test_published_facts(self):
        preset = presets.PRESETS
        assert preset["us8k"].learning_rate == 3e-5
        assert preset["vc1"].unit_seconds == 8.2
        assert int(16000 * preset["fsd50k"].unit_seconds) == 122172
        assert sum(preset["spcv2"].counts.values()) == 105829
        assert sum(preset["nsynth"].counts.values()) == 305979
        assert sum(preset["vc1"].counts.values()) == 153516
        assert sum(preset["cremad"].counts.values()) == 7438
        assert preset["as20k"].learning_rate is None

    def test_subsets_of_fsd50k(self):
        subsets = presets.PRESETS["fsd50k"].subsets
        assert [len(names) for names in subsets.values()] == [66, 21, 6]
        names = [name for subset in subsets.values() for name in subset]
        assert len(set(names)) == 93  # 107 of 200 are in none

    def test_speakers_of_cremad(self, folders):
        source, output = folders
        source.mkdir()
        for speaker in range(1001, 1092):
            (source / f"{speaker}_IEO_ANG_HI.wav").touch()
        facts = prepare.prepare("cremad", str(source), str(output), partial=True)
        assert facts["counts"] == {"train": 63, "valid": 9, "test": 19}


class TestCommand:
    def run(self, *arguments):
        return commands.run("train_lib.tasks", *arguments)

    def test_list_names_every_preset(self):
        done = self.run("list")
        assert done.returncode == 0, done.stderr
        rows = [line.split() for line in done.stdout.splitlines()[1:]]
        assert [row[0] for row in rows] == list(presets.PRESETS)
        assert "289,205 / 12,678 / 4,096" in done.stdout

    @pytest.mark.newest_smoke
    def test_prepare(self, folders):
        source, output = folders
        source.mkdir()
        fsdd(source)
        done = self.run(
            "prepare",
            "--task=fsdd",
            f"--source={source}",
            f"--output={output}",
            "--partial",
        )
        assert done.returncode == 0, done.stderr
        assert "partial" in done.stdout and "--task=fsdd" in done.stdout
        facts = task_table.read_facts(str(output / "fsdd.csv"))
        assert facts["partial"] and facts["unit_seconds"] == 1.0

    def test_says_what_it_can_do(self):
        done = self.run()
        assert done.returncode == 2 and "`--action` must be given" in done.stderr
        done = self.run("prepare", "--task=esc50")
        assert done.returncode == 2 and "`--source` must be given" in done.stderr
