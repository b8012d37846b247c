"""The augmentation blocks and the chain that makes two views of a log-mel.

Every block is a batched op of explicit parameters; `draw_parameters` makes the
random ones from a stateless seed, `apply_chain` applies them, `make_views` does
both for two views (TASLP section III-C, figure 2). Shapes are
[batch, time, mel] throughout.
"""

import tensorflow as tf

from byola_tf.config import EPSILON, AugmentConfig
from byola_tf.normalize import post_normalize

__all__ = [
    "add_gaussian",
    "apply_chain",
    "augment_pair",
    "draw_parameters",
    "finish_views",
    "linear_fade",
    "log_mixup_exp",
    "make_views",
    "mixup",
    "post_normalize",
    "resize_crop",
    "view_seeds",
]

_CUBIC = -0.75  # kernel coefficient a


def mixup(log_mel, background, ratio):
    """Mixes log-mels as they are (ordinary mixup, in place of `log_mixup_exp`).

    Args:
        log_mel: float32 [batch, time, mel].
        background: float32, same shape.
        ratio: weight of the background, scalar or [batch], in [0, 1).

    Returns:
        float32 [batch, time, mel].
    """
    ratio = _per_sample(ratio)
    return (1.0 - ratio) * log_mel + ratio * background


def log_mixup_exp(log_mel, background, ratio):
    """Mixes sounds in the linear domain (TASLP equation 3).

    Args:
        log_mel: float32 [batch, time, mel].
        background: float32, same shape.
        ratio: weight of the background, scalar or [batch], in [0, 1).

    Returns:
        float32 [batch, time, mel].
    """
    ratio = _per_sample(ratio)
    mixed = (1.0 - ratio) * tf.exp(log_mel) + ratio * tf.exp(background)
    return tf.math.log(mixed + EPSILON)


def add_gaussian(log_mel, noise, ratio):
    """Adds log-normal noise in the linear domain (ablation of TASLP table VI).

    Args:
        log_mel: float32 [batch, time, mel].
        noise: float32, same shape, standard normal.
        ratio: weight and log-domain spread of the noise, scalar or [batch].

    Returns:
        float32 [batch, time, mel].
    """
    ratio = _per_sample(ratio)
    mixed = (1.0 - ratio) * tf.exp(log_mel) + tf.exp(ratio * noise)
    return tf.math.log(mixed + EPSILON)


def linear_fade(log_mel, head, tail):
    """Adds a line over time from `head` to `tail`, both ends included.

    Args:
        log_mel: float32 [batch, time, mel].
        head: level added to the first frame, scalar or [batch].
        tail: level added to the last frame, scalar or [batch].

    Returns:
        float32 [batch, time, mel].
    """
    log_mel = tf.convert_to_tensor(log_mel)
    ramp = tf.linspace(0.0, 1.0, tf.shape(log_mel)[-2])[:, None]  # [time, 1]
    head, tail = _per_sample(head), _per_sample(tail)
    return log_mel + head + (tail - head) * ramp


def resize_crop(log_mel, boxes, canvas_time):
    """Crops a box from a zero canvas and resizes it to the input's size.

    The input lies centred in time on a canvas of `canvas_time` frames. Bicubic
    interpolation (a = -0.75, aligned corners, the crop's border repeated) is
    separable, so the resize is two batched matrix products.

    Args:
        log_mel: float32 [batch, time, mel].
        boxes: int [batch, 4]: mel start, time start, mel size, time size, on
            the canvas.
        canvas_time: int, length of the canvas, frames.

    Returns:
        float32 [batch, time, mel].
    """
    log_mel = tf.convert_to_tensor(log_mel)
    boxes = tf.cast(boxes, tf.int32)
    num_frames, num_mels = tf.shape(log_mel)[1], tf.shape(log_mel)[2]
    offset = (canvas_time - num_frames) // 2
    along_time = _interpolation(boxes[:, 1] - offset, boxes[:, 3], num_frames)
    along_mel = _interpolation(boxes[:, 0], boxes[:, 2], num_mels)
    resized = tf.matmul(along_time, log_mel)  # [batch, time, mel]
    return tf.matmul(resized, along_mel, transpose_b=True)


def _interpolation(start, size, length):
    """Bicubic weights that stretch [start, start + size) over `length` points.

    Args:
        start: int32 [batch]; may be negative: positions outside of
            [0, length) read zeros.
        size: int32 [batch].
        length: number of points of input and output.

    Returns:
        float32 [batch, length, length], output by input.
    """
    batch = tf.shape(start)[0]
    span = tf.cast(size - 1, tf.float32) / tf.cast(
        tf.maximum(length - 1, 1), tf.float32
    )
    position = span[:, None] * tf.range(length, dtype=tf.float32)  # [batch, length]
    floor = tf.floor(position)
    weights = _cubic_weights(position - floor)  # [batch, length, 4]
    taps = tf.cast(floor, tf.int32)[..., None] + tf.range(-1, 3)
    taps = tf.clip_by_value(taps, 0, size[:, None, None] - 1)
    taps += start[:, None, None]
    inside = tf.logical_and(taps >= 0, taps < length)
    weights = tf.where(inside, weights, 0.0)
    rows = tf.reshape(tf.range(batch * length) * length, [batch, length, 1])
    cells = rows + tf.where(inside, taps, 0)
    flat = tf.scatter_nd(
        tf.reshape(cells, [-1, 1]),
        tf.reshape(weights, [-1]),
        [batch * length * length],
    )
    return tf.reshape(flat, [batch, length, length])


def _cubic_weights(fraction):
    """Weights of the four taps around a point (Keys 1981, a = -0.75)."""
    a = _CUBIC
    near = tf.stack([fraction, 1.0 - fraction], axis=-1)  # distances below 1
    inner = ((a + 2) * near - (a + 3)) * near * near + 1
    far = near + 1.0  # distances of 1 to 2
    outer = ((a * far - 5 * a) * far + 8 * a) * far - 4 * a
    return tf.stack(
        [outer[..., 0], inner[..., 0], inner[..., 1], outer[..., 1]], axis=-1
    )


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
        pair = post_normalize(pair)
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
            mix = mixup if augment_config.mixup_domain == "log" else log_mixup_exp
            mixed = mix(view, background, drawn["ratio"])
            view = tf.where(_per_sample(drawn["ratio"]) > 0, mixed, view)
        elif block == "gaussian":
            view = add_gaussian(view, drawn["noise"], drawn["noise_ratio"])
        elif block == "resize_crop":
            view = resize_crop(view, drawn["boxes"], canvas_time)
        elif block == "fade":
            view = linear_fade(view, drawn["head"], drawn["tail"])
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


def _per_sample(parameter):
    """Shapes a scalar or [batch] parameter to act on [batch, time, mel]."""
    return tf.convert_to_tensor(parameter, tf.float32)[..., None, None]
