"""TF-Hub audio models: what they take and return is read from their signature.

The published conventions: VGGish and YAMNet take one mono waveform [samples] at
16 kHz and return frames [time, d]; YAMNet returns (scores, embeddings,
spectrogram), of which the second is meant. TRILL and FRILL take `samples`
[samples] or [batch, samples] and `sample_rate`, and return a dict with
`embedding` and, TRILL, `layer19` (12,288-d, the one evaluated in the paper).
"""

import contextlib
import dataclasses
import socket
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from byola_tf import fetching
from byola_tf.errors import UserError
from train_lib.probe.models.audio_model import DEFAULT_RATE, AudioModel, pooled

_NAMES = ("layer19", "embedding", "embeddings", "default", "output_0")
_SERVER_SECONDS = 60.0
_RATE_NAMES = ("sample_rate", "sampling_rate", "sr")


@dataclasses.dataclass(frozen=True)
class Convention:
    """How a model is called.

    Attributes:
        function: the loaded model or one of its signatures.
        waveform: name of the waveform's argument.
        rate: name of the sampling rate's, or None.
        rate_dtype: of that argument.
        keyword: whether arguments go by name.
        rank: 1 for one clip [samples] a call, 2 for [batch, samples].
        batch: fixed size of the batch axis, or None.
    """

    function: Callable
    waveform: str
    rate: str | None
    rate_dtype: tf.DType | None
    keyword: bool
    rank: int
    batch: int | None

    def __call__(self, waveform: np.ndarray, sample_rate: int):
        """Calls it with float32 [samples] or [batch, samples]."""
        arguments = {self.waveform: tf.constant(waveform)}
        if self.rate:
            arguments[self.rate] = tf.constant(sample_rate, self.rate_dtype)
        if self.keyword:
            return self.function(**arguments)
        return self.function(*arguments.values())


class HubModel(AudioModel):
    """A SavedModel of others.

    Args:
        loaded: what `tf.saved_model.load` returned.
        fingerprint: see `AudioModel`.
        output: name or number of the output; chosen by the published
            conventions when empty.
        pooling: of frames; mean+max when None.
        sample_rate: 16 kHz when None.

    Raises:
        UserError: it takes no waveform, or has several outputs and none of a
            known name.
    """

    def __init__(
        self,
        loaded,
        fingerprint: str,
        output: str = "",
        pooling: str | None = None,
        sample_rate: int | None = None,
    ):
        self.name = "hub"
        self.fingerprint = fingerprint
        self.sample_rate = sample_rate or DEFAULT_RATE
        self._loaded = loaded  # its functions do not keep it alive
        self._pooling = pooling
        self._output = output
        self._convention = find_convention(loaded)

    def embed(self, waveform: np.ndarray) -> np.ndarray:
        """See `AudioModel.embed`."""
        convention = self._convention
        if convention.rank == 2 and convention.batch is None:
            output = self._call(waveform)
        else:
            clips = waveform[:, None] if convention.rank == 2 else waveform
            output = np.stack([_frames(self._call(clip)) for clip in clips])
        return pooled(output, len(waveform), self._pooling, self.name)

    def _call(self, waveform: np.ndarray) -> np.ndarray:
        try:
            outputs = self._convention(waveform, self.sample_rate)
        except (tf.errors.InvalidArgumentError, ValueError) as error:
            raise UserError(
                f"{self.name!r} must take clips of {waveform.shape[-1]} samples. "
                f"Received: {str(error).strip().splitlines()[0]} Choose another "
                "--unit_seconds."
            ) from error
        return choose_output(outputs, self._output).numpy()


def find_convention(loaded) -> Convention:
    """Reads from a loaded SavedModel how to call it.

    Raises:
        UserError: nothing in it takes a waveform.
    """
    candidates = [
        *_concrete_conventions(loaded),
        *_signature_conventions(getattr(loaded, "signatures", {})),
    ]
    if not candidates:
        raise UserError(
            "A TF-Hub model must have a function that takes one float32 waveform "
            "[samples] or [batch, samples], maybe with a sampling rate. Received: "
            f"{_described(loaded)}. Wrap it: --model=python:MODULE:FUNCTION."
        )
    # a free batch axis is quickest
    return max(candidates, key=lambda found: found.rank == 2 and not found.batch)


