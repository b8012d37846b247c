"""The sizes of an encoder: strides, widths, and the piece of audio that it sees.

Arithmetic on a configuration: no weights are made here. Where a network was
plugged in, its layer is asked for the shape of its output.
"""

import dataclasses
from collections.abc import Callable

import keras

from byola_tf.config import Config, EncoderConfig
from byola_tf.errors import UserError
from byola_tf.networks import backbones, resnet


@dataclasses.dataclass(frozen=True)
class Geometry:
    """Shape of a backbone's output.

    Attributes:
        time_stride: log-mel frames per output frame.
        mel_bins: output bins along mel.
        channels: output channels.
        first_seen: first log-mel frame that output frame 0 sees, of a signal
            without a start; None if that is unknown.
        last_seen: the last one.
        rounds_up: whether a last part shorter than the stride makes a frame.
    """

    time_stride: int
    mel_bins: int
    channels: int
    first_seen: int | None
    last_seen: int | None
    rounds_up: bool = False

    @property
    def first_centre(self) -> float:
        """Where output frame 0 is centred, log-mel frames."""
        if self.first_seen is None:
            return (self.time_stride - 1) / 2
        return (self.first_seen + self.last_seen) / 2

    def num_frames(self, num_log_mel_frames):
        """Output frames of so many log-mel frames, int or int32 tensor."""
        extra = self.time_stride - 1 if self.rounds_up else 0
        return (num_log_mel_frames + extra) // self.time_stride


