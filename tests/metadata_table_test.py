"""Metadata tables as people write them: read alike by every command, or refused."""

import csv
import os
import shutil
import unicodedata

import pytest

from byola_tf.corpus import metadata_table
from byola_tf.corpus.file_names import FileNames, FilesBelow
from byola_tf.errors import UserError
from tests import sounds
from train_lib.doctor import leakage
from train_lib.preparation import recordings
from train_lib.probe.tasks import presets, tasks

NAMES = [f"tone_{index:03d}.wav" for index in range(12)]
LABELS = ["ab"[index % 2] for index in range(12)]
FOLDS = [str(1 + index // 4) for index in range(12)]


@pytest.fixture(scope="module")
def tones(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tones")
    sounds.write_task(folder)
    return folder


@pytest.fixture
def folder(tones, tmp_path):
    """Twelve tones that a test may rename."""
    return shutil.copytree(tones, tmp_path / "sounds")


def write(folder, text, name="task.csv", encoding="utf-8"):
    """Writes a table whose text is as given; returns its path."""
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return str(path)


def text_of(rows, separator=",", header=("file_name", "label", "fold")):
    return "".join(separator.join(row) + "\n" for row in (header, *rows))


def rows(names=NAMES, labels=LABELS, folds=FOLDS):
    return list(zip(names, labels, folds, strict=True))


# --- The four readers: each gives the label of every file on disk ---


def by_probe(folder, metadata):
    task = tasks.read_task(metadata, str(folder))
    return {
        name: task.classes[label]
        for name, label in zip(task.file_names, task.labels, strict=True)
    }


def by_tasks(folder, metadata):
    listing = presets.find(metadata, str(folder)).read(str(folder), None)
    return {clip.path: clip.label for clip in listing.clips}


def by_prepare(folder, metadata):
    return recordings.table_labels(recordings.find(str(folder)), metadata)


def by_doctor(folder, metadata):
    table = leakage.read_table(metadata)
    paths = recordings.find(str(folder)).locations()
    located = leakage.locate(table, paths, [str(folder)])
    return {
        os.path.relpath(located[row.file_name], folder): row.label
        for row in table.rows
        if row.file_name in located
    }


READERS = [by_probe, by_tasks, by_prepare, by_doctor]
every_reader = pytest.mark.parametrize("read", READERS)
EXPECTED = dict(zip(NAMES, LABELS, strict=True))


def quoted(folder_rows):
    return [[f'"{field}"' for field in row] for row in folder_rows]


WAYS_TO_WRITE = {
    "plain": text_of(rows()),
    "with a byte order mark": "\ufeff" + text_of(rows()),
    "by Windows": text_of(rows()).replace("\n", "\r\n"),
    "by an old Macintosh": text_of(rows()).replace("\n", "\r"),
    "with semicolons": text_of(rows(), ";"),
    "with semicolons and a byte order mark": "\ufeff" + text_of(rows(), ";"),
    "with tabs": text_of(rows(), "\t"),
    "with a blank after each comma": text_of(rows(), ", "),
    "with a blank after each comma but the header's": (
        text_of([]) + text_of(rows()[1:], ", ", rows()[0])
    ),
    "all quoted": text_of(quoted(rows()), header=('"file_name"', '"label"', '"fold"')),
    "quoted after blanks": text_of(
        quoted(rows()), ", ", ('"file_name"', '"label"', '"fold"')
    ),
    "with empty lines": text_of(rows()).replace("\n", "\n\n"),
    "with empty rows of a spreadsheet": text_of(rows()) + ",,\n,,\n",
    "with a comma at every end": text_of(rows()).replace("\n", ",\n"),
    "with a comma at the end of rows": (
        text_of([]) + text_of(rows()).partition("\n")[2].replace("\n", ",\n")
    ),
    "with other columns": text_of(
        [(f"take {fold}", *row[::-1]) for fold, row in enumerate(rows())],
        header=("take", "fold", "label", "file_name"),
    ),
    "without a last line break": text_of(rows()).rstrip("\n"),
}


@every_reader
@pytest.mark.parametrize("text", WAYS_TO_WRITE.values(), ids=WAYS_TO_WRITE)
def test_a_table_is_read_however_it_is_written(folder, read, text):
    assert read(folder, write(folder, text)) == EXPECTED


@every_reader
def test_a_line_break_in_a_quoted_label_stays(folder, read):
    labels = ["wet\ndog", "cat, old"] * 6
    with open(folder / "t.csv", "w", newline="") as file:
        csv.writer(file).writerows([("file_name", "label", "fold")])
        csv.writer(file).writerows(rows(labels=["wet\ndog", "cat"] * 6))
    found = read(folder, str(folder / "t.csv"))
    assert list(dict.fromkeys(found.values())) == [labels[0], "cat"]


@every_reader
def test_labels_keep_their_leading_zeros(folder, read):
    text = text_of(rows(labels=["007", "7"] * 6))
    found = read(folder, write(folder, text))
    assert [found[name] for name in NAMES[:4]] == ["007", "7", "007", "7"]


@every_reader
def test_names_that_begin_with_a_blank_are_found(folder, read):
    names = [f" {NAMES[0]}", *NAMES[1:]]
    os.rename(folder / NAMES[0], folder / names[0])
    found = read(folder, write(folder, text_of(rows(names))))
    assert found == dict(zip(names, LABELS, strict=True))
    # and where the blank is taken for a part of the separator
    found = read(folder, write(folder, text_of(rows(names), ", ")))
    assert found == dict(zip(names, LABELS, strict=True))


@every_reader
def test_a_blank_name_and_one_without_it_are_two_files(folder, read):
    shutil.copy(folder / NAMES[0], folder / f" {NAMES[0]}")
    text = text_of([*rows(), (f" {NAMES[0]}", "b", "1")])
    assert read(folder, write(folder, text)) == {**EXPECTED, f" {NAMES[0]}": "b"}


@every_reader
@pytest.mark.parametrize("on_disk, in_table", [("NFD", "NFC"), ("NFC", "NFD")])
def test_an_accent_of_macos_and_of_others_is_the_same(folder, read, on_disk, in_table):
    name = unicodedata.normalize(on_disk, "café/señal.wav")
    os.mkdir(folder / os.path.dirname(name))
    os.rename(folder / NAMES[0], folder / name)
    written = unicodedata.normalize(in_table, name)
    found = read(folder, write(folder, text_of(rows([written, *NAMES[1:]]))))
    assert found == {name: "a"} | dict(zip(NAMES[1:], LABELS[1:], strict=True))


@every_reader
def test_names_of_windows_are_found(folder, read):
    os.mkdir(folder / "dogs")
    os.rename(folder / NAMES[0], folder / "dogs" / NAMES[0])
    names = [f"dogs\\{NAMES[0]}", f".\\{NAMES[1]}", *NAMES[2:]]
    found = read(folder, write(folder, text_of(rows(names))))
    assert found[f"dogs/{NAMES[0]}"] == "a" and len(found) == 12


@every_reader
def test_names_that_are_not_utf8_are_bytes(folder, read):
    name = os.fsdecode(b"caf\xe9.wav")
    os.rename(folder / NAMES[0], folder / name)
    text = text_of(rows([name, *NAMES[1:]]))
    if read is by_prepare or read is by_doctor:
        known = FileNames([name, *NAMES[1:]])
        table = metadata_table.read(write(folder, os.fsencode(text)))
        found = [known.find(row["file_name"]) for row in table.rows]
        assert found == [name, *NAMES[1:]]
    else:
        found = read(folder, write(folder, os.fsencode(text)))
        assert found == {name: "a"} | dict(zip(NAMES[1:], LABELS[1:], strict=True))


def shifted(line, text):
    """The plain table with another row on a line, counted from 1."""
    lines = text_of(rows()).splitlines()
    lines[line - 1] = text
    return "\n".join(lines) + "\n"


REFUSED = {
    "an unquoted comma": (
        shifted(4, "tone_002.wav,Dog, wet,1"),
        "as many fields as the header, 3. Received: more on line 4 of",
    ),
    "unquoted commas": (
        shifted(4, "tone_002.wav,Dog, wet,1") + "x.wav,a,b,1\n" * 7,
        "more on lines 4, 14, 15, 16, 17 and 3 more of",
    ),
    "a short row": (shifted(7, "tone_005.wav,b"), "fewer on line 7 of"),
    "a name alone": (shifted(7, "tone_005.wav"), "fewer on line 7 of"),
    "a fold that is nan": (
        text_of(rows(folds=[*FOLDS[:-2], "nan", "NaN"])),
        "`fold` must name.*Received: 'NaN', 'nan' on lines 12, 13 of",
    ),
    "folds with nan as pandas writes them": (
        text_of(rows(folds=["1.0"] * 6 + ["2.0"] * 5 + ["nan"])),
        "Received: 'nan' on line 13 of",
    ),
    "a fold that is a word among numbers": (
        text_of(rows(folds=[*FOLDS[:-1], "wet"])),
        "Received: 'wet' on line 13 of",
    ),
    "folds with fractions": (
        text_of(rows(folds=["0.25", "0.75"] * 6)),
        "Received: '0.25', '0.75' on lines 2, 3, 4, 5, 6 and 7 more",
    ),
    "a fold written in two ways": (
        text_of(rows(folds=["1", "01"] * 6)),
        "in one way. Received: the same number as '01', '1'",
    ),
    "fold and split": (
        text_of(
            [(*row, "train") for row in rows()],
            header=("file_name", "label", "fold", "split"),
        ),
        "either `fold` or `split`. Received: both",
    ),
    "no name": (shifted(3, ",b,1"), "must not be empty. Received: no name on line 3"),
    "one file twice": (
        text_of([*rows(), rows()[2]]),
        "'tone_002.wav' in several rows of .*: lines 4, 14",
    ),
    "one file twice, in two ways": (
        text_of([*rows(), ("./tone_002.wav", "b", "1")]),
        "in several rows of .*: lines 4, 14",
    ),
    "no column of names": (
        text_of(rows(), header=("filename", "label", "fold")),
        "`file_name`.*Received: filename, label, fold in .*, without `file_name`",
    ),
    "no column of labels": (
        text_of(rows(), header=("file_name", "Label", "fold")),
        "Received: file_name, Label, fold in .*, without `label`",
    ),
    "a column twice": (
        text_of(
            [(*row, "a") for row in rows()],
            header=("file_name", "label", "fold", "label"),
        ),
        "with 'label' twice",
    ),
    "no header": (
        text_of(rows()[1:], header=rows()[0]),
        "Received: tone_000.wav, a, 1",
    ),
    "a quotation that does not end": (
        shifted(5, 'tone_003.wav,"b,1'),
        r"readable CSV file.*line 5: unexpected end of data; check its quotation",
    ),
    "a label that is not UTF-8": (
        os.fsencode(shifted(5, "tone_003.wav,b\udce9b\udce9,1")),
        "`label` on line 5 is not UTF-8: save the file as UTF-8",
    ),
    "UTF-16": (text_of(rows()).encode("utf-16"), "it is UTF-16: save it as UTF-8"),
    "a zero byte": (shifted(5, "tone_003\0.wav,b,1"), "line 5 has a zero byte"),
    "nothing": ("", "Received: no rows in"),
    "a header alone": (text_of([]), "must have a header and rows"),
}
# the doctor asks for no labels, and finds one file in two parts; `prepare` asks for
# no parts
NOT_ASKED = {
    by_doctor: {"no name", "one file twice", "one file twice, in two ways"}
    | {"no column of labels", "a column twice", "a label that is not UTF-8"},
    by_prepare: {name for name in REFUSED if "fold" in name},
}


@every_reader
@pytest.mark.parametrize("name", REFUSED)
def test_a_table_with_a_fault_is_refused_with_its_lines(folder, read, name):
    text, message = REFUSED[name]
    metadata = write(folder, text)
    if name in NOT_ASKED.get(read, ()):
        read(folder, metadata)
        return
    with pytest.raises(UserError, match=message) as error:
        read(folder, metadata)
    assert "\n" not in str(error.value)


def test_rows_without_a_split_are_left_out_and_counted(folder, caplog):
    lines = (folder / "task.csv").read_text().splitlines()
    lines[1] = lines[1].rpartition(",")[0] + ","
    caplog.set_level("INFO", "train_lib")
    found = by_probe(folder, write(folder, "\n".join([*lines, "gone.wav,b,"])))
    assert len(found) == 11
    assert "2 of 13 rows have no `split` and are left out" in caplog.text


def test_an_empty_column_of_the_other_kind_is_no_fault(folder):
    text = text_of(
        [(*row, "") for row in rows()], header=("file_name", "label", "fold", "split")
    )
    assert by_probe(folder, write(folder, text)) == EXPECTED


def test_a_label_in_two_unicode_forms_is_one_class(folder):
    forms = [unicodedata.normalize(form, "café") for form in ("NFC", "NFD")]
    labels = [forms[index // 2 % 2] if index % 2 else "tea" for index in range(12)]
    found = by_probe(folder, write(folder, text_of(rows(labels=labels))))
    assert set(found.values()) == {"tea", forms[0]}


def test_a_name_that_could_be_two_files_is_refused(tmp_path):
    for name in (" a.wav", "a.wav "):
        (tmp_path / name).touch()
    with pytest.raises(UserError, match="' a.wav' or 'a.wav '. Write it as the file"):
        FilesBelow(str(tmp_path)).find("a.wav")
    (tmp_path / "a.wav").touch()
    assert FilesBelow(str(tmp_path)).find("a.wav") == "a.wav"


def test_a_pipe_or_a_folder_is_no_table(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    for path in (tmp_path / "pipe.csv", tmp_path, tmp_path / "absent.csv"):
        with pytest.raises(UserError, match="must be a readable CSV file"):
            metadata_table.read(str(path))


def test_missing_files_are_named_with_their_lines(folder):
    names = [*NAMES[:-2], "gone.wav", "away.wav"]
    with pytest.raises(
        UserError, match=r"2 of 12 missing.*'away.wav', 'gone.wav' \(lines 12, 13 of"
    ):
        by_probe(folder, write(folder, text_of(rows(names))))
