"""ASAP's XML, in which CAMELYON16's lesions are drawn: reading and writing.

<ASAP_Annotations>
  <Annotations>
    <Annotation Name Type PartOfGroup Color>
      <Coordinates><Coordinate Order X Y/> ...
  <AnnotationGroups><Group Name PartOfGroup Color/> ...
"""

import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

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
    roles_of,
    valid_polygons,
    without_holes,
)
from coverslip.store import writing

ASAP_AREAS = ("Polygon", "Spline", "Rectangle")
EXCLUSION = "Exclusion"
"""The group in which holes are written."""


class _NoDoctype(ET.TreeBuilder):
    """Refuses a DOCTYPE, and with it every entity: no bombs, no outside files."""

    def doctype(self, *_: object) -> None:
        raise DataError("it has a DOCTYPE, which no annotation needs: remove it")


def read_asap_xml(path: Path) -> Annotations:
    """Read an ASAP annotation file, CAMELYON16's among them.

    Polygons, splines (through their points) and rectangles count; dots, point sets and
    measurements are skipped. Points follow their `Order`; a decimal comma is admitted.

    Raises:
        DataError: The file is missing, is not ASAP's, or declares entities.
        CorruptFileError: It is not XML, or a coordinate is not a number.
    """
    try:
        root = ET.fromstring(contents(path), ET.XMLParser(target=_NoDoctype()))
    except (ET.ParseError, ValueError, LookupError) as error:
        raise CorruptFileError(
            f"{path}: broken XML ({error}): export it anew"
        ) from None
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    if root.tag != "ASAP_Annotations":
        raise DataError(f"{path}: not an ASAP annotation: its root is <{root.tag}>")
    outlines: list[Outline] = []
    skipped: Counter[str] = Counter()
    for element in root.iterfind("./Annotations/Annotation"):
        if (kind := element.get("Type", "Polygon")) not in ASAP_AREAS:
            skipped[f"type {kind}"] += 1
            continue
        name, group = element.get("Name", ""), element.get("PartOfGroup", "None")
        parts = valid_polygons(_asap_points(path, element))
        skipped[NO_AREA] += not parts
        outlines += [Outline(part, name, group) for part in parts]
    return by_role(outlines, skipped)


def _asap_points(path: Path, element: ET.Element) -> list[tuple[float, float]]:
    rows = [
        [
            coordinate(path, row.get(key, "").replace(",", "."))
            for key in ("Order", "X", "Y")
        ]
        for row in element.iterfind("./Coordinates/Coordinate")
    ]
    return [(x, y) for _, x, y in sorted(rows, key=lambda row: row[0])]


def write_asap_xml(path: Path, polygons: Mapping[str, Sequence[Polygon]]) -> None:
    """Write polygons for ASAP, so that reading gives the same region back.

    ASAP knows no holes: interior rings become outlines of the group `Exclusion`, less
    whatever other positive polygon lies inside them.

    Args:
        path: The `.xml` file.
        polygons: Valid polygons in level-0 pixels by the name of their group; the
            names' roles are those of `coverslip.prepare.outlines`.

    Raises:
        OutputError: The file cannot be written.
    """
    roles = roles_of([*polygons, EXCLUSION])
    drawn = [p for g, ps in polygons.items() if roles[g] != "excluded" for p in ps]
    rings = [Polygon(ring) for polygon in drawn for ring in polygon.interiors]
    holes = shapely.difference(rings, shapely.union_all(drawn)) if rings else ()
    written = {group: list(members) for group, members in polygons.items()}
    written.setdefault(EXCLUSION, []).extend(p for h in holes for p in area_parts(h))
    _write_asap(path, written, {g for g in written if roles[g] == "excluded"})


def _write_asap(
    path: Path, polygons: Mapping[str, Sequence[Polygon]], excluded: set[str]
) -> None:
    root = ET.Element("ASAP_Annotations")
    outlines = ET.SubElement(root, "Annotations")
    groups = ET.SubElement(root, "AnnotationGroups")
    for group, members in polygons.items():
        colour = "#64FE2E" if group in excluded else "#F4FA58"
        facts = {"PartOfGroup": group, "Type": "Polygon", "Color": colour}
        group_facts = {"Name": group, "PartOfGroup": "None", "Color": colour}
        ET.SubElement(ET.SubElement(groups, "Group", group_facts), "Attributes")
        # A lesion keeps its outer ring whole; a hole that has an island is cut open.
        for piece in _cut_open(members) if group in excluded else members:
            name = f"Annotation {len(outlines)}"
            _add_ring(ET.SubElement(outlines, "Annotation", facts, Name=name), piece)
    ET.indent(root, "\t")
    with writing(path) as part:
        ET.ElementTree(root).write(part, encoding="utf-8", xml_declaration=True)


def _cut_open(polygons: Sequence[Polygon]) -> list[Polygon]:
    return [piece for polygon in polygons for piece in without_holes(polygon)]


def _add_ring(element: ET.Element, polygon: Polygon) -> None:
    ring = ET.SubElement(element, "Coordinates")
    for order, (x, y) in enumerate(shapely.get_coordinates(polygon.exterior)[:-1]):
        facts = {"Order": str(order), "X": repr(float(x)), "Y": repr(float(y))}
        ET.SubElement(ring, "Coordinate", facts)
