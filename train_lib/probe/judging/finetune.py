"""Fine-tuning: the encoder learns with a linear head on the task's labels."""

import dataclasses
from collections.abc import Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from byola_tf import checkpoint, frontend
from byola_tf.config import Config
from byola_tf.networks.encoder import Encoder
from byola_tf.normalize import Statistics, normalize
from byola_tf.progress import Progress, no_progress
from train_lib.probe.judging import classifier, protocol
from train_lib.probe.judging.evaluation import Evaluation, Run, concluded
from train_lib.probe.models.audio_model import AudioModel
from train_lib.probe.tasks import tasks

_ROWS_AT_A_TIME = 64


@dataclasses.dataclass(frozen=True)
class TuningSchedule:
    """How a model is fine-tuned.

    Attributes:
        learning_rate: of Adam, constant, for encoder and head.
        batch_size: clips a step.
        max_epochs: upper bound of the number of epochs.
        patience: training stops after this many epochs in a row that are
            worse than the best on validation. A tie is an improvement.
    """

    learning_rate: float = 1e-4
    batch_size: int = 32
    max_epochs: int = 30
    patience: int = 5


class LogMels(AudioModel):
    """The input of an encoder in the place of an embedding: flat log-mels.

    Args:
        config: `Config` of the encoder.
    """

    def __init__(self, config: Config):
        self.config = config
        self.name = "log-mels"
        self.sample_rate = config.frontend.sample_rate
        self.statistics = Statistics(0.0, 1.0)
        self.fingerprint = None  # quick to make, and too large to keep

    def with_statistics(self, mean: float, std: float) -> "LogMels":
        """Normalises with these statistics from now on; returns itself."""
        self.statistics = Statistics(mean, std)
        return self

    def embed(self, waveform: np.ndarray) -> np.ndarray:
        """Float32 [batch, samples] to [batch, time * mel]."""
        shortest = frontend.minimum_samples(
            self.config.frontend, self.config.encoder.time_stride
        )
        padded = frontend.pad_to_length(tf.constant(waveform), shortest)
        log_mel = frontend.log_mel_spectrogram(padded, self.config.frontend)
        log_mel = normalize(log_mel, self.statistics).numpy()
        return log_mel.reshape(len(log_mel), -1)


def evaluate(
    log_mels: np.ndarray,
    targets: np.ndarray,
    folds: Sequence[tasks.Fold],
    opened: checkpoint.Checkpoint,
    seeds: Sequence[int] = protocol.SEEDS,
    objective: classifier.Objective = classifier.SINGLE_LABEL,
    schedule: TuningSchedule | None = None,
    subsets: Mapping[str, np.ndarray] | None = None,
    progress: Progress = no_progress,
) -> Evaluation:
    """Fine-tunes a copy of the encoder for every fold and seed, and tests it.

    The head starts as the linear evaluation's does, on embeddings standardised
    as the untouched encoder gives them for the training rows. Batch statistics
    and dropout are on, as in pre-training; the weights of the best epoch on
    validation are tested.

    Args:
        log_mels: float32 [rows, time * mel], normalised (`LogMels`).
        targets: bool [rows, classes].
        folds: rows to train on, to validate and to test.
        opened: `Checkpoint` whose encoder every run starts from.
        seeds: of head, batch order, dropout, and drawn validation rows.
        objective: loss and metric.
        schedule: `TuningSchedule()` when None.
        subsets: see `protocol.evaluate`.
        progress: see `byola_tf.progress`.

    Raises:
        UserError: no validation set with every class could be drawn.
    """
    schedule = schedule or TuningSchedule()
    log_mels = log_mels.reshape(len(log_mels), -1, opened.config.encoder.n_mels)
    runs, all_logits = [], []
    cases = [
        (number, fold, index)
        for number, fold in enumerate(folds)
        for index in range(len(seeds))
    ]
    for number, fold, index in progress(cases, len(cases), "fine-tuning"):
        seed = seeds[index]
        train, valid = protocol.divided(fold, targets, number, seed)
        keras.utils.set_random_seed(seed * 1000 + number)
        tuned = TunedModel(opened, targets.shape[1], objective, schedule)
        order = np.random.default_rng([seed, number, 1])
        tuned.prepare(log_mels, fold.train, order)
        valid_score, best_epoch, epochs = tuned.fit(
            log_mels, targets, train, valid, order
        )
        logits = tuned.logits(log_mels, fold.test)
        score = float(objective.score(logits[:, None], targets[fold.test])[0])
        all_logits.append(logits)
        rate = schedule.learning_rate
        runs.append(Run(fold.name, seed, rate, score, valid_score, best_epoch, epochs))
    details = {"mode": "finetune", "schedule": dataclasses.asdict(schedule)}
    rates = [schedule.learning_rate] * len(folds)
    return concluded(
        folds,
        targets,
        runs,
        all_logits,
        objective,
        subsets=subsets,
        learning_rates=rates,
        details=details,
    )


