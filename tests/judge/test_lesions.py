"""Lesions from outlines: the 75 um rule, filling, axes, isolated tumour cells."""

import math
import tarfile

import numpy as np
import pytest
import shapely
from scipy import ndimage
from shapely import affinity

from coverslip.errors import OptionError
from coverslip.judge.lesions import find_lesions, lesion_of_points, major_axis
from coverslip.prepare.annotations import read_annotations

MPP = 0.25
UM = 1 / MPP


def square(x, y, side):
    """Return a square whose place and side are in um, in level-0 pixels."""
    return shapely.box(x * UM, y * UM, (x + side) * UM, (y + side) * UM)


@pytest.mark.parametrize(("gap", "lesions"), [(74.0, 1), (76.0, 2)])
def test_what_lies_within_75_um_is_one_lesion(gap, lesions):
    """Growth by half the distance on either side lets two outlines meet."""
    region = shapely.union_all([square(0, 0, 400), square(400 + gap, 0, 400)])
    assert len(find_lesions(region, MPP)) == lesions


def test_the_scale_decides_what_is_near():
    """The same pixels are farther apart on a coarser slide."""
    region = shapely.union_all(
        [shapely.box(0, 0, 999, 999), shapely.box(1200, 0, 2200, 999)]
    )
    assert [len(find_lesions(region, mpp)) for mpp in (0.25, 0.5)] == [1, 2]


def test_a_lesion_reaches_37_5_um_beyond_its_outline():
    """A hit is a point in the grown outline, to within the tolerance of a um."""
    lesions = find_lesions(square(0, 0, 400), MPP)
    l0_points = np.array([[-36, 200], [-39, 200], [200, 436], [200, 439]]) * UM
    assert lesion_of_points(l0_points, lesions).tolist() == [0, -1, 0, -1]


def test_holes_are_filled_and_islands_in_them_belong_to_the_ring():
    """An exclusion inside a lesion is hit like the lesion, and so is what lies in it."""
    ring = square(0, 0, 1200).difference(square(100, 100, 1000))
    region = shapely.union_all([ring, square(500, 500, 50)])
    (lesion,) = find_lesions(region, MPP)
    assert not lesion.outline.interiors
    assert lesion_of_points(np.array([[300, 300]]) * UM, [lesion]).tolist() == [0]


def test_an_exclusion_that_cuts_through_makes_two_lesions():
    """What is excluded is no lesion, and parts what it crosses."""
    region = square(0, 0, 1000).difference(square(400, -1, 1002))
    whole = find_lesions(square(0, 0, 1000), MPP)
    cut = find_lesions(shapely.union_all([region, square(600, 0, 400)]), MPP)
    assert (len(whole), len(cut)) == (1, 2)


@pytest.mark.parametrize("angle", [0, 30, 77])
def test_the_axis_is_that_of_the_ellipse_with_the_same_moments(angle):
    """Exact for a rectangle: 4 a / sqrt(12), however it is turned and wherever it is."""
    shape = shapely.box(0, 0, 300, 70)
    shape = affinity.translate(affinity.rotate(shape, angle), 1e5, 2e5)
    assert major_axis(shape) == pytest.approx(4 * 300 / math.sqrt(12), rel=1e-9)
    assert major_axis(shape.reverse()) == pytest.approx(major_axis(shape))
    circle = shapely.Point(7, 9).buffer(50, quad_segs=400)
    assert major_axis(circle) == pytest.approx(100, rel=1e-4)


def test_the_axis_is_not_that_of_a_rectangle_around_it():
    """An L differs in its moments from the rectangle it fits in."""
    shape = shapely.box(0, 0, 100, 20).union(shapely.box(0, 0, 20, 100))
    px = np.argwhere(np.ones((1000, 1000), bool)) / 10 + 0.05
    inside = shapely.contains_xy(shape, *px.T)
    axis = 4 * math.sqrt(np.linalg.eigvalsh(np.cov(px[inside].T))[-1])
    assert major_axis(shape) == pytest.approx(axis, rel=1e-3)


@pytest.mark.parametrize(("side", "itc"), [(195.0, True), (205.0, False)])
def test_lesions_below_275_um_with_the_growth_are_isolated_tumour_cells(side, itc):
    """A disc of 200 um is the border."""
    disc = shapely.Point(5000, 5000).buffer(side / 2 * UM, quad_segs=64)
    (lesion,) = find_lesions(disc, MPP)
    assert lesion.um_major_axis == pytest.approx(side + 75, abs=1)
    assert lesion.is_itc == itc


def test_nothing_drawn_is_no_lesion_and_a_scale_must_be_one():
    """An empty region is a normal slide."""
    assert find_lesions(shapely.MultiPolygon(), MPP) == ()
    assert lesion_of_points(np.zeros((3, 2)), ()).tolist() == [-1, -1, -1]
    with pytest.raises(OptionError, match="mpp nan"):
        find_lesions(square(0, 0, 1), math.nan)


LV5_PX = 32
ORGANISERS_MPP = 0.243


