"""Metadata CSVs: what is read, how it is divided, what is refused."""

import json

import numpy as np
import pytest

from byola_tf.errors import UserError
from train_lib.probe.tasks import table, tasks


@pytest.fixture
def make_task(tmp_path):
    """Writes a CSV and the files it names; returns the arguments of read_task."""

    def write(text, name="birds.csv", files=None):
        lines = text.strip().splitlines()
        for line in lines[1:] if files is None else files:
            path = tmp_path / "audio" / line.split(",")[0]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        (tmp_path / "audio").mkdir(exist_ok=True)
        (tmp_path / name).write_text("\n".join(line.strip() for line in lines) + "\n")
        return str(tmp_path / name), str(tmp_path / "audio")

    return write


def split_rows(parts, labels=("wren", "crow")):
    rows = [
        f"{part}/{label}{number}.wav,{label},{part}"
        for part in parts
        for label in labels
        for number in range(2)
    ]
    return "file_name,label,split\n" + "\n".join(rows)


def fold_rows(num_folds=3, labels=("wren", "crow")):
    rows = [
        f"{label}{fold}.wav,{label},{fold}"
        for fold in range(1, num_folds + 1)
        for label in labels
    ]
    return "file_name,label,fold\n" + "\n".join(rows)


class TestReading:
    def test_each_fold_is_held_out_once(self, make_task):
        task = tasks.read_task(*make_task(fold_rows(3)))
        assert task.name == "birds" and task.classes == ("crow", "wren")
        assert [fold.name for fold in task.folds()] == ["1", "2", "3"]
        tested = np.concatenate([fold.test for fold in task.folds()])
        assert sorted(tested) == list(range(6))
        for fold in task.folds():
            assert fold.valid is None
            assert not set(fold.train) & set(fold.test)
            assert len(fold.train) + len(fold.test) == 6

    def test_split_takes_the_given_rows(self, make_task):
        task = tasks.read_task(*make_task(split_rows(["test", "valid", "train"])))
        (fold,) = task.folds()
        assert list(fold.test) == [0, 1, 2, 3]
        assert list(fold.valid) == [4, 5, 6, 7]
        assert list(fold.train) == [8, 9, 10, 11]

    def test_split_without_valid_rows(self, make_task):
        task = tasks.read_task(*make_task(split_rows(["train", "test"])))
        assert task.folds()[0].valid is None

    def test_integer_labels_and_folds_sort_as_numbers(self, make_task):
        labels = [str(number) for number in (10, 9, 2)]
        task = tasks.read_task(*make_task(fold_rows(11, labels)))
        assert task.classes == ("2", "9", "10")
        assert [fold.name for fold in task.folds()][-2:] == ["10", "11"]

    def test_other_columns_and_unused_rows_are_ignored(self, make_task):
        text = """take,file_name,label,split
            A,a.wav,wren,train
            A,b.wav,crow,train
            B,c.wav,wren,test
            B,d.wav,owl,
            B,e.wav,crow,test"""
        used = ("a.wav", "b.wav", "c.wav", "e.wav")
        task = tasks.read_task(*make_task(text, files=used))
        assert task.file_names == used
        assert task.classes == ("crow", "wren")

    def test_targets_are_one_hot(self, make_task):
        task = tasks.read_task(*make_task(fold_rows(2)))
        np.testing.assert_array_equal(
            task.targets(np.array([0, 1])), [[False, True], [True, False]]
        )

    def test_rows_can_be_left_out(self, make_task):
        task = tasks.read_task(*make_task(split_rows(["train", "test"])))
        (fold,) = task.folds(without=[0, 4])
        assert list(fold.train) == [1, 2, 3] and list(fold.test) == [5, 6, 7]


BAD_TABLES = {
    "no rows": ("file_name,label,fold", "must have a header and rows"),
    "no label column": (
        "file_name,fold\na.wav,1",
        "`label`.*Received: file_name, fold",
    ),
    "neither fold nor split": ("file_name,label\na.wav,x", "either `fold` or `split`"),
    "one class": (fold_rows(2, ["wren"]), "at least two classes. Received: 'wren'"),
    "one fold": (fold_rows(1), "at least two values. Received: '1'"),
    "unknown split": (split_rows(["train", "dev"]), "`split` must be one.*'dev'"),
    "no test rows": (split_rows(["train", "valid"]), "must have test files"),
    "no train rows": (split_rows(["valid", "test"]), "must have train files"),
    "no part at all": ("file_name,label,split\na.wav,x,\nb.wav,y,", "no value in any"),
    "file twice": (fold_rows(2) + "\nwren1.wav,wren,2", "'wren1.wav' in several rows"),
    "no label": (fold_rows(2) + "\nz.wav,,2", "no label for 'z.wav'"),
    "no label but a comma": (fold_rows(2) + '\nz.wav,",",2', "no label for 'z.wav'"),
    "label of a list unseen in training": (
        split_rows(["train", "test"]) + '\nz.wav,"owl,wren",test',
        "Every class must have training files. Received: none of 'owl' with the",
    ),
    "multi-label class absent from a fold": (
        fold_rows(3) + '\ny.wav,"owl,wren",1\nz.wav,"owl,wren",2',
        "Every class must be in every part. Received: none of 'owl' in test with fold",
    ),
    "class absent from test": (
        split_rows(["train", "test"]) + "\nz.wav,owl,train",
        "Every class must be in every part. Received: none of 'owl' in test with the",
    ),
    "class absent from valid": (
        split_rows(["train", "valid", "test"]) + "\ny.wav,owl,train\nz.wav,owl,test",
        "Every class must be in every part. Received: none of 'owl' in valid",
    ),
    "one class in a fold": (
        fold_rows(3) + "\nz.wav,wren,4",
        "at least two classes. Received: only 'wren' in test with fold 4",
    ),
    "one class in valid": (
        split_rows(["train", "test"]) + "\nz.wav,wren,valid",
        "at least two classes. Received: only 'wren' in valid",
    ),
    "class only in test": (
        split_rows(["train", "test"]) + "\nz.wav,owl,test",
        "Every class must have training files. Received: none of 'owl' with the",
    ),
    "class in one fold": (
        fold_rows(3) + "\nz.wav,owl,2",
        "none of 'owl' with fold 2 as the test fold in task 'birds'",
    ),
}


