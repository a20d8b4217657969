"""Reading label tables and joining them with slides."""

from collections import Counter
from pathlib import Path

import pytest

from coverslip.errors import LabelError
from coverslip.learn.labels import (
    Labels,
    class_order,
    join,
    labels_from_names,
    read_labels,
)


def table(folder: Path, *lines: str) -> Path:
    """Write a label table."""
    path = folder / "labels.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def labels(folder: Path, *lines: str) -> Labels:
    """Write and read a label table."""
    return read_labels(table(folder, *lines))


def message(error: pytest.ExceptionInfo[LabelError]) -> str:
    """Return the message of an error, having checked that it is one line."""
    text = str(error.value)
    assert "\n" not in text
    return text


def test_ids_that_look_like_numbers_stay_text(tmp_path: Path):
    """The ids 001 and 12.0 are read as they are written, and labels too."""
    read = labels(tmp_path, "slide_id,label", "001,0", "12.0,1", "1e3,1")
    assert list(read.rows) == ["001", "12.0", "1e3"]
    assert join(read, ["001", "12.0", "1e3"]).matched["12.0"].label == "1"
    assert read.class_index("001") == 0


def test_a_row_keeps_case_split_and_other_columns(tmp_path: Path):
    """CLAM's column order is read, an empty case becomes the slide's own."""
    read = labels(
        tmp_path,
        "case_id,slide_id,label,split,Hospital",
        "p1,a,normal,Train,UMCU",
        ",b,tumor,,RUMC",
    )
    a, b = read.rows["a"], read.rows["b"]
    assert (a.case_id, a.split, dict(a.extra)) == ("p1", "train", {"hospital": "UMCU"})
    assert (b.case_id, b.split) == ("b", "")


def test_a_patient_column_groups_slides_like_a_case_column(tmp_path: Path):
    """Without case_id, patient_id says which slides belong together."""
    read = labels(tmp_path, "slide_id,patient_id,label", "a,p,0", "b,p,1")
    assert {row.case_id for row in read.rows.values()} == {"p"}


@pytest.mark.parametrize(
    ("names", "ordered"),
    [
        (["tumor", "normal"], ("normal", "tumor")),
        (["Negative", "Positive"], ("Negative", "Positive")),
        (["malignant", "benign"], ("benign", "malignant")),
        (["MSI-H", "MSS"], ("MSS", "MSI-H")),
        (["ER+", "ER-"], ("ER-", "ER+")),
        (["1", "0"], ("0", "1")),
        (["10", "9", "2"], ("2", "9", "10")),
        (["IDC", "ILC", "normal"], ("normal", "IDC", "ILC")),
        (["luad", "lusc"], ("luad", "lusc")),
    ],
)
def test_the_positive_class_comes_last(names: list[str], ordered: tuple[str, ...]):
    """Classes that sound negative come first, numbers by value, the rest by name."""
    assert class_order(names) == class_order(reversed(names)) == ordered


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["slide,label", "a,0"], ["slide_id", "its columns are slide, label"]),
        (["slide_id,label", "a,0", "b,0"], ["only the class '0'", "two classes"]),
        (["slide_id,label", "a,", "b,"], ["no label"]),
        (["slide_id,label", "a,0", "A.svs,1", "b,1"], ["A.svs", "twice"]),
        (["slide_id,label", ",0", "b,1"], ["no slide_id"]),
        (["slide_id,label", "a,Tumor", "b,tumor", "c,normal"], ["Tumor, tumor"]),
        (
            ["slide_id,label,case_id", "a,0,p", "a,0,q", "b,1,q"],
            ["a stands there twice", "case"],
        ),
    ],
)
def test_an_unsound_table_is_refused_in_one_line(
    tmp_path: Path, lines: list[str], words: list[str]
):
    """The message names the file, the offender and what to do."""
    path = table(tmp_path, *lines)
    with pytest.raises(LabelError) as error:
        read_labels(path)
    assert str(path) in message(error)
    assert all(word in str(error.value) for word in words)


def test_a_missing_table_is_a_label_error(tmp_path: Path):
    """A file that is not there is named."""
    with pytest.raises(LabelError, match="no such file") as error:
        read_labels(tmp_path / "none.csv")
    assert "none.csv" in message(error)


def test_many_offenders_are_named_by_the_first_few(tmp_path: Path):
    """A message stays short however much is wrong."""
    rows = [f"s{i},{label}" for i in range(50) for label in "01"]
    with pytest.raises(LabelError, match="s0, s1, s2, s3, s4 and 45 more"):
        labels(tmp_path, "slide_id,label", *rows)


def test_an_identical_repeat_is_kept_once_and_reported(tmp_path: Path):
    """The same row twice is no conflict."""
    read = labels(tmp_path, "slide_id,label", "a,0", "a.tif,0", "b,1")
    assert list(read.rows) == ["a", "b"]
    assert read.repeated == ("a.tif",)
    assert "repeated, counted once: 1 (a.tif)" in join(read, ["a", "b"]).report()


