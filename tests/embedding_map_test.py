"""The probe's result is safe before its map is drawn."""

import json
import types

import numpy as np
import pytest

from train_lib.pages import embedding_map
from train_lib.probe import results


def test_a_probe_stopped_while_it_maps_leaves_its_scores(tmp_path, monkeypatch):
    output = tmp_path / "scores.json"
    probe = types.SimpleNamespace(
        result={"mean": 0.5, "mode": "linear"},
        labels=np.zeros(3, int),
        embedded=types.SimpleNamespace(features=np.zeros((3, 2))),
        crops=np.arange(3),
    )
    scores = dict(probe.result)

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(embedding_map, "of_clips", stop)
        results.write(str(output), probe)
    assert json.loads(output.read_text()) == scores
    results.write(str(output), probe)
    assert json.loads(output.read_text())["map"]["labels"] == [0, 0, 0]
