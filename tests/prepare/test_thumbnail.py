"""The thumbnail with the outlines drawn."""

from types import SimpleNamespace

import numpy as np
import pytest

from coverslip.geometry import Box
from coverslip.prepare.thumbnail import GREEN, GREY, draw_outlines
from coverslip.prepare.tissue import tissue_from_mask


def is_colour(picture, colour):
    """Return where a picture has a colour."""
    return (picture == colour).all(axis=2)


@pytest.fixture
def tissue():
    """Return tissue with a hole, in bounds that do not start at the corner."""
    slide = SimpleNamespace(
        slide_id="a", path="a", l0_mpp=0.5, bounds=Box(1000, 2000, 1600, 1600)
    )
    mask = np.zeros((100, 100), bool)
    mask[20:60, 30:100] = True
    mask[30:50, 50:70] = False
    return tissue_from_mask(slide, mask, {})


@pytest.mark.parametrize("side", [100, 331])
def test_outlines_are_drawn_where_the_tissue_is(tissue, side):
    """At any size, holes too, to the last column, in the frame of the bounds."""
    picture = np.full((side, side, 3), 255, np.uint8)
    drawn = draw_outlines(picture, tissue)
    green = is_colour(drawn, GREEN)
    scale = side / 100
    rows, columns = np.nonzero(green)
    edges = [20 * scale, 60 * scale, 30 * scale, side - 1]
    found = [rows.min(), rows.max(), columns.min(), columns.max()]
    assert np.abs(np.array(found) - edges).max() <= 1
    middle = round(40 * scale)
    crossed = np.nonzero(green[middle])[0] / scale
    for edge in (30, 50, 70, 100):
        assert np.abs(crossed - edge).min() <= 1.5
    assert not green[middle, round(55 * scale) : round(65 * scale)].any()


def test_the_picture_that_was_given_stays_as_it_was(tissue):
    """A picture is drawn more than once."""
    picture = np.full((100, 100, 3), 255, np.uint8)
    draw_outlines(picture, tissue)
    assert (picture == 255).all()


def test_boxes_are_drawn_behind_the_outlines():
    """Where the two meet the outline is seen."""
    slide = SimpleNamespace(
        slide_id="a", path="a", l0_mpp=0.5, bounds=Box(0, 0, 99, 99)
    )
    mask = np.tri(99, dtype=bool)[10:80, 10:80]
    mask = np.pad(mask, ((10, 19), (10, 19)))
    drawn = draw_outlines(
        np.full((99, 99, 3), 255, np.uint8), tissue_from_mask(slide, mask, {})
    )
    assert is_colour(drawn, GREY)[12:78, 80].all()
    assert is_colour(drawn, GREEN)[12:78, 10].all()
