"""The configuration tree of an experiment; its defaults are the paper's v2 model.

Plain dataclasses, so that `ml_collections.config_flags` can override any field
from the command line (`--config.train.batch_size=64`) and so that a resolved
configuration travels as JSON inside every checkpoint and exported model.
References are to Niizumi et al., TASLP 2023 (v2) and IJCNN 2021 (v1).
"""

import dataclasses

from byola_tf import config_json, validation

EPSILON = 1.1920929e-07  # float32 machine epsilon: inside every logarithm


# of fields that 0.1.0 did not have; see `Config.to_json`
_SINCE_0_2 = {"since": "0.2.0"}


@dataclasses.dataclass
class FrontendConfig:
    """Waveform to log-mel spectrogram (TASLP section III-B).

    Attributes:
        sample_rate: sampling rate of the waveform, Hz.
        n_fft: length of the Fourier transform, samples.
        win_length: length of the Hann window, samples; at most `n_fft`.
        hop_length: distance between frames, samples.
        n_mels: number of mel bins.
        f_min: lower edge of the lowest mel filter, Hz.
        f_max: upper edge of the highest mel filter, Hz.
        mel_scale: "slaney" with area normalisation (v2), or "htk" without (v1).
    """

    sample_rate: int = 16000
    n_fft: int = 1024
    win_length: int = 1024
    hop_length: int = 160
    n_mels: int = 64
    f_min: float = 60.0
    f_max: float = 7800.0
    mel_scale: str = "slaney"

    def num_frames(self, num_samples: int) -> int:
        """Number of log-mel frames of `num_samples` samples."""
        return 1 + num_samples // self.hop_length


@dataclasses.dataclass
class DataConfig:
    """Where the sounds come from and how they are cut.

    Attributes:
        pattern: a folder, or a glob in which `**` stands for any number of
            folders; files without an audio extension are ignored. Or shards
            made by `byola prepare`: their folder, or a glob of them.
        exclude: text file with the path of a recording to leave out on each
            line, as the corpus doctor (`byola corpus`) writes it.
        tfds: NAME:SPLIT, an audio data set of tensorflow-datasets in place of
            `pattern`.
        service: address of a tf.data service dispatcher (grpc://HOST:PORT)
            whose workers read and crop; needs shards.
        wait_seconds: how long a data service, or another process that writes the
            same cache, may be silent before the wait is given up.
        unit_seconds: length of one training crop, seconds.
        num_segments: 1, both views show one crop, as published, or 2, each view
            shows a crop of its own from the same recording (ATST).
        cache_dir: where decoded 16-bit waveforms are kept; "" means
            `WORKDIR/cache`.
        cache_limit_gb: above this size nothing is cached and every epoch
            decodes the files again.
        statistics_samples: number of random crops from which the corpus mean
            and standard deviation are computed.
        num_decode_threads: threads that decode files.
        decoder: what decodes plain WAV files (8 or 16 bits, the corpus's rate):
            "soundfile" (libsndfile), "tensorflow_io" inside the graph, or "auto",
            whichever is faster here. The samples are the same to the bit. Measured
            on two shared cores with batches of 256 clips of 5 s: 3.5 times as many
            crops a second, 1.6 times through to the views, where nothing is cached;
            no gain where a cache or shards are written. So "auto" takes
            tensorflow-io for uncached folders alone. All else is libsndfile's.
        max_hours: longest recording that is decoded; a longer one is left out and
            named. It guards against files of a few bytes that hold days of silence.
        sharding: of multi-worker runs: "global" repeats the whole input on
            every worker, exact; "worker" gives each its own part of the files
            and its own bank and post-normalisation, for scale.
    """

    pattern: str = ""
    exclude: str = ""
    tfds: str = ""
    service: str = ""
    wait_seconds: float = dataclasses.field(default=60.0, metadata=_SINCE_0_2)
    unit_seconds: float = 0.95
    num_segments: int = 1
    cache_dir: str = ""
    cache_limit_gb: float = 20.0
    statistics_samples: int = 10_000
    num_decode_threads: int = 4
    decoder: str = dataclasses.field(default="auto", metadata=_SINCE_0_2)
    max_hours: float = dataclasses.field(default=100.0, metadata=_SINCE_0_2)
    sharding: str = "global"


