"""Embeds many files into one table."""

import concurrent.futures
import csv
import dataclasses
import os
import uuid
from collections.abc import Callable

import numpy as np

import byola_tf
from byola_tf import audio
from byola_tf.errors import UserError
from byola_tf.waveforms import no_progress

_DECODERS = 2
_WAITING = 8  # decoded files that wait for the model


@dataclasses.dataclass
class Summary:
    """What was embedded.

    Attributes:
        num_rows: rows of the table.
        num_files: files they come from.
        embedding_size: length of a vector.
        audio_seconds: duration of the files.
        errors: path -> reason of the files left out.
    """

    num_rows: int
    num_files: int
    embedding_size: int
    audio_seconds: float
    errors: dict[str, str]


def embed_corpus(
    model: str,
    pattern: str,
    output: str,
    frames: bool = False,
    progress: Callable = no_progress,
) -> Summary:
    """Writes the embeddings of all files that match a pattern.

    Args:
        model: path for `byola_tf.load`.
        pattern: folder, glob or file; see `audio.find_files`.
        output: `.parquet` or `.npz`; replaced once the new one is complete.
        frames: a row a frame instead of a row a file.
        progress: wraps an iterable, e.g. in a progress bar.

    Raises:
        UserError: nothing matches, no file is readable, or no such format.
    """
    write = _WRITERS.get(os.path.splitext(output)[1])
    if write is None:
        raise UserError(
            "`--output` must end in .parquet or .npz. Received: "
            f"{output!r}. Use e.g. --output=embeddings.parquet."
        )
    embedder = byola_tf.load(model)
    paths = audio.find_files(pattern)
    errors: dict[str, str] = {}
    columns = {"path": [], "start_s": [], "end_s": [], "embedding": []}
    seconds, num_files = 0.0, 0
    decoded = _decode_ahead(paths, embedder.sample_rate)
    for path, waveform in progress(decoded, len(paths), "embedding"):
        if isinstance(waveform, UserError):
            errors[path] = str(waveform)
            continue
        duration = len(waveform) / embedder.sample_rate
        rows = _frame_rows if frames else _clip_row
        starts, ends, vectors = rows(embedder, waveform, duration)
        columns["path"] += [path] * len(vectors)
        columns["start_s"].append(starts)
        columns["end_s"].append(ends)
        columns["embedding"].append(vectors)
        seconds += duration
        num_files += 1
    if not num_files:
        raise UserError(
            f"`--audio` must match readable files. Received: {len(paths)} files, none "
            f"of them usable. The first: {next(iter(errors.values()))}"
        )
    table = {
        "path": np.array(columns["path"]),
        **{name: np.concatenate(columns[name]) for name in list(columns)[1:]},
    }
    temporary = f"{output}.{uuid.uuid4().hex[:8]}.tmp"
    try:
        write(temporary, table)
        os.replace(temporary, output)
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)
    _write_errors(error_path(output), errors)
    size = table["embedding"].shape[1]
    return Summary(len(table["path"]), num_files, size, seconds, errors)


def error_path(output: str) -> str:
    """Where the files that were left out are listed."""
    return f"{output}.errors.csv"


def _decode_ahead(paths: list[str], sample_rate: int):
    """Yields (path, float32 [samples] or `UserError`), decoded in threads."""

    def decode(path):
        try:
            return audio.load(path, sample_rate)
        except UserError as error:
            return error

    with concurrent.futures.ThreadPoolExecutor(_DECODERS) as pool:
        for first in range(0, len(paths), _WAITING):
            part = paths[first : first + _WAITING]
            yield from zip(part, pool.map(decode, part), strict=True)


def _clip_row(embedder, waveform, duration):
    vector = embedder(waveform).numpy()
    return np.zeros(1), np.array([duration]), vector


def _frame_rows(embedder, waveform, duration):
    outputs = embedder.frames(waveform)
    config = embedder.config
    half = (
        config.encoder.time_stride
        * config.frontend.hop_length
        / config.frontend.sample_rate
        / 2
    )
    centres = outputs["timestamps"][0].numpy().astype(np.float64)
    starts = np.maximum(centres - half, 0)
    return starts, centres + half, outputs["frame_embeddings"][0].numpy()


def _write_npz(path: str, table: dict) -> None:
    with open(path, "wb") as file:
        np.savez(file, **table)


def _write_parquet(path: str, table: dict) -> None:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise UserError(
            "A .parquet table needs the package pyarrow, which is not installed. "
            "Install it (pip install 'byola-tf[export]'), or write .npz."
        ) from error
    vectors = table["embedding"]
    flat = pyarrow.array(vectors.ravel())
    columns = {name: pyarrow.array(table[name]) for name in list(table)[:-1]}
    columns["embedding"] = pyarrow.FixedSizeListArray.from_arrays(
        flat, vectors.shape[1]
    )
    pyarrow.parquet.write_table(pyarrow.table(columns), path)


def _write_errors(path: str, errors: dict[str, str]) -> None:
    if not errors:
        if os.path.exists(path):
            os.remove(path)
        return
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "reason"])
        writer.writerows(errors.items())


_WRITERS = {".npz": _write_npz, ".parquet": _write_parquet}
