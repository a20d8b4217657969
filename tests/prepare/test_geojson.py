"""GeoJSON as QuPath wrote it, version by version, and which of its objects count."""

import gzip
import json

import pytest
import shapely

from coverslip.errors import CorruptFileError, DataError
from coverslip.prepare.geojson import read_geojson, read_tissue_geojson

BIG = shapely.box(0, 0, 100, 100)
SMALL = shapely.box(10, 10, 20, 20)
FAR = shapely.box(500, 0, 510, 10)
WIDE = shapely.box(50, 50, 200, 80)


def feature(shape, kind="annotation", classed=None, **more):
    """Return an object as QuPath writes it since 0.4."""
    properties = {"objectType": kind, **more}
    if classed:
        names = classed.split(": ")
        named = {"name": names[0]} if len(names) == 1 else {"names": names}
        properties["classification"] = {**named, "color": [200, 0, 0]}
    return {
        "type": "Feature",
        "id": "5dbc3a54-9d4a-4a8e-8c8e-2c9b1a9f5f10",
        "geometry": shapely.geometry.mapping(shape),
        "properties": properties,
    }


@pytest.fixture
def written(tmp_path):
    """Return a function that writes objects as one FeatureCollection."""

    def write(*features, name="slide.geojson"):
        path = tmp_path / name
        whole = {"type": "FeatureCollection", "features": list(features)}
        path.write_text(json.dumps(whole))
        return path

    return write


IN_0_2 = """[{"type": "Feature", "id": "PathAnnotationObject", "geometry": {"type":
"Polygon", "coordinates": [[[0,0],[100,0],[100,100],[0,100],[0,0]]]}, "properties":
{"classification": {"name": "Tumor", "colorRGB": -3670016}, "isLocked": false,
"measurements": []}}, {"type": "Feature", "id": "PathDetectionObject", "geometry":
{"type": "Polygon", "coordinates": [[[500,0],[510,0],[510,10],[500,0]]]}, "properties":
{"classification": {"name": "Tumor", "colorRGB": -3670016}}}]"""

IN_0_3 = """[{"type": "Feature", "geometry": {"type": "Polygon", "coordinates":
[[[0,0],[100,0],[100,100],[0,100],[0,0]]]}, "properties": {"object_type": "annotation",
"classification": {"parentClass": {"name": "Tumor", "colorRGB": -3670016}, "name":
"Positive", "colorRGB": -377282}, "isLocked": true, "measurements": [{"name": "Area",
"value": 3.5}]}}, {"type": "Feature", "geometry": {"type": "Polygon", "coordinates":
[[[500,0],[510,0],[510,10],[500,0]]]}, "properties": {"object_type": "tile"}}]"""

IN_0_7 = """{"type": "FeatureCollection", "features": [{"type": "Feature", "id":
"0d6d2b4c-53a4-4b0f-a7d7-7d7d0e6f0a11", "geometry": {"type": "Polygon", "coordinates":
[[[0,0],[100,0],[100,100],[0,100],[0,0]]], "plane": {"c": -1, "z": 0, "t": 0},
"isEllipse": false}, "properties": {"objectType": "annotation", "name": "mine", "color":
[1, 2, 3], "classification": {"names": ["Tumor", "Positive"], "color": [1, 2, 3]},
"isLocked": true, "measurements": {"Area": 3.5, "Odd": "NaN"}, "metadata": {"ID": "7"},
"metadata": {"ID": "7"}}}, {"type": "Feature", "id":
"1d6d2b4c-53a4-4b0f-a7d7-7d7d0e6f0a12", "geometry": {}, "properties": {"objectType":
"annotation"}}, {"type": "Feature", "geometry": {"type": "Polygon", "coordinates":
[[[500,0],[510,0],[510,10],[500,0]]]}, "properties": {"objectType": "cell",
"classification": {"name": "Tumor", "color": [200, 0, 0]}}}]}"""


@pytest.mark.parametrize("text", [IN_0_2, IN_0_3, IN_0_7], ids=["0.2", "0.3", "0.7"])
def test_each_versions_file_gives_the_same_lesion(tmp_path, text):
    """Class and kind are found wherever that version put them; detections are none."""
    path = tmp_path / "slide.geojson"
    path.write_text(text)
    found = read_geojson(path)
    assert found.region.equals(BIG)
    (outline,) = found.positive
    assert outline.group in {"Tumor", "Tumor: Positive"}
    assert sum(found.skipped.values()) == 1


