"""Plain WAV files decoded inside the tf.data graph, by tensorflow-io.

A plain file has the 44-byte header that most programs write, 8 or 16 bits, one or
two channels, and the corpus's own rate: it needs no resampler, and its samples are
those of libsndfile to the bit. Everything else is decoded by libsndfile, in the same
graph, through `tf.numpy_function`.
"""

import os
import stat
import struct
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import tensorflow as tf

from byola_tf.audio import graph
from byola_tf.corpus import soundfile_decoding
from byola_tf.errors import UserError

_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
_HEADER_BYTES = _HEADER.size  # 44
_MOST_BYTES = 1 << 26  # a longer file is read in blocks
_SNIFFED_FILES = 50


def is_wanted(decoder: str, paths: list[str], sample_rate: int) -> bool:
    """Whether tensorflow-io is to decode some files.

    Args:
        decoder: "auto", "soundfile" or "tensorflow_io".
        paths: the files.
        sample_rate: wanted rate, Hz.

    Raises:
        UserError: it is asked for by name, but does not load.
    """
    if decoder == "soundfile":
        return False
    if decoder == "auto":
        rng = np.random.default_rng(0)
        sniffed = rng.permutation(len(paths))[:_SNIFFED_FILES]
        if not any(
            _is_plain(paths[index], sample_rate, _MOST_BYTES) for index in sniffed
        ):
            return False
    if graph.wav_decoder() is not None:
        return True
    if decoder == "auto":
        return False
    raise UserError(
        "`config.data.decoder` must be auto or soundfile where tensorflow-io does not "
        "load. Received: 'tensorflow_io'. Its operations are built for TensorFlow "
        "2.17: use that, or leave the field out."
    )


class GraphReader(soundfile_decoding.DecodingReader):
    """A `DecodingReader` whose batches are decoded in the graph."""

    def read_in_graph(
        self, steps: tf.data.Dataset, draw: Callable, count: int
    ) -> tf.data.Dataset:
        """The crops of each step.

        Args:
            steps: data set of int64 steps.
            draw: function of a step that returns (chosen, positions), see
                `CropReader.read_crops`.
            count: number of crops a step; the last step may have fewer.

        Returns:
            data set of int16 [≤ count, unit].
        """
        decoder = _Decoder(self.paths, *self._settings)

        def drawn(step):
            chosen, positions = tf.numpy_function(
                lambda step: _arrays(*draw(step)),
                [step],
                [tf.int64, tf.float64],
                stateful=False,
            )
            return tf.ensure_shape(chosen, [None]), tf.ensure_shape(positions, [None])

        def crop(index, position):
            is_plain, samples = decoder.decode(index)
            return tf.ensure_shape(
                tf.cond(
                    is_plain,
                    lambda: _cut(samples, position, self.unit),
                    lambda: tf.numpy_function(
                        self._read_one, [index, position], tf.int16, stateful=False
                    ),
                ),
                [self.unit],
            )

        return (
            steps.map(drawn)
            .unbatch()
            .map(crop, num_parallel_calls=self._num_threads, deterministic=True)
            .batch(count)
        )

    def _read_one(self, index: int, position: float) -> np.ndarray:
        crop = self._replacing(int(index), position)
        return np.pad(crop, (0, self.unit - len(crop)))


def decode_all(
    paths: list[str], sample_rate: int, num_threads: int, max_hours: float
) -> Iterator[tuple[str, Iterable[np.ndarray] | UserError]]:
    """`soundfile_decoding.decode_all` with the plain files decoded in a graph."""
    decoder = _Decoder(paths, sample_rate, max_hours)
    others = {}  # index -> what libsndfile made of it

    def attempt(index):
        others[int(index)] = soundfile_decoding.attempt(
            paths[index], sample_rate, max_hours
        )
        return np.int64(0)

    def decode(index):
        is_plain, samples = decoder.decode(index)
        done = tf.cond(
            is_plain,
            lambda: tf.constant(0, tf.int64),
            lambda: tf.numpy_function(attempt, [index], tf.int64),
        )
        with tf.control_dependencies([done]):
            return index, is_plain, tf.identity(samples)

    indices = tf.data.Dataset.range(len(paths))
    decoded = indices.map(decode, num_parallel_calls=num_threads, deterministic=True)
    for index, is_plain, samples in decoded.as_numpy_iterator():
        yield paths[index], [samples] if is_plain else others.pop(int(index))