def organisers_lesions(region, mpp=ORGANISERS_MPP):
    """Return [(axis in um, is ITC)] by the organisers' rules, on a level-5 raster.

    Written from their description, in another way than the package: a mask sampled at
    pixel centres, a distance transform, hole filling, 8-connected labels, pixel moments.
    """
    pad = 12
    left, top = (math.floor(v / LV5_PX) - pad for v in region.bounds[:2])
    right, bottom = (math.ceil(v / LV5_PX) + pad for v in region.bounds[2:])
    mask = np.zeros((bottom - top, right - left), bool)
    for polygon in getattr(region, "geoms", [region]):
        a, b = (math.floor(v / LV5_PX) for v in polygon.bounds[:2])
        c, d = (math.ceil(v / LV5_PX) + 1 for v in polygon.bounds[2:])
        ys, xs = np.mgrid[b:d, a:c]
        shapely.prepare(polygon)
        l0_x, l0_y = (xs + 0.5) * LV5_PX, (ys + 0.5) * LV5_PX
        mask[b - top : d - top, a - left : c - left] |= shapely.contains_xy(
            polygon, l0_x, l0_y
        )
    px_mpp = mpp * LV5_PX
    grown = ndimage.distance_transform_edt(~mask) < 75 / (px_mpp * 2)
    labels, count = ndimage.label(ndimage.binary_fill_holes(grown), np.ones((3, 3)))
    axes = []
    for place, window in enumerate(ndimage.find_objects(labels), 1):
        px = np.argwhere(labels[window] == place)
        axes.append(4 * math.sqrt(np.linalg.eigvalsh(np.cov(px.T, bias=True))[-1]))
    assert len(axes) == count
    return sorted((axis * px_mpp, axis * px_mpp < 275) for axis in axes)


def compare(region):
    """Return both countings: (lesions, ITC) here, (lesions, ITC) by the raster."""
    ours = find_lesions(region, ORGANISERS_MPP)
    theirs = organisers_lesions(region)
    return (
        (len(ours), sum(lesion.is_itc for lesion in ours)),
        (len(theirs), sum(itc for _, itc in theirs)),
    )


def blob(rng, x, y, radius):
    """Return a wavy outline around a place, in level-0 pixels."""
    turn = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    reach = radius * (1 + 0.25 * np.sin(3 * turn + rng.uniform(0, 6)))
    return shapely.Polygon(np.c_[x + reach * np.cos(turn), y + reach * np.sin(turn)])


@pytest.mark.parametrize("seed", range(4))
def test_painted_lesions_agree_with_the_organisers_raster(seed):
    """Same lesions, same flags, axes within 22 um, off the borders of the rules."""
    rng = np.random.default_rng(seed)
    shapes = [
        blob(rng, 4000 * column + 2000, 4000 * row + 2000, radius / ORGANISERS_MPP)
        for (row, column), radius in zip(
            np.ndindex(3, 3),
            [30, 60, 80, 90, 150, 160, 220, 250, 300],
            strict=True,
        )
    ]
    region = shapely.union_all(shapes)
    ours, theirs = compare(region)
    assert ours == theirs == (9, 4)
    axes = sorted(lesion.um_major_axis for lesion in find_lesions(region))
    assert axes == pytest.approx([a for a, _ in organisers_lesions(region)], abs=22)


@pytest.mark.parametrize(("gap", "lesions"), [(45, 1), (95, 2)])
@pytest.mark.parametrize("angle", [0, 20, 45])
def test_both_join_what_is_clearly_near_and_part_what_is_clearly_far(
    gap, lesions, angle
):
    """Outside 53 to 86 um the raster and the polygons say the same."""
    mpp = ORGANISERS_MPP
    pair = shapely.union_all(
        [
            shapely.box(0, 0, 300 / mpp, 300 / mpp),
            shapely.box((300 + gap) / mpp, 0, (600 + gap) / mpp, 300 / mpp),
        ]
    )
    ours, theirs = compare(affinity.rotate(affinity.translate(pair, 5e3, 5e3), angle))
    assert ours == theirs == (lesions, 0)


@pytest.fixture(scope="module")
def real_regions(real_data, tmp_path_factory):
    """Return a function that gives the tumour regions of real CAMELYON16 slides."""
    folder = tmp_path_factory.mktemp("annotations")
    archive = real_data / "camelyon16" / "ncrf_annotation_jsons.tar.xz"
    with tarfile.open(archive) as files:
        for member in files:
            name = member.name.rpartition("/")[2]
            if name.startswith("Tumor") and name.endswith(".json"):
                (folder / name).write_bytes(files.extractfile(member).read())

    def regions(numbers=range(1, 1000)):
        paths = [folder / f"Tumor_{number:03d}.json" for number in numbers]
        return {p.stem: read_annotations(p).region for p in paths if p.is_file()}

    return regions


AGREE = (3, 4, 5, 10, 14, 17, 20, 100)
DIFFER = {57: ((6, 3), (7, 4)), 99: ((6, 4), (7, 6)), 75: ((8, 3), (8, 4))}
"""By slide: (lesions, ITC) by polygons and by the raster. Outlines 53 to 86 um apart,
or an axis near 275 um: see `coverslip.judge.lesions`."""


def test_real_lesions_agree_with_the_organisers_raster(real_regions):
    """Lesions and flags of real outlines are the same but for those near a border."""
    found = {name: compare(region) for name, region in real_regions(AGREE).items()}
    assert len(found) == len(AGREE)
    assert {k: v for k, v in found.items() if v[0] != v[1]} == {}
    assert sum(v[0][0] for v in found.values()) > len(AGREE)
    numbers = {int(k[-3:]): compare(v) for k, v in real_regions(DIFFER).items()}
    assert numbers == DIFFER


@pytest.mark.slow
def test_the_lesions_of_all_real_slides_are_found(real_regions):
    """110 slides: each has a lesion, two have isolated cells only."""
    found = {name: find_lesions(region) for name, region in real_regions().items()}
    lesions = [lesion for each in found.values() for lesion in each]
    assert (len(found), min(map(len, found.values()))) == (110, 1)
    assert (len(lesions), sum(lesion.is_itc for lesion in lesions)) == (866, 357)
    bare = [k for k, each in found.items() if all(lesion.is_itc for lesion in each)]
    assert bare == ["Tumor_017", "Tumor_035"]
