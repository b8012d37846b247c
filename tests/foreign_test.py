"""Files of others: JSON that is torn, deep, huge or of other types."""

import os

import pytest

from byola_tf import foreign
from byola_tf.errors import UserError


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no JSON"),
        (b'{"a": 1', "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[" * 80 + b"]" * 80, "nested more than 64 deep"),
        (b"9" * 5000, "no JSON"),
        (b" " * 2000, "more than 1,000 bytes"),
    ],
)
def test_a_file_that_is_no_sensible_json_is_named(tmp_path, content, reason):
    path = tmp_path / "result.json"
    path.write_bytes(content)
    limit = 1000 if reason.startswith("more") else foreign.MAX_JSON_BYTES
    with pytest.raises(UserError, match=reason) as error:
        foreign.read_json(str(path), "A result", limit)
    assert "result.json" in str(error.value)


def test_nan_is_nothing(tmp_path):
    (tmp_path / "x.json").write_text('{"loss": NaN, "rate": [-Infinity, 1]}')
    found = foreign.read_json(str(tmp_path / "x.json"), "A result")
    assert found == {"loss": None, "rate": [None, 1]}


def test_a_pipe_a_folder_and_an_absent_file_are_no_files(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name, reason in {
        "pipe": "not a regular file",
        ".": "not a regular file",
        "absent": "no such file",
        "a\0b": "cannot be read",
    }.items():
        with pytest.raises(UserError, match=reason):
            foreign.read_json(str(tmp_path / name), "A result")


def test_fields_have_the_types_that_are_expected():
    types = {"name": str, "mean": float, "runs": list, "note": (str, None)}
    good = {"name": "x", "mean": 1, "runs": [], "more": {}}
    assert foreign.fields(good, types, "x.json", "A result") is good
    for wrong, reason in [
        ([], "a list where an object"),
        (
            {**good, "mean": True},
            "'mean' must be a finite number, but is true or false",
        ),
        ({**good, "mean": 10**400}, "'mean' must be a finite number"),
        ({**good, "name": None}, "'name' must be a text, but is nothing"),
        ({"name": "x", "mean": 1.0}, "no field 'runs'"),
        ({**good, "note": 3}, "'note' must be a text or nothing"),
    ]:
        with pytest.raises(UserError, match=reason):
            foreign.fields(wrong, types, "x.json", "A result")
