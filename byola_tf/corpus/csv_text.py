"""The rows of a CSV file, however it is written.

UTF-8 text, with or without a byte order mark. Its first row names the columns;
commas, `, `, semicolons or tabs part them. A field with a separator or a line
break stands in quotation marks.
"""

import csv
import io
import os
import stat

from byola_tf.errors import UserError

_SEPARATORS = ",;\t"
_MAX_BYTES = 2**30


def read_records(path: str, wanted: set[str]) -> list[tuple[int, list[str]]]:
    """Reads the rows of a file, its header first; blank rows are left out.

    Args:
        path: CSV file, local or any that `tf.io.gfile` reads.
        wanted: columns that it should have; they show what the separator is.

    Returns:
        the line that each row begins on, from 1, and its fields. Bytes that
        are not UTF-8 are surrogates, as in file names.

    Raises:
        UserError: it cannot be read.
    """
    text = _read_text(path)
    separator = _separator(text, wanted)
    records = _parse(text, separator, False, path)
    if not records:
        return records
    # the blank after a comma belongs to the separator where the header, or every
    # row, has one; elsewhere it belongs to the name or label
    spaced = any(field.startswith(" ") for field in records[0][1][1:])
    spaced |= len(records) > 1 and all(
        len(fields) > 1 and all(field.startswith(" ") for field in fields[1:])
        for _, fields in records[1:]
    )
    return _parse(text, separator, True, path) if spaced else records


def unreadable(path: str, reason: str) -> UserError:
    """The error about a file that is no table; the reason stands in brackets."""
    return UserError(
        f"`metadata` must be a readable CSV file. Received: {path!r} ({reason}). Check "
        "the path and the file."
    )


def _read_text(path: str) -> str:
    """The whole file; bytes that are not UTF-8 become surrogates."""
    content = _read_remote(path) if "://" in path else _read_local(path)
    if len(content) > _MAX_BYTES:
        raise unreadable(path, "it is larger than 1 GiB")
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise unreadable(path, "it is UTF-16: save it as UTF-8")
    text = content.decode("utf-8-sig", "surrogateescape")
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise unreadable(path, f"line {line} has a zero byte")
    return text


def _read_local(path: str) -> bytes:
    try:
        # opening a pipe waits for its writer, for ever
        if os.path.exists(path) and not stat.S_ISREG(os.stat(path).st_mode):
            raise unreadable(path, "it is not a regular file")
        with open(path, "rb") as file:
            return file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise unreadable(path, str(error)) from error


def _read_remote(path: str) -> bytes:
    import tensorflow as tf  # here: commands start without it

    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            return file.read(_MAX_BYTES + 1)
    except tf.errors.OpError as error:
        raise unreadable(path, str(error)) from error


def _separator(text: str, wanted: set[str]) -> str:
    """The one that finds most of the wanted columns, then most columns."""
    header = next((line for line in text.splitlines() if line.strip()), "")

    def found(separator: str) -> tuple[int, int]:
        try:
            fields = next(csv.reader([header], delimiter=separator), [])
        except csv.Error:
            return 0, 0
        return len(wanted & {name.strip(' \t"') for name in fields}), len(fields)

    return max(_SEPARATORS, key=found)


def _parse(text: str, separator: str, spaced: bool, path: str) -> list:
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=separator,
        skipinitialspace=spaced,
        strict=True,
    )
    records, line = [], 1
    try:
        for fields in reader:
            if any(field.strip() for field in fields):
                records.append((line, fields))
            line = reader.line_num + 1
    except csv.Error as error:
        raise unreadable(
            path, f"line {line}: {error}; check its quotation marks"
        ) from (error)
    return records
