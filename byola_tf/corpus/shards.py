"""Shards as a source of crops: what is where, from manifests and indexes.

The recordings come in the order of the folder that was prepared, so that a
corpus of them is that folder's.
"""

import concurrent.futures
import dataclasses
import fnmatch
import os

import numpy as np
import tensorflow as tf

from byola_tf import files
from byola_tf.config import Config
from byola_tf.corpus import exclusion, shard_format, shard_reader
from byola_tf.corpus.shard_format import Index, Layout
from byola_tf.errors import UserError
from byola_tf.progress import Progress

_THREADS = 16  # that read indexes
_OF_RECORDINGS = ("recording", "length", "num_pieces", "first_record")


@dataclasses.dataclass
class Shards:
    """Recordings in shards, in the order of the folders they came from.

    Attributes:
        files: the shards.
        layout: how they are stored.
        paths: the recordings.
        skipped: path -> reason of the files that `prepare` left out.
        recording: int64 [recordings], their places in the list of all files.
        length: int64 [recordings], samples.
        num_pieces: int64 [recordings].
        first_record: int64 [recordings], its first piece's; the others follow.
        file: int64 [records], index into `files`.
        offset: int64 [records], first byte of the record's data in its file.
        size: int64 [records], bytes of the record's data.
        payload_size: int64 [records], its last bytes, the payload.
        left_out: "": `prepare` says which files of other endings it left out.
    """

    files: list[str]
    layout: Layout
    paths: list[str]
    skipped: dict[str, str]
    recording: np.ndarray
    length: np.ndarray
    num_pieces: np.ndarray
    first_record: np.ndarray
    file: np.ndarray
    offset: np.ndarray
    size: np.ndarray
    payload_size: np.ndarray
    left_out: str = ""

    def open(self, config: Config, cache_dir: str, progress: Progress):
        """Checks that the files are there; a `ShardReader`."""
        del cache_dir, progress
        return shard_reader.ShardReader(
            self, config.unit_samples, config.data.num_decode_threads
        )


def find(config: Config) -> Shards:
    """Reads the manifests and indexes of the configuration's shards.

    Raises:
        UserError: a file is missing, or the shards do not fit.
    """
    files.require_utf8(config.data.pattern, "`config.data.pattern`")
    folders = _folders(config.data.pattern)
    layouts = {Layout(**manifest["layout"]) for manifest, _ in folders.values()}
    layout = min(layouts, key=str)
    if len(layouts) > 1 or layout.sample_rate != config.frontend.sample_rate:
        raise UserError(
            "The shards must have one layout and `config.frontend.sample_rate` "
            f"({config.frontend.sample_rate} Hz). Received: "
            f"{', '.join(sorted(map(str, layouts)))}. Prepare the corpus again."
        )
    shards = _concatenate(folders, layout)
    chosen = exclusion.kept(shards.paths, config.data.exclude)
    shards.paths = [shards.paths[index] for index in chosen]
    for name in _OF_RECORDINGS:
        setattr(shards, name, getattr(shards, name)[chosen])
    if config.data.service and layout.payload != "pcm":
        raise UserError(
            "`config.data.service` needs shards of 16-bit samples. Received: "
            f"{layout.payload!r}. Prepare the corpus with --payload=pcm."
        )
    room = layout.overlap_samples + 1
    if config.unit_samples > room and (shards.length > layout.piece_samples).any():
        raise UserError(
            "`config.data.unit_seconds` must be at most the overlap of the shards' "
            f"pieces ({layout.overlap_samples / layout.sample_rate:g} s). Received: "
            f"{config.data.unit_seconds:g} s. Prepare the corpus with a larger "
            "--overlap_seconds."
        )
    return shards


def _folders(pattern: str) -> dict:
    """Maps folder -> (manifest, names of the chosen shards)."""
    names, places = "*", [pattern]
    if pattern.endswith(shard_format.EXTENSION):
        names = os.path.basename(pattern)
        place = os.path.dirname(pattern) or "."
        places = sorted(tf.io.gfile.glob(place)) or [place]
    folders = {}
    for place in places:
        manifest = shard_format.read_manifest(place)
        listed = [shard["name"] for shard in manifest["shards"]]
        chosen = fnmatch.filter(listed, names)
        if not chosen:
            raise UserError(
                "`config.data.pattern` must match a shard. Received: "
                f"{pattern!r}; {place!r} has {listed[0]!r} to {listed[-1]!r}."
            )
        folders[place] = manifest, chosen
    return folders


def _concatenate(folders: dict, layout: Layout) -> Shards:
    found = [
        (place, manifest, shard)
        for place, (manifest, chosen) in folders.items()
        for shard in manifest["shards"]
        if shard["name"] in set(chosen)
    ]
    names = [os.path.join(place, shard["name"]) for place, _, shard in found]
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        indexes = list(pool.map(Index.load, map(shard_format.index_path, names)))
    paths, skipped, keys = [], {}, []
    for name, index, (place, manifest, shard) in zip(
        names, indexes, found, strict=True
    ):
        if index.about["crc32c"] != shard["crc32c"]:
            raise UserError(
                f"The index of {name!r} must be the one in {shard_format.MANIFEST}. "
                "It belongs to another shard. Run the same prepare command again."
            )
        root = manifest["audio"]
        paths += [os.path.join(root, path) for path in index.about["paths"]]
        for path, reason in index.about["skipped"].items():
            skipped[os.path.join(root, path)] = reason
        keys += [(place, number) for number in index.recording.tolist()]
    joined = {
        field: np.concatenate([getattr(index, field) for index in indexes])
        for field in ("recording", "length", "offset", "size", "payload_size")
    }
    joined["num_pieces"] = layout.num_pieces(joined["length"])
    joined["first_record"] = np.cumsum(joined["num_pieces"]) - joined["num_pieces"]
    order = sorted(range(len(keys)), key=keys.__getitem__)
    for field in _OF_RECORDINGS:
        joined[field] = joined[field][order]
    return Shards(
        files=names,
        layout=layout,
        paths=[paths[index] for index in order],
        skipped=skipped,
        file=np.repeat(np.arange(len(names)), [len(i.offset) for i in indexes]),
        **joined,
    )
