"""Which framework Keras computes with."""

import os

from byola_tf.errors import UserError


def require_tensorflow() -> None:
    """Refuses another backend of Keras than TensorFlow.

    Raises:
        UserError: KERAS_BACKEND or Keras's own file names another one.
    """
    name = os.environ.get("KERAS_BACKEND") or "tensorflow"
    try:
        import keras

        name = keras.backend.backend()
    except ImportError:
        if name == "tensorflow":
            raise
    if name != "tensorflow":
        raise UserError(
            "byola_tf needs Keras's TensorFlow backend. Received: the backend "
            f"{name!r}. Set KERAS_BACKEND=tensorflow before Keras is imported."
        )
