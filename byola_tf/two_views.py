"""Two views of a log-mel: parameters drawn from a seed, the blocks in order.

`draw_parameters` makes the random ones from a stateless seed, `apply_chain` applies
the blocks of `augment` with them, `make_views` does both for two views (TASLP section
III-C, figure 2). Shapes are [batch, time, mel] throughout.
"""

import tensorflow as tf

from byola_tf import augment
from byola_tf.config import AugmentConfig

_MIXUPS = {"power": augment.log_mixup_exp, "log": augment.mixup}


def make_views(log_mel, bank, seed, augment_config: AugmentConfig):
    """Makes two independently augmented views of a batch.

    Args:
        log_mel: float32 [batch, time, mel], normalised.
        bank: float32 [n, time, mel], past normalised inputs, valid entries
            only; with n = 0 nothing is mixed.
        seed: int [2]; the views are a function of it.
        augment_config: `AugmentConfig`.

    Returns:
        (view_1, view_2), each float32 [batch, time, mel], post-normalised
        together.
    """
    log_mel, bank = tf.convert_to_tensor(log_mel), tf.convert_to_tensor(bank)
    bank_rows = tf.shape(bank)[0]
    parameters = [
        draw_parameters(view_seed, tf.shape(log_mel), bank_rows, augment_config)
        for view_seed in view_seeds(seed)
    ]
    # An index into an empty bank cannot be gathered: append one row of inputs,
    # whose mixing ratio is then zero.
    backgrounds = tf.concat([bank, log_mel[:1]], axis=0)
    pair = augment_pair(
        (log_mel, log_mel),
        [tf.gather(backgrounds, drawn["background"]) for drawn in parameters],
        parameters,
        augment_config,
    )
    return finish_views(pair, augment_config)


def view_seeds(seed) -> list:
    """Two independent seeds, each int32 [2], from one int [2]."""
    seed = [tf.cast(part, tf.int32) for part in (seed[0], seed[1])]
    return tf.unstack(tf.random.split(tf.stack(seed), 2))


def augment_pair(
    log_mels,
    backgrounds,
    parameters,
    augment_config: AugmentConfig,
    apply=lambda function, clips: function(clips),
):
    """Applies two drawn chains to a batch.

    Args:
        log_mels: two of float32 [batch, time, mel], one for each view; the same
            one twice unless views show different segments.
        backgrounds: two of float32 [batch, time, mel].
        parameters: two results of `draw_parameters`.
        augment_config: `AugmentConfig`.
        apply: calls a per-clip function with a batch of its arguments; the
            pipeline does so a few clips at a time.

    Returns:
        float32 [2 * batch, time, mel], the first view of every clip first.
    """
    return tf.concat(
        [
            apply(
                lambda clips: apply_chain(*clips, augment_config),
                (log_mel, background, drawn),
            )
            for log_mel, background, drawn in zip(
                log_mels, backgrounds, parameters, strict=True
            )
        ],
        axis=0,
    )


def finish_views(pair, augment_config: AugmentConfig):
    """Post-normalises (where configured) and splits [2 * batch, time, mel].

    Returns:
        (view_1, view_2), each float32 [batch, time, mel].
    """
    if augment_config.post_normalize:
        pair = augment.post_normalize(pair)
    view_1, view_2 = tf.split(pair, 2)
    return view_1, view_2


