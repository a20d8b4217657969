"""Files of lesion outlines of every kind, told apart and read alike."""

import json
import tarfile

import numpy as np
import pytest
import shapely
from PIL import Image

from coverslip.errors import CorruptFileError, DataError
from coverslip.prepare.annotations import (
    read_annotations,
    read_geojson,
    read_ncrf_json,
    write_asap_xml,
)


def feature(polygon, properties=None):
    """Return a GeoJSON feature of a shape."""
    return {
        "type": "Feature",
        "geometry": shapely.geometry.mapping(polygon),
        "properties": properties or {"objectType": "annotation"},
    }


def classed(name):
    """Return a feature's properties as QuPath writes them."""
    return {"classification": {"name": name, "color": [200, 0, 0]}}


@pytest.fixture
def geojson(tmp_path):
    """Return a function that writes an object as GeoJSON."""

    def write(content):
        path = tmp_path / "slide.geojson"
        path.write_text(json.dumps(content))
        return path

    return write


BIG = shapely.box(0, 0, 100, 100)
SMALL = shapely.box(10, 10, 20, 20)
FAR = shapely.box(500, 0, 510, 10)


def test_qupath_classes_have_roles(geojson):
    """Tumor counts, Ignore* is cut out, Stroma and the unclassed are left out."""
    path = geojson(
        {
            "type": "FeatureCollection",
            "features": [
                feature(BIG, classed("Tumor")),
                feature(SMALL, classed("Ignore*")),
                feature(FAR, classed("Stroma")),
                feature(FAR),
            ],
        }
    )
    found = read_geojson(path)
    assert found.region.area == 100**2 - 10**2
    assert found.skipped == {"group Stroma": 1, "group (none)": 1}


def test_unclassed_outlines_alone_are_lesions(geojson):
    """Who draws without classes means lesions."""
    found = read_geojson(geojson([feature(BIG), feature(FAR)]))
    assert found.region.area == 100**2 + 10**2


@pytest.mark.parametrize(
    "classification", ["Tumor", {"name": "Tumor"}, {"names": ["Tumor"]}]
)
def test_each_way_qupath_writes_a_class_is_understood(geojson, classification):
    """A text, a name, and a list of names are one class."""
    path = geojson(feature(BIG, {"classification": classification, "name": "n1"}))
    (outline,) = read_geojson(path).positive
    assert (outline.group, outline.name) == ("Tumor", "n1")


def test_holes_multipolygons_and_collections_are_walked(geojson):
    """Every shape with area is found, however deep it lies; points are counted."""
    both = shapely.MultiPolygon([BIG.difference(SMALL), FAR])
    nested = shapely.GeometryCollection([both, shapely.Point(1, 1)])
    found = read_geojson(geojson(feature(nested)))
    assert found.region.equals(both)
    assert found.skipped == {"type Point": 1}
    assert read_geojson(geojson(shapely.geometry.mapping(both))).region.equals(both)


@pytest.mark.parametrize(
    "content",
    [{}, {"a": 1}, 3, "text", {"type": "Feature", "geometry": None}, [1], {"type": 3}],
)
def test_json_that_is_no_geojson_is_refused(geojson, content):
    """Another JSON file is never taken for a slide without lesions."""
    with pytest.raises(DataError, match=r"slide\.geojson: not GeoJSON"):
        read_annotations(geojson(content))


@pytest.mark.parametrize("ring", [[[0, 0], ["x", 1], [1, 1]], [[0], [1], [2]], [1, 2]])
def test_broken_rings_are_named(geojson, ring):
    """A ring that is no list of points is damage, not an empty outline."""
    with pytest.raises(CorruptFileError, match=r"slide\.geojson"):
        read_geojson(geojson({"type": "Polygon", "coordinates": [ring]}))


@pytest.mark.parametrize("text", ["", "{", '{"a": 1', "\x00\x01"])
def test_what_is_not_json_is_corrupt(tmp_path, text):
    """A half-written file says so in one line."""
    path = tmp_path / "half.json"
    path.write_text(text)
    with pytest.raises(CorruptFileError, match=r"half\.json: not JSON"):
        read_annotations(path)


def test_ncrf_negative_polygons_are_holes(tmp_path):
    """NCRF's lists mean lesions and holes, and .json is told by its content."""
    path = tmp_path / "slide.json"
    corners = [[list(p) for p in shape.exterior.coords[:-1]] for shape in (BIG, SMALL)]
    positive = [{"name": "a", "vertices": corners[0]}, {"name": "b", "vertices": []}]
    negative = [{"name": "c", "vertices": corners[1]}]
    path.write_text(json.dumps({"positive": positive, "negative": negative}))
    found = read_annotations(path)
    assert found.region.equals(BIG.difference(SMALL))
    assert found.skipped == {"no area": 1}


def test_a_json_that_is_not_ncrfs_is_refused(geojson):
    """Asking for NCRF's layout gets no other."""
    with pytest.raises(DataError, match='no "positive" and "negative"'):
        read_ncrf_json(geojson(feature(BIG)))


def test_every_kind_of_file_gives_the_same_region(geojson, tmp_path):
    """XML, GeoJSON and a mask of one lesion agree."""
    lesion = shapely.box(32, 64, 96, 160).difference(shapely.box(64, 96, 80, 128))
    write_asap_xml(tmp_path / "slide.XML", {"Tumor": [lesion]})
    mask = np.zeros((200, 150), np.uint8)
    mask[64:160, 32:96] = 255
    mask[96:128, 64:80] = 0
    Image.fromarray(mask).save(tmp_path / "mask.png")
    paths = tmp_path / "slide.XML", geojson(feature(lesion)), tmp_path / "mask.png"
    for path in paths:
        assert read_annotations(path).region.equals(lesion), path
        assert read_annotations(str(path)).region.equals(lesion), path


def test_a_small_mask_is_spread_over_the_slide(tmp_path):
    """A mask of a thumbnail's size is scaled by the slide's size, in both axes."""
    mask = np.zeros((20, 15), np.uint8)
    mask[4:6, 3:9] = 1
    Image.fromarray(mask).save(tmp_path / "mask.png")
    region = read_annotations(tmp_path / "mask.png", l0_size=(1500, 4000)).region
    assert region.equals(shapely.box(300, 800, 900, 1200))


@pytest.mark.parametrize("name", ["slide.txt", "slide.xml", "slide.json", "slide.tif"])
def test_unknown_and_missing_files_are_named(tmp_path, name):
    """The message names the path in one line."""
    with pytest.raises(DataError, match=name) as caught:
        read_annotations(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_the_annotations_of_all_camelyon16_tumour_slides_are_read(real_data, tmp_path):
    """110 slides, each with a valid region of lesions; one stray click is counted."""
    areas, skipped = {}, {}
    archive = real_data / "camelyon16" / "ncrf_annotation_jsons.tar.xz"
    with tarfile.open(archive) as files:
        for member in files:
            name = member.name.rpartition("/")[2]
            if not name.startswith("Tumor"):
                continue
            path = tmp_path / name
            path.write_bytes(files.extractfile(member).read())
            found = read_annotations(path)
            assert found.region.is_valid
            areas[path.stem] = found.region.area
            if found.skipped:
                skipped[path.stem] = found.skipped
    assert len(areas) == 110
    assert min(areas.values()) > 0
    assert skipped == {"Tumor_054": {"no area": 1}}
