"""GeoJSON for QuPath: what its reader asks for, and nothing that it refuses."""

import gzip
import json
import uuid

import numpy as np
import pytest
import shapely

from coverslip.interop.qupath import Objects, Shape, Squares, write_qupath
from coverslip.prepare.geojson import read_geojson, read_tissue_geojson

HOLED = shapely.box(0, 0, 90, 60).difference(shapely.box(10, 10, 20, 20))
PIECES = shapely.MultiPolygon([shapely.box(0, 0, 9, 9), shapely.box(9, 9, 18, 18)])
SHAPES = (
    Shape(HOLED, "Tissue", (0, 160, 0), "Tissue 1", {"Area mm^2": 1.25}, locked=True),
    Shape(PIECES, "Hot: tumor", (200, 0, 0), measurements={"Mean": 0.5, "No": np.nan}),
)


def squares(n=6):
    """Return patches of which every other one is tumour."""
    rng = np.random.default_rng(0)
    return Squares(
        rng.integers(0, 5000, (n, 2)),
        100.5,
        {"Attention": rng.random(n) * 1e-9, 'Probability "x"': rng.random(n)},
        [("normal", (200, 200, 200)), ("tumor", (200, 0, 0))],
        np.arange(n) % 2,
    )


def as_qupath_reads(path):
    """Read a file, and refuse what QuPath 0.4 to 0.8 refuses or ignores."""
    text = (
        gzip.decompress(path.read_bytes())
        if path.suffix == ".gz"
        else path.read_bytes()
    )
    whole = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
    assert whole["type"] == "FeatureCollection"
    ids = [item["id"] for item in whole["features"]]
    assert len({uuid.UUID(text) for text in ids}) == len(ids)
    for item in whole["features"]:
        assert item["type"] == "Feature"
        assert item["geometry"]["type"] in {"Polygon", "MultiPolygon"}
        shape = shapely.geometry.shape(item["geometry"])
        assert shape.is_valid
        assert not shape.is_empty
        told = item["properties"]
        assert told["objectType"] in {"annotation", "tile", "detection"}
        named = told["classification"]
        assert ("name" in named) != ("names" in named)
        assert len(named["color"]) == 3  # without it, QuPath throws the file away
        assert all(0 <= part <= 255 for part in named["color"])
        numbers = told.get("measurements", {}).values()
        assert all(isinstance(number, int | float) for number in numbers)
    return whole


@pytest.mark.parametrize("name", ["s.geojson", "s.geojson.gz"])
def test_qupath_reads_every_object(tmp_path, name):
    """Annotations and patches with ids, kinds, classes and numbers as they were given."""
    patches = squares()
    write_qupath(tmp_path / name, Objects("s", SHAPES, patches), {"run": "dmia"})
    whole = as_qupath_reads(tmp_path / name)
    assert whole["coverslip"] == {"run": "dmia"}
    tissue, hot, *tiles = whole["features"]
    assert shapely.geometry.shape(tissue["geometry"]).equals(HOLED)
    assert tissue["properties"] == {
        "objectType": "annotation",
        "classification": {"name": "Tissue", "color": [0, 160, 0]},
        "name": "Tissue 1",
        "isLocked": True,
        "measurements": {"Area mm^2": 1.25},
    }
    assert shapely.geometry.shape(hot["geometry"]).equals(PIECES)
    assert hot["properties"]["classification"]["names"] == ["Hot", "tumor"]
    assert hot["properties"]["measurements"] == {"Mean": 0.5}
    assert len(tiles) == len(patches.coords)
    for i, tile in enumerate(tiles):
        x, y = patches.coords[i]
        square = shapely.geometry.shape(tile["geometry"])
        assert square.equals(shapely.box(x, y, x + 101, y + 101))
        assert tile["properties"]["objectType"] == "tile"
        assert (
            tile["properties"]["classification"]["name"] == ("normal", "tumor")[i % 2]
        )
        for number, values in patches.measurements.items():
            told = tile["properties"]["measurements"][number]
            assert told == pytest.approx(values[i], rel=1e-5)


def test_another_origin_moves_everything_and_is_noted(tmp_path):
    """Relative to the scanned part, and back at its pixels when it is read again."""
    path = tmp_path / "s.geojson"
    write_qupath(path, Objects("s", SHAPES, squares(), (1000, 300)), {})
    whole = as_qupath_reads(path)
    first = shapely.geometry.shape(whole["features"][0]["geometry"])
    assert first.bounds == (-1000, -300, -910, -240)
    corner = np.array(whole["features"][2]["geometry"]["coordinates"][0][0])
    assert (corner + (1000, 300) == squares().coords[0]).all()
    (tissue,) = read_tissue_geojson(path)
    assert tissue.equals(HOLED)


def test_ids_and_files_are_the_same_each_time(tmp_path):
    """So that a second export of the same leaves the file alone, packed or not."""
    for name in ("a.geojson.gz", "b.geojson.gz"):
        write_qupath(tmp_path / name, Objects("s", SHAPES, squares()), {})
    one, other = ((tmp_path / f"{n}.geojson.gz").read_bytes() for n in "ab")
    assert one == other


def test_a_patch_takes_few_bytes(tmp_path):
    """A hundred thousand patches are a file of tens of megabytes, a few when packed."""
    write_qupath(tmp_path / "s.geojson", Objects("s", (), squares(1000)), {})
    write_qupath(tmp_path / "s.geojson.gz", Objects("s", (), squares(1000)), {})
    assert (tmp_path / "s.geojson").stat().st_size < 450_000
    assert (tmp_path / "s.geojson.gz").stat().st_size < 80_000


def test_an_export_is_no_truth(tmp_path):
    """Read as annotations, nothing of an export is a lesion."""
    path = tmp_path / "s.geojson"
    write_qupath(path, Objects("s", SHAPES, squares()), {})
    found = read_geojson(path)
    assert not found.positive
    assert not found.excluded
