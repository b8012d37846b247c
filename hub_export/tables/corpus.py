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
from collections.abc import Iterator

import byola_tf
from byola_tf import audio, files, frontend, ownership, parallel
from byola_tf.errors import UserError
from byola_tf.networks import geometry
from byola_tf.progress import Progress, no_progress
from hub_export.tables import reading, writing
from hub_export.tables.parts import FileRows, Part, PartWriter, row_dtype
from hub_export.tables.rows import RowMaker

error_path = writing.error_path

_VERSION = 3  # of what the rows of a part mean
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
        doubts: path -> what may be missing of the files read.
        num_resumed: files that an interrupted run had finished.
        left_out: a sentence about files of other endings, or "".
    """

    num_rows: int
    num_files: int
    embedding_size: int
    audio_seconds: float
    errors: dict[str, str]
    doubts: dict[str, str]
    num_resumed: int
    left_out: str


def embed_corpus(
    model: str,
    pattern: str,
    output: str,
    options: Options | None = None,
    num_workers: int = 2,
    progress: Progress = no_progress,
) -> Summary:
    """Writes the embeddings of all files that match a pattern.

    Args:
        model: path for `byola_tf.load`.
        pattern: folder, glob or file; see `audio.find_files`.
        output: `.parquet` or `.npz`; replaced once the new one is complete.
        options: `Options`.
        num_workers: threads that decode.
        progress: `Progress` over the `FileRows` of the files that are embedded; not
            over those that an earlier run finished.

    Returns:
        `Summary`.

    Raises:
        UserError: nothing matches, no file is readable, no such format, or another
            process is writing `output`.
    """
    options = options or Options()
    options.check()
    writing.check_format(output)
    found = audio.find(pattern)
    paths = found.paths
    os.makedirs(os.path.dirname(os.path.abspath(output)), exist_ok=True)
    with ownership.owned(output, "`--output`"):
        embedder = _open(model, options)
        parts = _plan(f"{output}.parts", paths, embedder, options)
        missing = [part for part in parts if part.files is None]
        num_missing = sum(len(part.paths) for part in missing)
        made = _make(missing, embedder, options, num_workers)
        for _ in progress(made, num_missing, "embedding"):
            pass
        num_resumed = len(paths) - num_missing
        summary = _summarize(parts, embedder, options, num_resumed, found.left_out)
        if summary.num_files:
            writing.write(output, _table(parts, model, embedder))
            writing.write_errors(output, summary.errors | summary.doubts)
        shutil.rmtree(f"{output}.parts")
    if not summary.num_files:
        raise UserError(
            f"`--audio` must match readable files. Received: {len(paths)} files, none "
            f"of them usable. The first: {next(iter(summary.errors.values()))}"
        )
    return summary


def _open(model: str, options: Options):
    embedder = byola_tf.load(model, precision=options.precision)
    if not hasattr(embedder.model, "embed_padded"):
        raise UserError(
            "A model must have `embed_padded`. Received: "
            f"{model!r}, exported by an older version. Export it again."
        )
    return embedder


def _plan(folder: str, paths: list[str], embedder, options: Options) -> list[Part]:
    """The parts of the table, finished by an earlier run or not."""
    os.makedirs(folder, exist_ok=True)
    settings = (_VERSION, embedder.fingerprint, *dataclasses.astuple(options))
    dtype = row_dtype(_num_units(embedder, options))
    firsts = range(0, len(paths), _FILES_PER_PART)
    chunks = [paths[first : first + _FILES_PER_PART] for first in firsts]
    return [
        Part(folder, files.fingerprint(chunk, *settings), dtype, chunk)
        for chunk in chunks
    ]


def _make(
    missing: list[Part], embedder, options: Options, num_workers: int
) -> Iterator[FileRows]:
    """Embeds the files of parts, in order; yields what is known of each."""
    maker = RowMaker(
        embedder, options.frames, options.segment_seconds, options.batch_seconds
    )

    def read(path: str) -> reading.Recording:
        return reading.read(path, maker.sample_rate, options.batch_seconds)

    paths = itertools.chain.from_iterable(part.paths for part in missing)
    recordings = parallel.in_order(read, paths, num_workers)
    for part in missing:
        with part.writer() as writer:
            own = itertools.islice(recordings, len(part.paths))
            for group in _groups(own, _HELD_BATCHES * maker.batch_samples):
                yield from _embed_group(group, maker, writer)


def _groups(recordings, num_samples: int) -> Iterator[list[reading.Recording]]:
    """Collects recordings into groups that fit in memory."""
    group, held = [], 0
    for recording in recordings:
        group.append(recording)
        if recording.waveform is not None:
            held += len(recording.waveform)
        if held >= num_samples:
            yield group
            group, held = [], 0
    if group:
        yield group


def _embed_group(
    group: list[reading.Recording], maker: RowMaker, writer: PartWriter
) -> Iterator[FileRows]:
    """Embeds the short recordings together, the long ones as they are read."""
    held = [item.waveform for item in group if item.waveform is not None]
    rows = maker.of_waveforms(held)
    for recording in group:
        if recording.error:
            yield writer.fail(recording.path, recording.error)
        elif recording.waveform is not None:
            writer.add(*next(rows))
            seconds = len(recording.waveform) / maker.sample_rate
            yield writer.finish(recording.path, seconds, recording.doubts)
        else:
            yield _embed_long(recording.path, maker, writer)


def _embed_long(path: str, maker: RowMaker, writer: PartWriter) -> FileRows:
    seconds, doubts = 0.0, []
    try:
        blocks = reading.blocks(path, maker.sample_rate, doubts.append)
        for rows, seconds in maker.of_blocks(blocks):  # noqa: B007
            writer.add(*rows)
    except UserError as error:  # damaged further on
        return writer.fail(path, str(error))
    return writer.finish(path, seconds, doubts)


def _summarize(
    parts, embedder, options: Options, num_resumed: int, left_out: str
) -> Summary:
    found = [entry for part in parts for entry in part.files]
    errors = {entry.path: entry.error for entry in found if entry.error}
    return Summary(
        sum(entry.num_rows for entry in found),
        len(found) - len(errors),
        _num_units(embedder, options),
        sum(entry.seconds for entry in found),
        errors,
        {entry.path: entry.doubt for entry in found if entry.doubt},
        num_resumed,
        left_out,
    )


def _table(parts: list[Part], model: str, embedder) -> writing.Table:
    found = [entry for part in parts for entry in part.files]
    statistics = embedder.statistics
    front_end_hash = frontend.fingerprint(
        embedder.config.frontend, statistics.mean, statistics.std
    )
    return writing.Table(
        num_rows=sum(entry.num_rows for entry in found),
        dtype=parts[0].dtype,
        rows=lambda: itertools.chain.from_iterable(part.rows() for part in parts),
        paths=lambda: (entry.path for entry in found for _ in range(entry.num_rows)),
        constants={
            "model": os.path.basename(os.path.abspath(model)),
            "front_end_hash": front_end_hash,
        },
    )


def _num_units(embedder, options: Options) -> int:
    size = geometry.frame_embedding_size if options.frames else geometry.embedding_size
    return size(embedder.config.encoder)
