"""What the benchmark measures: name, number, one stage at a time."""

import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from byola_tf import (
    BYOL,
    Embedder,
    Encoder,
    background_bank,
    checkpoint,
    frontend,
    pipeline,
    two_views,
)
from byola_tf.config import Config, TrainConfig
from byola_tf.corpus import corpus as waveforms
from byola_tf.hardware import peak_memory
from byola_tf.normalize import Statistics
from hub_export.tables import corpus as corpus_embedding
from train_lib.benchmark import decoders, decoding_speed, mobile
from train_lib.preparation import sharding
from train_lib.synthesis import bank as synthetic

_STATISTICS = Statistics(-8.0, 5.0)
_PIPELINE_BATCH = 256
_REPEATS = 5
_PRECISIONS = (("float32", ""), ("mixed_bfloat16", "_bfloat16"))
_EMBEDDING_PRECISIONS = (("float32", ""), ("bfloat16", "_bfloat16"))


def measure(only: str = "", batch_size: int = 64) -> Iterator[tuple[str, float]]:
    """Yields the rows whose names contain `only`.

    Args:
        only: part of a name; "" for all rows.
        batch_size: crops per training step.
    """
    for names, stage in _STAGES:
        if any(only in name or name in only for name in names):
            for name, value in stage(batch_size):
                if only in name:
                    yield name, value


def seconds(function: Callable, repeats: int = _REPEATS) -> float:
    """Median time of a call, after one that warms up."""
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def noise_crops(batch_size: int, seed: int = 0) -> np.ndarray:
    """Unit crops of noise, float32 [batch, samples]."""
    shape = (batch_size, Config().unit_samples)
    return np.random.default_rng(seed).normal(0, 0.1, shape).astype(np.float32)


def _front_end(_):
    config = Config().frontend
    crops = tf.constant(noise_crops(_PIPELINE_BATCH))
    log_mel = tf.function(lambda batch: frontend.log_mel_spectrogram(batch, config))
    yield "log_mel_samples_per_s", _PIPELINE_BATCH / seconds(lambda: log_mel(crops))


def _views(_):
    config = Config().augment
    rng = np.random.default_rng(0)
    clips = tf.constant(rng.normal(size=(_PIPELINE_BATCH, 96, 64)), tf.float32)
    bank = tf.constant(rng.normal(size=(2048, 96, 64)), tf.float32)
    steps = itertools.count()
    views = tf.function(lambda seed: two_views.make_views(clips, bank, seed, config))

    def call():
        views(tf.constant([0, next(steps)]))

    yield "two_views_samples_per_s", _PIPELINE_BATCH / seconds(call)


def _input_pipeline(_):
    config = Config(train=TrainConfig(batch_size=_PIPELINE_BATCH))
    crops = tf.data.Dataset.from_tensors(noise_crops(_PIPELINE_BATCH)).repeat()
    yield "input_pipeline_samples_per_s", pipeline_rate(lambda _: crops, config)


def pipeline_rate(batches: Callable, config: Config, num_batches: int = 24) -> float:
    """Crops per second from waveforms to views, with a full bank.

    Args:
        batches: see `pipeline.make_views_dataset`.
        config: `Config`.
        num_batches: batches that are timed.
    """
    dataset = pipeline.make_views_dataset(batches, config, _STATISTICS)
    iterator = iter(dataset)
    for _ in range(background_bank.num_batches(config) + 2):
        next(iterator)
    start = time.perf_counter()
    for _ in range(num_batches):
        next(iterator)
    return num_batches * config.train.batch_size / (time.perf_counter() - start)


def _decoding(_):
    for name, rate in decoding_speed.decode_rates(0.5).items():
        yield f"decode_samples_per_s_{name}", rate


def _from_shards(_):
    """From shards on disk to views."""
    with tempfile.TemporaryDirectory() as folder:
        audio, output = os.path.join(folder, "audio"), os.path.join(folder, "shards")
        synthetic.write_bank(audio, 40, seed=0)
        layout = sharding.make_layout(16000, 10.0, 1.0, "pcm")
        sharding.prepare(audio, output, layout)
        config = Config(train=TrainConfig(batch_size=_PIPELINE_BATCH))
        config.data.pattern = output
        corpus = waveforms.open_corpus(config, waveforms.find_batch(config), folder)
        yield "shards_samples_per_s", pipeline_rate(corpus.batches, config)


def _train_step(batch_size):
    for precision, suffix in _PRECISIONS:
        train_step, views = _make_train_step(batch_size, precision)
        duration = seconds(lambda: float(train_step(views)["loss"]))  # noqa: B023
        yield f"train_step_samples_per_s{suffix}", batch_size / duration


def _make_train_step(batch_size: int, precision: str):
    """A traced full-size step and two views of noise."""
    model = _make_model(batch_size, precision)
    shape = (batch_size, model.config.unit_frames, model.config.frontend.n_mels)
    rng = np.random.default_rng(0)
    views = tuple(tf.constant(rng.normal(size=shape), tf.float32) for _ in "12")
    return tf.function(model.train_step), views


