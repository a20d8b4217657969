"""Painting a cohort onto disk."""

import numpy as np
import openslide
import pytest
import shapely

from coverslip.cohorts.painted.cohort import PaintedOptions, paint_cohort, paint_slide
from coverslip.cohorts.painted.slide import PaintedSlide
from coverslip.errors import ParametersDifferError
from coverslip.prepare.annotations import read_annotations
from coverslip.tables import read_csv

SMALL = PaintedOptions(n_slides=5, size=1024, l0_mpp=0.25, seed=3)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Paint five small slides, two at a time."""
    return paint_cohort(tmp_path_factory.mktemp("cohort"), SMALL, workers=2)


def test_the_table_names_each_slide_its_case_and_its_label(cohort):
    """`labels.csv` lists what lies in `slides/`; one case in four has two slides."""
    rows = read_csv(cohort.labels_csv, ["slide_id", "case_id", "label"])
    names = [f"painted_{i:03d}" for i in range(1, 6)]
    assert [row["slide_id"] for row in rows] == names
    assert sorted(p.name for p in cohort.slides.iterdir()) == [
        f"{name}.tif" for name in names
    ]
    assert [row["case_id"][-1] for row in rows] == ["1", "2", "3", "4", "4"]
    assert {row["label"] for row in rows} == {"normal", "tumor"}
    assert rows[3]["label"] == rows[4]["label"]


def test_a_slide_is_the_painting_of_its_number(cohort):
    """The file holds the pixels and the scale of the painting, JPEG apart."""
    row = cohort.rows[1]
    rng = np.random.default_rng([SMALL.seed, 1])
    painted = paint_slide(rng, SMALL, lesions=row.label == "tumor")
    slide = openslide.OpenSlide(cohort.slide(row.slide_id))
    pixels = np.asarray(slide.read_region((0, 0), 0, slide.dimensions))[..., :3]
    assert slide.dimensions == (1024, 1024)
    assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(0.25)
    assert np.abs(pixels.astype(int) - painted.image).mean() < 5


def test_positive_slides_alone_have_their_lesions_drawn(cohort):
    """The annotation holds the painted outlines; a negative slide has no file."""
    for index, row in enumerate(cohort.rows):
        path = cohort.lesions(row.slide_id)
        assert path.exists() == (row.label == "tumor")
        if not path.exists():
            continue
        rng = np.random.default_rng([SMALL.seed, index])
        painted = paint_slide(rng, SMALL, lesions=True)
        read = [outline.polygon for outline in read_annotations(path).positive]
        assert len(read) == len(painted.lesions)
        difference = shapely.union_all(read) ^ shapely.union_all(painted.lesions)
        assert difference.area < 1e-3


def test_a_slide_does_not_depend_on_how_many_there_are(cohort, tmp_path):
    """Enlarging a cohort keeps each slide, its label and its case."""
    fewer = paint_cohort(tmp_path, SMALL.replace(n_slides=2))
    assert fewer.rows == cohort.rows[:2]
    for row in fewer.rows:
        same = cohort.slide(row.slide_id).read_bytes()
        assert fewer.slide(row.slide_id).read_bytes() == same


def test_only_what_is_missing_is_painted(cohort, monkeypatch):
    """A second run paints a lost slide anew, the same as before, and no other."""
    lost = cohort.slide("painted_002")
    before, painted = lost.read_bytes(), []

    def watched(*args: object, **kwargs: object) -> PaintedSlide:
        painted.append(1)
        return paint_slide(*args, **kwargs)

    monkeypatch.setattr("coverslip.cohorts.painted.cohort.paint_slide", watched)
    lost.unlink()
    paint_cohort(cohort.folder, SMALL)
    assert lost.read_bytes() == before
    assert len(painted) == 1


def test_a_failure_is_raised_and_leaves_no_table(tmp_path, monkeypatch):
    """A cohort that is not complete has no `labels.csv` that says it is."""

    def broken(*_: object, **__: object) -> PaintedSlide:
        raise MemoryError

    monkeypatch.setattr("coverslip.cohorts.painted.cohort.paint_slide", broken)
    with pytest.raises(MemoryError):
        paint_cohort(tmp_path, SMALL, workers=2)
    assert not (tmp_path / "labels.csv").exists()


def test_a_folder_keeps_to_one_seed(cohort):
    """Other options than the folder's are refused and named."""
    with pytest.raises(ParametersDifferError, match="seed was 3, now 4"):
        paint_cohort(cohort.folder, SMALL.replace(seed=4))


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_labels_are_balanced_but_cannot_be_guessed_from_the_number(
    share, tmp_path, monkeypatch
):
    """The share of positive cases is as asked, and their places look drawn."""
    empty = PaintedSlide(np.zeros((16, 16, 3), np.uint8), (), ())
    monkeypatch.setattr(
        "coverslip.cohorts.painted.cohort.paint_slide", lambda *_, **__: empty
    )
    options = PaintedOptions(n_slides=200, positive_share=share)
    rows = paint_cohort(tmp_path, options).rows
    labels = {row.case_id: row.label == "tumor" for row in rows}
    positive = np.array(list(labels.values()))
    assert positive.mean() == pytest.approx(share)
    for place in range(4):
        assert 0.5 * share < positive[place::4].mean() < 1.6 * share
