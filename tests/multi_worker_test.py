"""Two worker processes on this machine through the real command."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from byola_tf.corpus import corpus as waveforms
from tests import commands
from tests.smoke_run import make_config
from train_lib.configs import smoke
from train_lib.training import replicas, trainer, workdir


class NamingReader:
    """A reader whose crops hold the numbers of their recordings."""

    def __init__(self, count, unit_samples):
        self.unit_samples = unit_samples
        self.paths = [f"{index}.wav" for index in range(count)]

    def read_crops(self, chosen, positions):
        return np.repeat(chosen[:, None], self.unit_samples, axis=1)


def test_parts_of_the_corpus_are_disjoint_and_of_one_size():
    config = smoke.get_config()
    config.train.batch_size = 4
    read, sizes = [], set()
    for index in range(2):
        corpus = waveforms.Corpus(
            config, NamingReader(19, config.unit_samples), (index, 2)
        )
        sizes.add(corpus.steps_per_epoch)
        steps = range(20 * corpus.steps_per_epoch)
        read.append({int(row[0]) for step in steps for row in corpus.crops(step)})
        epoch = np.concatenate([corpus.crops(step)[:, 0] for step in (0, 1)])
        assert len(set(epoch)) == 8  # no recording twice in an epoch
    assert sizes == {2}
    assert not read[0] & read[1]
    assert read[0] | read[1] == set(range(18))


def start(arguments, program=("-m", "train_lib.pretrain")):
    """Starts the command in two processes, the workers of one job."""
    addresses = [f"localhost:{port}" for port in replicas.free_ports(2)]
    processes = []
    for index in range(2):
        task = {"type": "worker", "index": index}
        cluster = {"cluster": {"worker": addresses}, "task": task}
        environment = {**os.environ, "TF_CONFIG": json.dumps(cluster)}
        processes.append(
            subprocess.Popen(
                [
                    sys.executable,
                    *program,
                    "--config=smoke",
                    "--config.train.strategy=multi_worker",
                    *arguments,
                ],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                cwd=os.path.dirname(os.path.dirname(__file__)),
            )
        )
    return processes


def finish(processes, status=0):
    """Waits for all; returns what each wrote to stderr."""
    said = []
    try:
        for process in processes:
            said.append(process.communicate(timeout=200)[1])
    finally:
        for process in processes:
            process.kill()
    codes = [process.returncode for process in processes]
    assert codes == [status] * len(processes), "\n".join(said)[-6000:]
    return said


def losses(path):
    return [(entry["step"], entry["loss"]) for entry in workdir.read_log(path)]


@pytest.mark.slow
def test_two_workers_write_one_work_directory_that_one_process_resumes(
    folder, tmp_path
):
    """Global sharding: the losses are those of one process."""
    path, whole = str(tmp_path / "run"), str(tmp_path / "whole")
    arguments = [
        f"--config.data.pattern={folder}",
        "--config.train.steps=4",
        "--config.encoder.dropout=0",
        f"--workdir={path}",
    ]
    finish(start(arguments))
    assert [step for step, _ in losses(path)] == [1, 2, 3, 4]
    steps = sorted(os.listdir(os.path.join(path, "checkpoints")))
    assert steps == ["step_00000002", "step_00000004"]
    config = make_config(folder, 8)
    config.encoder = dataclasses.replace(config.encoder, dropout=0.0)
    assert trainer.pretrain(config, path).steps == 8
    trainer.pretrain(config, whole)
    found, expected = (np.array(losses(run)) for run in (path, whole))
    np.testing.assert_array_equal(found[:, 0], expected[:, 0])
    # Adam turns rounding noise of vanishing gradients into steps
    np.testing.assert_allclose(found[:, 1], expected[:, 1], atol=5e-2)
    np.testing.assert_allclose(found[0, 1], expected[0, 1], atol=1e-4)


@pytest.mark.slow
def test_workers_with_parts_of_their_own_finish_and_stay_equal(folder, tmp_path):
    """`data.sharding=worker`, and clipping, which needs the whole gradient."""
    path = str(tmp_path / "run")
    arguments = [
        f"--config.data.pattern={folder}",
        "--config.train.steps=6",
        "--config.data.sharding=worker",
        "--config.train.clip_norm=0.5",
        f"--workdir={path}",
    ]
    program = (
        "import sys, numpy as np\n"
        "from train_lib import pretrain\n"
        "from train_lib.training import loop\n"
        "save = loop.Run._summarize\n"
        "def spied(self, *arguments):\n"
        "    values = [v.numpy().ravel() for v in self.model.variables]\n"
        "    from train_lib.training import distribution\n"
        "    index, _ = distribution.worker(self.strategy)\n"
        f"    np.save({str(tmp_path)!r} + f'/{{index}}.npy', np.concatenate(values))\n"
        "    return save(self, *arguments)\n"
        "loop.Run._summarize = spied\n"
        "pretrain.cli()\n"
    )
    spied = tmp_path / "spied.py"
    spied.write_text(program)
    said = finish(start(arguments, (str(spied),)))
    for index, text in enumerate(said):
        assert f"Worker {index} of 2 reads its own part of the files" in text
    first, second = (np.load(tmp_path / f"{index}.npy") for index in range(2))
    np.testing.assert_array_equal(first, second)
    assert np.isfinite(first).all()
    assert [step for step, _ in losses(path)] == list(range(1, 7))


@pytest.mark.slow
def test_one_worker_told_to_stop_stops_all_with_a_checkpoint(folder, tmp_path):
    path = str(tmp_path / "run")
    arguments = [
        f"--config.data.pattern={folder}",
        "--config.train.steps=100000",
        "--config.train.checkpoint_every_steps=100000",
        f"--workdir={path}",
    ]
    processes = start(arguments)
    deadline = time.monotonic() + 150
    while not losses(path) and time.monotonic() < deadline:
        assert all(process.poll() is None for process in processes)
        time.sleep(0.1)
    processes[1].send_signal(signal.SIGTERM)
    said = finish(processes, 128 + signal.SIGTERM)
    assert "with a checkpoint" in said[0]
    step = losses(path)[-1][0]
    assert os.listdir(os.path.join(path, "checkpoints", f"step_{step:08d}"))


@pytest.mark.slow
def test_a_killed_worker_ends_the_other_with_a_checkpoint_and_a_word(folder, tmp_path):
    path = str(tmp_path / "run")
    processes = start(
        [
            f"--config.data.pattern={folder}",
            "--config.train.steps=100000",
            "--config.train.checkpoint_every_steps=100000",
            f"--workdir={path}",
        ]
    )
    try:
        deadline = time.monotonic() + 150
        while not losses(path) and time.monotonic() < deadline:
            assert all(process.poll() is None for process in processes)
            time.sleep(0.1)
        processes[1].kill()
        _, said = processes[0].communicate(timeout=150)
    finally:
        for process in processes:
            process.kill()
    assert processes[0].returncode == 2, said[-3000:]
    assert "a worker of the job has ended" in said
    assert "Traceback" not in said
    assert os.listdir(os.path.join(path, "checkpoints"))


REPLICAS = """
import numpy as np, keras, tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * 2)
from byola_tf import BYOL
from tests import options_test
from train_lib.training import distribution
views = options_test.random_views()

