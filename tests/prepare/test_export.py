"""Patches as JPEG files, and folders of patch images read back."""

import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coverslip.errors import CorruptFileError, DataError, UnreadableSlideError
from coverslip.geometry import plan_scale
from coverslip.prepare.export import (
    coords_of_names,
    export_patches,
    folder_name,
    parse_patch_name,
    patch_name,
    read_image,
    read_patch_folder,
)

SCALE = plan_scale(0.25, [1.0, 2.0], 0.5, 16)
CORNERS = np.array([[32, 0], [0, 0], [32, 64], [0, 32]])


class FlatSlide:
    """A slide whose patches are of one grey each: x + y of their corner."""

    slide_id = "tumor_001"

    def __init__(self, broken_at=None):
        self.broken_at = broken_at
        self.asked = []
        self.threads = set()

    def read(self, l0_xy, level, lv_size):
        """Return a flat image, or fail where the slide is broken."""
        self.asked.append((l0_xy, level, lv_size))
        self.threads.add(threading.current_thread().name)
        if l0_xy == self.broken_at:
            raise UnreadableSlideError(f"{self.slide_id}: damaged")
        return np.full((*lv_size[::-1], 3), sum(l0_xy), np.uint8)


def test_names_carry_slide_scale_size_and_corner(tmp_path):
    """The folder and its files are named as the seed's, with mpp for the level."""
    made = export_patches(FlatSlide(), CORNERS, SCALE, tmp_path)
    assert made == tmp_path / "tumor_001_0.5mpp_16px"
    assert sorted(path.name for path in made.iterdir()) == [
        "tumor_001_0.5mpp_16px_x0_y0.jpg",
        "tumor_001_0.5mpp_16px_x0_y32.jpg",
        "tumor_001_0.5mpp_16px_x32_y0.jpg",
        "tumor_001_0.5mpp_16px_x32_y64.jpg",
    ]


def test_each_file_holds_the_pixels_of_its_corner(tmp_path):
    """Threads do not mix patches up, and the level of the scale is what is read."""
    slide = FlatSlide()
    made = export_patches(slide, CORNERS, SCALE, tmp_path)
    for x, y in CORNERS.tolist():
        image = read_image(made / patch_name("tumor_001", SCALE, (x, y)))
        assert image.shape == (16, 16, 3)
        assert np.all(np.abs(image.astype(int) - (x + y)) <= 2)
    assert {(level, size) for _, level, size in slide.asked} == {(1, (16, 16))}
    assert all(name.startswith("export") for name in slide.threads)


def test_colours_keep_their_order(tmp_path):
    """Red stays red through the JPEG."""
    slide = FlatSlide()
    slide.read = lambda *_: np.full((16, 16, 3), (200, 30, 90), np.uint8)
    made = export_patches(slide, CORNERS[:1], SCALE, tmp_path)
    image = read_image(next(made.iterdir()))
    assert np.all(np.abs(image[8, 8].astype(int) - (200, 30, 90)) <= 4)


def test_a_second_run_reads_only_what_is_missing_or_cut_short(tmp_path):
    """Whole files are kept untouched; a truncated and a deleted one are made again."""
    made = export_patches(FlatSlide(), CORNERS, SCALE, tmp_path)
    kept = made / patch_name("tumor_001", SCALE, (0, 0))
    before = kept.stat().st_mtime_ns
    cut = made / patch_name("tumor_001", SCALE, (0, 32))
    cut.write_bytes(cut.read_bytes()[:-40])
    (made / patch_name("tumor_001", SCALE, (32, 0))).unlink()
    again = FlatSlide()
    export_patches(again, CORNERS, SCALE, tmp_path)
    assert sorted(l0_xy for l0_xy, *_ in again.asked) == [(0, 32), (32, 0)]
    assert kept.stat().st_mtime_ns == before
    assert all(read_image(path).shape == (16, 16, 3) for path in made.iterdir())


def test_a_damaged_slide_stops_the_export_and_leaves_whole_files_only(tmp_path):
    """The slide's error comes through; no half-written file stays."""
    corners = np.stack([np.arange(400) * 16, np.zeros(400, int)], axis=1)
    slide = FlatSlide(broken_at=(16, 0))
    with pytest.raises(UnreadableSlideError, match="tumor_001: damaged"):
        export_patches(slide, corners % 251, SCALE, tmp_path, workers=2)
    for path in (tmp_path / folder_name("tumor_001", SCALE)).glob("*"):
        assert read_image(path).shape == (16, 16, 3)


