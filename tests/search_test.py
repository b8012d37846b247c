"""The Optuna search: the space, the study on disk, the page."""

import importlib.util
import json
from types import SimpleNamespace

import pytest

from byola_tf.config import Config
from byola_tf.errors import UserError
from tests import commands, sounds
from train_lib.cli import config_flag
from train_lib.tune import page, space, study

optuna = pytest.importorskip("optuna")


def test_the_built_in_space_names_the_published_chain_and_its_values_fit():
    config = Config()
    trial = optuna.trial.FixedTrial(
        {name: (choice["low"] + choice["high"]) / 2 for name, choice in _published()}
    )
    values = space.suggest(trial, space.AUGMENTATION)
    config_flag.assign(config, values)
    config.validate()
    assert config.augment.crop_mel_range == (0.65, 1.5)
    assert config.augment.mixup_ratio == 0.3
    for name, choice in _published():
        section, field, *index = name.split(".")
        default = getattr(getattr(Config(), section), field)
        default = default[int(index[0])] if index else default
        assert choice["low"] <= default <= choice["high"]


def _published():
    return space.read("augmentation").items()


def test_a_space_of_one_s_own_has_every_kind_of_range(tmp_path):
    path = tmp_path / "space.json"
    path.write_text(
        json.dumps(
            {
                "train.learning_rate": {"low": 1e-5, "high": 1e-3, "log": True},
                "encoder.num_blocks": {"low": 1, "high": 3},
                "augment.blocks": {"choices": [["mixup", "fade"], ["fade"]]},
            }
        )
    )
    drawn = optuna.create_study().ask()
    values = space.suggest(drawn, space.read(str(path)))
    config = Config()
    config_flag.assign(config, values)
    assert 1e-5 <= config.train.learning_rate <= 1e-3
    assert config.encoder.num_blocks in (1, 2, 3)
    assert config.augment.blocks in (("mixup", "fade"), ("fade",))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "JSON file"),
        ("{}", "map fields"),
        ('{"augment.colour": {"low": 0, "high": 1}}', "augment.colour"),
        ('{"augment.crop_mel_range.2": {"low": 0, "high": 1}}', "crop_mel_range.2"),
        ('{"augment.mixup_ratio": {"low": 1, "high": 0}}', "low < high"),
        ('{"augment.mixup_ratio": {"low": 0, "high": 1, "log": true}}', "above zero"),
        ('{"augment.blocks": {"choices": []}}', "list of choices"),
    ],
)
def test_a_wrong_space_says_what_is_wrong(tmp_path, text, message):
    path = tmp_path / "space.json"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        space.read(str(path))


def _search(workdir, **changes):
    settings = {
        "base": Config(),
        "space": {"augment.mixup_ratio": {"low": 0.0, "high": 0.6}},
        "task_files": ("task.csv",),
        "unit_seconds": (1.0,),
        "steps": 4,
        "parts": 2,
        "workdir": str(workdir),
    }
    return study.Search(**{**settings, **changes})


class Killed(BaseException):
    """Ends a trial as SIGKILL does: nothing tells the study."""


@pytest.fixture
def trained(monkeypatch):
    """Trials without training: what was trained, and a score of the drawn values."""
    folders = []

    def pretrain(config, folder, until_step):
        folders.append((folder, until_step))
        return SimpleNamespace(checkpoint=config, steps=until_step)

    def score(config, search):
        augment = config.augment
        return 1 - abs(augment.mixup_ratio - 0.2) - abs(augment.fade_range - 1) / 9

    monkeypatch.setattr(study.trainer, "pretrain", pretrain)
    monkeypatch.setattr(study, "_score", score)
    monkeypatch.setattr(study.keras.backend, "clear_session", lambda: None)
    return folders


def _wide(workdir):
    ranges = {"augment.mixup_ratio": {"low": 0.0, "high": 0.6}}
    ranges["augment.fade_range"] = {"low": 0.0, "high": 2.0}
    ranges["augment.blocks"] = {"choices": [["mixup", "fade"], ["fade"]]}
    return _search(workdir, space=ranges)


def _done(found):
    return [
        (trial.params, trial.state, trial.value, trial.intermediate_values)
        for trial in found.trials
        if trial.state.name != "FAIL"
    ]