def steps(strategy, config, scale=None):
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = BYOL(config, 10)
        model.compile()
    if scale:
        model.optimizer.dynamic_scale.assign(scale)
    step = distribution.make_train_step(strategy, model)
    logs = [step(distribution.scatter(strategy, views)) for _ in range(3)]
    for variable in model.variables:
        copies = strategy.experimental_local_results(variable.value)
        for copy in copies[1:]:
            np.testing.assert_array_equal(copy.numpy(), copies[0].numpy())
    return model, [float(log["gradient_norm"]) for log in logs]

one = tf.distribute.OneDeviceStrategy("CPU:0")
two = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
config = options_test.small_config(clip_norm=0.02, adam_epsilon=1e-2)
alone, norms = steps(one, config)
shared, shared_norms = steps(two, config)
assert norms[0] > 0.04, norms
np.testing.assert_allclose(shared_norms, norms, rtol=1e-3)
for a, b in zip(alone.online_variables, shared.online_variables):
    np.testing.assert_allclose(b.numpy(), a.numpy(), atol=2e-5, err_msg=a.path)
config = options_test.small_config(precision="mixed_float16")
model, norms = steps(two, config, scale=64.0)
assert model.optimizer.iterations.numpy() == 3 and np.isfinite(norms).all()
model, norms = steps(two, config, scale=1e38)
assert model.optimizer.iterations.numpy() == 0
np.testing.assert_allclose(model.optimizer.dynamic_scale.numpy(), 1.25e37, rtol=1e-5)
print("EQUAL")
"""


@pytest.mark.slow
def test_replicas_clip_and_scale_the_whole_gradient():
    # the number of logical devices is fixed once TensorFlow has started
    run = commands.run("-c", REPLICAS)
    assert run.stdout.strip().endswith("EQUAL"), run.stderr[-3000:]
