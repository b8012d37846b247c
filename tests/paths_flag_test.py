"""Flags that take several paths: commas in names, repeated flags, quotes."""

import pytest
from absl import flags

from train_lib.cli import paths_flag


@pytest.fixture
def parse(tmp_path, monkeypatch):
    """Parses a command line with one such flag in a folder with two files."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "birds, 2024.csv").touch()
    (tmp_path / "a.csv").touch()

    def run(*arguments, default=None):
        values = flags.FlagValues()
        holder = paths_flag.DEFINE_paths("tasks", default, "Tasks.", values)
        values(["command", *arguments])
        return holder.value

    return run


@pytest.mark.parametrize(
    ("arguments", "paths"),
    [
        (["--tasks=a.csv,b.csv"], ["a.csv", "b.csv"]),
        (["--tasks=a.csv, b.csv"], ["a.csv", "b.csv"]),
        (["--tasks", "a.csv,b.csv"], ["a.csv", "b.csv"]),
        (["--tasks=birds, 2024.csv"], ["birds, 2024.csv"]),
        (["--tasks=a.csv", "--tasks=birds, 2024.csv"], ["a.csv", "birds, 2024.csv"]),
        (
            ["--tasks=x.csv,birds, 2024.csv,a.csv"],
            ["x.csv", "birds, 2024.csv", "a.csv"],
        ),
        (['--tasks=a.csv,"not, there.csv"'], ["a.csv", "not, there.csv"]),
        (["--tasks=not, there.csv"], ["not", "there.csv"]),
        (["--tasks="], []),
        ([], None),
    ],
)
def test_paths_are_taken_whole(parse, arguments, paths):
    assert parse(*arguments) == paths


def test_a_quoted_path_is_one_whatever_is_in_it(parse):
    for path in ("a,b.json", 'say "hi", twice.json', " a.json"):
        assert parse(f"--tasks={paths_flag.quoted(path)}") == [path.strip()]


def test_the_default_is_kept_until_the_flag_is_given(parse):
    assert parse(default=[]) == []
    assert parse("--tasks=a.csv", default=["b.csv"]) == ["a.csv"]
