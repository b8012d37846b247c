"""BYOL: the online network predicts the target's projection of another view.

Grill et al. 2020, sections 3.1 and 3.2; TASLP section III-A.
"""

import keras
import tensorflow as tf

from byola_tf import heads, losses
from byola_tf.config import Config
from byola_tf.encoder import Encoder


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
    """

    def __init__(self, config: Config, **kwargs):
        super().__init__(**kwargs)
        self.config = config
        self.online_encoder, self.online_projector = _make_network(config, "online")
        self.target_encoder, self.target_projector = _make_network(config, "target")
        units = config.byol.projection_units
        self.predictor = heads.Head(
            config.byol.hidden_units, units, units, name="predictor"
        )
        self.built = True
        self.synchronize_target()

    def compile(self, optimizer=None, **kwargs):
        """Sets the optimiser (the configuration's Adam by default)."""
        if optimizer is None:
            optimizer = make_optimizer(self.config)
        super().compile(optimizer=optimizer, **kwargs)
        self.optimizer.build(self.online_variables)

    @property
    def online_variables(self) -> list:
        """What the gradient moves: online encoder, projector, predictor."""
        return [
            *self.online_encoder.trainable_variables,
            *self.online_projector.trainable_variables,
            *self.predictor.trainable_variables,
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
            `loss` over the global batch and `embedding_std`, the mean over
            dimensions of the standard deviation over this replica's clips.
        """
        replicas = tf.distribute.get_replica_context()
        projections = [
            tf.stop_gradient(self._project_target(view, index))
            for index, view in enumerate(data)
        ]
        with tf.GradientTape() as tape:
            embeddings, predictions = zip(
                *[self._predict(view, index) for index, view in enumerate(data)],
                strict=True,
            )
            loss = tf.reduce_mean(
                losses.regression_loss(predictions[0], projections[1])
                + losses.regression_loss(predictions[1], projections[0])
            )
            # gradients are summed over replicas, each with an equal share
            share = loss / replicas.num_replicas_in_sync
        gradients = tape.gradient(share, [v.value for v in self.online_variables])
        self.optimizer.apply(gradients, self.online_variables)
        self._update_target()
        return {
            "loss": replicas.all_reduce(tf.distribute.ReduceOp.MEAN, loss),
            "embedding_std": replicas.all_reduce(
                tf.distribute.ReduceOp.MEAN, embedding_spread(embeddings[0])
            ),
        }

    def _predict(self, view, index: int):
        seed = self._dropout_seed(branch=0, view=index)
        embedding = self.online_encoder(view, training=True, dropout_seed=seed)
        projection = self.online_projector(embedding, training=True)
        return embedding, self.predictor(projection, training=True)

    def _project_target(self, view, index: int):
        seed = self._dropout_seed(branch=1, view=index)
        embedding = self.target_encoder(view, training=True, dropout_seed=seed)
        return self.target_projector(embedding, training=True)

    def _dropout_seed(self, branch: int, view: int):
        """int32 [2], a function of (seed, step, replica, branch, view)."""
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        step = tf.cast(self.optimizer.iterations.value, tf.int32)
        seed = tf.stack([tf.constant(self.config.seed, tf.int32), step])
        seed = tf.random.fold_in(seed, tf.cast(replica, tf.int32))
        return tf.random.fold_in(seed, 2 * branch + view)

    def _update_target(self) -> None:
        """target <- decay * target + (1 - decay) * online, weights only."""
        decay = self.config.byol.ema_decay
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


def embedding_spread(embeddings):
    """Mean over dimensions of the standard deviation over clips.

    Zero means collapse: every clip has the same embedding.

    Args:
        embeddings: float32 [batch, units].

    Returns:
        float32 scalar.
    """
    return tf.reduce_mean(tf.math.reduce_std(embeddings, axis=0))


def make_optimizer(config: Config) -> keras.optimizers.Optimizer:
    """Adam with the configuration's constant learning rate."""
    return keras.optimizers.Adam(
        config.train.learning_rate,
        epsilon=config.train.adam_epsilon,
        name="optimizer",  # part of the names in a checkpoint
    )


def _make_network(config: Config, name: str):
    encoder = Encoder(config.encoder, name=f"{name}_encoder")
    projector = heads.Head(
        config.byol.hidden_units,
        config.byol.projection_units,
        config.encoder.embedding_size,
        name=f"{name}_projector",
    )
    return encoder, projector
