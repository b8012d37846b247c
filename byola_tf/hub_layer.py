"""An exported model as a layer of a Keras 3 model, frozen or fine-tuned.

`hub.KerasLayer` is a tf_keras layer and cannot enter a Keras 3 model; this is
its counterpart.
"""

import contextlib
import contextvars
import os

import keras
import tensorflow as tf
from keras.src.saving import serialization_lib

from byola_tf import checkpoint, files
from byola_tf.embedding import exported_graph, exported_model
from byola_tf.errors import UserError

_graphs_are_trusted = contextvars.ContextVar("graphs_are_trusted", default=False)


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

    Clips of unequal length are padded to one, and a second input says how long each
    is: `layer(waveform, num_samples)`. Each then gets what it gets alone.

    Computes in float32 under any dtype policy. Under a `tf.distribute` strategy,
    make the layer inside `strategy.scope()`: batches are normalised replica by
    replica, and the moving statistics averaged, so that replicas stay equal.

    A saved Keras model carries the graph and the weights: it needs neither the
    folder nor the machine it was made on. A graph is a program, so Keras's safe mode
    refuses it: open a file that you trust with
    `keras.saving.load_model(path, safe_mode=False)`, after `byola_tf.HubLayer` has
    been named, be it in `custom_objects`. `export` makes a full model of the layer.

    The model may be quantised for phones: `tf.lite.Optimize.DEFAULT` keeps cosines
    to 0.999 and better. Do not give the converter a representative data set: it
    rounds the log-mels too, and they span twelve orders of magnitude. For integer
    arithmetic `byola tflite` makes an integer encoder with a float front end.

    Args:
        path: folder of the exported model.
        trainable: whether to fine-tune it.
        inference_mode: fine-tune with moving statistics and without dropout.
        output: "embedding", a vector a clip; or "frames", one every
            `frame_hop_seconds` of the model: [batch, time, frame embedding size].
        **kwargs: `name` of the layer.

    Attributes:
        embedding_size: length of the vectors.

    Raises:
        UserError: `path` is no exported model, or an argument is out of range.
    """

    def __init__(
        self,
        path: str,
        trainable: bool = False,
        inference_mode: bool = False,
        output: str = "embedding",
        **kwargs,
    ):
        graph = kwargs.pop("graph", None)
        if kwargs.pop("dtype", None) not in (None, "float32"):
            raise UserError(
                "`dtype` of a HubLayer must be float32: the exported graph is. Leave "
                "it out; layers after it follow the model's policy."
            )
        if output not in exported_graph.OUTPUTS:
            raise UserError(
                f"`output` must be one of {', '.join(exported_graph.OUTPUTS)}. "
                f"Received: {output!r}."
            )
        super().__init__(trainable=trainable, dtype="float32", **kwargs)
        # Keras compiles where it can; the graph has branches and lengths that XLA
        # compiles anew for each length, and training steps take eight times as long
        self.supports_jit = False
        self.inference_mode = inference_mode
        self.output_kind = output
        self.model_path = files.canonical(os.fspath(path))
        self._graph, self._exported = exported_graph.open_model(self.model_path, graph)
        self._infer, self.embedding_size = exported_graph.signature(
            self._exported, output
        )
        self._has_weights = False
        self._moving = []
        self._track_weights()
        self.built = True

    def _track_weights(self) -> None:
        trained = {id(variable) for variable in self._exported.trainable_variables}
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

    def call(self, waveform, num_samples=None, training=False):
        """Embeds clips.

        Args:
            waveform: float32 [batch, samples] in [-1, 1], at the model's rate.
            num_samples: int [batch], length of each clip, 1 to `samples`; what
                follows has no influence, and its frames are zero. All count when
                None.
            training: batch statistics and dropout, if the layer is trainable and
                not in inference mode.

        Returns:
            float32 [batch, embedding_size], or of frames [batch, time,
            embedding_size].

        Raises:
            UserError: the input is of another kind, or lengths or frames are asked
                for with batch statistics, which the model has none for.
        """
        _check_input(waveform, num_samples)
        self._check_weights()
        training = bool(training and self.trainable and not self.inference_mode)
        plain = num_samples is None and self.output_kind == "embedding"
        if training and not plain:
            raise UserError(
                "`inference_mode` must be True to fine-tune with `num_samples` or with "
                'output="frames". Received: inference_mode=False. These are computed '
                "with moving statistics: HubLayer(path, trainable=True, "
                "inference_mode=True)."
            )
        if training:
            embedding = self._exported(waveform, training=True)
            self._average_moving_statistics()
            return embedding
        if num_samples is None:
            return self._infer(waveform)
        num_samples = tf.cast(num_samples, tf.int32)
        if self.output_kind == "embedding":
            return self._exported.embed_padded(waveform, num_samples)
        outputs = self._exported.frames_padded(waveform, num_samples)
        return outputs["frame_embeddings"]

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

    def compute_output_spec(self, waveform, num_samples=None, training=False):
        """Refuses inputs of another kind when a model is built; see `call`."""
        _check_input(waveform, num_samples)
        return keras.KerasTensor(self.compute_output_shape(waveform.shape), "float32")

    def compute_output_shape(self, waveform_shape, num_samples_shape=None):
        """(batch, samples) to (batch, embedding_size), or with time in between."""
        time = (None,) if self.output_kind == "frames" else ()
        return (waveform_shape[0], *time, self.embedding_size)

    def checkpoint(self) -> checkpoint.Checkpoint:
        """The encoder with the weights of this moment, as `byola_tf.checkpoint` has it.

        Raises:
            UserError: the layer has no weights yet; see `checkpoint.from_exported`.
        """
        self._check_weights()
        opened = checkpoint.from_exported(self._exported)
        opened.provenance["fine_tuned"] = True
        return opened

    def export(self, folder: str) -> None:
        """Makes a full model of the layer, for `byola embed`, `tflite` and `export`.

        The model has the weights of this moment, and the configuration, statistics
        and provenance of the one that the layer was made of. `byola export
        --workdir=FOLDER` adds a model card and publishes.

        Args:
            folder: for the SavedModel; an older model there is replaced.

        Raises:
            UserError: `folder` holds something else, or see `checkpoint`.
        """
        files.require_replaceable(folder, "saved_model.pb", "folder")
        opened = self.checkpoint()
        with files.replacing_folder(folder) as temporary:
            exported_model.save(opened, temporary)

    def get_config(self):
        """The path, and the graph without weights as text."""
        config = super().get_config()
        del config["dtype"]
        return {
            **config,
            "path": self.model_path,
            "inference_mode": self.inference_mode,
            "output": self.output_kind,
            "graph": exported_graph.to_text(self._graph),
        }

    @classmethod
    def from_config(cls, config):
        """Makes the layer of `get_config`.

        Raises:
            UserError: Keras opens a file in safe mode.
        """
        if serialization_lib.in_safe_mode() and not _graphs_are_trusted.get():
            raise UserError(
                "`safe_mode` must be False to open a file with a HubLayer, whose graph "
                "is a program. Received: safe_mode=True, Keras's default. If you trust "
                "the file: keras.saving.load_model(path, safe_mode=False)."
            )
        return cls(**config)


@contextlib.contextmanager
def trusted_graphs():
    """Lets safe mode open HubLayers, and still nothing that is Python code."""
    token = _graphs_are_trusted.set(True)
    try:
        yield
    finally:
        _graphs_are_trusted.reset(token)


def _check_input(waveform, num_samples) -> None:
    dtype = tf.as_dtype(keras.backend.standardize_dtype(waveform.dtype))
    if len(waveform.shape) != 2 or not dtype.is_floating:
        raise UserError(
            "`waveform` must be float [batch, samples] in [-1, 1]. Received: "
            f"{dtype.name} {tuple(waveform.shape)}. waveform[None] makes one clip "
            "a batch, waveform[:, :, 0] drops a channel axis (of Input((samples, 1)): "
            "write Input((samples,))); divide 16-bit samples by 32768."
        )
    if num_samples is None:
        return
    dtype = tf.as_dtype(keras.backend.standardize_dtype(num_samples.dtype))
    if len(num_samples.shape) != 1 or not dtype.is_integer:
        raise UserError(
            "`num_samples` must be int [batch], a length for each clip. Received: "
            f"{dtype.name} {tuple(num_samples.shape)}. As an input of a model it is "
            'keras.Input((), dtype="int32").'
        )
