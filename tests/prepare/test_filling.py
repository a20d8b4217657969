"""Outlines to a mask: the pixels whose centre lies inside."""

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from coverslip.prepare.filling import fill
from coverslip.prepare.tumor_mask import polygons_from_mask

MASKS = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12))


@given(MASKS)
def test_what_was_traced_is_filled_again(mask):
    """Every mask: single pixels, threads, holes, islands in holes, touching corners."""
    outlines = polygons_from_mask(mask, (1, 1))
    assert all(outline.is_valid for outline in outlines)
    assert sum(outline.area for outline in outlines) == mask.sum()
    assert np.array_equal(fill(outlines, mask.shape[::-1]), mask)


@given(st.integers(0, 10_000), st.integers(3, 9))
def test_a_pixel_belongs_to_the_outline_that_holds_its_centre(seed, corners):
    """Slanted outlines with holes, partly outside: as a point-in-polygon test has it."""
    rng = np.random.default_rng(seed)
    outlines = []
    for middle in rng.uniform(0, 30, (2, 2)):
        angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
        radii = rng.uniform(4, 12, corners)
        ring = np.stack([np.cos(angles), np.sin(angles)], axis=1) * radii[:, None]
        hole = middle + ring[::-1] * 0.3
        outlines.append(shapely.Polygon(middle + ring, [hole]).buffer(0))
    outlines = [
        part
        for outline in outlines
        for part in shapely.get_parts(outline)
        if part.geom_type == "Polygon"
    ]
    xs, ys = np.meshgrid(np.arange(30) + 0.5, np.arange(20) + 0.5)
    held = np.zeros((20, 30), bool)
    for outline in outlines:
        held |= shapely.contains_xy(outline, xs, ys)
    assert np.array_equal(fill(outlines, (30, 20)), held)


def test_overlapping_outlines_add_up():
    """What two outlines cover is inside; a hole counts in its own outline only."""
    ring = shapely.box(0, 0, 6, 6).difference(shapely.box(2, 2, 4, 4))
    mask = fill([ring, shapely.box(3, 3, 9, 9)], (10, 10))
    assert not mask[2, 2]
    assert mask[3, 3]
    assert mask[5, 5]
    assert mask.sum() == 36 - 4 + 36 - 8


@pytest.mark.parametrize("reverse", [False, True])
def test_the_direction_of_a_ring_does_not_matter(reverse):
    """Programs disagree about it."""
    ring, hole = [(0, 0), (8, 0), (8, 8), (0, 8)], [(2, 2), (2, 6), (6, 6), (6, 2)]
    outline = (
        shapely.Polygon(ring[::-1], [hole])
        if reverse
        else shapely.Polygon(ring, [hole])
    )
    assert fill([outline], (8, 8)).sum() == 64 - 16


def test_no_outline_no_mask():
    """Of the size that was asked for."""
    mask = fill([], (5, 3))
    assert mask.shape == (3, 5)
    assert mask.dtype == bool
    assert not mask.any()