def test_quality_changes_the_size_of_the_file(tmp_path):
    """A lower quality gives a smaller file."""
    noise = np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8)
    slide = FlatSlide()
    slide.read = lambda *_: noise
    sizes = []
    for quality in (30, 95):
        folder = tmp_path / str(quality)
        made = export_patches(slide, CORNERS[:1], SCALE, folder, quality=quality)
        sizes.append(next(made.iterdir()).stat().st_size)
    assert sizes[0] < 0.9 * sizes[1]


def test_a_folder_reads_back_row_by_row(tmp_path):
    """Coordinates, slide and scale come from the names, sorted by y, then x."""
    made = export_patches(FlatSlide(), CORNERS, SCALE, tmp_path)
    found = read_patch_folder(made)
    assert found.slide_id == "tumor_001"
    assert found.coords.tolist() == [[0, 0], [32, 0], [0, 32], [32, 64]]
    assert found.coords.dtype == np.int64
    assert found.patching == {"mpp": 0.5, "size": 16}
    for path, l0_xy in zip(found.paths, found.coords.tolist(), strict=True):
        assert path.name == patch_name("tumor_001", SCALE, tuple(l0_xy))


@pytest.mark.parametrize(
    "stranger",
    ["patch_1.png", "tumor_002_0.5mpp_16px_x1_y1.jpg", "tumor_001_1mpp_16px_x1_y1.jpg"],
)
def test_one_stranger_among_the_names_takes_the_coordinates_away(tmp_path, stranger):
    """Coordinates of some patches, or of two slides, are worse than none."""
    folder = tmp_path / "case 7"
    folder.mkdir()
    for name in (patch_name("tumor_001", SCALE, (0, 0)), stranger):
        (folder / name).touch()
    found = read_patch_folder(folder)
    assert (found.coords, found.patching) == (None, {})
    assert found.slide_id == "case 7"
    assert [path.name for path in found.paths] == sorted(p.name for p in found.paths)


def test_other_files_in_the_folder_are_left_alone(tmp_path):
    """Half-written, hidden and other files are no patches; any case of suffix is."""
    for name in ("a.JPG", "b.tiff", "c.png", ".a.jpg", "notes.txt", ".d.jpg.h-1.part"):
        (tmp_path / name).touch()
    found = read_patch_folder(tmp_path)
    assert [path.name for path in found.paths] == ["a.JPG", "b.tiff", "c.png"]


def test_an_empty_or_missing_folder_is_named(tmp_path):
    """No patches at all is an error that says where."""
    with pytest.raises(DataError, match=r"no \.jpg, \.png or \.tif image"):
        read_patch_folder(tmp_path)
    with pytest.raises(DataError, match="gone: no such folder"):
        read_patch_folder(tmp_path / "gone")


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK"])
def test_any_kind_of_image_is_read_as_rgb(tmp_path, mode):
    """Grey, transparent and paletted images come as three channels."""
    suffix = "tif" if mode == "CMYK" else "png"
    path = tmp_path / f"image.{suffix}"
    Image.new("RGB", (5, 4), (102, 51, 153)).convert(mode).save(path)
    image = read_image(path)
    assert image.shape == (4, 5, 3)
    expected = np.array(
        Image.new("RGB", (5, 4), (102, 51, 153)).convert(mode).convert("RGB")
    )
    assert np.array_equal(image, expected)


def test_a_truncated_image_is_named(tmp_path):
    """Half a JPEG is an error, never a grey patch."""
    path = tmp_path / "half.jpg"
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(CorruptFileError, match=r"half\.jpg: not a readable image"):
        read_image(path)
    with pytest.raises(CorruptFileError, match=r"gone\.jpg"):
        read_image(Path(tmp_path / "gone.jpg"))


def test_names_parse_back():
    """Slide ids with underscores and dots, and small scales, survive."""
    for slide_id in ("tumor_001", "TCGA-A1.b_2mpp_3px", "x_y1"):
        scale = plan_scale(0.11, [1.0], 0.12, 256)
        found = parse_patch_name(patch_name(slide_id, scale, (12, 345678)))
        assert found is not None
        assert (found.slide_id, found.mpp, found.size) == (slide_id, 0.12, 256)
        assert found.l0_xy == (12, 345678)


@pytest.mark.parametrize(
    "name", ["a.jpg", "a_0.5mpp_256px.jpg", "a_.5mpp_1px_x1_y.jpg"]
)
def test_names_of_other_programs_do_not_parse(name):
    """A name that tells less than all tells nothing."""
    assert parse_patch_name(name) is None
    assert coords_of_names([name]) is None
