"""Tissue and background: what is kept, what is left out, at any scale."""

import cv2
import numpy as np
import pytest

from coverslip.prepare.segmentation import TissueOptions, _ink, segment

GLASS, STROMA, NUCLEI = (243, 243, 243), (214, 150, 190), (120, 80, 150)
FAT = (226, 200, 220)
BLACK, GREEN, PIGMENT = (25, 25, 28), (40, 140, 90), (20, 15, 15)
SIDE_UM = 3200
MPP = 8.0


class Scene:
    """A glass of 3.2 mm on which things are painted in micrometres."""

    def __init__(self, px_mpp=MPP, seed=0):
        self.mpp = px_mpp
        side = round(SIDE_UM / px_mpp)
        self.picture = np.full((side, side, 3), GLASS, np.uint8)
        self._rng = np.random.default_rng(seed)

    def disk(self, centre_um, radius_um, colour):
        """Paint a disk and return its mask."""
        ys, xs = (np.mgrid[: len(self.picture), : len(self.picture)] + 0.5) * self.mpp
        inside = np.hypot(xs - centre_um[0], ys - centre_um[1]) < radius_um
        self.picture[inside] = colour
        return inside

    def bar(self, centre_um, size_um, colour):
        """Paint an upright rectangle and return its mask."""
        inside = np.zeros(self.picture.shape[:2], bool)
        start = (np.array(centre_um) - np.array(size_um) / 2) / self.mpp
        end = (np.array(centre_um) + np.array(size_um) / 2) / self.mpp
        (left, top), (right, bottom) = (
            np.rint(start).astype(int),
            np.rint(end).astype(int),
        )
        inside[top:bottom, left:right] = True
        self.picture[inside] = colour
        return inside

    def dots(self, centre_um, spread_um, radius_um, colour, count):
        """Paint dots all over a disk."""
        for x, y in self._rng.uniform(-1, 1, (count, 2)) * spread_um:
            if np.hypot(x, y) < spread_um - radius_um:
                at = (np.array([x, y]) + centre_um) / self.mpp * 16
                px_radius = round(radius_um / self.mpp * 16)
                cv2.circle(self.picture, at.astype(int), px_radius, colour, -1, shift=4)

    def node(self, centre_um, radius_um):
        """Paint stroma full of nuclei and return its mask."""
        inside = self.disk(centre_um, radius_um, STROMA)
        self.dots(centre_um, radius_um, 12, NUCLEI, 400)
        return inside

    def fat(self, left_um, right_um):
        """Paint a honeycomb of thin pale pink walls."""
        left, right, wall = (int(um / self.mpp) for um in (left_um, right_um, 64))
        self.picture[:, left:right:wall] = FAT
        self.picture[::wall, left:right] = FAT

    def found(self, **options):
        """Return the mask of the tissue, after noise and JPEG."""
        noise = self._rng.normal(0, 2, self.picture.shape)
        noisy = np.clip(self.picture + noise, 0, 255).astype(np.uint8)
        jpeg = cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
        picture = np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), np.uint8)
        return segment(picture, self.mpp, TissueOptions(**options))[0]


def agreement(one, other):
    """Return intersection over union."""
    return (one & other).sum() / (one | other).sum()


def test_a_node_is_found_whole():
    """Nuclei, stroma and all, and nothing besides."""
    scene = Scene()
    node = scene.node((1400, 1500), 800)
    assert agreement(scene.found(), node) > 0.95


def test_empty_glass_holds_no_tissue():
    """Not even after noise, JPEG, a tint or a shadow, which Otsu would split."""
    assert not Scene().found().any()
    tinted = Scene()
    tinted.picture[:] = (240, 240, 232)
    tinted.picture[:, 100:] = (236, 237, 231)
    assert not tinted.found().any()


def test_fat_around_a_node_is_left_out():
    """Thin walls around empty cells are below what counts as tissue."""
    scene = Scene()
    scene.fat(1900, SIDE_UM)
    node = scene.node((1100, 1500), 700)
    found = scene.found()
    assert agreement(found, node) > 0.93
    assert not found[:, 260:].any()