@dataclasses.dataclass
class AugmentConfig:
    """The chain that turns a log-mel into two views (TASLP section III-C).

    Attributes:
        blocks: the augmentations in order, a subset of "mixup", "resize_crop",
            "fade" and "gaussian".
        mixup_ratio: upper bound of the background's weight (alpha).
        mixup_domain: where sounds are mixed: "power", between exponentials, as
            published (log-mixup-exp), or "log", the log-mels themselves.
        bank_size: number of past inputs kept as backgrounds.
        canvas_time_scale: canvas length of the random resize crop, in inputs.
        crop_mel_range: crop height drawn from this range, in inputs.
        crop_time_range: crop width drawn from this range, in inputs.
        fade_range: head and tail of the linear fader are in [-range, range].
        gaussian_ratio: upper bound of the noise ratio of "gaussian".
        post_normalize: whether both views of a batch are normalised together.
    """

    blocks: tuple[str, ...] = ("mixup", "resize_crop", "fade")
    mixup_ratio: float = 0.2
    mixup_domain: str = "power"
    bank_size: int = 2048
    canvas_time_scale: float = 1.5
    crop_mel_range: tuple[float, float] = (0.6, 1.5)
    crop_time_range: tuple[float, float] = (0.6, 1.5)
    fade_range: float = 1.0
    gaussian_ratio: float = 0.4
    post_normalize: bool = True


@dataclasses.dataclass
class EncoderConfig:
    """The encoder (TASLP section III-D, figure 3; variants: V-E, appendix A).

    Attributes:
        n_mels: mel bins of the input.
        architecture: the backbone: "convolutional" as published, "resnet18",
            "resnet50", a name given to `backbones.register`, or
            MODULE:FUNCTION, a network of your own.
        num_blocks: convolution blocks; each halves time and mel.
        channels: convolution channels.
        last_block_halves_mel: whether the last block halves mel too, as
            published, or keeps its resolution (twice the local features).
        narrow_receptive_field: of the residual networks: fewer strides, as in
            the published comparison, or those of the original ones.
        local_features: what makes one vector a frame of the backbone's output:
            "flatten" as published, "frequency_mean", "frequency_max" or
            "channel_mean".
        mlp: whether dense layers follow; without them the local features are
            the embedding.
        hidden_units: width of the first dense layer.
        output_units: width of the second dense layer (the global features).
        dropout: rate between the two dense layers.
        concatenate_local: whether the local features go in front of the dense
            ones (v2) or not (v1).
        pooling: over time: "mean+max" (their sum), "mean", "max", "attention"
            (learned weights) or "flatten" (frames side by side).
        flatten_frames: frames that "flatten" puts side by side; 24 are a crop
            of 0.95 s. Longer clips are averages of such parts.
    """

    n_mels: int = 64
    architecture: str = "convolutional"
    num_blocks: int = 2
    channels: int = 64
    last_block_halves_mel: bool = True
    narrow_receptive_field: bool = True
    local_features: str = "flatten"
    mlp: bool = True
    hidden_units: int = 2048
    output_units: int = 2048
    dropout: float = 0.3
    concatenate_local: bool = True
    pooling: str = "mean+max"
    flatten_frames: int = 24

    # Sizes that follow from these fields; `networks.geometry` derives them.

    @property
    def time_stride(self) -> int:
        """Log-mel frames per frame embedding."""
        return _geometry().of(self).time_stride

    @property
    def local_units(self) -> int:
        """Width of the local features of a frame."""
        return _geometry().local_units(self)

    @property
    def frame_embedding_size(self) -> int:
        """Width of a frame embedding."""
        return _geometry().frame_embedding_size(self)

    @property
    def embedding_size(self) -> int:
        """Width of a clip embedding."""
        return _geometry().embedding_size(self)


def _geometry():
    # imported late: it imports Keras, which reading a configuration needs not,
    # and this module
    from byola_tf.networks import geometry

    return geometry


@dataclasses.dataclass
class BYOLConfig:
    """Heads and target network (Grill et al. 2020; TASLP section III-A).

    Attributes:
        hidden_units: hidden width of projector and predictor.
        projection_units: output width of projector and predictor.
        ema_decay: share of the old target weights kept by each step (tau).
        ema_schedule: "constant" as published, or "cosine", a ramp of the decay
            to 1 over the run.
        predictor: whether the online network has a predictor; without one it
            collapses (ablation of TASLP table XII).
        symmetric: whether each view predicts the other, as published, or only
            the first one the second.
        target_start: where the target's weights start: "online", as a copy, or
            "random", of their own (with an `ema_decay` of 1: a random target).
    """

    hidden_units: int = 4096
    projection_units: int = 256
    ema_decay: float = 0.99
    ema_schedule: str = "constant"
    predictor: bool = True
    symmetric: bool = True
    target_start: str = "online"


