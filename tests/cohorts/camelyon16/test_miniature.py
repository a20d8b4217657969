"""The painted miniature of CAMELYON16 has the catches of the real one."""

import zipfile
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from coverslip.cohorts.camelyon16.facts import INCOMPLETE_OUTLINES
from coverslip.cohorts.camelyon16.layout import take_stock
from coverslip.cohorts.camelyon16.miniature import (
    MISSING,
    TEST,
    MiniatureOptions,
    paint_miniature,
    training_subjects,
)
from coverslip.cohorts.camelyon16.miniature import test_subjects as chosen_for_test
from coverslip.cohorts.camelyon16.outlines import gather_outlines
from coverslip.cohorts.camelyon16.split import published_split
from coverslip.cohorts.painted.shapes import fill
from coverslip.cohorts.painted.slide import PaintedOptions, paint_slide
from coverslip.errors import DataError, ParametersDifferError
from coverslip.judge.lesions import find_lesions
from coverslip.prepare.annotations import Annotations, read_annotations
from coverslip.slides.finding import open_slide


@pytest.fixture(scope="module")
def outlines(miniature, tmp_path_factory) -> dict[str, Annotations]:
    """Return what is drawn on each slide."""
    found = take_stock(miniature).items
    files = [(item.slide_id, item.outlines) for item in found if item.outlines]
    copies = gather_outlines(files, tmp_path_factory.mktemp("outlines"))
    return {slide_id: read_annotations(path) for slide_id, path in copies.items()}


def test_names_and_folders_are_the_real_ones(miniature):
    """normal_086 is absent, tumor_111 present; some names are capitalised."""
    stock = take_stock(miniature)
    paths = {s: str(i.path.relative_to(miniature)) for s, i in stock.used.items()}
    assert paths["normal_001"] == str(Path("training", "normal", "Normal_001.tif"))
    assert paths["tumor_111"] == str(Path("training", "tumor", "tumor_111.tif"))
    assert paths["test_114"] == str(Path("testing", "images", "test_114.tif"))
    assert [i.slide_id for i in stock.with_status("left out")] == ["test_049"]
    assert "normal_086" not in {i.slide_id for i in stock.items}
    assert set(INCOMPLETE_OUTLINES) & set(paths)
    assert stock.unexpected == ()


def test_the_reference_has_no_header_and_a_slide_that_is_missing(miniature):
    """test_049 is not in it, as in the real one."""
    lines = (miniature / "testing" / "reference.csv").read_text().splitlines()
    ids = [line.partition(",")[0] for line in lines]
    assert lines[0] == "test_001,Tumor,IDC,Macro"
    assert set(MISSING) <= set(ids)
    assert "test_049" not in ids
    statuses = {item.slide_id: item.status for item in take_stock(miniature).items}
    assert {statuses[s] for s in MISSING} == {"missing"}


def test_the_reference_says_of_each_slide_what_the_real_one_says(real_data):
    """The rows are copied from it."""
    table = real_data / "camelyon16" / "reference.csv"
    real = dict(line.split(",", 1) for line in table.read_text().splitlines())
    assert {s: real[s] for s in TEST | MISSING} == TEST | MISSING


def test_the_two_hospitals_have_their_scales(miniature):
    """A program that takes the level for the scale falls between them."""
    found = {}
    for slide_id, item in take_stock(miniature).used.items():
        with open_slide(item.path) as slide:
            found[slide_id] = round(slide.l0_mpp, 4)
    split = published_split()
    training = {s: mpp for s, mpp in found.items() if s in split}
    wanted = {s: {"0": 0.243, "1": 0.226}[split[s].center] for s in training}
    assert training == wanted
    assert set(wanted.values()) == {0.243, 0.226}


