"""Tissue of a slide: outlines and mask are one thing, in level-0 pixels, on disk too."""

import json
from types import SimpleNamespace

import cv2
import numpy as np
import openslide
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from shapely import Point, Polygon, box

from coverslip.errors import CorruptFileError, DataError, MissingMppError
from coverslip.geometry import Box
from coverslip.prepare.patches import PatchOptions, lay_patches
from coverslip.prepare.segmentation import TissueOptions
from coverslip.prepare.tissue import (
    Tissue,
    find_tissue,
    read_mask_image,
    tissue_from_mask,
    tissue_from_outlines,
)
from coverslip.slides.finding import open_slide
from coverslip.testing import slide_file

SLIDE = SimpleNamespace(
    slide_id="a", path="a.svs", l0_mpp=0.25, bounds=Box(1003, 57, 4003, 2999)
)

MASKS = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12))


@settings(max_examples=60)
@given(MASKS)
def test_outlines_and_mask_are_one(tmp_path_factory, mask):
    """From mask to outlines to disk and back, exact, whatever the size of a pixel."""
    tissue = tissue_from_mask(SLIDE, mask, {"source": "test"})
    assert np.array_equal(tissue.mask, mask)
    path = tmp_path_factory.mktemp("tissue") / "a.geojson"
    tissue.save(path)
    loaded = Tissue.load(path)
    assert loaded == tissue
    assert np.array_equal(loaded.mask, mask)
    l0_area = sum(outline.area for outline in tissue.outlines)
    assert tissue.area_mm2 == pytest.approx(l0_area * 0.25**2 / 1e6)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.floats(1, 12))
def test_blobs_of_the_size_of_tissue_come_back(seed, roughness):
    """Smooth blobs with holes and islands in the holes, a few hundred pixels wide."""
    noise = np.random.default_rng(seed).normal(size=(211, 307))
    mask = cv2.GaussianBlur(noise, (0, 0), roughness) > 0
    assert np.array_equal(tissue_from_mask(SLIDE, mask, {}).mask, mask)


def test_an_island_in_a_hole_is_a_piece_of_its_own():
    """Outlines lie along the edges of the pixels, in level-0 pixels of the slide."""
    mask = np.zeros((10, 10), bool)
    mask[1:9, 1:9] = True
    mask[2:8, 2:8] = False
    mask[4:6, 4:6] = True
    slide = SimpleNamespace(
        slide_id="a", path="a", l0_mpp=0.5, bounds=Box(100, 200, 320, 160)
    )
    tissue = tissue_from_mask(slide, mask, {})
    ring, island = sorted(tissue.outlines, key=lambda piece: -piece.area)
    assert ring.equals(box(132, 216, 388, 344) - box(164, 232, 356, 328))
    assert island.equals(box(228, 264, 292, 296))
    boxes = {tuple(piece.as_list()) for piece in tissue.boxes}
    assert boxes == {(132, 216, 256, 128), (228, 264, 64, 32)}
    assert tissue.l0_per_px == (32, 16)


def test_the_tissue_of_a_slide_is_found(tmp_path):
    """One outline around the square that is there, right to two pixels of the mask."""
    path = slide_file(tmp_path / "a.tif", size=2048, tissue=(512, 640, 1536, 1408))
    with open_slide(path) as slide:
        tissue = find_tissue(slide)
    (outline,) = tissue.outlines
    (found,) = tissue.boxes
    assert found.as_list() == pytest.approx([512, 640, 1024, 768], abs=32)
    drawn = box(512, 640, 1536, 1408)
    assert (outline & drawn).area / (outline | drawn).area > 0.93
    assert tissue.area_mm2 == pytest.approx(1024 * 768 * 0.25 / 1e6, rel=0.06)
    assert tissue.facts["options"] == TissueOptions().facts()
    assert tissue.facts["source"] == "otsu"
    assert 15 <= tissue.facts["saturation"] <= 60


def test_an_empty_slide_has_no_tissue(tmp_path):
    """It is a result, not an error: saved, loaded, without area."""
    with open_slide(slide_file(tmp_path / "a.tif", tissue=None)) as slide:
        tissue = find_tissue(slide)
    assert tissue.outlines == ()
    assert tissue.boxes == ()
    assert tissue.area_mm2 == 0
    assert not tissue.mask.any()
    tissue.save(tmp_path / "a.geojson")
    assert Tissue.load(tmp_path / "a.geojson") == tissue


