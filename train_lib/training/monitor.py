"""TensorBoard: scalars at every logged step, pictures once an epoch."""

import os

import numpy as np
import tensorflow as tf

from byola_tf import BYOL

_CLIPS = 64  # clips whose embeddings the histogram summarises


class Monitor:
    """Writes what a run looks like from inside.

    Args:
        folder: TensorBoard log folder.
    """

    def __init__(self, folder: str):
        self._folder = folder
        self._writer = tf.summary.create_file_writer(folder)

    def scalars(self, step: int, values: dict) -> None:
        """Writes name → number."""
        with self._writer.as_default(step):
            for name, value in values.items():
                tf.summary.scalar(name, value)

    def epoch(self, step: int, model: BYOL, log_mel, views) -> None:
        """Writes the embedding spread per dimension and one clip's views.

        Args:
            step: number of steps done.
            model: the model.
            log_mel: float32 [time, mel], the first clip before augmentation.
            views: (view_1, view_2), each float32 [batch, time, mel].
        """
        embeddings = model.online_encoder(views[0][:_CLIPS], training=False)
        spread = tf.math.reduce_std(embeddings, axis=0)
        picture = side_by_side([log_mel, views[0][0], views[1][0]])
        with self._writer.as_default(step):
            tf.summary.histogram("embedding/std_per_dimension", spread)
            tf.summary.image("clip: log_mel, view_1, view_2", picture[None])
        self._writer.flush()

    def projector(self, step: int, model: BYOL, log_mel) -> None:
        """Writes a batch's embeddings for TensorBoard's projector.

        Args:
            step: number of steps done.
            model: the model.
            log_mel: float32 [batch, time, mel]; the pictures of the points.
        """
        embeddings = model.online_encoder(log_mel, training=False).numpy()
        name = f"embedding_{step:08d}.tsv"
        np.savetxt(os.path.join(self._folder, name), embeddings, "%.5g", "\t")
        with open(os.path.join(self._folder, "projector_config.pbtxt"), "a") as file:
            file.write(
                f'embeddings {{ tensor_name: "step {step}" tensor_path: "{name}" }}\n'
            )

    def close(self) -> None:
        """Flushes and closes the files."""
        self._writer.close()


def side_by_side(log_mels) -> np.ndarray:
    """Draws [time, mel] arrays next to each other, low frequencies below.

    Returns:
        float32 [mel * 4, width, 1] in [0, 1].
    """
    panels = []
    for log_mel in log_mels:
        panel = np.asarray(log_mel).T[::-1]
        low, high = np.percentile(panel, [1, 99])
        scaled = np.clip((panel - low) / max(high - low, 1e-6), 0, 1)
        panels += [scaled, np.ones((len(panel), 4))]
    picture = np.concatenate(panels[:-1], axis=1)
    return np.kron(picture, np.ones((4, 4)))[..., None].astype(np.float32)