def test_outlines_are_grouped_as_in_the_real_files(outlines):
    """_0, _1 and _2 in training, Tumor and Exclusion in the test; holes are cut out."""
    groups = {
        slide_id: {o.group for o in (*drawn.positive, *drawn.excluded)}
        for slide_id, drawn in outlines.items()
    }
    training = [own for s, own in groups.items() if s.startswith("tumor")]
    assert all({"_0", "_2"} <= own <= {"_0", "_1", "_2"} for own in training)
    assert "_1" in set().union(*training)
    assert groups["test_001"] == {"Tumor", "Exclusion"}
    for drawn in outlines.values():
        whole = sum(o.polygon.area for o in drawn.positive)
        assert drawn.region.area < whole - 100
        assert drawn.skipped == {}


def test_one_lesion_is_isolated_tumour_cells_and_others_are_not(outlines):
    """By the rules of the lesion figures, at the slide's own scale."""
    lesions = find_lesions(outlines["test_001"].region, 0.243)
    assert sorted(lesion.is_itc for lesion in lesions) == [False, True]


def test_outlines_lie_on_lesions(miniature, outlines):
    """The slide differs from its twin without lesions inside them, and hardly outside.

    That is, outlines are enlarged to the scale of the slide as its pixels are.
    """
    rng = np.random.default_rng([0, zlib.crc32(b"test_001")])
    twin = paint_slide(rng, PaintedOptions(size=1024), lesions=False).image
    with open_slide(take_stock(miniature).used["test_001"].path) as slide:
        side = slide.l0_size[0]
        image = slide.read((0, 0), 0, slide.l0_size)
    twin = cv2.resize(twin, (side, side), interpolation=cv2.INTER_CUBIC)
    differs = np.abs(image.astype(int) - twin).mean(axis=2)
    drawn = outlines["test_001"].lesions
    near = fill(tuple(lesion.buffer(20) for lesion in drawn), (side, side)) > 0
    inside = fill(tuple(lesion.buffer(-8) for lesion in drawn), (side, side)) > 0
    assert differs[inside].mean() > 20
    assert differs[~near].mean() < 3


def test_zips_hold_only_outlines_in_capitals(miniature):
    """The slides are lower case, so the join must not mind."""
    with zipfile.ZipFile(miniature / "training" / "lesion_annotations.zip") as archive:
        names = archive.namelist()
    assert "Tumor_111.xml" in names
    assert all(name.startswith("Tumor_") for name in names)


@pytest.mark.parametrize(("normal", "tumor"), [(4, 4), (24, 16), (7, 5), (48, 48)])
def test_every_part_of_the_split_has_both_labels_and_hospitals(normal, tumor):
    """Whatever the size, it can be trained on; the sure slides are in it."""
    options = MiniatureOptions(normal=normal, tumor=tumor)
    chosen = training_subjects(options)
    ids = [subject.slide_id for subject in chosen]
    assert len(set(ids)) == normal + tumor
    assert {"tumor_111", "tumor_010"} <= set(ids)
    split = published_split()
    parts = {(split[s].label, split[s].split, split[s].center) for s in ids}
    assert len(parts) == 8


def test_the_test_slides_have_both_labels_and_the_two_of_the_127():
    """Four slides are enough; the duplicate comes on top."""
    chosen = chosen_for_test(MiniatureOptions(test=4))
    ids = [subject.slide_id for subject in chosen]
    assert {"test_114", "test_124", "test_049"} <= set(ids)
    assert {subject.label for subject in chosen} == {"normal", "tumor"}
    assert len(ids) == 5


def test_painting_again_changes_nothing_and_other_options_are_refused(miniature):
    """A slide depends on the seed and its name alone, so only missing ones are painted."""
    before = {p: p.stat().st_mtime_ns for p in miniature.rglob("*") if p.is_file()}
    paint_miniature(miniature, MiniatureOptions(normal=4, tumor=4, test=4, size=1024))
    assert {p: p.stat().st_mtime_ns for p in before} == before
    with pytest.raises(ParametersDifferError, match="size was 1024"):
        paint_miniature(miniature, MiniatureOptions(size=2048))


def test_a_folder_with_other_things_is_not_painted_into(tmp_path):
    """Least of all the real data set."""
    (tmp_path / "training").mkdir()
    with pytest.raises(DataError, match="something else than a miniature"):
        paint_miniature(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["training"]
