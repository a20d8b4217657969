"""The small picture of a slide."""

import numpy as np
import openslide
import pytest

from coverslip.cohorts.pyramid import write_pyramid
from coverslip.errors import MissingMppError
from coverslip.slides.finding import open_slide
from coverslip.slides.overview import read_overview
from coverslip.testing import slide_file
from stars import centroid, starry


@pytest.mark.parametrize("l0_mpp", [0.25, 0.5, 1.0])
@pytest.mark.parametrize("levels", [1, None])
def test_the_overview_shows_squares_where_they_are(
    tmp_path, l0_mpp, levels, monkeypatch
):
    """Read in blocks, from any level: no square is off by half a pixel of it."""
    monkeypatch.setattr("coverslip.slides.overview.BLOCK", 300)
    image, l0_centres = starry(1707, 1207)
    write_pyramid(tmp_path / "a.tif", image, l0_mpp, levels=levels, quality=95)
    with open_slide(tmp_path / "a.tif") as slide:
        picture, bounds = read_overview(slide, 3 * l0_mpp)
    assert (bounds.l0_width, bounds.l0_height) == (1707, 1207)
    assert picture.shape == (403, 569, 3)
    px_centres = l0_centres * [569 / 1707, 403 / 1207]
    for px in px_centres:
        left, top = (max(0, int(edge)) for edge in px - 5)
        window = picture[top : top + 11, left : left + 11]
        assert np.abs(centroid(window) + (left, top) - px).max() < 0.5


def test_the_overview_shows_the_bounds_only(tmp_path, monkeypatch):
    """The part that was scanned, and nothing of the void around it."""
    path = slide_file(tmp_path / "a.tif", size=1024, tissue=(256, 384, 768, 896))
    said = {
        "openslide.mpp-x": "0.5",
        "openslide.mpp-y": "0.5",
        "openslide.bounds-x": "256",
        "openslide.bounds-y": "384",
        "openslide.bounds-width": "512",
        "openslide.bounds-height": "256",
    }
    monkeypatch.setattr(openslide.OpenSlide, "properties", said)
    with open_slide(path) as slide:
        picture, bounds = read_overview(slide, 4.0)
    assert bounds.as_list() == [256, 384, 512, 256]
    assert picture.shape == (32, 64, 3)
    assert picture[..., 1].max() < 150, "tissue up to the edges"


def test_an_overview_is_never_finer_than_level_0(tmp_path):
    """Asked for more, it is level 0 itself."""
    path = slide_file(tmp_path / "a.tif", size=300, l0_mpp=1.0, tissue=(0, 0, 99, 99))
    with open_slide(path) as slide:
        picture, _ = read_overview(slide, 0.25)
        assert np.array_equal(picture, slide.read((0, 0), 0, (300, 300)))


def test_an_overview_needs_the_scale(tmp_path):
    """Without it the refusal names the file."""
    path = slide_file(tmp_path / "a.tif", size=256, l0_mpp=None)
    with open_slide(path) as slide, pytest.raises(MissingMppError, match=str(path)):
        read_overview(slide, 8.0)