@dataclasses.dataclass(frozen=True)
class ReceptiveField:
    """What a frame embedding sees of a waveform; see `receptive_field`.

    Attributes:
        hop: samples between the starts of two frame embeddings.
        look_ahead: samples after its start that have to be there.
        edge_frames: first rows of a window that reach over its start.
        end_frames: last rows of a window that reach over its end.
        center: samples from a frame's start to its centre.
        num_log_mel_frames: log-mel frames in the piece.
        num_samples_seen: length of the piece.
    """

    hop: int
    look_ahead: int
    edge_frames: int
    end_frames: int
    center: float
    num_log_mel_frames: int
    num_samples_seen: int

    def num_final(self, num_samples: int) -> int:
        """Frame embeddings that no further sample will change."""
        return max(0, (num_samples - self.look_ahead) // self.hop + 1)

    def num_samples(self, num_frames: int) -> int:
        """Samples from the start of the first to the last one that is needed."""
        return (num_frames - 1) * self.hop + self.look_ahead


def of(encoder_config: EncoderConfig) -> Geometry:
    """Shape of the configured backbone's output.

    Raises:
        UserError: see `backbones.make`; or a network that was plugged in makes
            something else than frames.
    """
    name = encoder_config.architecture
    if name == backbones.PUBLISHED:
        return _of_convolution_blocks(encoder_config)
    if name in backbones.RESIDUAL:
        return _of_resnet(encoder_config)
    key = (backbones.factory(name), encoder_config.n_mels)
    if key not in _MEASURED:
        _MEASURED[key] = _measure(encoder_config)
    return _MEASURED[key]


def local_units(encoder_config: EncoderConfig) -> int:
    """Width of the local features of a frame."""
    shape = of(encoder_config)
    return {
        "flatten": shape.mel_bins * shape.channels,
        "channel_mean": shape.mel_bins,
    }.get(encoder_config.local_features, shape.channels)


def frame_embedding_size(encoder_config: EncoderConfig) -> int:
    """Width of a frame embedding."""
    local = local_units(encoder_config)
    if not encoder_config.mlp:
        return local
    return encoder_config.output_units + local * encoder_config.concatenate_local


def embedding_size(encoder_config: EncoderConfig) -> int:
    """Width of a clip embedding."""
    flat = encoder_config.pooling == "flatten"
    parts = encoder_config.flatten_frames if flat else 1
    return frame_embedding_size(encoder_config) * parts


def receptive_field(config: Config) -> ReceptiveField | None:
    """Derives from a configuration what a frame embedding sees.

    It sees the log-mel frames that its backbone's `Geometry` says. A log-mel
    frame is centred and transforms n_fft / 2 samples on each side, of which it
    sees the `win_length` in the middle.

    Args:
        config: `Config`; `encoder` and `frontend` are used.

    Returns:
        `ReceptiveField`; None of a backbone that does not say what it sees.

    Raises:
        UserError: see `of`.
    """
    geometry, front = of(config.encoder), config.frontend
    if geometry.first_seen is None:
        return None
    stride, hop, half = geometry.time_stride, front.hop_length, front.n_fft // 2
    reflected = -(-half // hop)  # log-mel frames that reach over a window's edge
    num_frames = geometry.last_seen - geometry.first_seen + 1
    return ReceptiveField(
        hop=stride * hop,
        look_ahead=geometry.last_seen * hop + half,
        edge_frames=-(-(reflected - geometry.first_seen) // stride),
        end_frames=-(-(reflected + geometry.last_seen) // stride),
        center=geometry.first_centre * hop,
        num_log_mel_frames=num_frames,
        num_samples_seen=(num_frames - 1) * hop + front.win_length,
    )


def _of_convolution_blocks(config: EncoderConfig) -> Geometry:
    stride = 2**config.num_blocks
    mel_stride = stride if config.last_block_halves_mel else stride // 2
    # beside the stride's own frames, each block's convolution of three sees one
    # of its inputs more on both sides: 1 + 2 + ... + stride / 2
    context = stride - 1
    return Geometry(
        stride,
        config.n_mels // mel_stride,
        config.channels,
        -context,
        stride - 1 + context,
    )


def _of_resnet(config: EncoderConfig) -> Geometry:
    name = config.architecture
    depths = resnet.DEPTHS[name]
    # how far the kernels of stem, pooling and stages reach, in inputs of their stage
    # before and after the stride
    num_wide = 2 if name == "resnet18" else 1  # 3 x 3 convolutions of a block
    reach = [(3, 0), (1, 0)] + [(1, num_wide * depth - 1) for depth in depths]
    time_stride, mel_bins, radius = 1, config.n_mels, 0
    strides = resnet.strides_of(config)
    for (along_time, along_mel), (before, after) in zip(strides, reach, strict=True):
        radius += before * time_stride
        time_stride *= along_time
        radius += after * time_stride
        mel_bins = -(-mel_bins // along_mel)
    channels = resnet.WIDTHS[-1] * resnet.EXPANSION[name]
    # symmetric padding: output t is centred on input stride * t
    return Geometry(time_stride, mel_bins, channels, -radius, radius, rounds_up=True)


_MEASURED: dict[tuple[Callable, int], Geometry] = {}
_LONG = 4096  # log-mel frames from which a stride is measured


def _measure(config: EncoderConfig) -> Geometry:
    """Reads the geometry of a plugged-in backbone off its output shape."""
    shape = _output_shape(config, _LONG)
    if len(shape) not in (3, 4) or None in shape[1:]:
        raise UserError(
            "The layer of an architecture must map [batch, time, mel, 1] to "
            "[batch, time', mel', channel] or [batch, time', units]. Received: "
            f"{config.architecture!r}, which maps {_LONG} frames to {shape}."
        )
    stride = round(_LONG / shape[1])
    mel_bins = shape[2] if len(shape) == 4 else 1
    rounds_up = stride > 1 and _output_shape(config, 4 * stride + 1)[1] > 4
    measured = Geometry(stride, mel_bins, shape[-1], None, None, rounds_up)
    for num_frames in (_LONG - 1, 6 * stride - 1, 4 * stride + 1, stride):
        count = _output_shape(config, num_frames)[1]
        if count != measured.num_frames(num_frames):
            raise UserError(
                "The layer of an architecture must give a frame for every so many of "
                "its input, rounded down or up, as with padding='same'. Received: "
                f"{config.architecture!r}, which makes {count} of {num_frames} where "
                f"it makes {shape[1]} of {_LONG}."
            )
    return measured


def _output_shape(config: EncoderConfig, num_frames: int) -> tuple:
    spec = keras.KerasTensor((1, num_frames, config.n_mels, 1))
    return backbones.make(config).compute_output_spec(spec).shape
