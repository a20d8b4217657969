"""Which outlines count, and what share of a patch they cover."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import Polygon

from coverslip.prepare.outlines import (
    Annotations,
    Outline,
    roles_of,
    tumor_share,
    valid_polygons,
    without_holes,
)


def test_camelyon16_groups_have_the_organisers_roles():
    """_0, _1 and Tumor are lesions; _2, Exclusion and None beside them are holes."""
    roles = roles_of(["_0", "_1", "Tumor", "_2", "Exclusion", "None", "Stroma"])
    assert roles["_0"] == roles["_1"] == roles["Tumor"] == "positive"
    assert roles["_2"] == roles["Exclusion"] == roles["None"] == "excluded"
    assert roles["Stroma"] == "left out"


def test_without_a_named_positive_group_every_other_group_is_positive():
    """A file that knows no tumour group means lesions by whatever it draws."""
    roles = roles_of(["None", "Area 51", "Ignore*", "EXCLUSION"])
    assert roles["None"] == roles["Area 51"] == "positive"
    assert roles["Ignore*"] == roles["EXCLUSION"] == "excluded"


def test_region_is_positive_less_excluded_and_lesions_are_its_pieces():
    """Overlapping outlines merge, a hole is cut, an outline apart is its own lesion."""
    annotations = Annotations(
        positive=tuple(
            Outline(shapely.box(*bounds))
            for bounds in [(0, 0, 10, 10), (5, 0, 15, 10), (100, 0, 101, 1)]
        ),
        excluded=(Outline(shapely.box(2, 2, 4, 4)),),
    )
    assert annotations.region.area == pytest.approx(15 * 10 - 4 + 1)
    assert sorted(lesion.area for lesion in annotations.lesions) == [1, 146]


def test_no_outlines_make_an_empty_region():
    """A normal slide has an empty region and no lesion."""
    assert Annotations().region.is_empty
    assert Annotations().lesions == ()


def test_a_self_crossing_ring_keeps_the_area_it_encloses():
    """A bow tie becomes two valid triangles."""
    parts = valid_polygons([(0, 0), (2, 2), (2, 0), (0, 2)])
    assert [part.area for part in parts] == [1, 1]


@pytest.mark.parametrize("points", [[], [(0, 0), (1, 1)], [(0, 0), (1, 1), (2, 2)]])
def test_a_ring_without_area_gives_nothing(points):
    """Two points, or points on a line, enclose nothing."""
    assert valid_polygons(points) == []


def test_cutting_through_holes_keeps_the_shape():
    """The pieces have no holes and together are the polygon."""
    squares = [shapely.box(x, y, x + 1, y + 1) for x in (1, 4, 7) for y in (2, 6)]
    holed = shapely.box(0, 0, 10, 10).difference(shapely.union_all(squares))
    pieces = without_holes(holed)
    assert not any(piece.interiors for piece in pieces)
    assert shapely.union_all(pieces).symmetric_difference(holed).area < 1e-9
    assert sum(piece.area for piece in pieces) == pytest.approx(94)


def test_share_of_known_patches():
    """Inside is 1, outside 0, half in a half; a hole does not count."""
    region = shapely.box(0, 0, 100, 100).difference(shapely.box(40, 40, 60, 60))
    corners = np.array([[0, 0], [95, 20], [200, 200], [40, 40], [100, 0], [-5, -5]])
    shares = tumor_share(corners, 10.0, region)
    assert shares == pytest.approx([1, 0.5, 0, 0, 0, 0.25])


def test_share_of_no_patches_and_of_no_region():
    """Nothing asked gives nothing; an empty region gives zeros."""
    assert tumor_share(np.empty((0, 2), int), 10, shapely.box(0, 0, 1, 1)).shape == (0,)
    assert tumor_share(np.zeros((3, 2), int), 10, Polygon()).tolist() == [0, 0, 0]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), size=st.floats(0.5, 40))
def test_share_is_the_area_of_the_overlap(seed, size):
    """For any region, the share is what one intersection per patch measures."""
    rng = np.random.default_rng(seed)
    discs = shapely.buffer(shapely.points(rng.uniform(0, 100, (8, 2))), 12)
    region = shapely.union_all(discs[:6]).difference(shapely.union_all(discs[6:]))
    corners = rng.integers(-20, 110, (40, 2))
    boxes = shapely.box(*corners.T, *(corners + size).T)
    expected = shapely.area(shapely.intersection(boxes, region)) / size**2
    assert tumor_share(corners, size, region) == pytest.approx(expected, abs=1e-9)


def test_ten_thousand_patches_against_a_hundred_lesions():
    """10,000 patches against 100 lesions of 200 points each."""
    rng = np.random.default_rng(0)
    centres = shapely.points(rng.uniform(0, 100_000, (100, 2)))
    region = shapely.union_all(shapely.buffer(centres, 1500, quad_segs=50))
    corners = rng.integers(0, 100_000, (10_000, 2))
    shares = tumor_share(corners, 512.0, region)
    assert 0 < shares.mean() < 0.2
