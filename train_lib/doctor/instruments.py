"""What is measured of a stream of samples, piece by piece.

Every class takes consecutive pieces of one file through `update`, so that an
hour of sound needs no more memory than a second.
"""

import numpy as np

FRAME_SECONDS = 0.01
FLOOR_DB = -120.0  # digital silence is given this level
CLIPPED_RUN = 3  # consecutive samples at full scale; one or two are mere peaks

# The largest code of the coarse subtypes. Others reach that of 16 bits, which
# is also where training clips.
_FULL_SCALE = {
    "PCM_S8": 127 / 128,
    "PCM_U8": 127 / 128,
    "ULAW": 32124 / 32768,
    "ALAW": 32256 / 32768,
}
_FULL_SCALE_16_BIT = 32767 / 32768
_ROUNDING = 1e-6

_WINDOW_SECONDS = 0.04
_WINDOWS_PER_PIECE = 64
_BAND_HZ = 125.0
_TOP_HZ = 8000.0
_LOWEST_END_HZ = 2000.0  # below, a steep end is the nature of the sound
_EMPTY_BELOW_PEAK_DB = 75.0
_EMPTY_ABOVE_NOISE_DB = 10.0
_STEEP_DB = 20.0
_EDGE_DB = 12.0


def decibels(power) -> np.ndarray:
    """10 log10 of a power, not below `FLOOR_DB`."""
    return 10 * np.log10(np.maximum(power, 10 ** (FLOOR_DB / 10)))


def frame_length(sample_rate: int) -> int:
    """Samples of 10 ms, and enough of them to have a level."""
    return max(16, round(sample_rate * FRAME_SECONDS))


