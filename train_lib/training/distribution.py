"""Which devices a run uses, and in which precision.

Nothing distributed is home-made: one device, MirroredStrategy or
MultiWorkerMirroredStrategy run the same `BYOL.train_step`. The input pipeline
makes the global batch on every host; each replica is handed its slice.
"""

import contextlib
import dataclasses
import json
import logging
import os

import tensorflow as tf

from byola_tf import hardware
from byola_tf.config import Config
from byola_tf.errors import UserError
from train_lib.training import partners

logger = logging.getLogger(__name__)


def allow_memory_growth() -> None:
    """Lets TensorFlow take GPU memory as needed; too late once a GPU is in use."""
    for gpu in tf.config.list_physical_devices("GPU"):
        with contextlib.suppress(RuntimeError):
            tf.config.experimental.set_memory_growth(gpu, True)


def make_strategy(config: Config) -> tf.distribute.Strategy:
    """Makes the strategy of `config.train.strategy`.

    Must run before anything else touches TensorFlow in a multi-worker job.

    Args:
        config: `Config`.

    Returns:
        the default strategy, a MirroredStrategy over all accelerators (all
        logical CPU devices where there is none), or a multi-worker one.

    Raises:
        UserError: TF_CONFIG is missing or broken, or the global batch does not
            divide over the replicas and their parts.
    """
    name = config.train.strategy
    if name == "multi_worker":
        workers, index = _require_cluster()
        with partners.waited_for(workers, index, config.train.wait_seconds):
            strategy = tf.distribute.MultiWorkerMirroredStrategy()
    elif name == "mirrored" or (name == "auto" and len(_accelerators()) > 1):
        devices = _accelerators() or tf.config.list_logical_devices("CPU")
        strategy = tf.distribute.MirroredStrategy([device.name for device in devices])
    else:
        strategy = tf.distribute.get_strategy()
    _require_divisible(config, strategy.num_replicas_in_sync)
    return strategy


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process writes checkpoints and logs."""
    resolver = strategy.cluster_resolver
    return resolver is None or resolver.task_id in (0, None)


def worker(strategy: tf.distribute.Strategy) -> tuple[int, int]:
    """This process's index and the number of processes."""
    resolver = strategy.cluster_resolver
    if resolver is None or resolver.task_id is None:
        return 0, 1
    return resolver.task_id, len(resolver.cluster_spec().as_dict()["worker"])


def input_share(config: Config, strategy: tf.distribute.Strategy):
    """What this worker's input pipeline makes.

    Args:
        config: `Config`; `data.sharding` decides.
        strategy: the strategy.

    Returns:
        the `Config` of the pipeline and (index, count), the part of the files
        that it reads. With "global" sharding the whole batch of all files;
        with "worker" sharding this worker's share of both, under a seed of its
        own.
    """
    index, count = worker(strategy)
    if count == 1 or config.data.sharding == "global":
        return config, (0, 1)
    logger.warning(
        "Worker %d of %d reads its own part of the files and has its own bank and "
        "post-normalisation (--config.data.sharding=worker): losses differ from "
        "those of one device.",
        index,
        count,
    )
    train = dataclasses.replace(
        config.train, batch_size=config.train.batch_size // count
    )
    return dataclasses.replace(config, seed=config.seed + index, train=train), (
        index,
        count,
    )


def scatter(strategy: tf.distribute.Strategy, views, num_shares: int | None = None):
    """Hands each replica its slice of a batch.

    Args:
        strategy: the strategy.
        views: nest of tensors [batch, ...].
        num_shares: replicas that share this batch; all of them by default.

    Returns:
        the nest as per-replica values.
    """
    if strategy.num_replicas_in_sync == 1:
        return views
    num_shares = num_shares or strategy.num_replicas_in_sync
    share = len(tf.nest.flatten(views)[0]) // num_shares

    def slice_of(context):
        start = context.replica_id_in_sync_group % num_shares * share
        return tf.nest.map_structure(lambda part: part[start : start + share], views)

    return strategy.experimental_distribute_values_from_function(slice_of)


def any_worker(strategy: tf.distribute.Strategy, flags: tuple) -> tuple:
    """Whether any worker says so; all must ask, at the same step.

    A worker that stopped on its own would leave the others waiting for its
    gradients.

    Args:
        strategy: the strategy.
        flags: this worker's bools.

    Returns:
        bools, the same on every worker.
    """
    if worker(strategy)[1] == 1:
        return flags
    votes = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(flags, tf.float32)
    )
    counts = strategy.reduce(tf.distribute.ReduceOp.SUM, votes, axis=None)
    return tuple(bool(count > 0) for count in counts.numpy())


def make_train_step(strategy: tf.distribute.Strategy, model):
    """The model's `train_step` on every replica, as one traced function.

    Args:
        strategy: the strategy that `model` was made under.
        model: compiled `BYOL`.

    Returns:
        function of what `scatter` returns; its dict of scalars is the same on
        every replica.
    """

    @tf.function(reduce_retracing=True)
    def train_step(views):
        logs = strategy.run(model.train_step, args=(views,))
        return {
            name: strategy.experimental_local_results(value)[0]
            for name, value in logs.items()
        }

    return train_step


def resolve_precision(name: str) -> str:
    """Turns "auto" into a precision that the hardware runs natively.

    Args:
        name: `config.train.precision`.

    Returns:
        "mixed_bfloat16" where bfloat16 is native, "float32" elsewhere; other
        names as they are.
    """
    if name == "mixed_bfloat16":
        hardware.warn_of_emulated_bfloat16()
    if name != "auto":
        return name
    return "mixed_bfloat16" if hardware.bfloat16_is_native() else "float32"


def _accelerators() -> list:
    return tf.config.list_logical_devices("GPU")


def _require_divisible(config: Config, replicas: int) -> None:
    parts = replicas * config.train.accumulate_steps
    if config.train.batch_size % parts:
        raise UserError(
            "`config.train.batch_size` must divide over the replicas and "
            f"`accumulate_steps`. Received: {config.train.batch_size} over "
            f"{replicas} x {config.train.accumulate_steps}. Use a multiple of {parts}."
        )


def _require_cluster() -> tuple[list[str], int]:
    """The addresses of all workers and the index of this one."""
    try:
        cluster = json.loads(os.environ["TF_CONFIG"])
        workers = cluster["cluster"]["worker"]
        kind, index = cluster["task"]["type"], int(cluster["task"]["index"])
    except (KeyError, ValueError, TypeError) as error:
        raise UserError(
            "The environment variable TF_CONFIG must describe the cluster when "
            "--config.train.strategy=multi_worker. Received: "
            f"{os.environ.get('TF_CONFIG', 'nothing')!r}. E.g. "
            '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, '
            '"task": {"type": "worker", "index": 0}}'
        ) from error
    if kind != "worker" or set(cluster["cluster"]) != {"worker"}:
        raise UserError(
            "TF_CONFIG's tasks must all be of type 'worker'; the first one writes "
            f"checkpoints and logs. Received: {kind!r} in a cluster of "
            f"{', '.join(cluster['cluster'])}."
        )
    if not 0 <= index < len(workers):
        raise UserError(
            "TF_CONFIG's task index must be one of its workers. Received: "
            f"{index} of {len(workers)}."
        )
    return workers, index