def test_the_same_tissue_at_both_scales(tmp_path):
    """A slide scanned at 40x and at 20x: the same outline in micrometres."""
    outlines = []
    for l0_mpp, size in ((0.25, 2048), (0.5, 1024)):
        tissue = tuple(side * size // 1024 for side in (200, 300, 800, 700))
        path = slide_file(
            tmp_path / f"{size}.tif", size=size, l0_mpp=l0_mpp, tissue=tissue
        )
        with open_slide(path) as slide:
            found = find_tissue(slide)
        (outline,) = found.outlines
        outlines.append(Polygon(np.array(outline.exterior.coords) * l0_mpp))
    fine, coarse = outlines
    assert (fine & coarse).area / (fine | coarse).area > 0.97


def test_bounds_are_honoured(tmp_path, monkeypatch):
    """Only the scanned part is searched; outlines and patches stay in level-0 pixels."""
    path = slide_file(tmp_path / "a.tif", size=2048, tissue=(300, 300, 1800, 1800))
    said = {
        "openslide.mpp-x": "0.5",
        "openslide.mpp-y": "0.5",
        "openslide.bounds-x": "610",
        "openslide.bounds-y": "100",
        "openslide.bounds-width": "1000",
        "openslide.bounds-height": "900",
    }
    monkeypatch.setattr(openslide.OpenSlide, "properties", said)
    with open_slide(path) as slide:
        tissue = find_tissue(slide)
        patches = lay_patches(slide, tissue, PatchOptions(size=128))
    assert tissue.bounds.as_list() == [610, 100, 1000, 900]
    (found,) = tissue.boxes
    assert found.as_list() == pytest.approx([610, 300, 1000, 700], abs=24)
    assert {tuple(xy) for xy in (patches.coords - (610, 100)) % 128} == {(0, 0)}
    assert patches.coords[:, 0].min() == 610
    assert patches.coords[:, 0].max() == 610 + 6 * 128
    assert patches.coords[:, 1].max() == 100 + 6 * 128


def test_a_slide_without_scale_is_refused(tmp_path):
    """Physical lengths mean nothing there."""
    path = slide_file(tmp_path / "a.tif", l0_mpp=None)
    with open_slide(path) as slide, pytest.raises(MissingMppError, match="--mpp"):
        find_tissue(slide)


def test_outlines_are_geojson_that_qupath_reads(tmp_path):
    """A feature collection of tissue annotations in level-0 pixels, rings closed."""
    mask = np.zeros((8, 8), bool)
    mask[2:6, 2:6] = True
    tissue_from_mask(SLIDE, mask, {"source": "test"}).save(tmp_path / "a.geojson")
    data = json.loads((tmp_path / "a.geojson").read_text())
    (feature,) = data["features"]
    assert (data["type"], feature["type"]) == ("FeatureCollection", "Feature")
    assert feature["geometry"]["type"] == "Polygon"
    (ring,) = feature["geometry"]["coordinates"]
    assert ring[0] == ring[-1]
    assert feature["properties"]["objectType"] == "annotation"
    assert feature["properties"]["classification"]["name"] == "Tissue"
    assert feature["properties"]["tissue_id"] == 0
    assert data["coverslip"]["slide_id"] == "a"


def test_outlines_edited_by_hand_are_taken(tmp_path):
    """Moved corners and multi-polygons change the mask accordingly."""
    mask = np.zeros((10, 10), bool)
    mask[2:6, 2:6] = True
    path = tmp_path / "a.geojson"
    slide = SimpleNamespace(
        slide_id="a", path="a", l0_mpp=0.5, bounds=Box(0, 0, 100, 100)
    )
    tissue_from_mask(slide, mask, {}).save(path)
    data = json.loads(path.read_text())
    squares = [[[[x, 0], [x + 20, 0], [x + 20, 20], [x, 20], [x, 0]]] for x in (0, 60)]
    data["features"][0]["geometry"] = {"type": "MultiPolygon", "coordinates": squares}
    path.write_text(json.dumps(data))
    edited = Tissue.load(path)
    assert len(edited.outlines) == 2
    expected = np.zeros((10, 10), bool)
    expected[:2, :2] = expected[:2, 6:8] = True
    assert np.array_equal(edited.mask, expected)


SHORT = {"slide_id": "a", "bounds": [0, 0], "px_size": [1, 1], "l0_mpp": 1}
POINT = {"type": "Polygon", "coordinates": [[[0, 0]]]}


@pytest.mark.parametrize(
    "content",
    [
        "half",
        [],
        {},
        {"type": "FeatureCollection", "features": []},
        {"coverslip": {"slide_id": "a"}, "features": []},
        {"coverslip": SHORT, "features": []},
        {"coverslip": {}, "features": [{"geometry": {"type": "Blob"}}]},
        {"coverslip": {}, "features": [{"geometry": POINT}]},
        {"coverslip": {}, "features": [{"geometry": None}]},
    ],
)
def test_a_damaged_file_is_corrupt(tmp_path, content):
    """Whatever is missing, the message names the file and the remedy."""
    path = tmp_path / "a.geojson"
    path.write_text("{" if content == "half" else json.dumps(content))
    with pytest.raises(CorruptFileError, match="delete it") as error:
        Tissue.load(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


@pytest.fixture
def mask():
    """Return a mask of the proportions of `SLIDE`."""
    mask = np.zeros((300, 400), bool)
    mask[40:200, 100:330] = True
    mask[90:120, 150:160] = False
    return mask


@pytest.mark.parametrize("value", [1, 255])
@pytest.mark.parametrize("name", ["m.png", "m.tif"])
def test_an_own_mask_is_taken_as_it_is(tmp_path, mask, name, value):
    """PNG or TIFF, any size of the right proportions, non-zero is tissue."""
    pixels = mask.astype(np.uint8) * value
    if name.endswith("png"):
        Image.fromarray(pixels).save(tmp_path / name)
    else:
        tifffile.imwrite(tmp_path / name, pixels)
    read = read_mask_image(tmp_path / name, SLIDE)
    assert np.array_equal(read, mask)
    tissue = tissue_from_mask(SLIDE, read, {"source": name})
    left, top, right, bottom = tissue.outlines[0].bounds
    assert (left, right) == pytest.approx(
        (1003 + 100 * 4003 / 400, 1003 + 330 * 4003 / 400)
    )
    assert (top, bottom) == pytest.approx((57 + 40 * 2999 / 300, 57 + 200 * 2999 / 300))


def test_of_a_mask_pyramid_the_level_near_the_asked_scale_is_read(tmp_path):
    """Never level 0 of a large file; its scale follows from the slide's."""
    whole = np.zeros((3000, 4000), np.uint8)
    whole[400:2000, 1000:3300] = 255
    with tifffile.TiffWriter(tmp_path / "m.tif") as file:
        for index, step in enumerate((1, 4, 16, 64)):
            level = np.ascontiguousarray(whole[::step, ::step])
            file.write(level, tile=(64, 64), subfiletype=int(index > 0), metadata=None)
    assert read_mask_image(tmp_path / "m.tif", SLIDE, 4.0).shape == (188, 250)
    assert read_mask_image(tmp_path / "m.tif", SLIDE, 1.0).shape == (750, 1000)


def test_a_mask_of_other_proportions_is_refused(tmp_path, mask):
    """It belongs to another slide, or was cropped or turned; both sizes are told."""
    path = tmp_path / "m.png"
    Image.fromarray(mask.T).save(path)
    with pytest.raises(DataError, match="300 x 400 px has not the sides") as error:
        read_mask_image(path, SLIDE)
    assert str(error.value).startswith(str(path))
    assert "4003 x 2999" in str(error.value)


@pytest.mark.parametrize("size", [(13, 10), (67, 50), (2002, 1500)])
def test_rounding_of_a_mask_is_no_other_proportion(tmp_path, size):
    """Small masks cannot keep the proportions exactly."""
    path = tmp_path / "m.png"
    Image.new("L", size, 1).save(path)
    assert read_mask_image(path, SLIDE).all()


@pytest.mark.parametrize("name", ["m.jpg", "m.txt", "m.png", "m.tif"])
def test_what_is_no_mask_is_refused(tmp_path, name):
    """JPEG blurs a mask's values; text is no picture: each names the file."""
    path = tmp_path / name
    path.write_text("no picture")
    with pytest.raises(DataError) as error:
        read_mask_image(path, SLIDE)
    assert str(error.value).startswith(str(path))


def test_own_outlines_are_taken_as_they_are():
    """Kept to the point; they may overlap, and their mask has the asked scale."""
    drawn = [box(1100, 100, 2100, 1100), box(1600, 600, 2600, 1600)]
    tissue = tissue_from_outlines(SLIDE, drawn, 8.0, {"source": "mine"})
    assert tissue.outlines == tuple(drawn)
    assert tissue.px_size == (126, 94)
    assert tissue.l0_mpp == 0.25
    union = (drawn[0] | drawn[1]).area * 0.25**2 / 1e6
    assert tissue.area_mm2 == pytest.approx(union, rel=0.03)


def inside(tissue, points):
    """Return for each level-0 point whether an outline holds it."""
    return [
        any(outline.contains(Point(xy)) for outline in tissue.outlines) for xy in points
    ]


METASTASIS = {
    "nodes": 2,
    "mm2": (7.5, 9.0),
    "in": [
        *[(3920, 4000), (1440, 2600), (2300, 1200), (4320, 6700), (6500, 3900)],
        *[(13200, 3800), (12500, 2700), (12320, 5050), (14240, 5280)],
        *[(x, y) for x in (3660, 3750, 3840) for y in (6320, 6500, 6690)],
        *[(4900, 4200), (1900, 3000)],  # cracks and chatter within the node
    ],
    "out": [
        *[(8320, 4800), (4800, 8160), (9600, 480), (600, 600), (14400, 7600)],
        *[(10240, 4400), (10784, 5680), (9800, 8000)],  # ink on the cut surface
        (12600, 5000),  # fat in the hilum
    ],
}
ANTHRACOSIS = {
    "nodes": 4,
    "mm2": (11.5, 15.0),
    "in": [
        *[(3610, 1650), (9800, 3000), (2115, 7685), (5158, 7427)],
        *[(2700, 1700), (4600, 1700), (9000, 3200), (10500, 3500), (9600, 4400)],
        *[(5120, 7520), (5000, 7300), (5300, 7600)],  # carbon pigment
        *[(3640, 1240), (3100, 1600)],  # folds
    ],
    "out": [
        *[(2580, 3404), (11862, 4435), (8252, 1031), (6000, 4000), (10000, 8000)],
        *[(6000, 6700), (1000, 9000)],
    ],
}


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("ln_metastasis_HE_20x.tif", METASTASIS),
        ("ln_benign_anthracosis_HE_10x.tif", ANTHRACOSIS),
    ],
)
def test_the_nodes_of_real_slides_are_found_whole(real_data, name, known):
    """Points set by eye: nodes, tumour and pigment inside, fat and ink outside."""
    with open_slide(real_data / "slides" / name) as slide:
        tissue = find_tissue(slide)
    assert inside(tissue, known["in"]) == [True] * len(known["in"])
    assert inside(tissue, known["out"]) == [False] * len(known["out"])
    least, most = known["mm2"]
    assert least < tissue.area_mm2 < most
    areas = sorted((outline.area for outline in tissue.outlines), reverse=True)
    nodes = areas[: known["nodes"]]
    assert sum(nodes) > 0.9 * sum(areas)
    assert sum(areas[known["nodes"] :]) < 0.6 * nodes[-1]


def test_a_real_node_is_the_same_at_40x_and_20x(real_data):
    """The 40x crop of the node against the same place of the 20x slide."""
    with open_slide(real_data / "slides" / "ln_metastasis_HE_40x_crop.tif") as slide:
        fine = find_tissue(slide)
    with open_slide(real_data / "slides" / "ln_metastasis_HE_20x.tif") as slide:
        coarse = find_tissue(slide)
    # level-0 pixels of the slide = those of the crop / 2 + (2560, 4865), by the cluster
    field = box(2560, 4865, 5120, 7425)
    there = max((outline & field for outline in coarse.outlines), key=lambda p: p.area)
    here = Polygon(np.array(fine.outlines[0].exterior.coords) / 2 + (2560, 4865))
    assert len(fine.outlines) == 1
    assert (here & there).area / (here | there).area > 0.95
