"""Reading one patch at one scale."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from benchmarks.speed.mosaic import TISSUE

from coverslip.cohorts.pyramid import write_pyramid
from coverslip.geometry import plan_scale
from coverslip.slides.finding import open_slide
from coverslip.slides.reading import read_patch
from coverslip.slides.tiled import TiledSlide


class PaintedSlide(SimpleNamespace):
    """A slide whose level-0 pixel at (x, y) is (x, y, 7), read at any level."""

    def read(self, l0_xy, level, lv_size):
        """Sample level 0 at the middle of each pixel of the level."""
        step = self.downsamples[level]
        xs = l0_xy[0] + (np.arange(lv_size[0]) + 0.5) * step - 0.5
        ys = l0_xy[1] + (np.arange(lv_size[1]) + 0.5) * step - 0.5
        grid = np.stack([*np.meshgrid(xs, ys), np.full((len(ys), len(xs)), 7)], axis=2)
        return np.clip(grid, 0, 255).round().astype(np.uint8)


@pytest.mark.parametrize(
    ("l0_mpp", "downsamples"),
    [
        (0.5, [1.0]),
        (0.25, [1.0, 4.00022]),
        (0.25, [1.0, 2.0]),
        (0.37, [1.0, 4.0]),
        (0.54, [1.0]),
    ],
)
def test_a_patch_shows_its_own_piece_of_the_slide(l0_mpp, downsamples):
    """Read plainly, reduced or enlarged: right size, and no shift of the content."""
    scale = plan_scale(l0_mpp, downsamples, 0.5, 32)
    slide = PaintedSlide(downsamples=downsamples)
    patch = read_patch(slide, (40, 60), scale)
    step = scale.lv_size * downsamples[scale.level] / 32
    expected = 40 + (np.arange(32) + 0.5) * step - 0.5
    assert patch.shape == (32, 32, 3)
    assert patch.dtype == np.uint8
    middle = slice(3, -3)
    assert patch[16, middle, 0] == pytest.approx(expected[middle], abs=1.1)
    assert patch[middle, 16, 1] == pytest.approx(expected[middle] + 20, abs=1.1)
    assert np.all(patch[:, :, 2] == 7)


def test_reducing_averages():
    """Black and white columns at twice the scale become grey, not one of the two."""
    scale = plan_scale(0.25, [1.0], 0.5, 8)
    stripes = np.zeros((16, 16, 3), np.uint8)
    stripes[:, ::2] = 255
    slide = SimpleNamespace(read=lambda *_: stripes)
    assert np.all(np.abs(read_patch(slide, (0, 0), scale).astype(int) - 127.5) <= 1)


@pytest.mark.parametrize(("mpp", "side"), [(1.0, 512), (2.0, 1024)])
def test_reducing_by_half_is_near_the_mean_on_tissue(real_data, mpp, side):
    """1.6 grey levels off on average, or less, as the documentation says."""
    with open_slide(real_data / "slides" / "ln_metastasis_HE_20x.tif") as slide:
        scale = plan_scale(0.5, [1.0], mpp, 256)
        assert scale.lv_size == side
        for corner in TISSUE:
            exact = read_patch(slide, corner, scale).astype(int)
            halved = read_patch(slide, corner, scale, "half")
            assert halved.shape == exact.shape
            assert exact.std() > 10
            assert 0 < np.abs(halved - exact).mean() < 1.6


@pytest.fixture
def colourful(tmp_path):
    """Return an open slide of JPEG tiles, with one level at 0.25 um per pixel."""
    coarse = np.random.default_rng(0).integers(0, 256, (80, 80, 3), np.uint8)
    picture = cv2.resize(coarse, (640, 640), interpolation=cv2.INTER_CUBIC)
    write_pyramid(tmp_path / "a.tif", picture, 0.25)
    with open_slide(tmp_path / "a.tif") as slide:
        assert isinstance(slide, TiledSlide)
        yield slide


@pytest.mark.parametrize("mpp", [0.25, 0.4, 0.51, 0.75])
def test_half_is_the_mean_where_the_rest_would_not_divide(colourful, mpp):
    """Averaging pixels that are averages already would be far off."""
    scale = plan_scale(0.25, [1.0], mpp, 64)
    exact = read_patch(colourful, (100, 100), scale)
    assert np.array_equal(read_patch(colourful, (100, 100), scale, "half"), exact)


def test_half_is_the_mean_where_openslide_reads(colourful):
    """It decodes whole tiles only."""
    scale = plan_scale(0.25, [1.0], 0.5, 64)
    exact = read_patch(colourful.reference, (100, 100), scale)
    halved = read_patch(colourful.reference, (100, 100), scale, "half")
    assert np.array_equal(halved, exact)
