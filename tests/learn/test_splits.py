"""Splitting slides by class and case."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coverslip.errors import LabelError, OptionError
from coverslip.learn.labels import Row
from coverslip.learn.split_files import read_splits, write_splits
from coverslip.learn.splits import (
    SUBSETS,
    check_cases,
    make_folds,
    make_split,
    split_from_labels,
)


def singles(**counts: int) -> list[Row]:
    """Return slides that are their own case, so many of each class."""
    return [
        Row(f"{label}_{i:03}", label, f"{label}_{i:03}")
        for label, count in counts.items()
        for i in range(count)
    ]


def clustered(seed: int, cases: int = 40) -> list[Row]:
    """Return cases of one to six slides of one of three classes."""
    rng = np.random.default_rng(seed)
    return [
        Row(f"c{case}_s{slide}", "abc"[case % 3], f"c{case}")
        for case in range(cases)
        for slide in range(rng.integers(1, 7))
    ]


def shares(rows: list[Row], split: dict[str, str], label: str) -> list[float]:
    """Return what parts of a class's slides train, validate and test."""
    own = [split[row.slide_id] for row in rows if row.label == label]
    return [own.count(subset) / len(own) for subset in SUBSETS]


def test_shares_of_each_class_are_the_asked_ones():
    """With single slides every class is split to within one slide."""
    rows = singles(normal=160, tumor=110)
    split = make_split(rows, (0.6, 0.15, 0.25), seed=3)
    assert set(split) == {row.slide_id for row in rows}
    for label, count in (("normal", 160), ("tumor", 110)):
        assert shares(rows, split, label) == pytest.approx(
            [0.6, 0.15, 0.25], abs=1 / count
        )


@pytest.mark.parametrize("seed", range(5))
def test_cases_stay_whole_and_shares_stay_close(seed: int):
    """Dealt by case, the classes' shares are off by less than one large case."""
    rows = clustered(seed)
    split = make_split(rows, (0.6, 0.2, 0.2), seed=seed)
    for case in {row.case_id for row in rows}:
        assert len({split[row.slide_id] for row in rows if row.case_id == case}) == 1
    for label in "abc":
        assert shares(rows, split, label) == pytest.approx([0.6, 0.2, 0.2], abs=0.1)


@given(
    counts=st.lists(st.integers(3, 12), min_size=2, max_size=4),
    seed=st.integers(0, 999),
)
def test_every_subset_has_every_class_from_three_cases_on(counts: list[int], seed: int):
    """However small the shares, three cases of a class are enough for three subsets."""
    rows = singles(**{"wxyz"[i]: count for i, count in enumerate(counts)})
    split = make_split(rows, (0.9, 0.05, 0.05), seed=seed)
    for subset in SUBSETS:
        held = {row.label for row in rows if split[row.slide_id] == subset}
        assert held == {row.label for row in rows}


def test_cases_of_several_classes_are_moved_to_where_they_are_needed():
    """A rare class that only mixed cases hold still reaches every subset."""
    rows = singles(a=30) + [
        Row(f"m{i}_{label}", label, f"m{i}") for i in range(3) for label in "ab"
    ]
    split = make_split(rows, (0.8, 0.1, 0.1), seed=1)
    assert {split[f"m{i}_b"] for i in range(3)} == set(SUBSETS)
    check_cases(split, rows)


def test_too_few_cases_are_refused_with_the_number_needed():
    """Five slides of one case are one case: the message counts cases and names the class."""
    rows = singles(normal=20) + [Row(f"t{i}", "tumor", "one") for i in range(5)]
    with pytest.raises(LabelError, match="need at least 3 cases.* tumor has 1:"):
        make_split(rows)
    with pytest.raises(LabelError, match="need at least 5 cases.* tumor has 1:"):
        make_folds(rows, 5)
    with pytest.raises(LabelError, match="no slides"):
        make_split([])


def test_a_share_of_zero_leaves_a_subset_out():
    """Without a test share two cases of a class are enough."""
    assert set(make_split(singles(a=2, b=9), (0.8, 0.2, 0)).values()) == {
        "train",
        "val",
    }


@pytest.mark.parametrize("fractions", [(0.5, 0.5, 0.5), (1.2, -0.1, -0.1)])
def test_impossible_fractions_are_refused(fractions: tuple[float, float, float]):
    """Fractions are parts of one."""
    with pytest.raises(OptionError, match="sum to 1"):
        make_split(singles(a=9, b=9), fractions)


@given(st.permutations(clustered(0, cases=18)))
def test_the_order_of_the_rows_does_not_matter(rows: list[Row]):
    """Splits and folds depend on the slides and the seed alone."""
    assert make_split(rows, seed=4) == make_split(clustered(0, cases=18), seed=4)
    assert make_folds(rows, 3, seed=4) == make_folds(clustered(0, cases=18), 3, seed=4)


def test_the_seed_matters():
    """Two seeds give two splits."""
    rows = singles(a=20, b=20)
    assert make_split(rows, seed=1) != make_split(rows, seed=2)
    assert make_folds(rows, 4, seed=1) != make_folds(rows, 4, seed=2)


