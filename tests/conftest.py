"""Fixtures shared by the tests."""

import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest

GOLDEN = pathlib.Path(__file__).parent / "golden"
SHARED = pathlib.Path(__file__).parents[2] / "shared"


@pytest.fixture(scope="session", autouse=True)
def embedding_cache(tmp_path_factory):
    """Keeps the commands under test out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BYOLA_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def golden():
    """Opens a golden file by name as an npz archive."""
    import numpy as np

    return lambda name: np.load(GOLDEN / name)


@pytest.fixture(scope="session")
def shared():
    """The folder `../shared`; the test is skipped where it is absent."""
    if not (SHARED / "data").is_dir():
        pytest.skip(f"needs real recordings in {SHARED}, which is absent")
    return SHARED


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Eighteen sounds to train on; a file of tests may have a folder of its own."""
    from tests import sounds

    return sounds.write_folder(tmp_path_factory.mktemp("data") / "sounds", 18)


@pytest.fixture
def eager():
    """Runs functions operation by operation: for a few steps, tracing costs more."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)