def _training_loop(batch_size, num_steps: int = 12):
    """Input pipeline and step together, as the trainer runs them."""
    model = _make_model(batch_size, "float32")
    crops = tf.data.Dataset.from_tensors(noise_crops(batch_size)).repeat()
    batches = iter(
        pipeline.make_views_dataset(lambda _: crops, model.config, _STATISTICS)
    )
    train_step = tf.function(model.train_step)
    float(train_step(next(batches))["loss"])
    start = time.perf_counter()
    for _ in range(num_steps):
        float(train_step(next(batches))["loss"])
    duration = time.perf_counter() - start
    yield "train_loop_samples_per_s", num_steps * batch_size / duration


def _make_model(batch_size: int, precision: str) -> BYOL:
    model = BYOL(Config(train=TrainConfig(batch_size=batch_size, precision=precision)))
    model.compile()
    return model


def _embed(_):
    rng = np.random.default_rng(0)
    for precision, suffix in _EMBEDDING_PRECISIONS:
        encoder = Encoder(Config().encoder, dtype=precision)
        embedder = Embedder.from_encoder(encoder, Config(), _STATISTICS)
        for batch, length in ((1, 1), (32, 1), (1, 10)):
            waveform = rng.normal(0, 0.1, (batch, 16000 * length)).astype(np.float32)
            duration = seconds(lambda: embedder(waveform), 15)  # noqa: B023
            name = f"embed_b{batch}_{length}s_audio_seconds_per_s{suffix}"
            yield name, batch * length / duration


def _embed_corpus(_):
    """From files on disk to a table, once the model is loaded."""
    with tempfile.TemporaryDirectory() as folder:
        audio, model = os.path.join(folder, "audio"), os.path.join(folder, "model")
        synthetic.write_bank(audio, 40, seed=0)
        os.mkdir(model)
        encoder = Encoder(Config().encoder, name="encoder")
        opened = checkpoint.Checkpoint(encoder, Config(), _STATISTICS, {})
        checkpoint.save(model, opened)
        for precision, suffix in _EMBEDDING_PRECISIONS:
            starts = []

            def begin(entries, total, description):
                starts.append(time.perf_counter())  # noqa: B023
                return entries

            summary = corpus_embedding.embed_corpus(
                model,
                audio,
                os.path.join(folder, "table.npz"),
                corpus_embedding.Options(precision=precision),
                progress=begin,
            )
            duration = time.perf_counter() - starts[0]
            name = f"embed_corpus_audio_seconds_per_s{suffix}"
            yield name, summary.audio_seconds / duration


def _gemm(_):
    matrix = tf.random.normal([2048, 2048])
    product = tf.function(lambda: tf.matmul(matrix, matrix))
    rate = 2 * 2048**3 / seconds(product, 10) / 1e9
    yield "gemm_float32_gflops", rate


def _memory(batch_size):
    """Peak memory of training steps, each precision in a process of its own."""
    for precision, suffix in _PRECISIONS:
        program = (
            "from byola benchmark import measurements as m;"
            f"print(m.peak_of_training({batch_size}, {precision!r}))"
        )
        finished = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        )
        yield f"peak_rss_mb{suffix}", float(finished.stdout.split()[-1])


def peak_of_training(batch_size: int, precision: str, num_steps: int = 3) -> float:
    """Trains some steps; the largest resident size of this process, MiB."""
    train_step, views = _make_train_step(batch_size, precision)
    for _ in range(num_steps):
        float(train_step(views)["loss"])
    return peak_memory()


_STAGES = (
    (("log_mel_samples_per_s",), _front_end),
    (("two_views_samples_per_s",), _views),
    (("input_pipeline_samples_per_s",), _input_pipeline),
    (("decode_samples_per_s_",), _decoding),
    (("shards_samples_per_s",), _from_shards),
    (decoders.ROWS, lambda _: decoders.rates(pipeline_rate)),
    (
        ("train_step_samples_per_s", "train_step_samples_per_s_bfloat16"),
        _train_step,
    ),
    (("train_loop_samples_per_s",), _training_loop),
    (
        (
            "embed_b1_1s_audio_seconds_per_s",
            "embed_b32_1s_audio_seconds_per_s",
            "embed_b1_10s_audio_seconds_per_s",
            "embed_b1_1s_audio_seconds_per_s_bfloat16",
            "embed_b32_1s_audio_seconds_per_s_bfloat16",
            "embed_b1_10s_audio_seconds_per_s_bfloat16",
        ),
        _embed,
    ),
    (
        (
            "embed_corpus_audio_seconds_per_s",
            "embed_corpus_audio_seconds_per_s_bfloat16",
        ),
        _embed_corpus,
    ),
    (mobile.ROWS, mobile.tflite_rates),
    (("gemm_float32_gflops",), _gemm),
    (("peak_rss_mb", "peak_rss_mb_bfloat16"), _memory),
)
