"""The data set's own names and the organisers' notes."""

from coverslip.cohorts.camelyon16.facts import (
    ALL_IDS,
    INCOMPLETE_OUTLINES,
    LEFT_OUT,
    NO_LESION_TRUTH,
    NORMAL_IDS,
    NOT_IN_DTFD,
    TEST_IDS,
    TUMOR_IDS,
    label_of_name,
    slide_name,
    spans,
)
from coverslip.tables import read_csv


def test_there_are_399_slides():
    """159 normal and 111 tumor ones to train on, 129 to test, each once."""
    assert (len(NORMAL_IDS), len(TUMOR_IDS), len(TEST_IDS)) == (159, 111, 129)
    assert len(set(ALL_IDS)) == 399
    assert set(ALL_IDS).isdisjoint(LEFT_OUT)


def test_the_names_are_those_of_an_independent_table(real_data):
    """FLamby's list of slides has the same 399 names."""
    rows = read_csv(real_data / "camelyon16" / "flamby_metadata.csv")
    assert {row["slide_name"].removesuffix(".tif") for row in rows} == set(ALL_IDS)


def test_what_the_notes_are_about_is_in_the_set():
    """A note on a slide that does not count would do nothing."""
    assert {*NO_LESION_TRUTH, *NOT_IN_DTFD} <= set(TEST_IDS)
    assert set(INCOMPLETE_OUTLINES) <= set(TUMOR_IDS)
    assert len(set(INCOMPLETE_OUTLINES)) == 20


def test_names_are_told_from_other_files_whatever_their_case():
    """A mask is no slide, nor is a name with a number of other length."""
    assert slide_name("Tumor_001") == "tumor_001"
    assert slide_name("TEST_130") == "test_130"
    others = ("tumor_001_mask", "normal_1", "xnormal_001", "mitosis_001", "")
    assert [name for name in others if slide_name(name)] == []


def test_a_test_slides_name_says_no_label():
    """Only the reference knows it."""
    labels = [label_of_name(s) for s in ("normal_001", "tumor_111", "test_001")]
    assert labels == ["normal", "tumor", ""]


def test_spans_join_neighbours_of_one_kind():
    """normal_086 is no gap; the last normal slide and the first tumor one are apart."""
    assert spans(["normal_087", "normal_085"]) == "normal_085 to normal_087"
    assert spans(["tumor_001", "normal_160"]) == "normal_160, tumor_001"
    assert spans(["test_001", "test_003", "test_049"]) == "test_001, test_003, test_049"
    assert spans(ALL_IDS).count(" to ") == 3
