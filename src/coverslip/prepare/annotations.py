"""Files of lesion outlines: ASAP XML, QuPath GeoJSON, NCRF JSON, mask images.

What the groups in them mean is told in `coverslip.prepare.outlines`.

Source: `read_tumor_mask` of the seed (1.4) and the CAMELYON16 annotation files.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import shapely
from shapely import Polygon

from coverslip.errors import CorruptFileError, DataError
from coverslip.prepare.asap import read_asap_xml, write_asap_xml
from coverslip.prepare.outlines import (
    NO_AREA,
    Annotations,
    Outline,
    area_parts,
    by_role,
    contents,
    coordinate,
    tumor_share,
    valid_polygons,
)
from coverslip.prepare.tumor_mask import polygons_from_mask, read_tumor_mask

__all__ = [
    "Annotations",
    "Outline",
    "polygons_from_mask",
    "read_annotations",
    "read_asap_xml",
    "read_geojson",
    "read_ncrf_json",
    "read_polygons_geojson",
    "read_tumor_mask",
    "tumor_share",
    "write_asap_xml",
]

Json = Any
"""What a JSON file held."""


def read_annotations(path: Path, l0_size: tuple[int, int] | None = None) -> Annotations:
    """Read outlines from a file of any known format.

    Args:
        path: ASAP's `.xml`, QuPath's `.geojson` or `.json`, NCRF's `.json` (told from
            QuPath's by its content), or a mask as `.tif` or `.png`.
        l0_size: (width, height) of the slide, for a mask made smaller than the slide.

    Raises:
        DataError: The file is missing or of no known format.
        CorruptFileError: It is damaged.
    """
    suffix = path.suffix.lower()
    if suffix == ".xml":
        return read_asap_xml(path)
    if suffix in {".json", ".geojson"}:
        return read_ncrf_json(path) if _is_ncrf(_json(path)) else read_geojson(path)
    if suffix in {".tif", ".tiff", ".png"}:
        polygons = polygons_from_mask(*read_tumor_mask(path, l0_size=l0_size))
        return Annotations(tuple(Outline(polygon, "mask") for polygon in polygons))
    raise DataError(
        f"{path}: unknown kind of annotation: give ASAP .xml, QuPath .geojson, "
        "NCRF .json, or a mask as .tif or .png"
    )


def read_geojson(path: Path) -> Annotations:
    """Read outlines that QuPath exported, their class being the group.

    Raises:
        DataError: The file is missing or not GeoJSON.
        CorruptFileError: It is not JSON, or a coordinate is not a number.
    """
    outlines, skipped = _geojson_outlines(path)
    return by_role(outlines, skipped)


def read_polygons_geojson(path: Path) -> list[tuple[str, Polygon]]:
    """Read the polygons of a GeoJSON file, whatever their class.

    Returns:
        (name of the class or "", valid polygon in level-0 pixels), a multi-polygon as
        several.

    Raises:
        DataError: The file is missing or not GeoJSON.
        CorruptFileError: It is not JSON, or a coordinate is not a number.
    """
    outlines, _ = _geojson_outlines(path)
    return [(outline.group, outline.polygon) for outline in outlines]


def _geojson_outlines(path: Path) -> tuple[list[Outline], Counter[str]]:
    outlines: list[Outline] = []
    skipped: Counter[str] = Counter()
    for properties, geometry in _geometries(path, _json(path)):
        kind, coordinates = geometry["type"], geometry.get("coordinates")
        if kind not in {"Polygon", "MultiPolygon"}:
            skipped[f"type {kind}"] += 1
            continue
        for rings in [coordinates] if kind == "Polygon" else coordinates:
            parts = _polygon_of_rings(path, rings)
            skipped[NO_AREA] += not parts
            name, group = str(properties.get("name") or ""), _class_name(properties)
            outlines += [Outline(part, name, group) for part in parts]
    return outlines, skipped


def _geometries(path: Path, item: Json) -> Iterator[tuple[dict[str, Json], Json]]:
    """Walk through collections and features down to (properties, geometry)."""
    if isinstance(item, list):
        item = {"type": "FeatureCollection", "features": item}
    kind = item.get("type") if isinstance(item, dict) else None
    if kind == "FeatureCollection":
        for feature in item.get("features") or ():
            yield from _geometries(path, feature)
    elif kind == "Feature":
        for _, geometry in _geometries(path, item.get("geometry")):
            yield item.get("properties") or {}, geometry
    elif kind == "GeometryCollection":
        for geometry in item.get("geometries") or ():
            yield from _geometries(path, geometry)
    elif isinstance(kind, str) and "coordinates" in item:
        yield {}, item
    else:
        raise DataError(
            f"{path}: not GeoJSON: no feature or geometry where one belongs"
        )


def _class_name(properties: Mapping[str, Json]) -> str:
    """Return QuPath's class: a text, {"name": ...}, or {"names": [...]}."""
    named = properties.get("classification") or ""
    if isinstance(named, dict):
        named = named.get("name") or ": ".join(map(str, named.get("names") or ()))
    return str(named)


def _polygon_of_rings(path: Path, rings: Json) -> list[Polygon]:
    shell, *holes = (valid_polygons(_points(path, ring)) for ring in rings or [[]])
    inside = shapely.union_all([part for hole in holes for part in hole])
    return area_parts(shapely.difference(shapely.union_all(shell), inside))


def _points(path: Path, ring: Json) -> list[tuple[float, float]]:
    try:
        return [
            (coordinate(path, point[0]), coordinate(path, point[1])) for point in ring
        ]
    except (TypeError, LookupError):
        raise CorruptFileError(
            f"{path}: a ring is not a list of points: export it anew"
        ) from None


def read_ncrf_json(path: Path) -> Annotations:
    """Read NCRF's JSON: `{"positive": [{"name", "vertices"}], "negative": [...]}`.

    Raises:
        DataError: The file is missing or of another layout.
        CorruptFileError: It is not JSON, or a coordinate is not a number.
    """
    facts = _json(path)
    if not _is_ncrf(facts):
        raise DataError(f'{path}: not of NCRF: no "positive" and "negative" lists')
    outlines: list[Outline] = []
    skipped: Counter[str] = Counter()
    for group in ("positive", "negative"):
        for item in facts[group]:
            parts = valid_polygons(_points(path, item["vertices"]))
            skipped[NO_AREA] += not parts
            outlines += [Outline(part, str(item.get("name")), group) for part in parts]
    return by_role(outlines, skipped)


def _is_ncrf(facts: Json) -> bool:
    return isinstance(facts, dict) and all(
        isinstance(facts.get(group), list)
        and all(isinstance(item, dict) and "vertices" in item for item in facts[group])
        for group in ("positive", "negative")
    )


def _json(path: Path) -> Json:
    try:
        return json.loads(contents(path))
    except (ValueError, RecursionError) as error:
        raise CorruptFileError(f"{path}: not JSON ({error}): export it anew") from None
