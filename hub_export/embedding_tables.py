"""Tables of embeddings as Parquet and NPZ files, written a few rows at a time."""

import csv
import io
import os
import uuid
import zipfile
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from byola_tf import files
from byola_tf.errors import UserError

# yields pieces of the table: paths [rows] and records of `row_dtype` [rows]
Pieces = Callable[[], Iterable[tuple[list[str], np.ndarray]]]

_ROW_GROUP_BYTES = 64 << 20


def check_format(path: str) -> None:
    """Refuses what cannot be written, before the work begins.

    Raises:
        UserError: another extension, no such folder, or pyarrow is missing.
    """
    extension = os.path.splitext(path)[1]
    if extension not in _WRITERS:
        raise UserError(
            "`--output` must end in .parquet or .npz. Received: "
            f"{path!r}. Use e.g. --output=embeddings.parquet."
        )
    if os.path.isdir(path):
        raise UserError(f"`--output` must be a file. Received: {path!r}, a folder.")
    if extension == ".parquet":
        _pyarrow()


def write(path: str, pieces: Pieces, num_rows: int, constants: dict[str, str]) -> None:
    """Writes a table, which appears under its name when it is complete.

    Args:
        path: `.parquet` or `.npz`.
        pieces: gives the rows in order; called once for each column of an NPZ.
        num_rows: how many there are, at least one.
        constants: name -> text, the same for all rows: columns of a Parquet
            table, scalars of an NPZ.
    """
    temporary = f"{path}.{uuid.uuid4().hex[:8]}.tmp"
    try:
        _WRITERS[os.path.splitext(path)[1]](temporary, pieces, num_rows, constants)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)


def error_path(output: str) -> str:
    """Where the files that were left out are listed."""
    return f"{output}.errors.csv"


def write_errors(output: str, errors: dict[str, str]) -> None:
    """Lists path and reason of the files that were left out, or removes the list."""
    path = error_path(output)
    if not errors:
        if os.path.exists(path):
            os.remove(path)
        return
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["path", "reason"])
    writer.writerows((_text(name), reason) for name, reason in errors.items())
    files.write_text(path, text.getvalue())


def _write_parquet(path, pieces, num_rows, constants) -> None:
    pyarrow = _pyarrow()
    writer = None
    try:
        for names, rows in _row_groups(pieces()):
            vectors = np.ascontiguousarray(rows["embedding"])
            columns = {
                "path": pyarrow.array([_text(name) for name in names]),
                "start_s": pyarrow.array(rows["start_s"]),
                "end_s": pyarrow.array(rows["end_s"]),
                **{
                    name: pyarrow.array([text] * len(rows))
                    for name, text in constants.items()
                },
                "embedding": pyarrow.FixedSizeListArray.from_arrays(
                    pyarrow.array(vectors.ravel()), vectors.shape[1]
                ),
            }
            table = pyarrow.table(columns)
            if writer is None:
                texts = ["path", *constants]  # few values, many rows
                writer = pyarrow.parquet.ParquetWriter(
                    path, table.schema, use_dictionary=texts
                )
            writer.write_table(table)
    finally:
        if writer is not None:
            writer.close()


def _row_groups(pieces) -> Iterator[tuple[list[str], np.ndarray]]:
    """Joins pieces to row groups of a size that readers like."""
    names, waiting, size = [], [], 0
    for piece_names, rows in pieces:
        names += piece_names
        waiting.append(rows)
        size += rows.nbytes
        if size >= _ROW_GROUP_BYTES:
            yield names, np.concatenate(waiting)
            names, waiting, size = [], [], 0
    if waiting:
        yield names, np.concatenate(waiting)


def _write_npz(path, pieces, num_rows, constants) -> None:
    width = max(len(_text(name)) for names, _ in pieces() for name in names)
    _, first = next(iter(pieces()))
    columns = {
        "path": (f"<U{width}", (), lambda names, rows: [_text(n) for n in names]),
        **{
            name: (
                first[name].dtype,
                first[name].shape[1:],
                lambda _, rows, name=name: rows[name],
            )
            for name in first.dtype.names
        },
    }
    with zipfile.ZipFile(path, "w", allowZip64=True) as archive:
        for name, (dtype, shape, column) in columns.items():
            dtype = np.dtype(dtype)
            with _member(archive, name, name == "path") as member:
                _write_header(member, dtype, (num_rows, *shape))
                for names, rows in pieces():
                    values = np.ascontiguousarray(column(names, rows), dtype)
                    member.write(values.tobytes())
        for name, text in constants.items():
            with _member(archive, name, False) as member:
                np.lib.format.write_array(member, np.array(text))


def _member(archive, name: str, compressed: bool):
    # without a date: equal tables, equal bytes
    information = zipfile.ZipInfo(f"{name}.npy")
    if compressed:  # each path comes many times, padded to the longest
        information.compress_type = zipfile.ZIP_DEFLATED
    return archive.open(information, "w", force_zip64=True)


def _write_header(member, dtype: np.dtype, shape: tuple[int, ...]) -> None:
    np.lib.format.write_array_header_1_0(
        member,
        {
            "descr": np.lib.format.dtype_to_descr(dtype),
            "fortran_order": False,
            "shape": shape,
        },
    )


def _text(path: str) -> str:
    """A path as text that every reader takes, whatever bytes it has."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _pyarrow():
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise UserError(
            "A .parquet table needs the package pyarrow, which is not installed. "
            "Install it (pip install 'byola-tf[export]'), or write .npz."
        ) from error
    return pyarrow


_WRITERS = {".npz": _write_npz, ".parquet": _write_parquet}
