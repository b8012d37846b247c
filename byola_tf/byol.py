"""BYOL: the online network predicts the target's projection of another view.

Grill et al. 2020, sections 3.1 and 3.2; TASLP section III-A.
"""

import json

import keras
import tensorflow as tf

from byola_tf import (
    batch_shares,
    diagnostics,
    epoch_means,
    losses,
    schedules,
    validation,
)
from byola_tf.config import Config
from byola_tf.errors import UserError
from byola_tf.networks import backbones, heads
from byola_tf.networks.encoder import Encoder

_TEST_NAMES = ("loss", *diagnostics.NAMES)
_TRAIN_NAMES = ("loss", "gradient_norm", *diagnostics.NAMES)


@keras.saving.register_keras_serializable("byola_tf")
class BYOL(keras.Model):
    """Online and target networks and the training step over two views.

    The target starts as a copy of the online encoder and projector and follows
    them by an exponential moving average of the weights. It stays trainable in
    Keras terms, since a frozen BatchNormalization would leave training mode;
    gradients and optimiser know only `online_variables`.

    Works with `fit` and `evaluate` on a data set of (view_1, view_2), with Keras's
    files and callbacks, and with
    `strategy.run(model.train_step, args=((view_1, view_2),))`.

    Args:
        config: `Config`; `encoder`, `byol`, `train` and `seed` are used.
        total_steps: length of the run, for schedules; `config.train.steps` when
            None.
        **kwargs: of `keras.Model`, e.g. `name`.

    Raises:
        UserError: see `backbones.make`.
        ValueError: a schedule needs the length of the run, which is unknown.
    """

    def __init__(self, config: Config, total_steps: int | None = None, **kwargs):
        precision = config.train.precision
        policy = "float32" if precision == "auto" else precision
        super().__init__(dtype=policy, **kwargs)
        self.config = config
        self.total_steps = total_steps or config.train.steps
        self._epoch_means = None
        self._own_optimizer = True
        if config.byol.ema_schedule == "cosine":
            schedules.require_length("byol.ema_schedule", self.total_steps)
        self.online_encoder, self.online_projector = _make_network(
            config, "online", policy
        )
        self.target_encoder, self.target_projector = _make_network(
            config, "target", policy
        )
        self.predictor = None
        if config.byol.predictor:
            units = config.byol.projection_units
            self.predictor = heads.Head(
                config.byol.hidden_units, units, units, name="predictor", dtype=policy
            )
        self.built = True
        if config.byol.target_start == "online":
            self.synchronize_target()

    def compile(self, optimizer=None, **kwargs):
        """Sets the optimiser (the configuration's Adam by default)."""
        self._own_optimizer = optimizer is None
        if optimizer is None:
            optimizer = schedules.make_optimizer(self.config, self.total_steps)
        super().compile(optimizer=optimizer, **kwargs)
        self.optimizer.build(self.online_variables)

    def get_config(self) -> dict:
        """The constructor's arguments, JSON-ready, for Keras's files."""
        own = super().get_config()
        del own["dtype"]  # follows from `config.train.precision`
        tree = json.loads(self.config.to_json())
        return own | {"config": tree, "total_steps": self.total_steps}

    @classmethod
    def from_config(cls, config: dict, custom_objects=None) -> "BYOL":
        """Makes a model of what `get_config` returned; its weights are new.

        Raises:
            UserError: the configuration breaks a rule, or see
                `backbones.require_allowed`.
        """
        config = dict(config)
        tree = Config.from_json(json.dumps(config.pop("config")))
        backbones.require_allowed(tree.encoder.architecture)
        return cls(validation.validate(tree), **config)

    def get_compile_config(self) -> dict:
        """What `compile` was given."""
        config = super().get_compile_config()
        # the configuration's optimiser is made again: Keras's description of it
        # forgets what is left out of weight decay
        return config | {"optimizer": None} if self._own_optimizer else config

    def compile_from_config(self, config: dict) -> None:
        """Compiles as `get_compile_config` says."""
        self.compile(**keras.saving.deserialize_keras_object(config))

    @property
    def online_variables(self) -> list:
        """What the gradient moves: online encoder, projector, predictor.

        Without the biases that feed a batch normalisation, through dense layers
        or at once: their gradient is zero but for rounding, which Adam would
        turn into steps.
        """
        models = [self.online_encoder, self.online_projector, self.predictor]
        biases = [*self.online_encoder.inert_biases, self.online_projector.hidden.bias]
        if self.predictor is None:
            models.pop()
        else:
            biases.append(self.online_projector.output_layer.bias)
            biases.append(self.predictor.hidden.bias)
        inert = {id(bias) for bias in biases}
        return [
            variable
            for model in models
            for variable in model.trainable_variables
            if id(variable) not in inert
        ]

    def synchronize_target(self) -> None:
        """Makes the target an exact copy of the online network."""
        for target, online in self._network_pairs():
            target.set_weights(online.get_weights())

    def call(self, log_mel, training=False):
        """Embeds log-mels with the online encoder; see `Encoder.call`."""
        return self.online_encoder(log_mel, training=training)

    def train_step(self, data) -> dict:
        """One step: loss, gradient, optimiser, then the target's average.

        Args:
            data: (view_1, view_2), each float32 [batch, time, mel]; under a
                strategy, this replica's share of the global batch.

        Returns:
            float32 scalars, means over the replicas: `loss`, `gradient_norm`
            (before clipping; of the replicas' own gradients where they are
            not clipped) and those of `diagnostics.health`.
        """
        views = _two_views(data)
        num_parts = self.config.train.accumulate_steps
        parts = [batch_shares.split(view, num_parts) for view in views]
        total = batch_shares.count_everywhere(views[0])
        gradients, logs = None, None
        for index, views in enumerate(zip(*parts, strict=True)):
            with tf.control_dependencies(gradients or []):  # one part in memory
                views = [tf.identity(view) for view in views]
                weight = batch_shares.weight(views[0], total, num_parts)
                new_gradients, new_logs = self._gradients(views, index, weight)
            gradients = _add(gradients, new_gradients)
            logs = _add(logs, new_logs)
        gradients, norm = self._share_gradients(gradients)
        self.optimizer.apply(gradients, self.online_variables)
        self._update_target()
        return self._report(_TRAIN_NAMES, [logs[0], norm, *logs[1:]], data)

    def test_step(self, data) -> dict:
        """Loss and `diagnostics.health` of two views, as `train_step` names them.

        Nothing is trained: moving statistics, no dropout.

        Args:
            data: see `train_step`.

        Returns:
            float32 scalars, means over the replicas.
        """
        views = _two_views(data)
        total = batch_shares.count_everywhere(views[0])
        weight = batch_shares.weight(views[0], total)
        symmetric = self.config.byol.symmetric
        loss, health = 0.0, None
        for index in (0, 1) if symmetric else (0,):
            found = self._predict(views[index], index, 0, training=False)
            target = self._project_target(views[1 - index], 1 - index, 0, False)
            distance = losses.regression_loss(found[2], target)
            loss += batch_shares.mean(distance, weight)
            if health is None:
                health = self._health(*found[:2], weight)
        return self._report(_TEST_NAMES, [loss, *health], data)

    def make_train_function(self, force=False):
        """Keras's, with means over the epoch."""
        self._make_epoch_means()
        return super().make_train_function(force)

    def make_test_function(self, force=False):
        """Keras's, with means over the data."""
        self._make_epoch_means()
        return super().make_test_function(force)

    @property
    def metrics(self) -> list:
        """What Keras resets before an epoch; empty before `fit` or `evaluate`."""
        return self._epoch_means.metrics if self._epoch_means else []

    def get_metrics_result(self) -> dict:
        """Means over the clips since the last reset, float32 scalars by name."""
        return self._epoch_means.results() if self._epoch_means else {}

    def _make_epoch_means(self) -> None:
        if self._epoch_means is None:
            with self.distribute_strategy.scope():
                self._epoch_means = epoch_means.EpochMeans(_TRAIN_NAMES)

    def _report(self, names, values, data) -> dict:
        """Means over the replicas, by name; adds them to the epoch's."""
        context = tf.distribute.get_replica_context()
        mean = tf.distribute.ReduceOp.MEAN
        logs = {
            name: context.all_reduce(mean, value)
            for name, value in zip(names, values, strict=True)
        }
        if self._epoch_means:
            self._epoch_means.update(logs, batch_shares.count(data[0]))
        return logs

    @staticmethod
    def _health(embedding, projection, weight) -> list:
        values = diagnostics.health(embedding, projection)
        return [tf.math.multiply_no_nan(value, weight) for value in values]

    def _gradients(self, views, part: int, weight) -> tuple[list, list]:
        """Gradients and logs of one part, each divided by the number of parts."""
        parts = self.config.train.accumulate_steps
        replicas = batch_shares.num_replicas()
        symmetric = self.config.byol.symmetric
        predicting = views if symmetric else views[:1]
        targets = {}
        for index in (0, 1) if symmetric else (1,):
            # one pass after the other, or their activations are held together
            with tf.control_dependencies(list(targets.values())):
                view = tf.identity(views[index])
                target = self._project_target(view, index, part)
                targets[index] = tf.stop_gradient(target)
        gradients, total, health = None, 0.0, None
        for index, view in enumerate(predicting):
            # the loss is a sum over views: each view's part is differentiated
            # before the next view's activations are made
            with tf.control_dependencies(gradients or list(targets.values())):
                view = tf.identity(view)
            with tf.GradientTape() as tape:
                embedding, projection, prediction = self._predict(view, index, part)
                distance = losses.regression_loss(prediction, targets[1 - index])
                loss = batch_shares.mean(distance, weight)
                # gradients are summed over replicas, each with an equal share
                share = self.optimizer.scale_loss(loss / (replicas * parts))
            variables = [v.value for v in self.online_variables]
            gradients = _add(gradients, tape.gradient(share, variables))
            total += loss
            if health is None:
                health = self._health(embedding, projection, weight)
        return gradients, [value / parts for value in (total, *health)]

    def _steps_done(self):
        # loss scaling counts in the optimiser that it wraps
        inner = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        return inner.iterations.value

    def _share_gradients(self, gradients) -> tuple[list, tf.Tensor]:
        """What this replica hands to the optimiser, and the gradient's norm.

        Keras clips and looks for overflow in each replica's gradients before it
        adds them up. Where either matters they are added up here, and each
        replica hands over an equal part of the whole.
        """
        train = self.config.train
        context = tf.distribute.get_replica_context()
        replicas = context.num_replicas_in_sync
        scaled = train.precision == "mixed_float16"
        if replicas > 1 and (train.clip_norm or scaled):
            gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
            gradients = [gradient / replicas for gradient in gradients]
        scale = self.optimizer.dynamic_scale if scaled else 1.0
        return gradients, tf.linalg.global_norm(gradients) * replicas / scale

    def _predict(self, view, index: int, part: int, training: bool = True):
        seed = self._dropout_seed(0, index, part) if training else None
        embedding = self.online_encoder(view, training=training, dropout_seed=seed)
        projection = self.online_projector(embedding, training=training)
        if self.predictor is None:
            return embedding, projection, projection
        return embedding, projection, self.predictor(projection, training=training)

    def _project_target(self, view, index: int, part: int, training: bool = True):
        seed = self._dropout_seed(1, index, part) if training else None
        embedding = self.target_encoder(view, training=training, dropout_seed=seed)
        return self.target_projector(embedding, training=training)

    def _dropout_seed(self, branch: int, view: int, part: int):
        """int32 [2], a function of (seed, step, replica, part, branch, view)."""
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        step = tf.cast(self._steps_done(), tf.int32)
        seed = tf.stack([tf.constant(self.config.seed, tf.int32), step])
        seed = tf.random.fold_in(seed, tf.cast(replica, tf.int32))
        return tf.random.fold_in(seed, 4 * part + 2 * branch + view)

    def _update_target(self) -> None:
        """target <- decay * target + (1 - decay) * online, weights only."""
        step = tf.cast(self._steps_done(), tf.float32) - 1.0
        decay = schedules.ema_decay(step, self.config, self.total_steps)
        for target, online in self._network_pairs():
            for old, new in zip(
                target.trainable_variables, online.trainable_variables, strict=True
            ):
                old.assign(decay * old.value + (1.0 - decay) * new.value)

    def _network_pairs(self):
        return (
            (self.target_encoder, self.online_encoder),
            (self.target_projector, self.online_projector),
        )


def _two_views(data) -> tuple:
    if not (isinstance(data, (tuple, list)) and len(data) == 2):
        raise UserError(
            "BYOL must be given two views of a batch, (view_1, view_2), each float32 "
            "[batch, time, mel]. Received: "
            f"{len(data) if isinstance(data, (tuple, list)) else type(data).__name__}."
        )
    return tuple(data)


def _add(total, values):
    if total is None:
        return values
    return [old + new for old, new in zip(total, values, strict=True)]


def _make_network(config: Config, name: str, policy: str):
    encoder = Encoder(config.encoder, name=f"{name}_encoder", dtype=policy)
    projector = heads.Head(
        config.byol.hidden_units,
        config.byol.projection_units,
        config.encoder.embedding_size,
        name=f"{name}_projector",
        dtype=policy,
    )
    return encoder, projector
