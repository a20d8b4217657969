"""Reading one patch at one scale."""

from types import SimpleNamespace

import numpy as np
import pytest

from coverslip.geometry import plan_scale
from coverslip.slides.reading import read_patch


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
