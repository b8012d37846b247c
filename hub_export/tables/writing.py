"""Tables of embeddings as Parquet and NPZ files, written a few rows at a time."""

import dataclasses
import itertools
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from byola_tf import files
from byola_tf.errors import UserError
from train_lib.pages.text import csv_text

_ROW_GROUP_BYTES = 64 << 20


@dataclasses.dataclass
class Table:
    """What is to be written.

    Attributes:
        num_rows: at least one.
        dtype: of a row; see `parts.row_dtype`.
        rows: iterates over the rows in order, some at a time, [rows].
        paths: iterates over the path of every row.
        constants: name -> text, the same for all rows: columns of a Parquet
            table, scalars of an NPZ.
    """

    num_rows: int
    dtype: np.dtype
    rows: Callable[[], Iterable[np.ndarray]]
    paths: Callable[[], Iterable[str]]
    constants: dict[str, str]


def check_format(path: str) -> None:
    """Refuses what cannot be written, before the work begins.

    Raises:
        UserError: another extension, a folder, or pyarrow is missing.
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


def write(path: str, table: Table) -> None:
    """Writes a table, which appears under its name when it is complete.

    Args:
        path: `.parquet` or `.npz`.
        table: `Table`.
    """
    with files.replacing(path) as temporary:
        _WRITERS[os.path.splitext(path)[1]](temporary, table)


def error_path(output: str) -> str:
    """Where the files that were left out, or are doubtful, are listed."""
    return f"{output}.errors.csv"


def write_errors(output: str, errors: dict[str, str]) -> None:
    """Lists path and reason of files left out or doubtful, or removes the list."""
    path = error_path(output)
    if not errors:
        files.recover(path)
        if os.path.exists(path):
            os.remove(path)
        return
    files.write_text(path, csv_text(["path", "reason"], errors.items()))


def _write_parquet(path: str, table: Table) -> None:
    pyarrow = _pyarrow()
    schema = pyarrow.schema(
        [
            ("path", pyarrow.string()),
            ("start_s", pyarrow.float64()),
            ("end_s", pyarrow.float64()),
            *[(name, pyarrow.string()) for name in table.constants],
            ("embedding", pyarrow.list_(pyarrow.float32(), *_vector_shape(table))),
        ]
    )
    paths = map(_text, table.paths())
    texts = ["path", *table.constants]  # few values, many rows
    with pyarrow.parquet.ParquetWriter(path, schema, use_dictionary=texts) as writer:
        for rows in _row_groups(table.rows()):
            vectors = pyarrow.array(rows["embedding"].ravel())
            columns = [
                list(itertools.islice(paths, len(rows))),
                rows["start_s"],
                rows["end_s"],
                *[[value] * len(rows) for value in table.constants.values()],
                pyarrow.FixedSizeListArray.from_arrays(vectors, *_vector_shape(table)),
            ]
            writer.write_table(pyarrow.table(columns, schema))


def _vector_shape(table: Table) -> tuple[int]:
    return table.dtype["embedding"].shape


def _row_groups(pieces: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Joins pieces to row groups of a size that readers like."""
    waiting, size = [], 0
    for rows in pieces:
        waiting.append(rows)
        size += rows.nbytes
        if size >= _ROW_GROUP_BYTES:
            yield np.concatenate(waiting)
            waiting, size = [], 0
    if waiting:
        yield np.concatenate(waiting)


def _write_npz(path: str, table: Table) -> None:
    with zipfile.ZipFile(path, "w", allowZip64=True) as archive:
        width = max(len(_text(name)) for name in table.paths())
        with _member(archive, "path", compressed=True) as member:
            dtype = np.dtype(f"<U{width}")
            _write_header(member, dtype, (table.num_rows,))
            paths = map(_text, table.paths())
            while some := list(itertools.islice(paths, 4096)):
                member.write(np.array(some, dtype).tobytes())
        for name in table.dtype.names:
            dtype, shape = table.dtype[name].base, table.dtype[name].shape
            with _member(archive, name) as member:
                _write_header(member, dtype, (table.num_rows, *shape))
                for rows in table.rows():
                    member.write(rows[name].tobytes())
        for name, value in table.constants.items():
            with _member(archive, name) as member:
                np.lib.format.write_array(member, np.array(value))


def _member(archive, name: str, compressed: bool = False):
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