def draw_parameters(seed, shape, bank_rows, augment_config: AugmentConfig) -> dict:
    """Draws one view's parameters for a batch.

    Args:
        seed: int [2].
        shape: int [3], the batch's [batch, time, mel].
        bank_rows: number of valid backgrounds, int.
        augment_config: `AugmentConfig`.

    Returns:
        `background` int [batch] (index into the bank, 0 when it is empty) and
        `ratio` [batch]; `boxes` int [batch, 4]; `head`, `tail` [batch];
        `noise_ratio` [batch] and `noise` when "gaussian" is in the chain.
    """
    config = augment_config
    batch, num_frames, num_mels = shape[0], shape[1], shape[2]
    uniform = _draws(seed, batch)
    ratio = config.mixup_ratio * uniform("ratio")
    drawn = {
        "background": _integer(uniform("background"), tf.maximum(bank_rows, 1)),
        "ratio": tf.where(bank_rows > 0, ratio, 0.0),
        "head": config.fade_range * (2 * uniform("head") - 1),
        "tail": config.fade_range * (2 * uniform("tail") - 1),
        "noise_ratio": config.gaussian_ratio * uniform("noise_ratio"),
    }
    canvas = canvas_frames(num_frames, config)
    height = _size(uniform("height"), config.crop_mel_range, num_mels, num_mels)
    width = _size(uniform("width"), config.crop_time_range, num_frames, canvas)
    drawn["boxes"] = tf.stack(
        [
            _integer(uniform("mel_start"), num_mels - height + 1),
            _integer(uniform("time_start"), canvas - width + 1),
            height,
            width,
        ],
        axis=1,
    )
    if "gaussian" in config.blocks:
        drawn["noise"] = tf.random.stateless_normal(
            shape, _fold(seed, "noise"), alg="philox"
        )
    return drawn


def apply_chain(log_mel, background, parameters: dict, augment_config: AugmentConfig):
    """Applies the configured blocks, in order, with drawn parameters.

    Args:
        log_mel: float32 [batch, time, mel].
        background: float32 [batch, time, mel], the drawn bank entries.
        parameters: result of `draw_parameters`.
        augment_config: `AugmentConfig`.

    Returns:
        float32 [batch, time, mel].
    """
    drawn = parameters
    canvas_time = canvas_frames(tf.shape(log_mel)[1], augment_config)
    view = log_mel
    for block in augment_config.blocks:
        if block == "mixup":
            mix = _MIXUPS[augment_config.mixup_domain]
            mixed = mix(view, background, drawn["ratio"])
            view = tf.where(drawn["ratio"][:, None, None] > 0, mixed, view)
        elif block == "gaussian":
            view = augment.add_gaussian(view, drawn["noise"], drawn["noise_ratio"])
        elif block == "resize_crop":
            view = augment.resize_crop(view, drawn["boxes"], canvas_time)
        elif block == "fade":
            view = augment.linear_fade(view, drawn["head"], drawn["tail"])
        else:
            raise ValueError(f"`blocks` has an unknown augmentation: {block!r}.")
    return view


def canvas_frames(num_frames, augment_config: AugmentConfig):
    """Length of the random resize crop's canvas for inputs of `num_frames`."""
    scaled = augment_config.canvas_time_scale * tf.cast(num_frames, tf.float32)
    return tf.cast(tf.floor(scaled), tf.int32)


# Each parameter has a stream of its own, so that leaving a block out changes
# no other block's draws.
_STREAMS = (
    "ratio",
    "background",
    "height",
    "width",
    "mel_start",
    "time_start",
    "head",
    "tail",
    "noise_ratio",
    "noise",
)


def _fold(seed, name: str):
    return tf.random.fold_in(seed, _STREAMS.index(name))


def _draws(seed, batch):
    """Returns name -> float32 [batch], uniform in [0, 1)."""
    table = tf.random.stateless_uniform([len(_STREAMS), batch], seed, alg="philox")
    return lambda name: table[_STREAMS.index(name)]


def _integer(uniform, bound):
    """Maps uniform [0, 1) to the integers 0 ... bound - 1."""
    drawn = tf.cast(uniform * tf.cast(bound, tf.float32), tf.int32)
    return tf.minimum(drawn, bound - 1)


def _size(uniform, scale_range, length, limit):
    low, high = scale_range
    scale = low + (high - low) * uniform
    size = tf.cast(tf.floor(scale * tf.cast(length, tf.float32)), tf.int32)
    return tf.clip_by_value(size, 1, limit)
