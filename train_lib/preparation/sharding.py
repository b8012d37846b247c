"""Prepares a corpus as shards; see `byola_tf.corpus.shard_format`.

Each worker makes one shard at a time under a temporary name. A shard under its
own name is whole, and a later run with the same files and layout keeps it.
"""

import collections
import concurrent.futures
import dataclasses
import json
import logging
import os
import threading
from collections.abc import Callable

import tensorflow as tf

from byola_tf import files, ownership
from byola_tf.config import DataConfig
from byola_tf.corpus import folder, shard_format
from byola_tf.corpus.shard_format import Index, Layout
from byola_tf.errors import UserError
from train_lib.cli import commands, progress
from train_lib.preparation import recordings
from train_lib.preparation.recordings import Recordings
from train_lib.preparation.shard_writer import TEMPORARY, ShardWriter

_DEFAULT_SHARD_BYTES = 256e6
_MIN_SHARDS = 8  # so that a few workers have something to do
_LISTED_FILES = 10

logger = logging.getLogger(__name__)


def make_layout(
    sample_rate: int, piece_seconds: float, overlap_seconds: float, payload: str
) -> Layout:
    """Turns seconds into a `Layout`.

    Raises:
        UserError: the overlap does not fit into a piece.
    """
    if not 0 <= overlap_seconds < piece_seconds < float("inf"):
        raise UserError(
            "`--overlap_seconds` must be at least 0 and less than --piece_seconds. "
            f"Received: {overlap_seconds:g} and {piece_seconds:g}."
        )
    piece, overlap = (
        max(1, round(seconds * sample_rate))
        for seconds in (piece_seconds, overlap_seconds)
    )
    return Layout(sample_rate, piece, min(overlap, piece - 1), payload)


def prepare(
    audio: str,
    output: str,
    layout: Layout,
    num_shards: int = 0,
    num_workers: int = 1,
    labels_from_folders: bool = False,
    metadata: str | None = None,
    exclude: str = "",
    max_hours: float = DataConfig.max_hours,
    decoder: str = DataConfig.decoder,
) -> dict:
    """Prepares the audio files of a folder or glob, with a progress bar.

    Args:
        audio: see `audio.find`.
        output: folder for the shards.
        layout: `Layout`.
        num_shards: number of shards, 0 for one by size.
        num_workers: threads that decode.
        labels_from_folders: whether a file's folder is its label.
        metadata: CSV with labels; see `recordings.table_labels`.
        exclude: list of files to leave out; see `exclusion.kept`.
        max_hours: longest recording that is read; see `config.data.max_hours`.
        decoder: see `config.data.decoder`.

    Returns:
        the manifest.

    Raises:
        UserError: see `write`.
    """
    found = recordings.find(audio, exclude)
    if labels_from_folders:
        found.labels = recordings.folder_labels(found)
    if metadata:
        found.labels |= recordings.table_labels(found, metadata)
    count = min(num_shards or default_num_shards(found, layout), len(found.paths))
    with progress.bar(None, len(found.paths), "preparing", unit="file") as bar:
        manifest = write(
            found, output, layout, count, num_workers, bar.update, max_hours, decoder
        )
    skipped = list(manifest["skipped"].values())
    for reason in skipped[:_LISTED_FILES]:
        logger.warning("Skipped: %s", reason)
    if len(skipped) > _LISTED_FILES:
        logger.warning(
            "... %d more: see %s", len(skipped) - _LISTED_FILES, shard_format.MANIFEST
        )
    return manifest


def describe(manifest: dict, output: str) -> str:
    """A manifest of `prepare` in words, with what to do next."""
    size = sum(shard["bytes"] for shard in manifest["shards"])
    left_out = manifest["left_out"] and f"{manifest['left_out']}\n"
    return (
        f"Done: {manifest['num_recordings']} recordings, {manifest['hours']:.2f} h, "
        f"in {len(manifest['shards'])} shards of {size / 1e6:.1f} MB together; "
        f"{len(manifest['skipped'])} files skipped.\n"
        f"{left_out}"
        f"Train: {commands.invocation('pretrain')} --config=byola_v2 --workdir=W "
        f"--config.data.pattern={output}"
    )


def default_num_shards(recordings: Recordings, layout: Layout) -> int:
    """Enough for shards of about 256 MB, and a few at least."""
    samples = folder.estimate_samples(recordings.locations(), layout.sample_rate)
    wanted = max(_MIN_SHARDS, round(2 * samples / _DEFAULT_SHARD_BYTES))
    return min(wanted, len(recordings.paths))


