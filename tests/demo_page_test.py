"""The page of the demo and its figures, from made-up results."""

import base64
import json
import re

import numpy as np
import pytest

from tests import html_page
from train_lib.demo import drawings
from train_lib.demo import page as demo_page
from train_lib.pages import embedding_map

PNG = b"\x89PNG\r\n\x1a\n"


def make_report(num_classes=6, clips=60, with_families=True, **changes):
    rng = np.random.default_rng(0)
    classes = [f"class_{index}" for index in range(num_classes)]
    labels = np.arange(clips) % num_classes
    confusion = np.eye(num_classes) * 8
    confusion[1, 0] = 2
    result = {"mean": 0.9, "ci95": 0.012}
    fields = {
        "title": "A <title> & more",
        "lead": "One sentence.",
        "embeddings_judged": [
            demo_page.JudgedEmbedding("Trained", "by us", result, is_model=True),
            demo_page.JudgedEmbedding(
                "Floor", "by chance", {"mean": 0.5, "ci95": None}
            ),
        ],
        "train_log": [
            {"step": step, "loss": 4 / step, "embedding_std": 0.5}
            for step in range(1, 40)
        ],
        "clip": drawings.ShownClip(
            name="a.wav",
            waveform=rng.standard_normal(16_000) * 0.1,
            sample_rate=16_000,
            log_mel=rng.standard_normal((96, 64)),
            views=(rng.standard_normal((96, 64)), rng.standard_normal((96, 64))),
            hop_seconds=0.01,
        ),
        "embeddings": rng.standard_normal((clips, 32)) + labels[:, None],
        "random_embeddings": rng.standard_normal((clips, 16)),
        "labels": labels,
        "classes": classes,
        "families": {name: "ab"[i % 2] for i, name in enumerate(classes)}
        if with_families
        else {},
        "confusion_matrix": confusion,
        "stages": [("Generating", 1.4), ("Pre-training", 59.8)],
        "facts": {"seed": "42"},
        "commands": [("do it", "python -m x --pattern='a/**/*' && echo <done>")],
        "versions": {"tensorflow": "2.17.1"},
    }
    return demo_page.DemoContents(**{**fields, **changes})


@pytest.fixture(scope="module")
def page():
    return demo_page.render(make_report())


def test_the_page_contains_everything_it_needs(page):
    text, references = html_page.parse(page)
    assert len(references) == 5
    for reference in references:
        kind, _, data = reference.partition(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(data).startswith(PNG)
    assert "http" not in page
    assert len(page) < 3e6


def test_the_page_says_every_number(page):
    text, _ = html_page.parse(page)
    for expected in (
        "90.0 ± 1.2 %",
        "50.0 %",
        "Guessing would score 16.7 %",
        "20 % of “class_1” was taken for “class_0”",
        "Pre-training60 s",
        "total61 s",
        "tensorflow2.17.1",
    ):
        assert expected in text, expected


def test_text_is_escaped(page):
    assert "A &lt;title&gt; &amp; more" in page
    assert "&amp;&amp; echo &lt;done&gt;" in page


@pytest.mark.parametrize(
    "changes",
    [
        {"num_classes": 2, "clips": 8, "with_families": False},
        {"num_classes": 60, "clips": 120},
        {"train_log": [{"step": 1, "loss": 3.0, "embedding_std": 0.1}]},
        {"embeddings": np.zeros((60, 8))},
        {"num_classes": 2, "clips": 2},
    ],
    ids=["few clips", "many classes", "one logged step", "collapsed", "two clips"],
)
def test_unusual_results_are_shown_too(changes):
    html_page.parse(demo_page.render(make_report(**changes)))


def test_no_confusion_is_said():
    text, _ = html_page.parse(demo_page.render(make_report(confusion_matrix=np.eye(6))))
    assert "There is no confusion at all." in text


def test_the_map_keeps_groups_together():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 20)
    embeddings = rng.standard_normal((60, 40))
    embeddings[:, :3] += 8 * np.eye(3)[labels]
    points = embedding_map.project(embeddings)
    assert points.shape == (60, 2)
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    nearest = labels[distances.argmin(axis=1)]
    assert np.mean(nearest == labels) > 0.9


def test_a_map_for_a_result_is_small():
    rng = np.random.default_rng(0)
    labels, crops = np.arange(1100) % 7, rng.permutation(2000)[:1100]
    features = np.full((2000, 2), np.nan)
    features[crops] = rng.standard_normal((1100, 2)) + labels[:, None]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedding_map, "project", lambda chosen: 5 * chosen)
        found = embedding_map.of_clips(features, crops, labels)
    assert len(found["points"]) == len(found["labels"]) == embedding_map.MAX_CLIPS
    assert np.abs(found["points"]).max() == 1
    assert len(json.dumps(found)) < 30_000
    # a point keeps its clip's label
    means = [
        np.mean(np.array(found["points"])[np.array(found["labels"]) == k])
        for k in (0, 6)
    ]
    assert means[1] > means[0] + 0.3
    same = embedding_map.of_clips(np.ones((30, 4)), np.arange(30), np.zeros(30, int))
    assert same["points"] == [[0.0, 0.0]] * 30


def test_sizes_of_pictures_are_modest(page):
    pictures = re.findall(r"base64,([^\"]+)", page)
    assert max(map(len, pictures)) < 600_000