@dataclasses.dataclass
class TrainConfig:
    """Optimisation and bookkeeping.

    Attributes:
        batch_size: crops per step over all devices.
        epochs: passes over the corpus.
        steps: number of steps; overrides `epochs` when given.
        seconds: time budget of one run; it stops, resumable, when used up.
        learning_rate: Adam's.
        adam_epsilon: Adam's epsilon, as Keras applies it.
        schedule: "constant" as published, or "cosine" to zero.
        warmup_steps: steps over which the learning rate rises from zero.
        weight_decay: AdamW's; biases and batch normalisation are left out.
        clip_norm: global norm to which gradients are clipped; 0 does not.
        accumulate_steps: parts into which a batch is split to save memory;
            their gradients are averaged (batch normalisation sees the parts).
        strategy: "auto" (all accelerators), "one", "mirrored" or
            "multi_worker" (TF_CONFIG).
        wait_seconds: how long the workers of a multi-worker job wait for each other
            at its start.
        precision: "float32", "mixed_bfloat16", "mixed_float16", or "auto":
            bfloat16 where the hardware runs it natively.
        log_every_steps: steps between logged losses.
        checkpoint_every_steps: steps between checkpoints; an epoch when 0.
        keep_checkpoints: number of newest checkpoints kept, beside the best.
        stop_on_collapse: whether a collapse of the embedding stops the run.
        probe_metadata: CSV of a labelled task on which the encoder is probed
            while it trains; "" does not.
        probe_audio: folder that the CSV's file names are relative to; its own
            when "".
        probe_unit_seconds: length of the probe's crops, seconds.
        probe_every_epochs: epochs between probes.
        probe_patience: probes without improvement after which the run stops;
            0 never does.
        projector_every_epochs: epochs between TensorBoard embedding
            projections; 0 makes none.
    """

    batch_size: int = 256
    epochs: int = 100
    steps: int | None = None
    seconds: float | None = None
    learning_rate: float = 1e-4
    adam_epsilon: float = 1e-8
    schedule: str = "constant"
    warmup_steps: int = 0
    weight_decay: float = 0.0
    clip_norm: float = 0.0
    accumulate_steps: int = 1
    strategy: str = "auto"
    wait_seconds: float = dataclasses.field(default=600.0, metadata=_SINCE_0_2)
    precision: str = "float32"
    log_every_steps: int = 10
    checkpoint_every_steps: int = 0
    keep_checkpoints: int = 2
    stop_on_collapse: bool = True
    probe_metadata: str = ""
    probe_audio: str = ""
    probe_unit_seconds: float = 1.0
    probe_every_epochs: int = 1
    probe_patience: int = 0
    projector_every_epochs: int = 0


@dataclasses.dataclass
class Config:
    """Everything that defines an experiment; see the sections' docstrings."""

    seed: int = 42
    frontend: FrontendConfig = dataclasses.field(default_factory=FrontendConfig)
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    augment: AugmentConfig = dataclasses.field(default_factory=AugmentConfig)
    encoder: EncoderConfig = dataclasses.field(default_factory=EncoderConfig)
    byol: BYOLConfig = dataclasses.field(default_factory=BYOLConfig)
    train: TrainConfig = dataclasses.field(default_factory=TrainConfig)

    @property
    def unit_samples(self) -> int:
        """Length of one training crop, samples."""
        return int(round(self.frontend.sample_rate * self.data.unit_seconds))

    @property
    def unit_frames(self) -> int:
        """Length of one training crop, log-mel frames."""
        return self.frontend.num_frames(self.unit_samples)

    def to_json(self) -> str:
        """The tree as indented JSON text.

        Fields that 0.1.0 did not have are left out where they have their
        default, so that older versions open what they can compute.
        """
        return config_json.write(self)

    @classmethod
    def from_json(cls, text: str, trusted: bool = False) -> "Config":
        """Reads what `to_json` wrote; absent fields keep their defaults.

        Args:
            text: JSON.
            trusted: whether the text is the user's own words: a network
                MODULE:FUNCTION in it is a `config_json.NameInFile` otherwise.

        Raises:
            UserError: it is no JSON, no tree of sections, or names a field that
                this version does not know and that is not off.
        """
        config = config_json.read(cls, text)
        name = config.encoder.architecture
        if isinstance(name, str) and ":" in name and not trusted:
            config.encoder.architecture = config_json.NameInFile(name)
        return config

    def validate(self) -> "Config":
        """Returns itself; see `validation.validate`."""
        return validation.validate(self)
