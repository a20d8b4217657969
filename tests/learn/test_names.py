"""What names of slides tell: pairs that mean one slide, and whose slides they are."""

import pytest

from coverslip.learn.names import likely_case, near_names, shared_names


@pytest.mark.parametrize(
    ("slide", "label", "why"),
    [
        ("slide_01", "slide 01", "spaces or separators"),
        ("slide_01", "Slide-01.svs", "spaces or separators"),
        ("slide_01", "slide01", "spaces or separators"),
        ("café_1", "cafe_1", "spaces or separators"),
        ("slide_001", "slide_1", "leading zeros"),
        ("slide_01", "slide_O1", "letters like digits"),
        ("TCGA-AA-0001-01Z-00-DX1.5F3C", "TCGA-AA-0001", "one goes on"),
        ("slide_01", "slide_01.ome", "one goes on"),
        ("metastasis_20x", "metastais_20x", "spelling"),
    ],
)
def test_two_spellings_of_one_slide_are_paired_with_what_sets_them_apart(
    slide, label, why
):
    """Only a mere spelling is not sure."""
    (pair,) = near_names([slide, "zebra"], [label, "quagga"])
    assert (pair.slide, pair.label, pair.why) == (slide, label, why)
    assert pair.sure == (why != "spelling")


@pytest.mark.parametrize(
    ("slide", "label"),
    [("slide_01", "slide_02"), ("slide_1", "slide_10"), ("a_1_2", "a_12")],
)
def test_another_number_is_another_slide(slide, label):
    """Numbers are what sets slides of a series apart."""
    assert near_names([slide], [label]) == []


def test_pairs_are_one_to_one_and_doubt_pairs_nothing():
    """Two labels for a slide, or two slides for a label, are left to a person."""
    assert near_names(["a_1"], ["a-1", "a 1"]) == []
    assert near_names(["p_1_x", "p_1_y"], ["p_1"]) == []
    pairs = near_names(["a_1", "b_1"], ["a-1", "b 1"])
    assert {(pair.slide, pair.label) for pair in pairs} == {
        ("a_1", "a-1"),
        ("b_1", "b 1"),
    }


def test_a_label_that_begins_several_names_is_shared():
    """A person's id in place of each slide's."""
    slides = ["TCGA-AA-0001-01A", "TCGA-AA-0001-01B", "TCGA-AA-0002-01A"]
    found = shared_names(slides, ["tcga-aa-0001", "TCGA-AA-0002"])
    assert found == {"tcga-aa-0001": tuple(slides[:2])}


def test_many_names_take_no_time_worth_a_word():
    """Thousands left on both sides are compared by key, not each with each."""
    slides = [f"slide_{n:05d}" for n in range(5000)]
    labels = [f"Slide-{n}" for n in range(5000)]
    assert len(near_names(slides, labels)) == 5000


@pytest.mark.parametrize(
    ("slide", "case"),
    [
        ("TCGA-AA-0001-01Z-00-DX1", "tcga-aa-0001"),
        ("patient_012_node_3", "patient_012"),
        ("Case 7 - A", "case 7"),
        ("S12-3456_A1", "s12-3456"),
        ("C3L-00001-21", "c3l-00001"),
        ("tumor_001", None),
        ("patient_012", None),
    ],
)
def test_the_case_that_a_name_seems_to_begin_with(slide, case):
    """Known ways of naming; a name that is all case says nothing of several slides."""
    assert likely_case(slide) == case
