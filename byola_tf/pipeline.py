"""tf.data from waveforms to views: log-mel, normalise, bank, augment.

Augmentation runs on the global batch with seeds made from (seed, step): a step
has the same views on any number of replicas and after a restart. The bank of
past inputs is the state of a `Dataset.scan`; on resume it is filled again by
replaying the batches before the first step.
"""

import math
from typing import NamedTuple

import tensorflow as tf

from byola_tf import frontend, normalize, two_views
from byola_tf.config import AugmentConfig, Config
from byola_tf.normalize import Statistics, StatisticsAccumulator

_MAX_CHUNKS = 64
_CLIPS_AT_A_TIME = 16


def make_views_dataset(
    batches,
    config: Config,
    statistics: Statistics,
    first_step: int = 0,
    with_moments: bool = False,
) -> tf.data.Dataset:
    """Turns batches of waveforms into pairs of views.

    Args:
        batches: function of a step that returns a data set of int16 or float32
            [batch, num_segments * samples] from that step on (e.g.
            `Corpus.batches`); a data set is taken as starting at step 0.
        config: `Config`.
        statistics: corpus statistics.
        first_step: step whose views come first.
        with_moments: whether to add the mean and standard deviation of the
            views before post-normalisation.

    Returns:
        data set of (view_1, view_2), each float32 [batch, time, mel]; of
        ((view_1, view_2), (mean, std)) when `with_moments`.
    """
    if isinstance(batches, tf.data.Dataset):
        dataset = batches
        batches = dataset.skip
    chunks = bank_chunks(config)
    replayed = min(first_step, chunks)
    start = first_step - replayed
    shape = [config.train.batch_size, config.unit_frames, config.frontend.n_mels]

    def log_mels(waveform):
        waveform = tf.ensure_shape(waveform, [config.train.batch_size, None])
        return tuple(
            normalize.normalize(_in_parts(log_mel_of, segment), statistics)
            for segment in tf.split(waveform, config.data.num_segments, axis=1)
        )

    def log_mel_of(waveform):
        return frontend.log_mel_spectrogram(to_float(waveform), config.frontend)

    def draw(bank, element):
        step, segments = element
        segments = [tf.ensure_shape(log_mel, shape) for log_mel in segments]
        log_mel = segments[0]
        drawn = [
            two_views.draw_parameters(
                view_seed, shape, bank_rows(bank, config.augment), config.augment
            )
            for view_seed in two_views.view_seeds([config.seed, step])
        ]
        backgrounds = tuple(
            gather_background(bank, parameters["background"], log_mel)
            for parameters in drawn
        )
        views_of = (segments[0], segments[-1])
        return push(bank, log_mel), (views_of, backgrounds, tuple(drawn))

    def augmented(views_of, backgrounds, drawn):
        pair = two_views.augment_pair(
            views_of, backgrounds, drawn, config.augment, _in_parts
        )
        views = two_views.finish_views(pair, config.augment)
        if not with_moments:
            return views
        return views, (tf.reduce_mean(pair), tf.math.reduce_std(pair))

    dataset = batches(start).map(
        log_mels, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )
    dataset = tf.data.Dataset.zip((tf.data.Dataset.counter(start), dataset))
    dataset = dataset.scan(empty_bank(config), draw).skip(replayed)
    return dataset.map(
        augmented, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    ).prefetch(2)