def test_an_empty_label_leaves_a_slide_unlabelled(tmp_path: Path):
    """Empty and NA cells are no classes; the slides are listed."""
    read = labels(tmp_path, "slide_id,label", "a,0", "b,1", "c,", "d,NA", ",")
    assert read.classes == ("0", "1")
    assert read.unlabelled == ("c", "d")
    assert join(read, ["a", "c"]).slides_without_label == ("c",)


def test_given_classes_fix_the_order_and_allow_a_table_of_one(tmp_path: Path):
    """A trained model's classes hold for a table that lacks one of them."""
    path = table(tmp_path, "slide_id,label", "a,normal")
    assert read_labels(path, ["tumor", "normal"]).class_index("a") == 1
    with pytest.raises(LabelError, match="normal is none of the classes x, y"):
        read_labels(path, ["x", "y"])


def test_names_label_slides_only_with_the_two_words():
    """Names that begin with tumor or normal are labels (seed 3.4), others an error."""
    named = labels_from_names(["Tumor_001", "normal_002", "tumor_003"])
    assert [row.label for row in named.rows.values()] == ["tumor", "normal", "tumor"]
    assert named.classes == ("normal", "tumor")
    with pytest.raises(LabelError, match="test_001"):
        labels_from_names(["tumor_001", "normal_001", "test_001"])


def test_join_ignores_case_and_extension_and_writes_ids_as_the_slides_do(
    tmp_path: Path,
):
    """A label Normal_001.TIF is the slide normal_001's."""
    read = labels(tmp_path, "slide_id,label", "Normal_001.TIF,0", "t.v2.svs,1")
    matched = join(read, ["normal_001", "T.v2"]).matched
    assert list(matched) == ["T.v2", "normal_001"]
    assert matched["normal_001"].slide_id == "normal_001"


def test_join_lists_what_is_left_on_both_sides(tmp_path: Path):
    """Every id of either side is on exactly one list, and the report counts them."""
    read = labels(
        tmp_path, "slide_id,label,case_id", "a,normal,p", "b,tumor,p", "x,tumor,q"
    )
    found = join(read, ["a", "b", "c"])
    assert set(found.matched) == {"a", "b"}
    assert found.slides_without_label == ("c",)
    assert found.labels_without_slide == ("x",)
    report = found.report()
    assert "2 of 3 slides have a label (1 normal, 1 tumor; cases: 1)" in report
    assert "slides without label: 1 (c)" in report
    assert "labels without slide: 1 (x)" in report
    assert len(report.splitlines()) <= 5


@pytest.mark.parametrize(
    ("slide", "label", "alike"),
    [
        ("normal_001", "normal_1", True),
        ("normal_001", "Normal-001", True),
        ("TCGA-AA-01-DX1.5F3C-99", "TCGA-AA-01-DX1", True),
        ("normal_001", "normal_002", False),
        ("normal_1", "normal_10", False),
    ],
)
def test_an_id_that_is_probably_meant_is_suggested(
    tmp_path: Path, slide: str, label: str, alike: bool
):
    """Other zeros, other marks or a longer name are suggested, another number is not."""
    read = labels(tmp_path, "slide_id,label", f"{label},0", "b,1")
    found = join(read, [slide, "b"])
    assert found.near == ({slide: label} if alike else {})
    assert (f"label {label!r}" in found.report()) == alike


def test_a_table_for_other_slides_is_refused_with_an_example_of_each(tmp_path: Path):
    """When nothing matches the message shows how both sides write their ids."""
    read = labels(tmp_path, "slide_id,label", "alpha,0", "beta,1")
    with pytest.raises(
        LabelError, match=r"a label: 'alpha', a slide: 'gamma'"
    ) as error:
        join(read, ["gamma", "lambda"])
    assert str(tmp_path) in message(error)


def test_two_slides_of_one_id_are_refused(tmp_path: Path):
    """It would be unclear which of A and a is meant."""
    read = labels(tmp_path, "slide_id,label", "a,0", "b,1")
    with pytest.raises(LabelError, match="'A' and 'a'"):
        join(read, ["a", "A"])


def test_camelyon16_names_label_a_real_cohort(real_data: Path):
    """The 270 training names of CAMELYON16 give the labels that its users list."""
    lines = (
        (real_data / "camelyon16" / "flamby_labels.csv").read_text().splitlines()[1:]
    )
    names = [line.split(".")[0] for line in lines]
    training = [name for name in names if not name.startswith("test")]
    said = {line.split(".")[0]: line.split(",")[1].lower() == "true" for line in lines}
    rows = labels_from_names(training).rows
    assert Counter(row.label for row in rows.values()) == {"normal": 159, "tumor": 111}
    assert {i: row.label == "tumor" for i, row in rows.items()} == {
        i: said[i] for i in training
    }
