"""BYOL under MirroredStrategy with two logical CPU devices, by `fit`."""

import pytest

from tests import commands

PROGRAM = """
import numpy as np, keras, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from byola_tf import BYOL
from byola_tf.config import BYOLConfig, Config, EncoderConfig, TrainConfig

config = Config(
    encoder=EncoderConfig(channels=4, hidden_units=16, output_units=8, dropout=0.0),
    byol=BYOLConfig(hidden_units=32, projection_units=8),
    train=TrainConfig(batch_size=8, learning_rate=1e-4),
)
rng = np.random.default_rng(0)
views = [rng.normal(size=(5 * 8, 96, 64)).astype("f") for _ in range(2)]
dataset = tf.data.Dataset.from_tensor_slices(tuple(views)).batch(8, drop_remainder=True)

def train(strategy):
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = BYOL(config)
        model.compile()
    losses = model.fit(dataset, epochs=2, verbose=0, shuffle=False).history["loss"]
    return model, losses

one, losses_one = train(tf.distribute.get_strategy())
two, losses_two = train(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]))
np.testing.assert_allclose(losses_two, losses_one, atol=1e-4)
compared = 0
for a, b in zip(one.variables, two.variables):
    replicas = [v.numpy() for v in b.value.values]
    np.testing.assert_array_equal(replicas[0], replicas[1], err_msg=b.path)
    if "online_encoder" in a.path and "kernel" in a.path:
        np.testing.assert_allclose(replicas[0], a.numpy(), rtol=1e-2, atol=1e-4)
        compared += 1
assert compared == 4, [v.path for v in one.variables]
print("EQUAL")
"""


@pytest.mark.slow
def test_two_replicas_train_as_one_and_stay_equal():
    # the number of logical devices is fixed once TensorFlow has started
    run = commands.run("-c", PROGRAM)
    assert run.stdout.strip().endswith("EQUAL"), run.stderr[-3000:]