@pytest.mark.parametrize("colour", [BLACK, GREEN, (10, 120, 120)])
def test_ink_is_left_out_unless_asked_for(colour):
    """Black, green and blue-green ink beside the tissue; option off: it is tissue."""
    scene = Scene()
    node = scene.node((1100, 1500), 700)
    ink = scene.disk((2500, 1500), 300, colour)
    found = scene.found()
    assert not found[ink].any()
    assert agreement(found, node) > 0.93
    if colour != BLACK:
        assert scene.found(drop_ink=False)[ink].mean() > 0.8


def test_black_where_nothing_was_scanned_is_no_tissue():
    """Some scanners fill the void with black."""
    scene = Scene()
    scene.picture[:, :100] = 0
    node = scene.node((2000, 1500), 700)
    found = scene.found()
    assert not found[:, :95].any()
    assert agreement(found, node) > 0.93


def test_pigment_within_tissue_is_closed_over():
    """Carbon in a lymph node is as black as ink, and belongs to it."""
    scene = Scene()
    node = scene.node((1500, 1500), 800)
    scene.dots((1500, 1500), 280, 14, PIGMENT, 200)
    assert agreement(scene.found(), node) > 0.95


def test_small_holes_are_filled_and_large_ones_stay():
    """A vessel is part of a node; a cavity is not."""
    scene = Scene()
    scene.node((1500, 1500), 900)
    vessel = scene.disk((1100, 1500), 60, GLASS)
    cavity = scene.disk((1850, 1500), 250, GLASS)
    found = scene.found()
    assert found[vessel].all()
    assert not found[cavity].all()
    assert found[cavity].mean() < 0.2
    assert scene.found(min_hole_um2=300_000)[cavity].all()


def test_small_pieces_are_dropped():
    """Debris is; an option keeps it."""
    scene = Scene()
    scene.node((1200, 1500), 700)
    debris = scene.disk((2700, 600), 70, NUCLEI)
    assert not scene.found()[debris].any()
    assert scene.found(min_area_um2=0)[debris].any()


@pytest.mark.parametrize("px_mpp", [4.0, 8.0, 10.0, 16.0])
def test_lengths_are_physical(px_mpp):
    """At any scale: gaps of 50 um close, strands of 50 um go, those of 120 um stay."""
    scene = Scene(px_mpp)
    scene.node((1400, 1500), 800)
    gap = scene.bar((1400, 1500), (40, 400), GLASS)
    strand = scene.bar((2600, 1200), (700, 45), STROMA)
    arm = scene.bar((2600, 1700), (700, 130), STROMA)
    debris = scene.disk((2700, 500), 65, NUCLEI)
    found = scene.found()
    assert found[gap].mean() > 0.95
    assert found[strand].mean() < 0.2
    assert found[arm].mean() > 0.85
    assert not found[debris].any()


def test_every_filter_can_be_switched_off():
    """What remains is Otsu's threshold on saturation."""
    scene = Scene()
    scene.disk((1500, 1500), 700, NUCLEI)
    plain = TissueOptions(
        smooth_um=0,
        drop_ink=False,
        close_um=0,
        open_um=0,
        min_area_um2=0,
        min_hole_um2=0,
    )
    mask, threshold = segment(scene.picture, MPP, plain)
    saturation = cv2.cvtColor(scene.picture, cv2.COLOR_RGB2HSV)[..., 1]
    assert np.array_equal(mask, saturation > threshold)
    assert 15 <= threshold <= 60


def test_the_threshold_stays_within_its_limits():
    """Strong stain does not push pale tissue out, pale slides do not let noise in."""
    scene = Scene()
    scene.disk((1500, 1500), 700, (90, 0, 120))
    options = TissueOptions()
    assert segment(scene.picture, MPP, options)[1] == options.saturation_max
    assert segment(Scene().picture, MPP, options)[1] == options.saturation_min


def test_ink_is_what_the_rule_says_pixel_by_pixel():
    """Plane by plane in bytes as in whole numbers: nothing overflows."""
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (64, 64, 3), np.uint8)
    picture[:32] //= 3  # dark ones, too
    channels = cv2.split(cv2.cvtColor(picture, cv2.COLOR_RGB2HSV))
    hue, saturation, _ = (channel.astype(int) for channel in channels)
    value, least = picture.max(axis=2).astype(int), picture.min(axis=2).astype(int)
    dark = (value < 110) & (value - least < 40)
    green = (saturation > 40) & (hue > 30) & (hue < 110)
    assert 0 < dark.sum() < dark.size
    assert 0 < green.sum() < green.size
    assert np.array_equal(_ink(picture, *channels), dark | green)