def piece_length(sample_rate: int) -> int:
    """Samples a piece: about 2**18, a whole number of frames."""
    frame = frame_length(sample_rate)
    return max(1, 2**18 // frame) * frame


class Level:
    """Level and offset of a mono signal, and the share of silent frames.

    Frames are measured about their own mean, so an offset is no sound.
    """

    def __init__(self, sample_rate: int, silence_db: float):
        self._frame = frame_length(sample_rate)
        self._silence = 10 ** (silence_db / 10)
        self._count = 0
        self._sum = self._squares = 0.0
        self._frames = self._silent_frames = 0
        self._loudest = 0.0

    def update(self, mono: np.ndarray) -> None:
        """Adds a piece, float32 [samples]."""
        mono = mono.astype(np.float64)
        self._count += len(mono)
        self._sum += mono.sum()
        self._squares += np.dot(mono, mono)
        frame = min(self._frame, len(mono))
        whole = len(mono) // frame * frame
        power = mono[:whole].reshape(-1, frame).var(axis=1)  # [frames]
        self._frames += len(power)
        self._silent_frames += int((power < self._silence).sum())
        self._loudest = max(self._loudest, float(power.max()))

    @property
    def offset(self) -> float:
        """Mean of the samples."""
        return self._sum / self._count

    @property
    def power(self) -> float:
        """Mean square about the mean."""
        return max(0.0, self._squares / self._count - self.offset**2)

    @property
    def level_db(self) -> float:
        """Root mean square about the mean, dB re full scale."""
        return float(decibels(self.power))

    @property
    def loudest_frame_db(self) -> float:
        """Level of the loudest 10 ms, dB re full scale."""
        return float(decibels(self._loudest))

    @property
    def silent_share(self) -> float:
        """Share of 10 ms frames below the silence level."""
        return self._silent_frames / self._frames


class Channels:
    """Peak, clipping and mean power of the channels before mixing down."""

    def __init__(self, subtype: str):
        self._full_scale = _FULL_SCALE.get(subtype, _FULL_SCALE_16_BIT) - _ROUNDING
        self._count = self._clipped = 0
        self._squares = 0.0
        self._sums = 0.0
        self.peak = 0.0

    def update(self, samples: np.ndarray) -> None:
        """Adds a piece, float32 [samples, channels]."""
        peak = float(np.abs(samples).max(initial=0))
        self.peak = max(self.peak, peak)
        self._count += len(samples)
        self._sums = self._sums + samples.sum(axis=0, dtype=np.float64)
        squares = np.square(samples, dtype=np.float64)
        self._squares = self._squares + squares.sum(axis=0)
        if peak < self._full_scale:
            return
        for side in (samples >= self._full_scale, samples <= -self._full_scale):
            self._clipped += _in_runs(side)

    @property
    def clipped_share(self) -> float:
        """Share of samples that are in runs at full scale."""
        return self._clipped / (self._count * np.size(self._squares))

    @property
    def power(self) -> float:
        """Mean square about the mean, averaged over the channels."""
        variance = self._squares / self._count - np.square(self._sums / self._count)
        return max(0.0, float(np.mean(variance)))


def _in_runs(marks: np.ndarray) -> int:
    """Counts the marks of bool [samples, channels] that are in long runs."""
    lasts = len(marks) - CLIPPED_RUN + 1
    if lasts < 1:
        return 0
    starts = marks[:lasts].copy()  # where a run goes on for CLIPPED_RUN samples
    for shift in range(1, CLIPPED_RUN):
        starts &= marks[shift : shift + lasts]
    runs = starts[:1].sum() + (starts[1:] & ~starts[:-1]).sum()
    return int(starts.sum() + runs * (CLIPPED_RUN - 1))


class Spectrum:
    """Average power spectrum of a mono signal, to see where it ends."""

    def __init__(self, sample_rate: int, subtype: str):
        self._rate = sample_rate
        self._length = 2 ** max(4, round(np.log2(sample_rate * _WINDOW_SECONDS)))
        self._window = np.hanning(self._length + 1)[:-1].astype(np.float32)
        self._power = np.zeros(self._length // 2 + 1)
        self._windows = 0
        step = 1 / 128 if _FULL_SCALE.get(subtype, 1) < 1 else 1 / 32768
        self._noise_db = float(decibels(step**2 / 12))  # of the rounding

    def update(self, mono: np.ndarray) -> None:
        """Adds some windows of a piece, float32 [samples]."""
        if len(mono) < self._length:
            mono = np.pad(mono, (0, self._length - len(mono)))
        room = len(mono) - self._length
        count = min(_WINDOWS_PER_PIECE, 1 + room // self._length)
        starts = np.linspace(0, room, count).astype(int)
        windows = np.lib.stride_tricks.sliding_window_view(mono, self._length)[starts]
        transform = np.fft.rfft(windows * self._window)
        power = np.square(transform.real) + np.square(transform.imag)
        self._power += power.sum(axis=0) / np.square(self._window).sum()
        self._windows += count

    @property
    def end_hz(self) -> float:
        """Frequency at which the sound ends abruptly.

        Half the sampling rate unless everything above some lower frequency,
        from 2 kHz up, is empty and the sound falls into that emptiness
        steeply: the mark of a lower sampling rate or of a telephone.
        """
        half = self._rate / 2
        bands = int(min(half, _TOP_HZ) / _BAND_HZ)
        if bands < 2:
            return half
        bin_hz = self._rate / self._length
        edges = np.round(np.arange(bands + 1) * _BAND_HZ / bin_hz).astype(int)
        total = np.concatenate([[0], np.cumsum(self._power / self._windows)])
        level = decibels(np.diff(total[edges]) / np.diff(edges))[1:]  # [band]
        empty = max(
            self._noise_db + _EMPTY_ABOVE_NOISE_DB, level.max() - _EMPTY_BELOW_PEAK_DB
        )
        occupied = np.flatnonzero(level > empty)
        if not len(occupied):
            return half
        last = occupied[-1]
        inside = level[max(0, last - 6) : max(1, last - 2)].mean()
        steep = inside - empty >= _STEEP_DB
        edge = np.flatnonzero(level[: last + 1] >= inside - _EDGE_DB)[-1]
        end_hz = (edge + 2) * _BAND_HZ  # the first band was left out
        if end_hz < _LOWEST_END_HZ or not steep or last >= len(level) - 2:
            return half
        return float(end_hz)
