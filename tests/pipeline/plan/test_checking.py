"""Labels and splits of a cohort, checked before it is prepared."""

from dataclasses import replace

import pytest

from coverslip.learn.labels import Row
from coverslip.pipeline.learn.folds import Part
from coverslip.pipeline.learn.runs import TrainPlan
from coverslip.pipeline.plan.checking import check_labels, check_leakage, check_split
from coverslip.pipeline.plan.findings import Findings


def told(found, severity="error"):
    """Return the texts of one severity together."""
    return "\n".join(f.text for f in found.ordered() if f.severity == severity)


def table(tmp_path, *lines, name="labels.csv"):
    """Write a table."""
    path = tmp_path / name
    path.write_text("\n".join(lines) + "\n")
    return path


def rows_of(n=24, case=None, split=""):
    """Return labelled slides of two classes."""
    return [
        Row(f"s{i}", "yes" if i % 2 else "no", case(i) if case else f"s{i}", split)
        for i in range(n)
    ]


def test_everything_wrong_with_a_table_is_listed_at_once(tmp_path):
    """A training would tell of the first only."""
    path = table(
        tmp_path, "slide_id,label", "a,no", "a,yes", ",no", "b,No", "c,yes", "B.svs,No"
    )
    found = Findings()
    joined = check_labels(path, ["a", "b", "c", "A"], found)
    assert joined is not None
    assert "a stands there twice" in told(found)
    assert "1 rows have no slide_id" in told(found)
    assert "No, no" in told(found)
    assert "'A' and 'a' differ only" in told(found)


def test_a_table_that_is_not_there_is_one_error(tmp_path):
    """Nothing can be said of the rest."""
    found = Findings()
    assert check_labels(tmp_path / "none.csv", ["a"], found) is None
    assert "none.csv: no such file" in told(found)


def test_every_case_on_two_sides_is_listed_and_every_wrong_cell(tmp_path):
    """Of the table's own split; each with its remedy."""
    rows = [
        Row("a", "no", "p", "train"),
        Row("b", "yes", "p", "test"),
        Row("c", "no", "q", "train"),
        Row("d", "yes", "q", "val"),
        Row("e", "yes", "r", "tset"),
    ]
    found = Findings()
    check_split(rows, TrainPlan(), tmp_path, found)
    assert "case 'p' is in both train and test" in told(found)
    assert "case 'q' is in both train and val" in told(found)
    assert "'tset' is not train, val or test" in told(found)


def test_a_split_file_is_checked_as_a_training_would(tmp_path):
    """Cases on two sides, classes that are missing, and slides that it does not place."""
    path = table(
        tmp_path, "slide_id,split", "s0,train", "s1,val", "s2,train", name="split.csv"
    )
    found = Findings()
    rows = rows_of(4, case=lambda i: "p" if i < 2 else f"s{i}")
    check_split(rows, TrainPlan(split_file=path), tmp_path, found)
    assert "case 'p' is in both train and val" in told(found)
    assert "training: 2 slides of one class only" in told(found)
    assert "1 slides in no split (first: s3)" in told(found, "warning")


def test_too_few_cases_for_the_folds_is_an_error(tmp_path):
    """As many as were asked for cannot be dealt."""
    found = Findings()
    assert check_split(rows_of(6), TrainPlan(folds=5), tmp_path, found) == []
    assert "5 folds need at least 5 cases of every class" in told(found)


def test_a_test_of_few_slides_and_a_rare_class_are_noted(tmp_path):
    """The run would go through, and its figures say little."""
    found = Findings()
    rows = [Row(f"s{i}", "rare" if i < 3 else "no", f"s{i}") for i in range(40)]
    check_split(rows, TrainPlan(), tmp_path, found)
    assert "test has 1 rare: its figures will say little" in told(found, "note")
    assert "3 slides of 'rare', 37 of the largest class" in told(found, "note")


@pytest.mark.parametrize(
    ("cells", "more", "val", "test"),
    [
        (
            None,
            {},
            "raise --val-share, or use --folds",
            "raise --test-share, or use --",
        ),
        (None, {"folds": 4}, "raise --val-share", "ask for fewer --folds"),
        (
            ("train", "validation", "test"),
            {},
            "move some to val in the labels' column split",
            "move some to test in the labels' column split",
        ),
        (
            ("train", "train", "test"),
            {},
            "raise --val-share",
            "move some to test in the labels' column split",
        ),
        (
            None,
            {"split_file": "s.csv"},
            "move some to val in ",
            "move some to test in ",
        ),
    ],
)
def test_few_slides_are_told_with_what_can_be_done_there(
    tmp_path, cells, more, val, test
):
    """Shares and folds change nothing about a split that is given."""
    own = [(cells or ("train", "val", "test"))[i // 2 % 3] for i in range(12)]
    rows = rows_of(12)
    if cells:
        both = zip(rows, own, strict=True)
        rows = [replace(row, split=cell) for row, cell in both]
    if "split_file" in more:
        lines = [f"s{i},{cell}" for i, cell in enumerate(own)]
        more = {"split_file": table(tmp_path, "slide_id,split", *lines, name="s.csv")}
    found = Findings()
    check_split(rows, TrainPlan(**more), tmp_path, found)
    thin = [f.text for f in found.ordered() if "will say little" in f.text]
    remedies = {t.split()[0]: t.partition("label more slides, or ")[2] for t in thin}
    assert remedies["val"].startswith(val)
    assert remedies["test"].startswith(test)


@pytest.mark.parametrize(
    ("labels", "sides", "severity", "says"),
    [
        (("no", "yes"), ("train", "train"), "error", "labelled no and yes"),
        (("no", "no"), ("train", "test"), "error", "on both sides of a split"),
        (("no", "no"), ("train", "train"), "warning", "keep one"),
    ],
)
def test_one_file_under_two_names(tmp_path, labels, sides, severity, says):
    """It leaks where its names stand on two sides."""
    rows = [Row(s, label, s) for s, label in zip("ab", labels, strict=True)]
    part = Part(tmp_path, dict(zip("ab", sides, strict=True)))
    found = Findings()
    check_leakage(rows, [part], {"a": "1", "b": "1", "c": "2"}, found)
    assert "a, b: the same file under 2 names" in told(found, severity)
    assert says in told(found, severity)


@pytest.mark.parametrize(
    ("sides", "severity"), [(("train", "test"), "warning"), (("val", "val"), "note")]
)
def test_likely_cases_without_a_column_are_told(tmp_path, sides, severity):
    """Worse where the split would part them."""
    names = ("patient_1_node_0", "patient_1_node_1")
    rows = [Row(name, "no", name) for name in names]
    part = Part(tmp_path, dict(zip(names, sides, strict=True)))
    found = Findings()
    check_leakage(rows, [part], {}, found)
    assert "add case_id" in told(found, severity)
    known = [Row(name, "no", "p1") for name in names]
    quiet = Findings()
    check_leakage(known, [part], {}, quiet)
    assert quiet.found == []
