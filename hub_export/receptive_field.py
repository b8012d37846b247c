"""The piece of audio that a frame embedding sees."""

import dataclasses

from byola_tf.config import Config


@dataclasses.dataclass(frozen=True)
class Geometry:
    """What a frame embedding sees, in samples; see `geometry`.

    Attributes:
        hop: samples between the starts of two frame embeddings.
        look_ahead: samples after its start that a frame embedding needs.
        edge_frames: first rows of a window that see its start.
        center: samples from a frame's start to its centre.
    """

    hop: int
    look_ahead: int
    edge_frames: int
    center: float

    def num_final(self, num_samples: int) -> int:
        """Frame embeddings that no further sample will change."""
        return max(0, (num_samples - self.look_ahead) // self.hop + 1)

    def num_samples(self, num_frames: int) -> int:
        """Samples from the start of the first to the last one that is needed."""
        return (num_frames - 1) * self.hop + self.look_ahead


def geometry(config: Config) -> Geometry:
    """Derives the receptive field from a configuration.

    With a time stride of s, frame embedding t covers the log-mel frames s·t to
    s·t + s - 1, and each convolution of three adds its own stride at both ends:
    1 + 2 + ... + s / 2 = s - 1 log-mel frames. A log-mel frame is centred and takes
    n_fft / 2 samples on each side.
    """
    stride = config.encoder.time_stride
    hop, half = config.frontend.hop_length, config.frontend.n_fft // 2
    context = stride - 1
    reflected = -(-half // hop)  # first log-mel frames that see the window's start
    return Geometry(
        hop=stride * hop,
        look_ahead=(stride - 1 + context) * hop + half,
        edge_frames=-(-(reflected + context) // stride),
        center=(stride - 1) / 2 * hop,
    )
