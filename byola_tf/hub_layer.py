"""An exported model as a layer of a Keras 3 model, frozen or fine-tuned.

`hub.KerasLayer` is a tf_keras layer and cannot enter a Keras 3 model; this is
its counterpart.
"""

import base64
import os
import tempfile
import zlib

import keras
import tensorflow as tf

from byola_tf import files
from byola_tf.errors import UserError


@keras.saving.register_keras_serializable("byola_tf")
class HubLayer(keras.layers.Layer):
    """Embeds waveforms with an exported model: [batch, samples] → [batch, d].

    Frozen, the layer always works in inference mode and nothing in it changes.
    Trainable, its weights are trained, and a call with `training=True` (as in
    `fit`) uses batch statistics, updates the moving ones and applies dropout.
    `layer.trainable` may be changed later; compile the model again afterwards.

    With few clips (thousands or less) or small batches choose
    `inference_mode=True`: the weights are trained while batch normalisation keeps
    its moving statistics and dropout is off, so that the layers above see in `fit`
    what they see afterwards. `encoder(waveform, training=False)` in a functional
    model does not achieve that: Keras 3 overrides it in `fit`.

    Computes in float32 under any dtype policy. Under a `tf.distribute` strategy,
    make the layer inside `strategy.scope()`: batches are normalised replica by
    replica, and the moving statistics averaged, so that replicas stay equal.

    A saved Keras model carries the graph and the weights: it needs neither the
    folder nor the machine it was made on. A graph is a program, so open files
    that you trust. `keras.saving.load_model` knows the class once `byola_tf.HubLayer`
    has been named, be it in `custom_objects`.

    Args:
        path: folder of the exported model.
        trainable: whether to fine-tune it.
        inference_mode: fine-tune with moving statistics and without dropout.
        **kwargs: `name` of the layer.

    Raises:
        UserError: `path` is no exported model.
    """

    def __init__(
        self,
        path: str,
        trainable: bool = False,
        inference_mode: bool = False,
        **kwargs,
    ):
        graph = kwargs.pop("graph", None)
        if kwargs.pop("dtype", None) not in (None, "float32"):
            raise UserError(
                "`dtype` of a HubLayer must be float32: the exported graph is. Leave "
                "it out; layers after it follow the model's policy."
            )
        super().__init__(trainable=trainable, dtype="float32", **kwargs)
        # Keras compiles by default; here that means anew for every length of
        # clip, and training steps eight times as slow on a CPU
        self.supports_jit = False
        self.inference_mode = inference_mode
        self.model_path = files.canonical(os.fspath(path))
        self._graph, self._exported = _open(self.model_path, graph)
        self._has_weights = False
        embedding = self._exported.signatures["serving_default"].structured_outputs
        self.embedding_size = int(embedding["embedding"].shape[-1])
        trained = {id(variable) for variable in self._exported.trainable_variables}
        self._moving = []
        with keras.name_scope(self.name):
            for variable in self._exported.variables:
                is_trained = id(variable) in trained
                if not is_trained:
                    self._moving.append(variable)
                self._track_variable(
                    keras.Variable(
                        variable,
                        trainable=is_trained,
                        dtype=variable.dtype,
                        # Keras allows no slash, optimizers no colon
                        name=variable.name.replace("/", "_").replace(":", "_"),
                    )
                )
        self.built = True

    def call(self, waveform, training=False):
        """Embeds clips.

        Args:
            waveform: float32 [batch, samples] in [-1, 1], at the model's rate.
            training: batch statistics and dropout, if the layer is trainable and
                not in inference mode.

        Returns:
            float32 [batch, embedding_size].
        """
        dtype = tf.as_dtype(waveform.dtype)
        if len(waveform.shape) != 2 or not dtype.is_floating:
            raise UserError(
                "`waveform` must be float [batch, samples] in [-1, 1]. Received: "
                f"{dtype.name} {tuple(waveform.shape)}. waveform[None] makes one clip "
                "a batch; divide 16-bit samples by 32768."
            )
        self._check_weights()
        training = bool(training and self.trainable and not self.inference_mode)
        embedding = self._exported(waveform, training=training)
        if training:
            self._average_moving_statistics()
        return embedding

    def _check_weights(self):
        if self._has_weights:
            return
        with tf.init_scope():
            self._has_weights = all(
                bool(variable.is_initialized()) for variable in self._exported.variables
            )
        if not self._has_weights:
            raise UserError(
                f"The model of {self.name!r} must be at {self.model_path!r} to make "
                "the layer from its configuration alone. Received: a folder that is "
                "gone or holds another model. Put it back, or load weights first."
            )

    def _average_moving_statistics(self):
        # the exported graph updates each replica's with that replica's batch
        context = tf.distribute.get_replica_context()
        if context is None or context.num_replicas_in_sync == 1:
            return
        averages = context.all_reduce(
            tf.distribute.ReduceOp.MEAN,
            [tf.convert_to_tensor(variable) for variable in self._moving],
        )
        for variable, average in zip(self._moving, averages, strict=True):
            variable.assign(average)

    def compute_output_shape(self, input_shape):
        """(batch, samples) to (batch, embedding_size)."""
        return (input_shape[0], self.embedding_size)

    def get_config(self):
        """The path, and the graph without weights as text."""
        config = super().get_config()
        del config["dtype"]
        graph = base64.b85encode(zlib.compress(self._graph, 9)).decode()
        return {
            **config,
            "path": self.model_path,
            "inference_mode": self.inference_mode,
            "graph": graph,
        }


def _open(path: str, graph: str | None):
    """Loads the exported model at `path`, or its graph where that is gone.

    Args:
        path: where the model is or was.
        graph: of `get_config`. With it, a folder that holds another model counts
            as gone, and the variables of the loaded graph hold nothing until
            Keras restores their values from the saved model.

    Returns:
        the bytes of saved_model.pb and the loaded object.
    """
    file_name = os.path.join(path, "saved_model.pb")
    found = None
    if tf.io.gfile.exists(file_name):
        with tf.io.gfile.GFile(file_name, "rb") as file:
            found = file.read()
    if graph is None and found is None:
        raise UserError(
            "`path` must be the folder of an exported model, with saved_model.pb. "
            f"Received: {path!r}. Export one with byola export."
        )
    wanted = found if graph is None else zlib.decompress(base64.b85decode(graph))
    if found == wanted:
        with files.plain_path(path) as plain:
            exported = tf.saved_model.load(plain)
    else:
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "saved_model.pb"), "wb") as file:
                file.write(wanted)
            options = tf.saved_model.LoadOptions(experimental_skip_checkpoint=True)
            exported = tf.saved_model.load(folder, options=options)
    missing = [
        name
        for name in ("__call__", "variables", "trainable_variables", "signatures")
        if not hasattr(exported, name)
    ]
    if missing:
        raise UserError(
            "`path` must be a model exported by hub_export. Received: "
            f"{path!r}, a SavedModel without {', '.join(missing)}."
        )
    return wanted, exported