def write(
    recordings: Recordings,
    output: str,
    layout: Layout,
    num_shards: int,
    num_workers: int,
    advance: Callable[[int], None] = lambda count: None,
    max_hours: float = DataConfig.max_hours,
    decoder: str = DataConfig.decoder,
) -> dict:
    """Writes the shards that are not there yet, then the manifest.

    Args:
        recordings: `Recordings`.
        output: folder, any path that `tf.io.gfile` writes.
        layout: `shard_format.Layout`.
        num_shards: number of shards; file n goes to shard n modulo this.
        num_workers: threads.
        advance: called with a number of files whenever so many are done.
        max_hours: longest recording that is read.
        decoder: see `config.data.decoder`.

    Returns:
        the manifest.

    Raises:
        UserError: `output` holds something else, cannot be written or is being
            written by another process, or no file is usable.
    """
    files.require_utf8(output, "`--output`")
    locations = recordings.locations()
    decode_all = folder.decoder(decoder, locations, layout.sample_rate)
    shards = [
        ShardWriter(
            recordings, output, layout, number, num_shards, max_hours, decode_all
        )
        for number in range(num_shards)
    ]
    try:
        with ownership.owned_folder(output, "`--output`"):
            return _write_owned(
                recordings, output, layout, shards, num_workers, advance
            )
    except (OSError, tf.errors.OpError) as error:
        whole = sum(tf.io.gfile.exists(shard.path) for shard in shards)
        raise UserError(
            f"The shards cannot be written to {output!r}: {error}. {whole} of "
            f"{num_shards} shards are whole and stay. Make room (or choose another "
            "--output) and run the same command again: it goes on from there."
        ) from error


def _write_owned(
    recordings, output: str, layout: Layout, shards, num_workers: int, advance
) -> dict:
    """Does what `write` says, once the folder is this process's."""
    _clear(output, shards, layout)
    with concurrent.futures.ThreadPoolExecutor(num_workers) as pool:
        indexes = dict(enumerate(pool.map(ShardWriter.finished, shards)))
    missing = [number for number, index in indexes.items() if index is None]
    path = os.path.join(output, shard_format.MANIFEST)
    if missing and tf.io.gfile.exists(path):
        tf.io.gfile.remove(path)
    kept = sum(len(shards[n].paths) for n in indexes if indexes[n] is not None)
    advance(kept)
    _write_all(shards, missing, indexes, num_workers, advance)
    manifest = _manifest(recordings, layout, shards, indexes)
    files.write_text(path, json.dumps(manifest, indent=1) + "\n")
    return manifest


def _clear(output: str, shards: list, layout: Layout) -> None:
    """Makes the folder; removes what a killed run left of unfinished shards."""
    tf.io.gfile.makedirs(output)
    names = {os.path.basename(shard.path) for shard in shards}
    for name in files.names_in(output):
        path = os.path.join(output, name)
        if name.startswith(TEMPORARY):
            tf.io.gfile.remove(path)
        elif name.endswith(shard_format.EXTENSION):
            _require_same(path, name in names, layout)


def _require_same(path: str, is_named: bool, layout: Layout) -> None:
    try:
        theirs = Layout(**Index.load(shard_format.index_path(path)).about["layout"])
    except UserError:
        theirs = layout  # damaged: it is made again
    if not is_named or theirs != layout:
        raise UserError(
            "`--output` must be empty or hold shards of the same number and layout "
            f"({layout}). Received: {path!r} ({theirs}). Choose another --output, "
            "or delete this one."
        )


def _write_all(shards, missing, indexes, num_workers, advance) -> None:
    """Fills the missing indexes; the first fault stops all workers."""
    stop, lock = threading.Event(), threading.Lock()

    def report():
        if stop.is_set():
            raise concurrent.futures.CancelledError
        with lock:
            advance(1)

    with concurrent.futures.ThreadPoolExecutor(num_workers) as pool:
        futures = {pool.submit(shards[n].write, report): n for n in missing}
        try:
            for future in concurrent.futures.as_completed(futures):
                indexes[futures[future]] = future.result()
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise


def _manifest(recordings, layout: Layout, shards, indexes) -> dict:
    """Raises UserError if no file is usable."""
    indexes = [indexes[number] for number in range(len(shards))]
    skipped = {}
    for index in indexes:
        skipped |= index.about["skipped"]
    num_samples = sum(int(index.length.sum()) for index in indexes)
    num_recordings = sum(len(index.length) for index in indexes)
    if not num_recordings:
        raise UserError(
            "`--audio` must have at least one usable file. Received: "
            f"{len(skipped)} unusable ones. First: {next(iter(skipped.values()))}"
        )
    labels = collections.Counter(
        label for index in indexes for label in index.about["labels"] if label
    )
    return {
        "format": shard_format.FORMAT,
        "version": shard_format.VERSION,
        "layout": dataclasses.asdict(layout),
        "audio": recordings.root,
        "num_recordings": num_recordings,
        "num_records": sum(len(index.offset) for index in indexes),
        "num_samples": num_samples,
        "hours": num_samples / layout.sample_rate / 3600,
        "labels": dict(sorted(labels.items())),
        "shards": [
            {
                "name": os.path.basename(shard.path),
                "recordings": len(index.length),
                "records": len(index.offset),
                "bytes": index.about["bytes"],
                "crc32c": index.about["crc32c"],
            }
            for shard, index in zip(shards, indexes, strict=True)
        ],
        "skipped": dict(sorted(skipped.items())),
        "left_out": recordings.left_out,
    }
