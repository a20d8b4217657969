"""A cohort joins features with labels, leaves out what does not belong, and is split."""

import shutil

import h5py
import numpy as np
import pytest

from coverslip.errors import DataError, LabelError
from coverslip.learn.labels import read_labels
from coverslip.learn.split_files import read_splits, write_splits
from coverslip.learn.splits import SplitOptions
from coverslip.pipeline.cohort import choose_folds, choose_split, open_cohort
from coverslip.prepare.features import Features
from coverslip.testing import toy_cohort


@pytest.fixture
def toy(tmp_path):
    """Return a toy cohort of eight slides."""
    return toy_cohort(tmp_path / "toy", slides=8, patches=5, dim=4)


def opened(toy, labels=None):
    """Open a toy cohort."""
    return open_cohort(toy.features, read_labels(labels or toy.labels))


def change(path, **facts):
    """Write features again with other facts."""
    old = Features.load(path)
    new = Features(
        old.slide_id, np.array(old.features), old.coords, {**old.facts, **facts}
    )
    new.save(path)


def test_labels_and_features_meet(toy):
    """Every labelled slide is there with its class; parts come in order of id."""
    cohort = opened(toy)
    split = {f"toy_{n:03d}": "train" if n < 6 else "val" for n in range(8)}
    part = cohort.part(split, "train")
    assert [item.bag.slide_id for item in part] == [f"toy_{n:03d}" for n in range(6)]
    assert [item.label for item in part] == [0, 1, 0, 1, 0, 1]
    assert cohort.part(split, "test") == []
    assert cohort.left_out == {}
    assert cohort.facts["encoder"] == {"name": "fake", "dim": 4}


def damage(path, kind):
    """Make features unusable."""
    if kind == "nan":
        with h5py.File(path, "r+") as file:
            file["features"][2, 1] = np.nan
    elif kind == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    elif kind == "text":
        path.write_text("not HDF5")
    elif kind == "alien":
        path.unlink()
        with h5py.File(path, "w") as file:
            file["other"] = [1]
    else:
        change(path, encoder={"name": "other", "dim": 4})


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        ("nan", "features of 1 of 5 patches are NaN"),
        ("cut", "damaged or half-written"),
        ("text", "damaged or half-written"),
        ("alien", "damaged or half-written"),
        ("encoder", "encoder name is 'other', not 'fake'"),
    ],
)
def test_what_cannot_be_used_is_left_out_by_name(toy, kind, named):
    """The file and the reason are told; the other slides go on."""
    path = toy.features / "toy_003.h5"
    damage(path, kind)
    cohort = opened(toy)
    assert "toy_003" not in cohort.bags
    assert len(cohort.bags) == 7
    assert str(path) in cohort.left_out["toy_003"]
    assert named in cohort.left_out["toy_003"]
    assert "toy_003" not in choose_split(cohort.rows, SplitOptions())


def test_when_none_can_be_used_the_first_reason_is_told(toy):
    """Nothing left is an error that says why."""
    for path in toy.features.glob("*.h5"):
        path.write_bytes(b"")
    with pytest.raises(DataError, match=r"none can be used: .*toy_000.h5: damaged"):
        opened(toy)


def test_no_features_says_what_to_run(toy, tmp_path):
    """A folder without features, or no folder, names the command."""
    with pytest.raises(DataError, match="run `coverslip features` first"):
        open_cohort(tmp_path / "nowhere", read_labels(toy.labels))


def test_slides_without_label_are_left_aside(toy, tmp_path):
    """They are in the report, and in no split."""
    labels = tmp_path / "some.csv"
    labels.write_text("\n".join(toy.labels.read_text().split()[:-1]))
    cohort = opened(toy, labels)
    assert "slides without label: 1 (toy_007)" in cohort.join.report()
    assert "toy_007" not in cohort.bags


def test_the_split_column_of_the_labels_counts(toy, tmp_path):
    """Where the table says train, val and test, nothing is dealt."""
    where = ["train"] * 4 + ["val"] * 2 + ["test"] * 2
    lines = toy.labels.read_text().split()
    labels = tmp_path / "split.csv"
    body = [f"{line},{w}" for line, w in zip(lines[1:], where, strict=True)]
    labels.write_text("\n".join([f"{lines[0]},split", *body]))
    split = choose_split(opened(toy, labels).rows, SplitOptions(split_seed=5))
    assert list(split.values()) == where


def test_the_seed_deals_and_shares_are_kept(toy):
    """The same seed gives the same split; another may give another."""
    cohort = opened(toy)
    options = SplitOptions(val_share=0.25, test_share=0.25)
    split = choose_split(cohort.rows, options)
    assert split == choose_split(cohort.rows, options)
    assert sorted(split.values()) == ["test"] * 2 + ["train"] * 4 + ["val"] * 2
    others = [
        choose_split(cohort.rows, options.replace(split_seed=s)) for s in range(1, 5)
    ]
    assert any(other != split for other in others)


def test_folds_test_each_slide_once(toy):
    """Over the folds, every slide is in the test set exactly once."""
    splits = choose_folds(opened(toy).rows, SplitOptions(val_share=0.3), 3)
    tested = [k for split in splits for k, subset in split.items() if subset == "test"]
    assert sorted(tested) == [f"toy_{n:03d}" for n in range(8)]


def test_a_split_file_comes_back(toy, tmp_path):
    """What was written is read, with what it leaves out."""
    cohort = opened(toy)
    split = choose_split(cohort.rows, SplitOptions(val_share=0.25, test_share=0.25))
    partial = dict(list(split.items())[:-1])
    write_splits(tmp_path / "s.csv", [partial], cohort.join.matched.values())
    read = read_splits(tmp_path / "s.csv", cohort.rows)
    assert read.splits == [partial]
    assert read.unplaced == ("toy_007",)


def test_labels_of_other_slides_are_refused(toy, tmp_path):
    """When nothing matches, an example of each side is shown."""
    labels = tmp_path / "other.csv"
    labels.write_text("slide_id,label\nx1,a\nx2,b\n")
    with pytest.raises(LabelError, match=r"none of its 2 labels .*'x1'.*'toy_000'"):
        opened(toy, labels)
    shutil.rmtree(toy.features)
