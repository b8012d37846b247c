"""Embeds many files into one table, in bounded memory, with restarts.

The sorted files are cut into parts. What a finished part holds stays beside the
table until that is complete, under a name that changes with the model, the
options and the files; a part is always computed as a whole, so that an
interrupted run ends with the table of an uninterrupted one.
"""

import dataclasses
import itertools
import os
import shutil
from collections.abc import Callable, Iterator

import byola_tf
from byola_tf import audio, checkpoint, files, frontend, parallel
from byola_tf.errors import UserError
from hub_export.tables import (
    parts as embedding_parts,
)
from hub_export.tables import (
    rows as recording_rows,
)
from hub_export.tables import (
    writing,
)

error_path = writing.error_path

_VERSION = 1  # of what the rows of a part mean
_FILES_PER_PART = 64
_HELD_BATCHES = 8  # batches' worth of short files, to find similar lengths among


@dataclasses.dataclass
class Options:
    """What a table depends on beside model and files.

    Attributes:
        frames: a row a frame instead of a row a file.
        segment_seconds: a row for each piece of this length, the last one of a
            file shorter; None for a row a file.
        precision: see `byola_tf.load`.
        batch_seconds: audio that is embedded at a time.
    """

    frames: bool = False
    segment_seconds: float | None = None
    precision: str = "float32"
    batch_seconds: float = 32.0

    def check(self) -> None:
        """Raises `UserError` where they make no sense."""
        if self.frames and self.segment_seconds:
            raise UserError(
                "A row is a frame or a segment. Received: --frames and "
                f"--segment_seconds={self.segment_seconds}. Leave one out."
            )
        for name, least in (("segment_seconds", 0.01), ("batch_seconds", 2.0)):
            value = getattr(self, name)
            if value is not None and not least <= value < float("inf"):
                raise UserError(
                    f"`--{name}` must be at least {least}. Received: {value}."
                )


@dataclasses.dataclass
class Summary:
    """What was embedded.

    Attributes:
        num_rows: rows of the table.
        num_files: files they come from.
        embedding_size: length of a vector.
        audio_seconds: duration of the files.
        errors: path -> reason of the files left out.
        num_resumed: files that an interrupted run had finished.
    """

    num_rows: int
    num_files: int
    embedding_size: int
    audio_seconds: float
    errors: dict[str, str]
    num_resumed: int


def embed_corpus(
    model: str,
    pattern: str,
    output: str,
    options: Options | None = None,
    num_workers: int = 2,
    progress: Callable[[int, int], Callable] | None = None,
) -> Summary:
    """Writes the embeddings of all files that match a pattern.

    Args:
        model: path for `byola_tf.load`.
        pattern: folder, glob or file; see `audio.find_files`.
        output: `.parquet` or `.npz`; replaced once the new one is complete.
        options: `Options`.
        num_workers: threads that decode.
        progress: is told the number of files and how many of them an earlier
            run finished; returns what is called with the
            `embedding_parts.FileRows` of each other one.

    Raises:
        UserError: nothing matches, no file is readable, or no such format.
    """
    options = options or Options()
    options.check()
    writing.check_format(output)
    paths = audio.find_files(pattern)
    embedder = byola_tf.load(model, precision=options.precision)
    if not hasattr(embedder.model, "embed_padded"):
        raise UserError(
            "A model must have `embed_padded`. Received: "
            f"{model!r}, exported by an older version. Export it again."
        )
    folder = f"{output}.parts"
    os.makedirs(folder, exist_ok=True)
    settings = (_VERSION, _model_version(model), *dataclasses.astuple(options))
    encoder = embedder.config.encoder
    size = encoder.frame_embedding_size if options.frames else encoder.embedding_size
    dtype = embedding_parts.row_dtype(size)
    chunks = [
        paths[first : first + _FILES_PER_PART]
        for first in range(0, len(paths), _FILES_PER_PART)
    ]
    parts = [
        embedding_parts.Part(folder, files.fingerprint(chunk, *settings), dtype)
        for chunk in chunks
    ]
    listed = [part.finished() for part in parts]
    num_resumed = sum(len(entries) for entries in listed if entries is not None)
    tell = progress(len(paths), num_resumed) if progress else lambda entry: None
    maker = recording_rows.RowMaker(
        embedder, options.frames, options.segment_seconds, options.batch_seconds
    )
    _make_missing(parts, chunks, listed, maker, num_workers, tell)

    entries = [entry for part in listed for entry in part]
    errors = {entry.path: entry.error for entry in entries if entry.error}
    if len(errors) == len(entries):
        shutil.rmtree(folder)
        raise UserError(
            f"`--audio` must match readable files. Received: {len(paths)} files, none "
            f"of them usable. The first: {next(iter(errors.values()))}"
        )
    table = writing.Table(
        num_rows=sum(entry.num_rows for entry in entries),
        dtype=dtype,
        rows=lambda: itertools.chain.from_iterable(part.rows() for part in parts),
        paths=lambda: (entry.path for entry in entries for _ in range(entry.num_rows)),
        constants=_constants(model, embedder),
    )
    writing.write(output, table)
    writing.write_errors(output, errors)
    shutil.rmtree(folder)
    return Summary(
        table.num_rows,
        len(entries) - len(errors),
        size,
        sum(entry.seconds for entry in entries),
        errors,
        num_resumed,
    )


