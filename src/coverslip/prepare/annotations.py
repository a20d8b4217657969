"""Files of lesion outlines: ASAP XML, QuPath GeoJSON, NCRF JSON, mask images.

What the groups in them mean is told in `coverslip.prepare.outlines`.

Source: `read_tumor_mask` of the seed (1.4) and the CAMELYON16 annotation files.
"""

from collections import Counter
from pathlib import Path

from coverslip.errors import DataError
from coverslip.prepare.asap import read_asap_xml, write_asap_xml
from coverslip.prepare.geojson import (
    Json,
    json_of,
    points_of,
    read_geojson,
    read_tissue_geojson,
)
from coverslip.prepare.outlines import (
    NO_AREA,
    Annotations,
    Outline,
    by_role,
    tumor_share,
    unpacked,
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
    "read_tissue_geojson",
    "read_tumor_mask",
    "tumor_share",
    "write_asap_xml",
]


def read_annotations(
    path: Path | str, l0_size: tuple[int, int] | None = None
) -> Annotations:
    """Read outlines from a file of any known format.

    Args:
        path: ASAP's `.xml`, QuPath's `.geojson` or `.json`, also with `.gz`, NCRF's `.json` (told from
            QuPath's by its content), or a mask as `.tif` or `.png`.
        l0_size: (width, height) of the slide, for a mask made smaller than the slide.

    Raises:
        DataError: The file is missing or of no known format.
        CorruptFileError: It is damaged.
    """
    path = Path(path)
    suffix = unpacked(path).suffix.lower()
    if suffix == ".xml":
        return read_asap_xml(path)
    if suffix in {".json", ".geojson"}:
        return read_ncrf_json(path) if _is_ncrf(json_of(path)) else read_geojson(path)
    if suffix in {".tif", ".tiff", ".png"}:
        polygons = polygons_from_mask(*read_tumor_mask(path, l0_size=l0_size))
        return Annotations(tuple(Outline(polygon, "mask") for polygon in polygons))
    raise DataError(
        f"{path}: unknown kind of annotation: give ASAP .xml, QuPath .geojson, "
        "NCRF .json, or a mask as .tif or .png"
    )


def read_ncrf_json(path: Path) -> Annotations:
    """Read NCRF's JSON: `{"positive": [{"name", "vertices"}], "negative": [...]}`.

    Raises:
        DataError: The file is missing or of another layout.
        CorruptFileError: It is not JSON, or a coordinate is not a number.
    """
    facts = json_of(path)
    if not _is_ncrf(facts):
        raise DataError(f'{path}: not of NCRF: no "positive" and "negative" lists')
    outlines: list[Outline] = []
    skipped: Counter[str] = Counter()
    for group in ("positive", "negative"):
        for item in facts[group]:
            parts = valid_polygons(points_of(path, item["vertices"]))
            skipped[NO_AREA] += not parts
            outlines += [Outline(part, str(item.get("name")), group) for part in parts]
    return by_role(outlines, skipped)


def _is_ncrf(facts: Json) -> bool:
    return isinstance(facts, dict) and all(
        isinstance(facts.get(group), list)
        and all(isinstance(item, dict) and "vertices" in item for item in facts[group])
        for group in ("positive", "negative")
    )
