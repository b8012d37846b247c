"""The networks: convolutions, ResNets, pooling, heads, and their geometry."""

from byola_tf.networks.backend import require_tensorflow

require_tensorflow()  # before a module of this package imports Keras