def test_children_count_too(written):
    """A lesion inside a region of interest is found where the hierarchy was exported."""
    child = feature(SMALL, classed="Tumor")
    path = written(feature(BIG, classed="Region*", childObjects=[child]))
    assert read_geojson(path).region.equals(SMALL)


@pytest.mark.parametrize(
    "name", ["Region*", "Stroma", "Immune cells", "Necrosis", "Other", "Tissue"]
)
def test_classes_that_are_no_lesion_never_become_one(written, name):
    """QuPath's other usual classes are left out, also where nothing is a lesion."""
    found = read_geojson(written(feature(BIG, classed=name)))
    assert not found.positive
    assert found.skipped == {f"group {name}": 1}


def test_what_a_model_found_is_no_truth(written):
    """Hot regions and tiles count as lesions only after somebody gave them a class."""
    hot, tile = feature(BIG, classed="Hot: tumor"), feature(FAR, "tile", "tumor")
    assert not read_geojson(written(hot, tile)).positive
    corrected = feature(SMALL, classed="Tumor")
    assert read_geojson(written(hot, tile, corrected)).region.equals(SMALL)


def test_detections_count_where_there_is_no_annotation(written):
    """Lesions of a program that writes detections are read; tiles never."""
    drawn = [feature(BIG, "detection"), feature(FAR, "tile"), feature(FAR, "cell")]
    found = read_geojson(written(*drawn))
    assert found.region.equals(BIG)
    assert found.skipped == {"object tile": 1, "object cell": 1}
    found = read_geojson(written(*drawn, feature(SMALL)))
    assert found.region.equals(SMALL)


def test_tissue_is_what_is_called_so_and_what_has_no_class(written):
    """Of edited tissue: Ignore* is cut out, lesions and hot regions are left aside."""
    path = written(
        feature(BIG, classed="Tissue"),
        feature(WIDE),
        feature(SMALL, classed="Ignore*"),
        feature(FAR, classed="Tumor"),
        feature(FAR, classed="Region*"),
        feature(FAR, classed="Hot: tumor"),
        feature(FAR, "tile", "normal"),
    )
    (tissue,) = read_tissue_geojson(path)
    assert tissue.equals(BIG.union(WIDE).difference(SMALL))


def test_regions_are_tissue_when_none_is_called_so(written):
    """QuPath's class for a part of the slide means that part; lesions are left aside."""
    path = written(
        feature(BIG, classed="Region*"), feature(FAR, classed="Tumor"), feature(WIDE)
    )
    (tissue,) = read_tissue_geojson(path)
    assert tissue.equals(BIG.union(WIDE))


def test_drawn_areas_of_any_class_are_tissue_when_none_is_called_so(written):
    """Who gives a mask of tumour and stroma wants patches there."""
    path = written(feature(BIG, classed="Tumor"), feature(FAR, classed="Stroma"))
    found = read_tissue_geojson(path)
    assert shapely.union_all(found).equals(BIG.union(FAR))


def test_a_mask_without_tissue_is_told_so(written):
    """Objects that are no tissue are no empty slide; no object at all is one."""
    tiles = [feature(FAR, "tile", "tumor")] * 3
    with pytest.raises(DataError, match=r"no outline of tissue \(object tile: 3\)"):
        read_tissue_geojson(written(*tiles))
    with pytest.raises(DataError, match=r"no outline of tissue \(excluded: 1\)"):
        read_tissue_geojson(written(feature(BIG, classed="Ignore*")))
    assert read_tissue_geojson(written()) == []


def test_what_left_from_another_origin_comes_back_to_its_pixels(written):
    """The note of an export moves the whole file, new annotations too."""
    noted = feature(BIG, classed="Tissue", metadata={"coverslip_origin": "1000,2000"})
    found = read_tissue_geojson(written(noted, feature(FAR)))
    moved = shapely.union_all([BIG, FAR])
    expected = shapely.transform(moved, lambda points: points + (1000, 2000))
    assert shapely.union_all(found).equals(expected)
    other = feature(FAR, metadata={"coverslip_origin": "7,7"})
    with pytest.raises(DataError, match="its objects come from 2 places"):
        read_tissue_geojson(written(noted, other))


def test_a_packed_file_is_read_and_a_damaged_one_named(tmp_path, written):
    """What QuPath packs with gzip is unpacked."""
    plain = written(feature(BIG, classed="Tumor"))
    packed = tmp_path / "slide.geojson.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert read_geojson(packed).region.equals(BIG)
    packed.write_bytes(packed.read_bytes()[:-20])
    with pytest.raises(CorruptFileError, match=r"slide\.geojson\.gz: cannot be unpack"):
        read_geojson(packed)