def test_folds_test_each_slide_once_and_leak_nothing():
    """Test sets are disjoint, cover all, are alike in size; no case is on two sides."""
    rows = clustered(1, cases=60)
    folds = make_folds(rows, 5, seed=0)
    tested = Counter(
        s for fold in folds for s, where in fold.items() if where == "test"
    )
    assert tested == {row.slide_id: 1 for row in rows}
    for fold in folds:
        check_cases(fold, rows)
        assert len(fold) == len(rows)
        assert Counter(fold.values())["test"] / len(rows) == pytest.approx(
            0.2, abs=0.05
        )
        assert Counter(fold.values())["val"] / len(rows) == pytest.approx(
            0.16, abs=0.05
        )
        for subset in SUBSETS:
            assert {r.label for r in rows if fold[r.slide_id] == subset} == set("abc")


@pytest.mark.parametrize(("k", "cases"), [(2, 4), (3, 3), (5, 5)])
def test_folds_work_with_the_fewest_cases_they_ask_for(k: int, cases: int):
    """The number that the message names is enough, and one less is refused."""
    for seed in range(10):
        folds = make_folds(singles(a=cases, b=30), k, seed=seed)
        assert all(set(fold.values()) == set(SUBSETS) for fold in folds)
    with pytest.raises(LabelError, match=f"at least {cases} cases"):
        make_folds(singles(a=cases - 1, b=30), k)


def test_one_fold_is_refused():
    """Cross-validation needs two folds."""
    with pytest.raises(OptionError, match="k=1"):
        make_folds(singles(a=9, b=9), 1)


def test_a_split_column_is_followed_in_any_spelling():
    """Training, Valid, TEST and the like are understood; empty cells are left out."""
    words = {"a": "Training", "b": "valid", "c": "TEST", "d": "validation", "e": ""}
    rows = [Row(name, "x", name, split=word) for name, word in words.items()]
    assert split_from_labels(rows) == {
        "a": "train",
        "b": "val",
        "c": "test",
        "d": "val",
    }


def test_a_missing_validation_set_is_taken_from_training():
    """The given test slides stay; whole training cases of each class validate."""
    rows = [
        Row(f"{label}{case}{slide}", label, f"{label}{case}", split=where)
        for label in "ab"
        for case, where in enumerate(["train"] * 10 + ["test"] * 3)
        for slide in range(2)
    ]
    split = split_from_labels(rows, seed=5)
    assert {s for s, where in split.items() if where == "test"} == {
        row.slide_id for row in rows if row.split == "test"
    }
    assert Counter(split.values()) == {"train": 32, "val": 8, "test": 12}
    check_cases(split, rows)
    assert split == split_from_labels(rows[::-1], seed=5)


@pytest.mark.parametrize(
    ("words", "said"),
    [(["train", "tset"], "'tset' is not train"), (["test", ""], "for training")],
)
def test_an_unsound_split_column_is_refused(words: list[str], said: str):
    """A wrong word, or no training slide, is named."""
    rows = [Row(f"s{i}", "x", f"s{i}", split=word) for i, word in enumerate(words)]
    with pytest.raises(LabelError, match=said):
        split_from_labels(rows)


def test_a_case_in_two_subsets_is_refused_by_name():
    """Leakage in a given split is an error, whichever way it comes."""
    rows = [Row("a", "x", "p1", "train"), Row("b", "y", "p1", "test")]
    with pytest.raises(LabelError, match="case 'p1' is in both train and test"):
        split_from_labels(rows)
    check_cases({"a": "train"}, rows)


@pytest.mark.parametrize("k", [1, 3, 11])
def test_written_splits_are_read_back(tmp_path: Path, k: int):
    """One split or k folds survive the file, with nothing unknown or unplaced."""
    rows = singles(a=15, b=15)
    splits = make_folds(rows, k) if k > 1 else [make_split(rows)]
    write_splits(tmp_path / "splits.csv", splits, rows)
    found = read_splits(tmp_path / "splits.csv", rows[::-1])
    assert found.splits == splits
    assert (found.unknown, found.unplaced) == ((), ())
    header = (tmp_path / "splits.csv").read_text().splitlines()[0]
    assert header.startswith(
        "slide_id,case_id,label," + ("split" if k == 1 else "fold_0,fold_1")
    )


def test_clam_splits_are_read_and_strangers_reported(tmp_path: Path):
    """CLAM's ragged columns of ids are one split; ids match as with labels."""
    path = tmp_path / "splits_0.csv"
    path.write_text(",train,val,test\n0,A.svs,c,d\n1,b,,gone\n")
    rows = [Row(name, "x", name) for name in "abcde"]
    found = read_splits(path, rows)
    assert found.splits == [{"a": "train", "b": "train", "c": "val", "d": "test"}]
    assert found.unknown == ("gone",)
    assert found.unplaced == ("e",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("slide_id,label\na,x\n", "columns: slide_id, label"),
        ("slide_id,split\na,train\nb,exam\n", "'exam' is not train"),
        ("train,val,test\na,b,a\n", "'a' is in both train and test"),
        ("slide_id,split\na,train\nb,val\nb2,test\n", "case 'p' is in both"),
        ("slide_id,split\nq,train\n", "none of the 3 labelled slides.*'q'"),
    ],
)
def test_an_unsound_splits_file_is_refused(tmp_path: Path, text: str, said: str):
    """The message says which slide, case, word or column is wrong."""
    path = tmp_path / "splits.csv"
    path.write_text(text)
    rows = [Row("a", "x", "a"), Row("b", "x", "p"), Row("b2", "x", "p")]
    with pytest.raises(LabelError, match=said) as error:
        read_splits(path, rows)
    assert "\n" not in str(error.value)
