"""Outlines in GeoJSON, as QuPath writes them.

QuPath wrote its objects in more than one way:

    class   {"name", "color"} or {"names", "color"} since 0.4; before, {"name",
            "colorRGB"}, within "parentClass" for a class of two names; {} for none
    kind    properties.objectType since 0.3 (object_type in some); before, the feature's
            id (PathAnnotationObject)
    file    a FeatureCollection, an array of features, or one feature; children of an
            object, where they are exported, in properties.childObjects

Annotations count. Tiles, cells and cores never do: they are made by programs. Other
detections count in a file that has no annotation.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import shapely
from shapely import Polygon

from coverslip.errors import CorruptFileError, DataError
from coverslip.prepare.outlines import (
    NO_AREA,
    Annotations,
    Outline,
    area_parts,
    by_role,
    contents,
    coordinate,
    tissue_roles_of,
    valid_polygons,
)

Json = Any
"""What a JSON file held."""

ORIGIN = "coverslip_origin"
"""Key of an object's metadata: `x,y`, where the file's origin lies in level 0. QuPath
keeps it, from 0.5 on, so that a file comes back to the pixels it left from."""

KINDS = {
    "detection": "detection",
    "PathDetectionObject": "detection",
    "tile": "tile",
    "PathTileObject": "tile",
    "cell": "cell",
    "PathCellObject": "cell",
    "tmaCore": "tmaCore",
    "tma_core": "tmaCore",
    "TMACoreObject": "tmaCore",
    "root": "root",
    "PathRootObject": "root",
}
"""QuPath's words for what is no annotation."""

ANNOTATION = "annotation"
DETECTION = "detection"


@dataclass(frozen=True)
class _Drawn:
    """One geometry of a file, and the object it belongs to."""

    kind: str
    properties: Mapping[str, Json]
    geometry: Mapping[str, Json]


def read_geojson(path: Path) -> Annotations:
    """Read outlines that QuPath exported, their class being the group.

    Raises:
        DataError: The file is missing or not GeoJSON.
        CorruptFileError: It is not JSON, or a coordinate is not a number.
    """
    return by_role(*_outlines(path))


def read_tissue_geojson(path: Path) -> list[Polygon]:
    """Read a mask of tissue that was drawn or edited in QuPath.

    Which classes are tissue is told in `coverslip.prepare.outlines`. Pieces that overlap
    become one; what is excluded is cut out.

    Returns:
        Valid polygons in level-0 pixels; none for a file without any object.

    Raises:
        DataError: The file is missing, not GeoJSON, or has objects but no tissue.
        CorruptFileError: It is not JSON, or a coordinate is not a number.
    """
    outlines, skipped = _outlines(path)
    roles = tissue_roles_of(outline.group for outline in outlines)
    found = by_role(outlines, skipped, roles)
    parts = area_parts(found.region)
    if not parts and (outlines or skipped):
        told = dict(found.skipped) or {"excluded": len(found.excluded)}
        listed = ", ".join(f"{reason}: {count}" for reason, count in told.items())
        raise DataError(
            f"{path}: no outline of tissue ({listed}): draw annotations of the class "
            "Tissue, or of none"
        )
    return parts


def _outlines(path: Path) -> tuple[list[Outline], Counter[str]]:
    drawn = list(_walk(path, json_of(path)))
    kinds = {one.kind for one in drawn}
    counted = ANNOTATION if ANNOTATION in kinds else DETECTION
    l0_x, l0_y = _origin(path, drawn)
    outlines: list[Outline] = []
    skipped: Counter[str] = Counter()
    for one in drawn:
        shape, coordinates = one.geometry["type"], one.geometry.get("coordinates") or []
        if one.kind != counted:
            skipped[f"object {one.kind}"] += 1
            continue
        if shape not in {"Polygon", "MultiPolygon"}:
            skipped[f"type {shape}"] += 1
            continue
        for rings in [coordinates] if shape == "Polygon" else coordinates:
            parts = _polygon_of_rings(path, rings)
            skipped[NO_AREA] += not parts
            name, group = str(one.properties.get("name") or ""), _class_of(one)
            outlines += [Outline(_moved(p, l0_x, l0_y), name, group) for p in parts]
    return outlines, skipped


