"""Tiles show the right part of the slide, whatever its levels are."""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from coverslip.geometry import Box
from coverslip.slides.finding import open_slide
from coverslip.testing import slide_file
from coverslip.viewer.pyramid import SIDE, Place, Pyramid


@dataclass
class ArraySlide:
    """A slide in memory, with exact pixels and any levels."""

    levels: list[np.ndarray]
    read_sizes: list[int]

    slide_id, path, l0_mpp = "array", Path("array"), 0.5

    @property
    def level_sizes(self):
        """(width, height) of each level."""
        return tuple(level.shape[1::-1] for level in self.levels)

    @property
    def l0_size(self):
        """(width, height) of level 0."""
        return self.level_sizes[0]

    @property
    def bounds(self):
        """All of it."""
        return Box(0, 0, *self.l0_size)

    @property
    def downsamples(self):
        """Means of both axes, as OpenSlide takes them."""
        width, height = self.l0_size
        return tuple((width / w + height / h) / 2 for w, h in self.level_sizes)

    def read(self, l0_xy, level, lv_size):
        """Take the nearest pixels of a level; what is outside is white."""
        self.read_sizes.append(lv_size[0] * lv_size[1])
        pixels = self.levels[level]
        x = round(l0_xy[0] * pixels.shape[1] / self.l0_size[0])
        y = round(l0_xy[1] * pixels.shape[0] / self.l0_size[1])
        out = np.full((lv_size[1], lv_size[0], 3), 255, np.uint8)
        part = pixels[y : y + lv_size[1], x : x + lv_size[0]]
        out[: part.shape[0], : part.shape[1]] = part
        return out

    def close(self):
        """There is nothing to close."""


def ramp(width, height):
    """Return a picture that tells by its colour where one is: red across, green down."""
    x = np.linspace(10, 240, width)
    y = np.linspace(10, 240, height)
    picture = np.zeros((height, width, 3), np.uint8)
    picture[..., 0], picture[..., 1] = np.rint(x)[None], np.rint(y)[:, None]
    return picture


def array_slide(size, level_sizes=()):
    """Return a ramp with levels of these sizes below level 0."""
    finest = ramp(*size)
    smaller = [cv2.resize(finest, s, interpolation=cv2.INTER_AREA) for s in level_sizes]
    return ArraySlide([finest, *smaller], [])


def places(pyramid, level):
    """Return every place of a level."""
    width, height = pyramid.size(level)
    return [
        Place(level, column, row)
        for row in range(-(-height // SIDE))
        for column in range(-(-width // SIDE))
    ]


SLIDES = {
    "odd sides, one level": ((1501, 1003), []),
    "downsamples that are no whole numbers": ((1503, 1001), [(751, 500), (375, 250)]),
    "fourfold steps": ((2049, 1201), [(512, 300), (128, 75)]),
    "an end of one pixel": ((4065, 301), [(1016, 75)]),
    "smaller than a tile": ((101, 57), []),
    "much longer than wide": ((2501, 17), []),
}


@pytest.mark.parametrize("made", SLIDES.values(), ids=SLIDES)
def test_every_tile_shows_its_part_of_level_0(made):
    """At each level the colours are those of the place, to half a pixel of the tile."""
    pyramid = Pyramid(array_slide(*made))
    width, height = pyramid.slide.l0_size
    for level in range(pyramid.top + 1):
        for place in places(pyramid, level):
            left, top, right, bottom = pyramid.l0_box(place)
            tile = pyramid.tile(place)
            down, across = tile.shape[:2]
            l0_x = left + (np.arange(across) + 0.5) * (right - left) / across - 0.5
            l0_y = top + (np.arange(down) + 0.5) * (bottom - top) / down - 0.5
            step = 1 << (pyramid.top - level)
            for channel, l0, whole in (
                (0, l0_x[None], width),
                (1, l0_y[:, None], height),
            ):
                slope = 230 / max(1, whole - 1)
                off = tile[..., channel].astype(float) - (10 + slope * l0)
                assert abs(off.mean()) < 0.5 * slope * step + 0.3, place
                assert np.abs(off).max() < slope * step + 3, place


def test_the_finest_tiles_are_the_slides_own_pixels():
    """Each with a pixel of its neighbours, and nothing beyond the ends."""
    pyramid = Pyramid(array_slide((601, 389)))
    for place in places(pyramid, pyramid.top):
        left, top = (max(0, at * SIDE - 1) for at in (place.column, place.row))
        right, bottom = ((at + 1) * SIDE + 1 for at in (place.column, place.row))
        whole = pyramid.slide.levels[0][top:bottom, left:right]
        assert np.array_equal(pyramid.tile(place), whole)


def test_neighbours_show_the_same_where_they_overlap():
    """On levels that are read and on those that are put together, pixel by pixel."""
    noise = np.random.default_rng(0).integers(0, 256, (2200, 6001, 3), dtype=np.uint8)
    pyramid = Pyramid(ArraySlide([noise], []))
    for level in (pyramid.top, pyramid.top - 1, pyramid.top - 3):
        first, second = (pyramid.tile(Place(level, column, 0)) for column in (0, 1))
        assert first.shape[1] == SIDE + 1
        assert second.shape[1] == SIDE + 2
        assert np.array_equal(first[:, -2:], second[:, :2])


def test_sizes_halve_upwards_and_end_with_one_pixel():
    """The top is level 0; level 0 of the pyramid is a single pixel."""
    pyramid = Pyramid(array_slide((1501, 1003)))
    assert pyramid.top == 11
    assert pyramid.size(11) == (1501, 1003)
    assert pyramid.size(10) == (751, 502)
    assert pyramid.size(0) == (1, 1)


def test_what_is_no_tile_is_not_there():
    """Beyond the last column, row or level there is nothing."""
    pyramid = Pyramid(array_slide((508, 254)))
    assert pyramid.holds(Place(9, 1, 0))
    for place in (Place(9, 2, 0), Place(9, 0, 1), Place(10, 0, 0), Place(-1, 0, 0)):
        assert not pyramid.holds(place)


def test_no_read_is_much_larger_than_a_tile():
    """A slide of one level is put together from small reads, not read whole."""
    pyramid = Pyramid(array_slide((5000, 4000)))
    pyramid.tile(Place(4, 0, 0))
    assert max(pyramid.slide.read_sizes) <= (4 * (SIDE + 2)) ** 2


def test_a_coarse_tile_is_put_together_once():
    """Asked for again, it does not read the slide again."""
    pyramid = Pyramid(array_slide((5000, 4000)))
    first = pyramid.tile(Place(8, 0, 0))
    reads = len(pyramid.slide.read_sizes)
    assert np.array_equal(pyramid.tile(Place(8, 0, 0)), first)
    assert len(pyramid.slide.read_sizes) == reads


def test_a_tile_comes_as_jpeg_close_to_its_pixels(tmp_path):
    """Of a file on disk; compression changes a colour by a few grey levels at most."""
    with open_slide(slide_file(tmp_path / "slide.tif", size=(1001, 701))) as slide:
        pyramid = Pyramid(slide)
        place = Place(pyramid.top - 1, 0, 0)
        decoded = np.asarray(Image.open(BytesIO(pyramid.jpeg(place))))
        assert decoded.shape == (255, 255, 3)
        off = np.abs(decoded.astype(int) - pyramid.tile(place))
        assert off.mean() < 3
