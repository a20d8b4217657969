"""Tumour masks: which level is read, and how exactly it is traced."""

import numpy as np
import pytest
import shapely
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from coverslip.errors import CorruptFileError, DataError
from coverslip.prepare.tumor_mask import polygons_from_mask, read_tumor_mask


@pytest.fixture
def level0():
    """Return a mask of 640 x 512 px with one tumour of 128 x 64 px."""
    mask = np.zeros((512, 640), np.uint8)
    mask[128:192, 256:384] = 1
    return mask


def pyramid(path, level0, downsamples, as_subifds, **options):
    """Write a tiled pyramid, its levels as pages (as ASAP does) or as sub-IFDs."""
    with tifffile.TiffWriter(path) as file:
        for i, downsample in enumerate(downsamples):
            file.write(
                level0[::downsample, ::downsample],
                tile=(64, 64),
                subfiletype=1 if i else 0,
                subifds=len(downsamples) - 1 if as_subifds and not i else None,
                metadata=None,
                **options,
            )
    return path


@pytest.mark.parametrize("as_subifds", [False, True])
@pytest.mark.parametrize(("asked", "got"), [(1, 1), (32, 16), (5, 4), (2.5, 2)])
def test_the_level_nearest_to_the_asked_downsample_is_read(
    tmp_path, level0, as_subifds, asked, got
):
    """The mask of that level comes with its true downsample."""
    path = pyramid(tmp_path / "m.tif", level0, [1, 2, 4, 16], as_subifds)
    mask, px_downsample = read_tumor_mask(path, asked)
    assert px_downsample == (got, got)
    assert np.array_equal(mask, level0[::got, ::got] == 1)


def test_level_0_is_not_decoded(tmp_path, level0, monkeypatch):
    """Only the tiles of the level that is asked for are read."""
    path = pyramid(tmp_path / "m.tif", level0, [1, 16], as_subifds=False)
    decoded = []
    read = tifffile.TiffPage.asarray

    def watched(page, *args, **kwargs):
        decoded.append(page.imagewidth)
        return read(page, *args, **kwargs)

    monkeypatch.setattr(tifffile.TiffPage, "asarray", watched)
    read_tumor_mask(path, 16)
    assert decoded == [40]


@pytest.mark.parametrize("value", [1, 255])
def test_1_and_255_are_both_tumour(tmp_path, level0, value):
    """Both habits of writing a mask are understood."""
    path = pyramid(tmp_path / "m.tif", level0 * np.uint8(value), [1], as_subifds=False)
    assert read_tumor_mask(path).mask.sum() == 128 * 64


def test_a_lossy_mask_does_not_grow_a_rim(tmp_path, level0):
    """JPEG blurs edges: small values around a tumour of 255 are background."""
    blurred = level0 * np.uint8(255)
    blurred[5, 5] = 9
    path = pyramid(tmp_path / "m.tif", blurred, [1], False, compression="jpeg")
    assert abs(int(read_tumor_mask(path).mask.sum()) - 128 * 64) < 100


def test_a_png_made_smaller_than_the_slide_is_scaled_by_the_slides_size(
    tmp_path, level0
):
    """Downsamples are real numbers and may differ along x and y."""
    Image.fromarray(level0 * np.uint8(255)).save(tmp_path / "m.png")
    mask, px_downsample = read_tumor_mask(tmp_path / "m.png", l0_size=(6401, 5120))
    assert px_downsample == (6401 / 640, 10)
    (polygon,) = polygons_from_mask(mask, px_downsample)
    assert polygon.bounds == pytest.approx((2560.4, 1280, 3840.6, 1920))


@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_a_broken_mask_is_named(tmp_path, suffix):
    """Something that is no image says which file it is."""
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(b"nothing to see")
    with pytest.raises(CorruptFileError, match="broken"):
        read_tumor_mask(path)


def test_a_missing_mask_is_named(tmp_path):
    """The path is in the message."""
    with pytest.raises(DataError, match=r"gone\.tif: no such file"):
        read_tumor_mask(tmp_path / "gone.tif")


@settings(max_examples=60, deadline=None)
@given(
    mask=hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9)),
    downsample=st.tuples(st.floats(0.5, 40), st.floats(0.5, 40)),
)
def test_tracing_is_exact(mask, downsample):
    """Area is that of the pixels, and each pixel's centre is on its own side."""
    polygons = polygons_from_mask(mask, downsample)
    assert all(polygon.is_valid for polygon in polygons)
    area = sum(polygon.area for polygon in polygons)
    assert area == pytest.approx(mask.sum() * downsample[0] * downsample[1])
    y, x = np.indices(mask.shape) + 0.5
    region = shapely.MultiPolygon(polygons)
    inside = shapely.contains_xy(region.buffer(0), x * downsample[0], y * downsample[1])
    assert np.array_equal(inside, mask)


def test_holes_and_corners_are_kept_apart():
    """A ring has one hole; pixels that meet at a corner are two polygons."""
    ring = np.ones((3, 3), bool)
    ring[1, 1] = False
    (polygon,) = polygons_from_mask(ring, (2, 2))
    assert polygon.equals(shapely.box(0, 0, 6, 6).difference(shapely.box(2, 2, 4, 4)))
    assert len(polygons_from_mask(np.eye(2, dtype=bool), (1, 1))) == 2
    assert polygons_from_mask(np.zeros((4, 4), bool), (1, 1)) == []
