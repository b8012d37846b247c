"""Numbers, tables and names as text, for every command and page."""

import csv
import io
import sys

import pytest

from byola_tf.errors import UserError
from hub_export.publishing import model_card
from train_lib.pages import text
from train_lib.probe.report import evaluation_page
from train_lib.probe.tasks import labelled_folder


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (text.percent(0.832, 0.006), "83.2 ± 0.6"),
        (text.percent(0.832, None, " %"), "83.2 %"),
        (text.percent(None, 0.1, " %"), "–"),
        (text.percent(0.051, sign="+"), "+5.1"),
        (text.plus_minus(-1.25, 0.5, digits=2, sign="+"), "-1.25 ± 0.50"),
        (text.score({"mean": 0.5, "ci95": 0.02}, " %"), "50.0 ± 2.0 %"),
        (text.score({"mean": 0.5}), "50.0"),
        (text.count(1, "file"), "1 file"),
        (text.count(["a"] * 1200, "file"), "1,200 files"),
        (text.few("abcde"), "a, b, c and 2 more"),
    ],
)
def test_a_number_has_one_wording(shown, expected):
    assert shown == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("my_sounds", "my_sounds"),
        ("<img src=x onerror=alert(1)>", "&lt;img src=x onerror=alert(1)&gt;"),
        ("a & b", "a &amp; b"),
        ("[x](http://x)", r"\[x\](http://x)"),
        ("a|b", r"a\|b"),
        ("$x^{2$", r"\$x^{2\$"),
        ("*_strong_*", r"\*\_strong\_\*"),
        ("`code`", r"\`code\`"),
        ("two\n\nlines\t", "two lines"),
        ("caf\udce9", r"caf\\udce9"),
    ],
)
def test_a_name_in_markdown_is_shown_as_it_is(name, expected):
    assert text.markdown(name) == expected


def test_a_path_in_markdown_is_code_whatever_it_holds():
    assert text.code("a/**/*.wav") == "`a/**/*.wav`"
    assert text.code("a`` `<b>") == "``` a`` `<b> ```"


@pytest.mark.parametrize(
    "name",
    [
        "=cmd|' /C calc'!A0",
        "+1+cmd()",
        "-2+3+cmd()",
        "@SUM(1)",
        "\t=1+1",
        "\r=1+1",
        "  =1+1",
        "＝1+1",
        "-6 dB",
    ],
)
def test_a_name_that_a_spreadsheet_would_run_gets_a_quote(name):
    table = text.csv_text(["model", "mean"], [{"model": name, "mean": -0.5}])
    (row,) = csv.DictReader(io.StringIO(table, newline=""))
    assert row["model"] == f"'{name}"
    assert row["mean"] == "-0.5"


@pytest.mark.parametrize("number", [-0.5, 3, "-0.5", "+1", "-1e-5", "-.5"])
def test_a_number_in_a_csv_stays_a_number(number):
    assert text.csv_text(["a"], [[number]]) == f"a\n{number}\n"


def test_an_absent_cell_of_a_csv_is_empty():
    assert text.csv_text(["a", "b"], [{"b": 1}, [None, 2]]) == "a,b\n,1\n,2\n"


def test_a_model_card_shows_names_as_they_are():
    result = {
        "task": "<b>|",
        "metric": "accuracy",
        "mean": 0.5,
        "ci95": 0.012,
        "unit_seconds": None,
        "num_clips": None,
        "partial": False,
    }
    card = model_card._evaluation([result])
    assert "| &lt;b&gt;\\| | accuracy | 50.0 ± 1.2 |" in card
    facts = {"provenance": {"pattern": "a`<script>"}}
    facts["statistics"] = {"mean": -4.0, "std": 4.0}
    assert "``a`<script>``" in model_card._data(facts).replace("`` ", "``").replace(
        " ``", "``"
    )


def test_a_line_break_in_a_file_name_stays_in_its_cell(tmp_path):
    names = ("a\rb/x.wav", "a\nb/y.wav", 'say "a", b/z.wav', "plain/=1.wav")
    found = labelled_folder.LabelledFolder(
        "x", names * 4, ("one", "two", "three", "four") * 4, 1.0
    )
    labelled_folder.write_task(found, str(tmp_path / "task.csv"))
    with open(tmp_path / "task.csv", newline="") as file:
        assert {row["file_name"] for row in csv.DictReader(file)} == set(names)


@pytest.mark.parametrize("package", ["jinja2", "matplotlib"])
def test_a_missing_package_is_said_before_the_work(tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=rf"{package}.*byola-tf\[eval\]"):
        evaluation_page.write(str(tmp_path / "nowhere"), str(tmp_path / "r.html"))