class TestMultiLabel:
    def test_a_comma_makes_lists_of_labels(self, make_task):
        text = """file_name,label,split
            a.wav,"wren, crow",train
            b.wav,wren,train
            c.wav,"crow,wren,",test
            d.wav,crow,test"""
        files = ["a.wav", "b.wav", "c.wav", "d.wav"]
        task = tasks.read_task(*make_task(text, files=files))
        assert task.multi_label and task.classes == ("crow", "wren")
        expected = [[True, True], [False, True], [True, True], [True, False]]
        np.testing.assert_array_equal(task.targets(np.arange(4)), expected)
        np.testing.assert_array_equal(task.counts(np.array([0, 1])), [1, 2])


class TestFacts:
    def write_facts(self, metadata, **facts):
        facts = {"format": table.FACTS_FORMAT, **facts}
        with open(table.facts_path(metadata), "w") as file:
            json.dump(facts, file)

    def test_one_label_a_clip_can_still_be_scored_as_several(self, make_task):
        arguments = make_task(split_rows(["train", "test"]))
        self.write_facts(arguments[0], metric="mAP")
        assert tasks.read_task(*arguments).multi_label

    @pytest.mark.parametrize(
        "facts", [{"partial": True}, {"absent_classes": {"test": ["owl"]}}]
    )
    def test_a_class_may_be_absent_for_a_reason(self, make_task, facts):
        arguments = make_task(split_rows(["train", "test"]) + "\nz.wav,owl,train")
        self.write_facts(arguments[0], **facts)
        task = tasks.read_task(*arguments)
        assert task.absent_classes() == {"test": ["owl"]}
        assert task.partial == ("partial" in facts)

    def test_a_fold_may_lack_a_class(self, make_task):
        rows = fold_rows(3) + "\ny.wav,owl,1\nz.wav,owl,2"
        assert tasks.read_task(*make_task(rows)).absent_classes() == {}

    def test_a_prepared_task_is_found_by_name(self, make_task, tmp_path):
        metadata, _ = make_task(fold_rows(2))
        assert table.of_prepared("birds", str(tmp_path)) == metadata
        with pytest.raises(
            UserError, match="without esc50.csv. Prepare it first: byola tasks prepare"
        ):
            table.of_prepared("esc50", str(tmp_path))

    @pytest.mark.parametrize("text", ['{"partial": true}', "no JSON"])
    def test_other_files_of_that_name_are_no_facts(self, make_task, text):
        metadata, audio = make_task(fold_rows(2))
        with open(table.facts_path(metadata), "w") as file:
            file.write(text)
        assert tasks.read_task(metadata, audio).facts == {}


class TestErrors:
    @pytest.mark.parametrize("text, message", BAD_TABLES.values(), ids=BAD_TABLES)
    def test_bad_table(self, make_task, text, message):
        with pytest.raises(UserError, match=message) as error:
            tasks.read_task(*make_task(text))
        assert "\n" not in str(error.value)

    def test_missing_files_are_counted_and_the_first_named(self, make_task):
        arguments = make_task(fold_rows(3), files=["wren1.wav"])
        with pytest.raises(
            UserError, match="5 of 6 missing.*'crow1.wav', 'crow2.wav', .* and 2 more"
        ):
            tasks.read_task(*arguments)

    def test_absent_paths(self, make_task, tmp_path):
        metadata, audio = make_task(fold_rows(2))
        with pytest.raises(UserError, match="readable CSV file"):
            tasks.read_task(str(tmp_path / "none.csv"), audio)
        with pytest.raises(UserError, match="`audio` must be the folder"):
            tasks.read_task(metadata, str(tmp_path / "none"))

    def test_a_binary_file_is_not_a_table(self, make_task, tmp_path):
        _, audio = make_task(fold_rows(2))
        (tmp_path / "x.csv").write_bytes(bytes(range(256)))
        with pytest.raises(UserError, match="readable CSV file"):
            tasks.read_task(str(tmp_path / "x.csv"), audio)


class TestDrawValidation:
    def test_is_a_tenth_with_every_class(self):
        targets = np.arange(205)[:, None] % 8 == np.arange(8)
        train = np.arange(5, 205)
        for seed in range(20):
            rest, valid = tasks.draw_validation(
                targets, train, np.random.default_rng(seed)
            )
            assert len(valid) == 20
            assert sorted([*rest, *valid]) == list(train)
            assert targets[valid].any(axis=0).all() and targets[rest].any(axis=0).all()

    def test_differs_between_seeds_and_repeats_with_one(self):
        targets = np.arange(100)[:, None] % 2 == np.arange(2)
        draws = [
            tasks.draw_validation(targets, np.arange(100), np.random.default_rng(seed))
            for seed in (1, 1, 2)
        ]
        np.testing.assert_array_equal(draws[0][1], draws[1][1])
        assert list(draws[0][1]) != list(draws[2][1])

    def test_too_few_files(self):
        targets = np.arange(40)[:, None] % 10 == np.arange(10)
        with pytest.raises(
            UserError, match="40 training files .4 for validation. of 10 classes, the"
        ):
            tasks.draw_validation(targets, np.arange(40), np.random.default_rng(0))
