"""Finding slides by content, and the scales that a CSV states for them."""

import re
import shutil

import pytest
from PIL import Image

from coverslip.errors import DataError, DuplicateSlideError, UnreadableSlideError
from coverslip.slides import finding
from coverslip.slides.finding import Scales, find_slides, open_slide, read_scales
from coverslip.testing import slide_file


@pytest.fixture(scope="module")
def a_slide(tmp_path_factory):
    """Return one small slide, to be copied."""
    return slide_file(tmp_path_factory.mktemp("slide") / "a.tif", size=256)


@pytest.fixture
def folder(tmp_path, a_slide):
    """Return a folder with slides of several names, and with other files."""
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / ".cache").mkdir()
    for name in ("a.tif", "b.bin", "deep/er/c", ".hidden.svs", ".cache/d.svs"):
        shutil.copy(a_slide, tmp_path / name)
    (tmp_path / "notes.txt").write_text("no slide")
    (tmp_path / "table.csv").write_text("slide_id,label\n")
    Image.new("RGB", (64, 64)).save(tmp_path / "photo.jpg")
    return tmp_path


def names(paths, folder):
    """Return paths relative to a folder."""
    return [path.relative_to(folder).as_posix() for path in paths]


def test_slides_are_found_by_content_in_every_folder(folder):
    """Whatever the suffix; other files and hidden ones are passed over."""
    assert names(find_slides([folder]), folder) == ["a.tif", "b.bin", "deep/er/c"]


def test_a_hidden_place_that_is_named_is_searched(folder):
    """Only what is hidden within the place is passed over."""
    assert names(find_slides([folder / ".cache"]), folder) == [".cache/d.svs"]


def test_what_is_named_like_a_slide_is_never_passed_over(folder, a_slide):
    """Broken files are found, so that opening them tells the user."""
    Image.new("RGB", (64, 64)).save(folder / "p.svs", "PNG")
    (folder / "q.NDPI").write_bytes(a_slide.read_bytes()[:500])
    (folder / "r.mrxs").touch()
    found = names(find_slides([folder]), folder)
    assert {"p.svs", "q.NDPI", "r.mrxs"} < set(found)
    for name in ("p.svs", "q.NDPI", "r.mrxs"):
        with pytest.raises(UnreadableSlideError, match=re.escape(name)):
            open_slide(folder / name)


def test_a_broken_file_without_suffix_does_not_end_the_search(folder):
    """OpenSlide takes it for a slide until it opens it: found, and it fails alone."""
    whole = slide_file(folder / "whole.tif", size=1024).read_bytes()
    (folder / "truncated").write_bytes(whole[:-500])
    found = names(find_slides([folder]), folder)
    assert {"a.tif", "truncated", "whole.tif"} < set(found)
    with pytest.raises(UnreadableSlideError, match="truncated: damaged"):
        open_slide(folder / "truncated")


def test_named_files_are_taken_as_they_are(folder):
    """In the order given; a missing one is found out when it is opened."""
    named = [folder / "b.bin", folder / "missing.svs", folder / "a.tif"]
    assert find_slides(named) == named
    assert find_slides([folder / "a.tif", folder / "a.tif", folder]) == [
        folder / name for name in ("a.tif", "b.bin", "deep/er/c")
    ]


def test_two_files_with_one_id_are_refused(folder):
    """Their results would overwrite each other; both are named."""
    other = shutil.copy(folder / "a.tif", folder / "deep" / "A.svs")
    with pytest.raises(DuplicateSlideError) as error:
        find_slides([folder])
    assert str(other) in str(error.value)
    assert str(folder / "a.tif") in str(error.value)
    assert "rename" in str(error.value)


def test_a_folder_without_slides_says_so(tmp_path):
    """The message names every place that was searched."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no slide found") as error:
        find_slides([tmp_path, tmp_path / "empty"])
    assert str(tmp_path / "empty") in str(error.value)


def test_a_dicom_slide_of_several_files_counts_once(folder, a_slide, monkeypatch):
    """Files of one series are one slide; files of another are another."""
    series = {"m1.dcm": "one", "m2.dcm": "one", "m3.dcm": "two"}
    for name in series:
        shutil.copy(a_slide, folder / name)
    monkeypatch.setattr(finding, "_series", lambda path: series.get(path.name))
    found = names(find_slides([folder]), folder)
    assert found == ["a.tif", "b.bin", "deep/er/c", "m1.dcm", "m3.dcm"]


@pytest.mark.parametrize("wsi", ["a.tif", "A.TIF", "a", "A", "some/where/a.svs"])
def test_a_table_states_scales_with_or_without_suffix(tmp_path, a_slide, wsi):
    """It overrides what the file says, for that slide alone."""
    table = tmp_path / "mpp.csv"
    table.write_text(f"wsi,mpp\nother.svs,0.1\n{wsi},0.33\n")
    scales = read_scales(table)
    with scales.open(a_slide) as slide:
        assert slide.l0_mpp == 0.33
    another = shutil.copy(a_slide, tmp_path / "another.tif")
    with scales.open(another) as slide:
        assert slide.l0_mpp == pytest.approx(0.5)


@pytest.mark.parametrize("wsi", ["b.x.bin", "b.x"])
def test_a_table_knows_names_with_any_suffix_and_dots(tmp_path, a_slide, wsi):
    """What OpenSlide opens under an odd name can be given a scale under that name."""
    path = shutil.copy(a_slide, tmp_path / "b.x.bin")
    (tmp_path / "mpp.csv").write_text(f"wsi,mpp\n{wsi},0.33\n")
    with read_scales(tmp_path / "mpp.csv").open(path) as slide:
        assert slide.l0_mpp == 0.33


def test_a_scale_for_slides_without_one(tmp_path, a_slide):
    """It leaves alone the slides that say their own, and those in the table."""
    bare = slide_file(tmp_path / "bare.tif", size=256, l0_mpp=None)
    listed = shutil.copy(bare, tmp_path / "listed.tif")
    (tmp_path / "mpp.csv").write_text("wsi,mpp\nlisted,0.2\n")
    scales = read_scales(tmp_path / "mpp.csv", missing=0.4)
    assert scales.open(bare).l0_mpp == 0.4
    assert scales.open(listed).l0_mpp == 0.2
    assert scales.open(a_slide).l0_mpp == pytest.approx(0.5)
    assert Scales().open(bare).l0_mpp is None


@pytest.mark.parametrize("mpp", ["", "fine", "0", "-0.25", "nan", "inf", "250000"])
def test_a_table_with_a_wrong_number_names_slide_and_value(tmp_path, mpp):
    """Nobody should find out from a model that learned nothing."""
    table = tmp_path / "mpp.csv"
    table.write_text(f"wsi,mpp\na.svs,0.25\nb.svs,{mpp}\n")
    with pytest.raises(DataError) as error:
        read_scales(table)
    for part in (str(table), "b.svs", repr(mpp), "0.25"):
        assert part in str(error.value)


def test_a_row_that_is_too_short_has_no_scale(tmp_path):
    """It is the same fault as an empty cell."""
    (tmp_path / "mpp.csv").write_text("wsi,mpp\na.svs\n")
    with pytest.raises(DataError, match=r"a\.svs"):
        read_scales(tmp_path / "mpp.csv")


def test_a_table_without_the_columns_says_which(tmp_path):
    """The names are TRIDENT's."""
    (tmp_path / "mpp.csv").write_text("slide,spacing\na,0.25\n")
    with pytest.raises(DataError, match="no column wsi, mpp"):
        read_scales(tmp_path / "mpp.csv")