class TunedModel:
    """A copy of an encoder with a linear head.

    Args:
        opened: `Checkpoint` to start from.
        num_classes: width of the head.
        objective: see `evaluate`.
        schedule: see `evaluate`.
    """

    def __init__(
        self,
        opened: checkpoint.Checkpoint,
        num_classes: int,
        objective: classifier.Objective,
        schedule: TuningSchedule,
    ):
        config = opened.config.encoder
        self.encoder = Encoder(config)
        self.encoder.set_weights(opened.encoder.get_weights())
        self._size = config.embedding_size
        self._objective, self._schedule = objective, schedule
        self._mean = tf.Variable(tf.zeros([self._size]), trainable=False)
        self._scale = tf.Variable(tf.ones([self._size]), trainable=False)
        self.head = keras.layers.Dense(num_classes)
        self.head.build((None, self._size))
        self._optimizer = keras.optimizers.Adam(schedule.learning_rate)
        self._trainable = [
            *self.encoder.trainable_variables,
            *self.head.trainable_variables,
        ]
        self._optimizer.build(self._trainable)
        log_mel = tf.TensorSpec([None, None, config.n_mels], tf.float32)
        target = tf.TensorSpec([None, num_classes], tf.float32)
        self._step = tf.function(self._step, input_signature=[log_mel, target])
        self._predict = tf.function(
            lambda log_mel: self._logits(log_mel, False), input_signature=[log_mel]
        )

    def prepare(self, log_mels, rows, random: np.random.Generator) -> None:
        """Standardises the head's input, and draws its weights.

        Args:
            log_mels: float32 [clips, time, mel], normalised.
            rows: int [train], rows of the clips that are measured.
            random: source of the weights.
        """
        embeddings = np.concatenate(
            [self.encoder(log_mels[block]).numpy() for block in _blocks(rows)]
        )
        standardizer = classifier.Standardizer.fit(
            embeddings, np.arange(len(embeddings))
        )
        self._mean.assign(standardizer.mean)
        self._scale.assign(standardizer.scale)
        initial = classifier.initial_parameters(random, self._size, self.head.units)
        self.head.set_weights([initial[:-1], initial[-1]])

    def fit(
        self, log_mels, targets, train, valid, random: np.random.Generator
    ) -> tuple[float, int, int]:
        """Trains until validation no longer improves; keeps the best weights.

        Args:
            log_mels: float32 [clips, time, mel], normalised.
            targets: bool [clips, classes].
            train: int [train], rows of the clips to train on.
            valid: int [valid], rows of those that choose the best epoch.
            random: source of the batch order.

        Returns:
            validation score of the best epoch, that epoch, counted from 1, and
            the number of epochs trained.
        """
        best, best_epoch, kept, epoch = -np.inf, 0, None, 0
        size = self._schedule.batch_size
        while (
            epoch < self._schedule.max_epochs
            and epoch - best_epoch < self._schedule.patience
        ):
            epoch += 1
            order = random.permutation(train)
            for start in range(0, len(order), size):
                rows = order[start : start + size]
                self._step(
                    tf.constant(log_mels[rows]),
                    tf.constant(targets[rows].astype(np.float32)),
                )
            logits = self.logits(log_mels, valid)
            score = float(self._objective.score(logits[:, None], targets[valid])[0])
            if score >= best:
                best, best_epoch = score, epoch
                kept = self.encoder.get_weights(), self.head.get_weights()
        self.encoder.set_weights(kept[0])
        self.head.set_weights(kept[1])
        return best, best_epoch, epoch

    def logits(self, log_mels, rows) -> np.ndarray:
        """Classifies clips.

        Args:
            log_mels: float32 [clips, time, mel], normalised.
            rows: int [rows], which clips.

        Returns:
            float32 [rows, classes].
        """
        return np.concatenate(
            [
                self._predict(tf.constant(log_mels[block])).numpy()
                for block in _blocks(rows)
            ]
        )

    def _logits(self, log_mel, training: bool):
        embedding = self.encoder(log_mel, training=training)
        return self.head((embedding - self._mean) / self._scale)

    def _step(self, log_mel, target):
        with tf.GradientTape() as tape:
            logits = self._logits(log_mel, True)
            if self._objective.activation is classifier.softmax:
                loss = tf.nn.softmax_cross_entropy_with_logits(target, logits)
            else:
                loss = tf.nn.sigmoid_cross_entropy_with_logits(target, logits)
            loss = tf.reduce_mean(loss)
        variables = [variable.value for variable in self._trainable]
        gradients = tape.gradient(loss, variables)
        self._optimizer.apply_gradients(zip(gradients, self._trainable, strict=True))


def _blocks(rows: np.ndarray) -> list[np.ndarray]:
    return [
        rows[start : start + _ROWS_AT_A_TIME]
        for start in range(0, len(rows), _ROWS_AT_A_TIME)
    ]