def _model_version(model: str) -> str:
    """Changes when the files of a model do."""
    if not checkpoint.is_exported(model) and not checkpoint.is_checkpoint(model):
        model = (checkpoint.step_folders(model) or [model])[-1]
    found = [
        os.path.join(parent, name)
        for parent, _, names in os.walk(model)
        for name in names
    ]
    return files.fingerprint(sorted(map(files.canonical, found)))


def _constants(model: str, embedder) -> dict[str, str]:
    """Columns that are the same for all rows."""
    statistics = embedder.statistics
    return {
        "model": os.path.basename(os.path.abspath(model)),
        "front_end_hash": frontend.fingerprint(
            embedder.config.frontend, statistics.mean, statistics.std
        ),
    }


def _make_missing(parts, chunks, listed, maker, num_workers: int, tell) -> None:
    """Makes the parts that `listed` has no recordings of, and enters them there."""
    missing = [index for index, entries in enumerate(listed) if entries is None]

    def read(path):
        limit_seconds = maker.batch_samples / maker.sample_rate
        return recording_rows.read(path, maker.sample_rate, limit_seconds)

    paths = [path for index in missing for path in chunks[index]]
    recordings = parallel.in_order(read, paths, num_workers)
    for index in missing:
        with parts[index].writer() as writer:
            for group in _groups(recordings, len(chunks[index]), maker):
                _embed_group(group, maker, writer, tell)
        listed[index] = writer.listed


def _groups(recordings, count: int, maker) -> Iterator[list]:
    """Collects the next `count` recordings into groups that fit in memory."""
    group, held = [], 0
    for _ in range(count):
        recording = next(recordings)
        group.append(recording)
        if recording.waveform is not None:
            held += len(recording.waveform)
        if held >= _HELD_BATCHES * maker.batch_samples:
            yield group
            group, held = [], 0
    if group:
        yield group


def _embed_group(group, maker, writer, tell) -> None:
    """Embeds the short recordings together, the long ones as they come."""
    held = [item.waveform for item in group if item.waveform is not None]
    rows = maker.of_waveforms(held)
    for recording in group:
        try:
            if recording.error:
                raise UserError(recording.error)
            if recording.waveform is not None:
                writer.add(*next(rows))
                seconds = len(recording.waveform) / maker.sample_rate
            else:
                source = recording_rows.blocks(recording.path, maker.sample_rate)
                for piece, seconds in maker.of_blocks(source):  # noqa: B007
                    writer.add(*piece)
            writer.finish(recording.path, seconds)
        except UserError as error:
            writer.fail(recording.path, str(error))
        tell(writer.listed[-1])
