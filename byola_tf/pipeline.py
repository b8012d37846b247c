"""tf.data from waveforms to views: log-mel, normalise, bank, augment.

A batch takes three stages:

    `_normalized_log_mels`   waveforms -> normalised log-mels, a segment each view
    `_draw`                  -> the random parameters and backgrounds of both views;
                                the batch enters the bank of past inputs
    `_augment`               -> the two views

The middle stage depends on the batches before and runs in order, as the state of
a `Dataset.scan`; the others run in parallel. Augmentation runs on the global batch
with seeds made from (seed, step): a step has the same views on any number of
replicas and after a restart.
"""

import functools

import tensorflow as tf

from byola_tf import background_bank, frontend, normalize, two_views
from byola_tf.background_bank import Bank
from byola_tf.config import Config
from byola_tf.normalize import Statistics, StatisticsAccumulator
from byola_tf.progress import Progress, no_progress

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
        batches = batches.skip
    # a run that resumes fills its bank again with the batches before its step
    replayed = min(first_step, background_bank.num_batches(config))
    start = first_step - replayed
    log_mels = _in_parallel(
        batches(start), _normalized_log_mels, config=config, statistics=statistics
    )
    numbered = tf.data.Dataset.zip((tf.data.Dataset.counter(start), log_mels))
    drawn = numbered.scan(
        background_bank.empty(config), functools.partial(_draw, config=config)
    ).skip(replayed)
    views = _in_parallel(drawn, _augment, config=config, with_moments=with_moments)
    return views.prefetch(2)


def _in_parallel(dataset: tf.data.Dataset, stage, **settings) -> tf.data.Dataset:
    """Maps a stage over a data set, in order."""
    return dataset.map(
        functools.partial(stage, **settings),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )


def _normalized_log_mels(waveform, config: Config, statistics: Statistics) -> tuple:
    """Normalised log-mels of a batch.

    Args:
        waveform: int16 or float32 [batch, num_segments * samples].
        config: `Config`.
        statistics: corpus statistics.

    Returns:
        float32 [batch, time, mel] a segment.
    """
    waveform = tf.ensure_shape(waveform, [config.train.batch_size, None])

    def log_mel(clips):
        return frontend.log_mel_spectrogram(to_float(clips), config.frontend)

    return tuple(
        normalize.normalize(_in_parts(log_mel, segment), statistics)
        for segment in tf.split(waveform, config.data.num_segments, axis=1)
    )


def _draw(bank: Bank, element, config: Config) -> tuple:
    """Draws the parameters and backgrounds of a step's views; pushes its inputs.

    Args:
        bank: `Bank`, the state of the scan.
        element: int64 step, and its log-mels (see `_normalized_log_mels`).
        config: `Config`.

    Returns:
        the next bank, and the arguments of `_augment`.
    """
    step, segments = element
    shape = [config.train.batch_size, config.unit_frames, config.frontend.n_mels]
    segments = [tf.ensure_shape(segment, shape) for segment in segments]
    log_mel = segments[0]
    num_entries = background_bank.num_entries(bank, config.augment)
    parameters = tuple(
        two_views.draw_parameters(seed, shape, num_entries, config.augment)
        for seed in two_views.view_seeds([config.seed, step])
    )
    backgrounds = tuple(
        background_bank.gather(bank, drawn["background"], log_mel)
        for drawn in parameters
    )
    inputs = (segments[0], segments[-1])  # of the two views: one segment, or two
    return background_bank.push(bank, log_mel), (inputs, backgrounds, parameters)


def _augment(inputs, backgrounds, parameters, config: Config, with_moments: bool):
    """The two views of a step.

    Args:
        inputs: two of float32 [batch, time, mel], one for each view.
        backgrounds: two of float32 [batch, time, mel].
        parameters: two results of `two_views.draw_parameters`.
        config: `Config`.
        with_moments: see `make_views_dataset`.
    """
    pair = two_views.augment_pair(
        inputs, backgrounds, parameters, config.augment, _in_parts
    )
    views = two_views.finish_views(pair, config.augment)
    if not with_moments:
        return views
    return views, (tf.reduce_mean(pair), tf.math.reduce_std(pair))


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


def compute_statistics(
    batches, config: Config, progress: Progress = no_progress
) -> Statistics:
    """Corpus mean and standard deviation of the log-mel.

    Args:
        batches: data set of int16 or float32 [batch, samples].
        config: `Config`.
        progress: `Progress` over the batches' log-mels.

    Raises:
        UserError: the corpus is empty or all one value.
    """
    log_mels = batches.map(
        lambda waveform: frontend.log_mel_spectrogram(
            to_float(waveform), config.frontend
        ),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    total = max(0, int(batches.cardinality()))  # below 0: unknown
    accumulator = StatisticsAccumulator()
    for log_mel in progress(log_mels, total, "statistics"):
        accumulator.update(log_mel)
    return accumulator.result()