def choose_output(outputs, name: str = "") -> tf.Tensor:
    """The embedding among what a model returned.

    Args:
        outputs: tensor, tuple of tensors, or dict of tensors.
        name: key, or position from 0; by the published conventions if empty.

    Raises:
        UserError: no such output, or several and none of a known name.
    """
    named = _named(outputs)
    if name:
        if name not in named:
            raise UserError(
                f"The output after # must be one of {_listed(named)}. Received: "
                f"{name!r}."
            )
        return named[name]
    if len(named) == 1:
        return next(iter(named.values()))
    if isinstance(outputs, list | tuple) and len(named) == 3:
        return named["1"]  # YAMNet: scores, embeddings, spectrogram
    known = [key for key in _NAMES if key in named]
    if not known:
        raise UserError(
            "A model with several outputs must have one called embedding. Received: "
            f"{_listed(named)}. Choose with --model=PATH#NAME."
        )
    return named[known[0]]


def resolve(handle: str) -> str:
    """The folder of a TF-Hub model; downloads a handle.

    Raises:
        UserError: tensorflow-hub is absent, or the model cannot be had.
    """
    try:
        import tensorflow_hub
    except ImportError as error:
        raise UserError(
            "A TF-Hub handle must have tensorflow-hub installed. Received: "
            f"{handle!r} without it. pip install 'byola-tf[export]'."
        ) from error
    try:
        with (
            _silence_ends_after(_SERVER_SECONDS),
            fetching.Fetcher(
                lambda: [tensorflow_hub.resolve(handle)],
                lambda: f"the server of {handle!r}",
            ) as answers,
        ):
            return next(answers)
    except Exception as error:  # urllib, tarfile and its own, with no common base
        raise UserError(
            "A TF-Hub model must be a folder or a handle that can be downloaded. "
            f"Received: {handle!r} ({error}). Check it, or download it by hand."
        ) from error


@contextlib.contextmanager
def _silence_ends_after(seconds: float) -> Iterator[None]:
    """Limits how long a server may say nothing; tensorflow-hub itself sets no limit."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _concrete_conventions(loaded) -> list[Convention]:
    function = loaded if callable(loaded) else None
    found = []
    for concrete in getattr(
        getattr(loaded, "__call__", None),  # noqa: B004  the restored function
        "concrete_functions",
        [],
    ):
        args, kwargs = concrete.structured_input_signature
        named = [
            (getattr(spec, "name", None) or str(index), spec)
            for index, spec in enumerate(args)
        ]
        positional = bool(args)
        named += list(kwargs.items())
        specs = [(name, spec) for name, spec in named if _is_spec(spec)]
        if any(not _is_spec(spec) and spec is True for _, spec in named):
            continue  # traced for training=True
        keyword = not positional
        found += _conventions(function, specs, keyword)
    return found


def _signature_conventions(signatures) -> list[Convention]:
    found = []
    for name in ("serving_default", "default"):
        if name in signatures:
            function = signatures[name]
            kwargs = function.structured_input_signature[1]
            found += _conventions(function, list(kwargs.items()), keyword=True)
    return found


def _conventions(function, specs, keyword: bool) -> list[Convention]:
    waveforms = [
        (name, spec)
        for name, spec in specs
        if spec.dtype == tf.float32 and spec.shape.rank in (1, 2)
    ]
    scalars = [(name, spec) for name, spec in specs if spec.shape.rank == 0]
    rates = [pair for pair in scalars if pair[0] in _RATE_NAMES] or scalars
    if len(waveforms) != 1 or len(waveforms) + len(rates[:1]) != len(specs):
        return []
    name, spec = waveforms[0]
    rate = rates[0] if rates else (None, None)
    return [
        Convention(
            function,
            name,
            rate[0],
            rate[1].dtype if rate[1] is not None else None,
            keyword,
            spec.shape.rank,
            spec.shape[0] if spec.shape.rank == 2 else None,
        )
    ]


def _is_spec(value) -> bool:
    return isinstance(value, tf.TensorSpec)


def _named(outputs) -> dict:
    if isinstance(outputs, dict):
        return dict(outputs)
    if isinstance(outputs, list | tuple):
        return {str(index): value for index, value in enumerate(outputs)}
    return {"0": outputs}


def _frames(array: np.ndarray) -> np.ndarray:
    """One clip's [1, time, d] or [time, d] to [time, d]; [d] as it is."""
    return array[0] if array.ndim == 3 and len(array) == 1 else array


def _listed(named: dict) -> str:
    return ", ".join(f"{name} {list(value.shape)}" for name, value in named.items())


def _described(loaded) -> str:
    signatures = getattr(loaded, "signatures", {})
    return f"signatures {sorted(signatures)}" if signatures else "no signature"
