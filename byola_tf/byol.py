"""BYOL: the online network predicts the target's projection of another view.

Grill et al. 2020, sections 3.1 and 3.2; TASLP section III-A.
"""

import keras
import tensorflow as tf

from byola_tf import diagnostics, losses, schedules
from byola_tf.config import Config
from byola_tf.networks import heads
from byola_tf.networks.encoder import Encoder


class BYOL(keras.Model):
    """Online and target networks and the training step over two views.

    The target starts as a copy of the online encoder and projector and follows
    them by an exponential moving average of the weights. It stays trainable in
    Keras terms, since a frozen BatchNormalization would leave training mode;
    gradients and optimiser know only `online_variables`.

    Works with `fit` on a data set of (view_1, view_2), and with
    `strategy.run(model.train_step, args=((view_1, view_2),))`.

    Args:
        config: `Config`; `encoder`, `byol`, `train` and `seed` are used.
        total_steps: length of the run, for schedules; `config.train.steps` when
            None.
    """

    def __init__(self, config: Config, total_steps: int | None = None, **kwargs):
        precision = config.train.precision
        policy = "float32" if precision == "auto" else precision
        super().__init__(dtype=policy, **kwargs)
        self.config = config
        self.total_steps = total_steps or config.train.steps
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
        if optimizer is None:
            optimizer = schedules.make_optimizer(self.config, self.total_steps)
        super().compile(optimizer=optimizer, **kwargs)
        self.optimizer.build(self.online_variables)

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
        parts = [
            tf.split(view, self.config.train.accumulate_steps, axis=0) for view in data
        ]
        gradients, logs = None, None
        for index, views in enumerate(zip(*parts, strict=True)):
            with tf.control_dependencies(gradients or []):  # one part in memory
                views = [tf.identity(view) for view in views]
                new_gradients, new_logs = self._gradients(views, index)
            gradients = _add(gradients, new_gradients)
            logs = _add(logs, new_logs)
        gradients, norm = self._share_gradients(gradients)
        self.optimizer.apply(gradients, self.online_variables)
        self._update_target()
        replicas = tf.distribute.get_replica_context()
        mean = tf.distribute.ReduceOp.MEAN
        names = ("loss", "gradient_norm", *diagnostics.NAMES)
        logs = [logs[0], norm, *logs[1:]]
        return {
            name: replicas.all_reduce(mean, value)
            for name, value in zip(names, logs, strict=True)
        }

    def _gradients(self, views, part: int) -> tuple[list, list]:
        """Gradients and logs of one part, each divided by the number of parts."""
        parts = self.config.train.accumulate_steps
        replicas = tf.distribute.get_replica_context().num_replicas_in_sync
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
                loss = tf.reduce_mean(
                    losses.regression_loss(prediction, targets[1 - index])
                )
                # gradients are summed over replicas, each with an equal share
                share = self.optimizer.scale_loss(loss / (replicas * parts))
            variables = [v.value for v in self.online_variables]
            gradients = _add(gradients, tape.gradient(share, variables))
            total += loss
            if health is None:
                health = diagnostics.health(embedding, projection)
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

    def _predict(self, view, index: int, part: int):
        seed = self._dropout_seed(0, index, part)
        embedding = self.online_encoder(view, training=True, dropout_seed=seed)
        projection = self.online_projector(embedding, training=True)
        if self.predictor is None:
            return embedding, projection, projection
        return embedding, projection, self.predictor(projection, training=True)

    def _project_target(self, view, index: int, part: int):
        seed = self._dropout_seed(1, index, part)
        embedding = self.target_encoder(view, training=True, dropout_seed=seed)
        return self.target_projector(embedding, training=True)

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