@pytest.mark.parametrize("moment", ["_score", "drawing"])
def test_a_search_that_is_killed_again_and_again_gives_the_same_trials(
    tmp_path, monkeypatch, trained, moment
):
    expected = _done(study.run(_wide(tmp_path / "whole"), num_trials=16))
    assert len({json.dumps(params) for params, *_ in expected}) > 12
    folders = list(trained)
    trained.clear()
    score, suggest, calls = study._score, space.suggest, iter(range(1000))

    def dying_score(*arguments):
        if moment == "_score" and next(calls) % 9 == 5:
            raise Killed
        return score(*arguments)

    def dying_suggest(trial, ranges):
        if moment == "drawing" and next(calls) % 5 == 3:
            first = dict(list(ranges.items())[:1])
            suggest(trial, first)
            raise Killed
        return suggest(trial, ranges)

    monkeypatch.setattr(study, "_score", dying_score)
    monkeypatch.setattr(study.spaces, "suggest", dying_suggest)
    deaths = 0
    while True:
        try:
            found = study.run(_wide(tmp_path / "killed"), num_trials=16)
            break
        except Killed:
            deaths += 1
    assert deaths > 2
    assert _done(found) == expected
    # a trial goes on in the folder where it was cut short
    names = [
        {folder.rpartition("/")[2] for folder, _ in run} for run in (folders, trained)
    ]
    assert names[0] == names[1]


def test_a_search_that_is_extended_gives_the_trials_of_a_longer_one(tmp_path, trained):
    whole = study.run(_wide(tmp_path / "whole"), num_trials=14)
    for number in (3, 3, 12, 14):
        extended = study.run(_wide(tmp_path / "parts"), num_trials=number)
    assert _done(extended) == _done(whole)


@pytest.mark.parametrize(
    "pattern",
    [
        r"C:\new\users\*.wav",
        'a"b/*.wav',
        "it's/*.wav",
        '"""',
        "\\",
        "a\nb",
        "caf\udce9/*.wav",
        "{pattern}/%s",
    ],
)
def test_the_best_configuration_loads_whatever_the_path_of_the_sounds(
    tmp_path, trained, pattern
):
    search = _search(tmp_path)
    search.base.data.pattern = pattern
    study.run(search, num_trials=1)
    assert _config_of(tmp_path / "best.py").data.pattern == pattern


def test_a_study_refuses_other_settings(tmp_path):
    study.open_study(_search(tmp_path))
    with pytest.raises(UserError, match="differs in steps"):
        study.open_study(_search(tmp_path, steps=5))


def test_a_trial_that_falls_behind_is_given_up(tmp_path, monkeypatch):
    scores = iter([0.8] * 2 * 4 + [0.2])  # four whole trials, one that starts badly
    trained = []
    monkeypatch.setattr(
        study.trainer,
        "pretrain",
        lambda config, folder, until_step: (
            trained.append((until_step, config.train.steps))
            or SimpleNamespace(checkpoint=folder, steps=until_step)
        ),
    )
    monkeypatch.setattr(study, "_score", lambda model, search: next(scores))
    found = study.run(_search(tmp_path), num_trials=5)
    assert [trial.state.name for trial in found.trials] == ["COMPLETE"] * 4 + ["PRUNED"]
    # the schedule's length is the whole trial's in every part
    assert trained == [(2, 4), (4, 4)] * 4 + [(2, 4)]
    tile = "<b>1</b><span>given up early</span>"
    assert tile in page.render(found, "train")


def test_the_page_shows_the_best_trial_and_the_plots(tmp_path):
    opened = study.open_study(_search(tmp_path))
    for value in (0.5, 0.7, 0.6):
        trial = opened.ask()
        values = space.suggest(trial, _search(tmp_path).space)
        trial.set_user_attr("values", json.dumps(values))
        trial.report(value, 1)
        opened.tell(trial, value)
    study.write_best(opened, _search(tmp_path))
    best = _config_of(tmp_path / "best.py")
    expected = opened.trials[1].params["augment.mixup_ratio"]
    assert best.augment.mixup_ratio == expected
    text = page.render(opened, "python -m train_lib.pretrain")
    assert "70.0 %" in text and f"{expected:.4g}" in text
    assert text.count("data:image/png") >= 4


def _config_of(path):
    spec = importlib.util.spec_from_file_location("best", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config()


@pytest.mark.slow
def test_command_searches_and_goes_on(tmp_path):
    folder = tmp_path / "sounds"
    sounds.write_task(folder)

    def run(trials):
        words = ["--config=smoke", f"--data={folder}", f"--tasks={folder}/task.csv"]
        words += ["--unit_seconds=1", "--steps=2", "--parts=2", "--lr=1e-3"]
        words += [f"--workdir={tmp_path}/W", "--config.train.batch_size=4"]
        return commands.run("train_lib.tune", *words, f"--trials={trials}")

    first = run(1)
    assert first.returncode == 0, first.stderr
    assert "Best of 1 trials" in first.stdout
    second = run(2)
    assert second.returncode == 0, second.stderr
    assert "Best of 2 trials" in second.stdout
    assert "Trial 0" not in second.stderr
    assert (tmp_path / "W" / "search.html").exists()
    assert _config_of(tmp_path / "W" / "best.py").train.batch_size == 4