def _walk(path: Path, item: Json) -> Iterator[_Drawn]:
    """Walk through collections, features and their children down to geometries."""
    if isinstance(item, list):
        item = {"type": "FeatureCollection", "features": item}
    kind = item.get("type") if isinstance(item, dict) else None
    if kind == "FeatureCollection":
        for feature in item.get("features") or ():
            yield from _walk(path, feature)
    elif kind == "Feature":
        yield from _of_feature(path, item)
    elif kind == "GeometryCollection":
        for geometry in item.get("geometries") or ():
            yield from _walk(path, geometry)
    elif isinstance(kind, str) and "coordinates" in item:
        yield _Drawn(ANNOTATION, {}, item)
    else:
        raise DataError(
            f"{path}: not GeoJSON: no feature or geometry where one belongs"
        )


def _of_feature(path: Path, feature: Json) -> Iterator[_Drawn]:
    properties = feature.get("properties") or {}
    named = (
        properties.get("objectType")
        or properties.get("object_type")
        or properties.get("type")
        or feature.get("id")
    )
    geometry = feature.get("geometry")
    # The whole image, and an object without a place, have an empty geometry in QuPath.
    if geometry or not properties.get("objectType"):
        for one in _walk(path, geometry):
            yield _Drawn(KINDS.get(str(named), ANNOTATION), properties, one.geometry)
    for child in properties.get("childObjects") or properties.get("children") or ():
        yield from _walk(path, child)


def _origin(path: Path, drawn: list[_Drawn]) -> tuple[float, float]:
    """Return where the file's origin lies in level 0, when it says so."""
    notes = [one.properties.get("metadata") for one in drawn]
    said = {str(n[ORIGIN]) for n in notes if isinstance(n, dict) and ORIGIN in n}
    if len(said) > 1:
        raise DataError(
            f"{path}: its objects come from {len(said)} places ({'; '.join(sorted(said))})"
            ": export those of one slide only"
        )
    if not said:
        return 0.0, 0.0
    x, _, y = said.pop().partition(",")
    return coordinate(path, x), coordinate(path, y)


def _moved(polygon: Polygon, l0_x: float, l0_y: float) -> Polygon:
    if not (l0_x or l0_y):
        return polygon
    return shapely.transform(polygon, lambda points: points + (l0_x, l0_y))


def _class_of(one: _Drawn) -> str:
    """Return QuPath's class, parts of its name parted by colons."""
    named: Json = one.properties.get("classification") or ""
    if not isinstance(named, dict):
        return str(named)
    names = [str(name) for name in named.get("names") or ()]
    while named:
        if name := named.get("name"):
            names.insert(0, str(name))
        named = named.get("parentClass") or {}
    return ": ".join(names)


def _polygon_of_rings(path: Path, rings: Json) -> list[Polygon]:
    shell, *holes = (valid_polygons(points_of(path, ring)) for ring in rings or [[]])
    inside = shapely.union_all([part for hole in holes for part in hole])
    return area_parts(shapely.difference(shapely.union_all(shell), inside))


def points_of(path: Path, ring: Json) -> list[tuple[float, float]]:
    """Return the points of a ring.

    Raises:
        CorruptFileError: It is not a list of points.
    """
    try:
        return [
            (coordinate(path, point[0]), coordinate(path, point[1])) for point in ring
        ]
    except (TypeError, LookupError):
        raise CorruptFileError(
            f"{path}: a ring is not a list of points: export it anew"
        ) from None


def json_of(path: Path) -> Json:
    """Read a JSON file of annotations, packed or not.

    Raises:
        DataError: It is missing.
        CorruptFileError: It is not JSON.
    """
    try:
        return json.loads(contents(path))
    except (ValueError, RecursionError) as error:
        raise CorruptFileError(f"{path}: not JSON ({error}): export it anew") from None