def _in_parts(function, elements):
    """Applies a per-clip function to a batch, a few clips at a time.

    The intermediate results of a few clips stay in the processor's cache; those
    of a whole batch are hundreds of megabytes.

    Args:
        function: of a nest of tensors [clips, ...] to a tensor [clips, ...].
        elements: the nest, of a batch of known size.
    """
    batch = tf.nest.flatten(elements)[0].shape[0]
    parts = batch // _CLIPS_AT_A_TIME
    if parts < 2 or batch % _CLIPS_AT_A_TIME:
        return function(elements)

    def split(tensor):
        shape = tf.shape(tensor)
        return tf.reshape(
            tensor, tf.concat([[parts, batch // parts], shape[1:]], axis=0)
        )

    outputs = tf.map_fn(
        function,
        tf.nest.map_structure(split, elements),
        fn_output_signature=tf.float32,
        parallel_iterations=2,
    )
    shape = tf.shape(outputs)
    return tf.reshape(outputs, tf.concat([[batch], shape[2:]], axis=0))


def to_float(waveform):
    """Scales int16 samples to [-1, 1); float32 passes through."""
    if waveform.dtype == tf.int16:
        return tf.cast(waveform, tf.float32) / 32768.0
    return waveform


def compute_statistics(batches, config: Config, progress=None) -> Statistics:
    """Corpus mean and standard deviation of the log-mel.

    Args:
        batches: data set of int16 or float32 [batch, samples].
        config: `Config`.
        progress: wraps the iterable of batches, e.g. in a progress bar.

    Raises:
        UserError: the corpus is empty or all one value.
    """
    log_mels = batches.map(
        lambda waveform: frontend.log_mel_spectrogram(
            to_float(waveform), config.frontend
        ),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    accumulator = StatisticsAccumulator()
    for log_mel in progress(log_mels) if progress else log_mels:
        accumulator.update(log_mel)
    return accumulator.result()


# The bank holds references to whole past batches, newest first, so that a push
# copies nothing. Entries are counted from the newest input backwards.


class Bank(NamedTuple):
    """The last inputs, as state of a `Dataset.scan`.

    Attributes:
        seen: int64, number of inputs pushed so far.
        chunks: tuple of float32 [rows, time, mel], all of the same size.
    """

    seen: tf.Tensor
    chunks: tuple


def bank_chunks(config: Config) -> int:
    """Number of past batches that cover the bank."""
    return math.ceil(config.augment.bank_size / config.train.batch_size)


def empty_bank(config: Config) -> Bank:
    """The bank before the first step."""
    count, rows = bank_chunks(config), config.train.batch_size
    if count > _MAX_CHUNKS:
        # many tiny batches are kept as one tensor: thousands of references
        # are slower than copying a few clips
        count, rows = 1, config.augment.bank_size
    zeros = tf.zeros([rows, config.unit_frames, config.frontend.n_mels])
    return Bank(tf.constant(0, tf.int64), (zeros,) * count)


def push(bank: Bank, log_mel) -> Bank:
    """Adds a batch, float32 [batch, time, mel], and drops the oldest entries."""
    newest = log_mel[::-1]
    seen = bank.seen + tf.shape(log_mel, tf.int64)[0]
    if not bank.chunks:
        return bank
    if newest.shape[0] == bank.chunks[0].shape[0]:
        return Bank(seen, (newest, *bank.chunks[:-1]))
    (chunk,) = bank.chunks
    kept = chunk.shape[0] - newest.shape[0]
    return Bank(seen, (tf.concat([newest, chunk[:kept]], axis=0),))


def bank_rows(bank: Bank, augment_config: AugmentConfig):
    """Number of valid entries, int32."""
    size = tf.constant(augment_config.bank_size, tf.int64)
    return tf.cast(tf.minimum(bank.seen, size), tf.int32)


def gather_background(bank: Bank, indices, fallback):
    """Picks bank entries.

    Args:
        bank: `Bank`.
        indices: int32 [batch], counted from the newest entry.
        fallback: float32 [batch, time, mel], returned by a bank without room.

    Returns:
        float32 [batch, time, mel].
    """
    if not bank.chunks:
        return fallback
    rows = bank.chunks[0].shape[0]
    chunk_of = indices // rows
    count = len(bank.chunks)
    order = tf.dynamic_partition(tf.range(tf.size(indices)), chunk_of, count)
    inside = tf.dynamic_partition(indices % rows, chunk_of, count)
    picked = [
        tf.gather(chunk, selected)
        for chunk, selected in zip(bank.chunks, inside, strict=True)
    ]
    return tf.ensure_shape(tf.dynamic_stitch(order, picked), fallback.shape)
