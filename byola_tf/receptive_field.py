"""The piece of audio that a frame embedding sees."""

import dataclasses

from byola_tf.config import Config
from byola_tf.networks import backbones


@dataclasses.dataclass(frozen=True)
class ReceptiveField:
    """What a frame embedding sees, in samples; see `of`.

    Attributes:
        hop: samples between the starts of two frame embeddings.
        look_ahead: samples after its start that a frame embedding needs.
        edge_frames: first rows of a window that see its start.
        end_frames: last rows of a window that see its end.
        center: samples from a frame's start to its centre.
        num_samples_seen: length of the piece.
    """

    hop: int
    look_ahead: int
    edge_frames: int
    end_frames: int
    center: float
    num_samples_seen: int

    def num_final(self, num_samples: int) -> int:
        """Frame embeddings that no further sample will change."""
        return max(0, (num_samples - self.look_ahead) // self.hop + 1)

    def num_samples(self, num_frames: int) -> int:
        """Samples from the start of the first to the last one that is needed."""
        return (num_frames - 1) * self.hop + self.look_ahead


def of(config: Config) -> ReceptiveField | None:
    """Derives the receptive field from a configuration.

    A frame embedding sees the log-mel frames that its backbone's `Geometry` says. A
    log-mel frame is centred and takes n_fft / 2 samples on each side.

    Returns:
        `ReceptiveField`; None of a backbone that does not say what it sees.
    """
    geometry = backbones.geometry(config.encoder)
    if geometry.first_seen is None:
        return None
    stride = geometry.time_stride
    hop, half = config.frontend.hop_length, config.frontend.n_fft // 2
    reflected = -(-half // hop)  # log-mel frames that see a window's edge
    return ReceptiveField(
        hop=stride * hop,
        look_ahead=geometry.last_seen * hop + half,
        edge_frames=-(-(reflected - geometry.first_seen) // stride),
        end_frames=-(-(reflected + geometry.last_seen) // stride),
        center=geometry.first_centre * hop,
        num_samples_seen=(geometry.last_seen - geometry.first_seen) * hop + 2 * half,
    )