class _Decoder:
    """Decodes plain files of a list in a graph.

    Args:
        paths: the files.
        sample_rate: Hz.
        max_hours: longest recording that is read.
    """

    def __init__(self, paths: list[str], sample_rate: int, max_hours: float):
        self._paths, self._sample_rate = paths, sample_rate
        self._names = tf.constant([os.fsencode(path) for path in paths])
        self._decode_wav = graph.wav_decoder()
        most = 2 * max_hours * 3600 * sample_rate  # 8-bit stereo, 16-bit mono
        self._most_bytes = int(min(_MOST_BYTES, most))
        self._is_plain = {}  # index -> bool

    def decode(self, index) -> tuple[tf.Tensor, tf.Tensor]:
        """Whether a file is plain, and its samples if so: int16 [samples], mono."""
        is_plain = tf.numpy_function(self._look, [index], tf.bool, stateful=False)
        is_plain = tf.ensure_shape(is_plain, [])
        content = tf.cond(
            is_plain, lambda: tf.io.read_file(self._names[index]), lambda: b""
        )
        head = tf.io.decode_raw(
            tf.strings.substr(content, 0, _HEADER_BYTES),
            tf.uint8,
            fixed_length=_HEADER_BYTES,
        )
        # again, of the bytes that are decoded: the file may have changed meanwhile
        is_plain = _is_plain_in_graph(
            content, head, self._sample_rate, self._most_bytes
        )
        samples = tf.cond(
            is_plain,
            lambda: self._samples(content, head),
            lambda: tf.zeros([0], tf.int16),
        )
        return is_plain, tf.ensure_shape(samples, [None])

    def _look(self, index) -> np.bool_:
        index = int(index)
        if index not in self._is_plain:
            path = self._paths[index]
            found = _is_plain(path, self._sample_rate, self._most_bytes)
            self._is_plain[index] = np.bool_(found)
        return self._is_plain[index]

    def _samples(self, content, head):
        """int16 [samples]: channels averaged, halves rounded to even as NumPy does."""

        def wide():
            return self._decode_wav(content, dtype=tf.int16)

        def narrow():
            samples = self._decode_wav(content, dtype=tf.uint8)
            return (tf.cast(samples, tf.int16) - 128) * 256

        samples = tf.cond(_number(head, 34, 2) == 16, wide, narrow)
        samples = tf.ensure_shape(samples, [None, None])  # [samples, channels]

        def mixed():
            total = tf.cast(samples[:, 0], tf.float32) + tf.cast(
                samples[:, 1], tf.float32
            )
            return tf.cast(tf.round(total / 2), tf.int16)

        return tf.cond(
            tf.shape(samples)[1] == 1, lambda: samples[:, 0], mixed
        )  # exact: sums of two 16-bit numbers fit into float32


def _is_plain(path: str, sample_rate: int, most_bytes: int) -> bool:
    """Whether a file is plain, by its header and length."""
    try:
        if "://" in path or not stat.S_ISREG(os.stat(path).st_mode):
            return False
        with open(path, "rb") as file:
            head = file.read(_HEADER_BYTES)
            size = os.fstat(file.fileno()).st_size
    except OSError:
        return False
    if len(head) < _HEADER_BYTES:
        return False
    (riff, riff_size, wave, fmt, fmt_size, tag, channels, rate) = _HEADER.unpack(head)[
        :8
    ]
    _, block, bits, data, data_size = _HEADER.unpack(head)[8:]
    return (
        (riff, wave, fmt, data) == (b"RIFF", b"WAVE", b"fmt ", b"data")
        and (riff_size, fmt_size, tag, rate) == (size - 8, 16, 1, sample_rate)
        and (channels in (1, 2) and bits in (8, 16))
        and (block == channels * bits // 8 and data_size == size - _HEADER_BYTES)
        and (0 < data_size <= most_bytes and data_size % block == 0)
    )


def _is_plain_in_graph(content, head, sample_rate: int, most_bytes: int):
    """`_is_plain` of a file's bytes; `head` is uint8 [44], zeros where it is short."""
    size = tf.strings.length(content)
    channels, bits = _number(head, 22, 2), _number(head, 34, 2)
    block, data_size = _number(head, 32, 2), _number(head, 40, 4)
    return tf.reduce_all(
        [
            _number(head, 0, 4) == int.from_bytes(b"RIFF", "little"),
            _number(head, 8, 4) == int.from_bytes(b"WAVE", "little"),
            _number(head, 12, 4) == int.from_bytes(b"fmt ", "little"),
            _number(head, 36, 4) == int.from_bytes(b"data", "little"),
            _number(head, 4, 4) == size - 8,
            _number(head, 16, 4) == 16,
            _number(head, 20, 2) == 1,
            _number(head, 24, 4) == sample_rate,
            (channels == 1) | (channels == 2),
            (bits == 8) | (bits == 16),
            block * 8 == channels * bits,
            data_size == size - _HEADER_BYTES,
            (0 < data_size) & (data_size <= most_bytes),
            tf.math.floormod(data_size, tf.maximum(block, 1)) == 0,
        ]
    )


def _number(head, position: int, width: int):
    """A little-endian number of `width` bytes in a header, int32."""
    kind = {2: tf.uint16, 4: tf.int32}[width]
    return tf.cast(tf.bitcast(head[position : position + width], kind), tf.int32)


def _cut(samples, position, unit: int):
    """One crop of int16 [samples]; see `crops.crop_starts`."""
    room = tf.maximum(tf.size(samples) - unit, 0) + 1
    start = tf.cast(position * tf.cast(room, tf.float64), tf.int32)
    crop = samples[start:][:unit]
    return tf.pad(crop, [[0, unit - tf.size(crop)]])


def _arrays(chosen, positions) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(chosen, np.int64), np.asarray(positions, np.float64)
