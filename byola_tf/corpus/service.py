"""Crops from shards on the workers of a tf.data service.

The workers run TensorFlow operations only, in other processes or on other
machines; they must see the shards under the same path. Which crop a recording
gives in an epoch follows from (seed, epoch), and so does the order in which
shards are handed out. The service gives each shard to whichever worker is
free, so the order in which crops arrive, and thus the composition of a batch,
differs from run to run. Epochs overlap by the shards that the workers have
open at a time: make many more shards than `_OPEN_SHARDS` times the workers.
"""

import re
import socket

import numpy as np
import tensorflow as tf

from byola_tf import fetching
from byola_tf.config import Config
from byola_tf.corpus import shard_format
from byola_tf.errors import UserError

_OPEN_SHARDS = 8  # read in turn by each worker
_SHUFFLED_CROPS = 2048  # held by each worker
_MAX_RECORDINGS = 2**40
_CONNECT_S = 1.0
_ADDRESS = re.compile(r"grpc://\[?(?P<host>[^\s/]+?)\]?:(?P<port>\d+)")


def make_batches(shards, config: Config, first_step: int) -> tf.data.Dataset:
    """Endless training batches, read and cropped by the service.

    Each recording gives one crop an epoch. A run that resumes at `first_step`
    starts with the shards of that part of the epoch.

    Args:
        shards: `shards.Shards`.
        config: `Config` with the address of the service.
        first_step: number of batches already used.

    Returns:
        data set of int16 [batch_size, unit_samples].
    """
    batch_size = config.train.batch_size
    steps_per_epoch = len(shards.paths) // batch_size
    epoch, step_of_epoch = divmod(first_step, steps_per_epoch)
    num_files = len(shards.files)
    first = (epoch * steps_per_epoch + step_of_epoch) * num_files // steps_per_epoch
    buffer = min(len(shards.paths), _SHUFFLED_CROPS)
    dataset = (
        tf.data.Dataset.range(first, np.iinfo(np.int64).max)
        .interleave(
            _crops_of_shard(shards, config),
            cycle_length=min(num_files, _OPEN_SHARDS),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
        .shuffle(buffer, seed=config.seed)
        .batch(batch_size, drop_remainder=True)
    )
    return _distribute(dataset, config.data.service).prefetch(2)


def require(address: str, wait_seconds: float) -> None:
    """Waits for the dispatcher and a worker.

    Args:
        address: grpc://HOST:PORT of the dispatcher.
        wait_seconds: how long; after ten seconds it is said who is waited for.

    Raises:
        UserError: `address` is malformed, or nobody answers.
    """
    if not _ADDRESS.fullmatch(address):
        raise UserError(
            "`config.data.service` must be grpc://HOST:PORT. "
            f"Received: {address!r}. Start one: byola data-service."
        )

    def ask():
        dataset = _distribute(tf.data.Dataset.range(1), address)
        return dataset.as_numpy_iterator()

    try:
        with fetching.Fetcher(ask, lambda: describe(address), wait_seconds) as answers:
            next(answers)
    except (tf.errors.OpError, fetching.NoAnswerError) as error:
        raise UserError(
            "`config.data.service` must be the address of a running dispatcher "
            f"with at least one worker. Received: {address!r} ({error}) Start "
            "them: byola data-service."
        ) from error


def describe(address: str) -> str:
    """Who is waited for: the dispatcher, or its workers where it answers itself."""
    found = _ADDRESS.fullmatch(address)
    try:
        socket.create_connection((found["host"], found["port"]), _CONNECT_S).close()
    except OSError:
        return f"the dispatcher at {address} (nobody listens there)"
    return f"a worker of the dispatcher at {address} (the dispatcher answers)"


def _distribute(dataset: tf.data.Dataset, address: str) -> tf.data.Dataset:
    return dataset.apply(
        tf.data.experimental.service.distribute(
            # DYNAMIC hands each shard to whoever is free. OFF would repeat the corpus
            # on every worker, FILE would tie shards to workers
            processing_mode=tf.data.experimental.service.ShardingPolicy.DYNAMIC,
            service=address,
            compression=None,  # sound hardly shrinks
        )
    )


def _crops_of_shard(shards, config: Config):
    """Makes the function from a shard's turn to a data set of its crops."""
    layout, unit = shards.layout, config.unit_samples
    num_files = len(shards.files)
    names = tf.constant(shards.files)
    # TFRecordDataset ends in silence where a file is absent and errors are ignored:
    # a glob of the one name tells whether this worker sees it
    globs = tf.constant(
        [re.sub(r"([*?\[\]\\])", r"\\\1", name) for name in shards.files]
    )
    chosen = _chosen_keys(shards)

    def crop(record, epoch, number):
        example = tf.io.parse_single_example(record, shard_format.FEATURES)
        # every record of a recording draws the same position; the piece that it
        # falls into keeps the crop, the others drop out
        seed = tf.random.fold_in([config.seed, 3], epoch)
        seed = tf.random.fold_in(seed, example["recording"])
        position = tf.random.stateless_uniform([], seed, dtype=tf.float64)
        room = tf.maximum(example["length"] - unit, 0) + 1
        start = tf.cast(position * tf.cast(room, tf.float64), tf.int64)
        piece = tf.minimum(start // layout.hop_samples, example["num_pieces"] - 1)
        key = _key(number, example["recording"])
        is_chosen = tf.gather(chosen, tf.searchsorted(chosen, [key])[0]) == key
        first = start - example["start"]
        return example["waveform"], first, (piece == example["piece"]) & is_chosen

    def cut(waveform, first, is_wanted):
        del is_wanted
        # in two steps: `first + unit` may lie behind the end
        samples = tf.io.decode_raw(waveform, tf.int16)[first:][:unit]
        samples = tf.pad(samples, [[0, unit - tf.size(samples)]])
        return tf.ensure_shape(samples, [unit])

    def crops_of_turn(turn):
        epoch, place = turn // num_files, turn % num_files
        seed = tf.random.fold_in([config.seed, 4], epoch)
        # a permutation without a list of it: its last argument is the largest index
        number = tf.random.experimental.index_shuffle(place, seed, num_files - 1)
        name = names[number]
        found = tf.size(tf.io.matching_files(globs[number]))
        rule = "every worker of the tf.data service must see the shards"
        check = tf.debugging.assert_equal(found, 1, [rule, name])
        with tf.control_dependencies([check]):
            records = tf.data.TFRecordDataset(tf.identity(name))
        # a damaged length leaves no way to the next record: what follows a damaged
        # record in its shard is lost with it
        records = records.ignore_errors(log_warning=True)
        records = records.map(lambda record: crop(record, epoch, number))
        return records.filter(lambda *parts: parts[-1]).map(cut)

    return crops_of_turn


def _chosen_keys(shards) -> tf.Tensor:
    """Sorted keys of the recordings, and one above them all.

    `searchsorted` answers with the length for a key above the last one, an index that
    could not be gathered.
    """
    keys = _key(shards.file[shards.first_record], shards.recording)
    last = np.iinfo(np.int64).max
    return tf.constant(np.append(np.sort(keys), last), tf.int64)


def _key(file_number, recording):
    return file_number * _MAX_RECORDINGS + recording
