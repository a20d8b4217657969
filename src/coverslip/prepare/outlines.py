"""Outlines of lesions as shapes: which of them count, the region they enclose.

All are in level-0 pixels. Each outline belongs to a group, and groups have roles:

    positive    `_0`, `_1`, tumor, metastases, positive; when a file has none of these,
                every group that is not excluded
    excluded    `_2`, Exclusion, normal, Ignore*, ...: cut out of the positive ones;
                ASAP's group `None` too, in a file that has one of the positive groups
                named above (CAMELYON16 uses it for holes)
    left out    any other group beside a positive one, and always QuPath's other usual
                classes (Region*, Stroma, Necrosis, ...), Tissue, and what a model found
                (`Hot: tumor`); counted in `Annotations.skipped`

Of a class of several names (`Tumor: Positive`) the first decides. In a mask of tissue:

    positive    Tissue, and what has no class; without Tissue Region*, and what has no
                class; without these every group that is not excluded and was not found
                by a model
    excluded    as above
"""

import gzip
import math
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import shapely
from shapely import MultiPolygon, Polygon

from coverslip.errors import CorruptFileError, DataError

POSITIVE = {"_0", "_1", "tumor", "tumour", "metastasis", "metastases", "positive"}
EXCLUDED = {"_2", "exclusion", "excluded", "normal", "negative", "hole"}
OTHERS = {"tissue", "region", "region*", "stroma", "immune cells", "necrosis", "other"}
"""Groups that are no lesion, whatever else the file has."""

REGIONS = {"", "region", "region*"}
"""Groups that are tissue in a mask of tissue, where nothing is called so."""

HOT = "Hot"
"""First name of the class of what a model found: evidence, and no truth."""

NO_AREA = "no area"

Role = Literal["positive", "excluded", "left out"]


@dataclass(frozen=True)
class Outline:
    """One closed outline, valid, in level-0 pixels, as someone named and grouped it."""

    polygon: Polygon
    name: str = ""
    group: str = ""


@dataclass(frozen=True)
class Annotations:
    """The outlines of one slide.

    Attributes:
        positive: Outlines of lesions.
        excluded: Outlines cut out of them.
        skipped: What was left out, counted by reason: `type Dot`, `group Stroma`,
            `no area` (fewer than three points, or all on one line).
    """

    positive: tuple[Outline, ...] = ()
    excluded: tuple[Outline, ...] = ()
    skipped: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def region(self) -> Polygon | MultiPolygon:
        """The union of the positive outlines minus that of the excluded; valid."""
        drawn = shapely.union_all([outline.polygon for outline in self.positive])
        holes = shapely.union_all([outline.polygon for outline in self.excluded])
        parts = area_parts(shapely.difference(drawn, holes))
        return parts[0] if len(parts) == 1 else MultiPolygon(parts)

    @property
    def lesions(self) -> tuple[Polygon, ...]:
        """The separate polygons of `region`."""
        return tuple(area_parts(self.region))


def roles_of(groups: Iterable[str]) -> dict[str, Role]:
    """Return what the outlines of each group of one file are; case does not matter."""
    plain = {group: _first_name(group) for group in groups}
    known = any(name in POSITIVE for name in plain.values())

    def role(name: str) -> Role:
        if _is_excluded(name):
            return "excluded"
        if name in OTHERS or name == HOT.lower():
            return "left out"
        if name in POSITIVE or not known:
            return "positive"
        return "excluded" if name == "none" else "left out"

    return {group: role(name) for group, name in plain.items()}


def tissue_roles_of(groups: Iterable[str]) -> dict[str, Role]:
    """Return what the outlines of each group are in a mask of tissue."""
    plain = {group: _first_name(group) for group in groups}
    called = set(plain.values())
    counted = called
    if "tissue" in called:
        counted = {"", "tissue"}
    elif called & REGIONS:
        counted = REGIONS

    def role(name: str) -> Role:
        if _is_excluded(name):
            return "excluded"
        return "positive" if name in counted - {HOT.lower()} else "left out"

    return {group: role(name) for group, name in plain.items()}


def _first_name(group: str) -> str:
    return group.partition(":")[0].strip().lower()


def _is_excluded(name: str) -> bool:
    return name in EXCLUDED or name.startswith("ignore")


def by_role(
    outlines: Sequence[Outline],
    skipped: Mapping[str, int],
    roles: Mapping[str, Role] | None = None,
) -> Annotations:
    """Sort the outlines of one file into positive, excluded and left out."""
    roles = roles or roles_of(outline.group for outline in outlines)
    reasons = Counter(skipped)
    reasons.update(
        f"group {outline.group or '(none)'}"
        for outline in outlines
        if roles[outline.group] == "left out"
    )
    return Annotations(
        tuple(o for o in outlines if roles[o.group] == "positive"),
        tuple(o for o in outlines if roles[o.group] == "excluded"),
        dict(+reasons),
    )


def valid_polygons(points: Sequence[Sequence[float]]) -> list[Polygon]:
    """Close a ring of (x, y) points and make it valid.

    A self-crossing ring falls into the parts it encloses an odd number of times. A ring
    of fewer than three points, or without area, gives nothing.
    """
    if len(points) < 3:
        return []
    return area_parts(shapely.make_valid(Polygon(points)))


def area_parts(shape: Any) -> list[Polygon]:  # noqa: ANN401 - any shapely geometry
    """Return the polygons with area that a geometry is made of."""
    if isinstance(shape, Polygon):
        return [shape] if shape.area > 0 else []
    return [
        polygon for part in getattr(shape, "geoms", ()) for polygon in area_parts(part)
    ]


def without_holes(polygon: Polygon) -> list[Polygon]:
    """Cut a polygon through its holes into polygons that have none."""
    if not polygon.interiors:
        return [polygon]
    holes_x = sorted(hole.centroid.x for hole in polygon.interiors)
    x_cut = holes_x[len(holes_x) // 2]  # half of them on each side
    x_min, y_min, x_max, y_max = polygon.bounds
    halves = (
        polygon.intersection(shapely.box(x_min, y_min, x_cut, y_max)),
        polygon.intersection(shapely.box(x_cut, y_min, x_max, y_max)),
    )
    return [
        piece
        for half in halves
        for part in area_parts(half)
        for piece in without_holes(part)
    ]


def patch_boxes(l0_coords: npt.NDArray[np.int64], l0_size: float) -> Any:  # noqa: ANN401 - an array of shapely's
    """Return the squares of patches, (N,), in level-0 pixels.

    Each reaches to the end of the level-0 pixel it ends in, so that neighbours leave no
    gap: the same pixels that `coverslip.show.heatmap.paint` colours.
    """
    corners = np.asarray(l0_coords, dtype=np.float64).reshape(-1, 2)
    return shapely.box(*corners.T, *(corners + math.ceil(l0_size)).T)


def tumor_share(
    l0_coords: npt.NDArray[np.int64],
    l0_size: float,
    region: Polygon | MultiPolygon | Iterable[Polygon],
) -> npt.NDArray[np.float64]:
    """Return which share of each patch's area lies inside a region: 0 to 1, exact.

    Args:
        l0_coords: Top-left corners (N, 2) of the patches, (x, y) in level-0 pixels.
        l0_size: Side of a patch in level-0 pixels.
        region: The region, such as `Annotations.region`; polygons given one by one must
            not overlap.

    Returns:
        Shares of shape (N,).
    """
    is_shape = isinstance(region, shapely.Geometry)
    parts = np.array(area_parts(region) if is_shape else list(region), dtype=object)
    corners = np.asarray(l0_coords, dtype=np.float64).reshape(-1, 2)
    boxes = shapely.box(*corners.T, *(corners + l0_size).T)
    share = np.zeros(len(boxes))
    if not len(boxes) or not len(parts):
        return share
    tree = shapely.STRtree(boxes)
    shapely.prepare(parts)
    part, box = tree.query(parts, predicate="intersects")
    whole = shapely.covers(parts[part], boxes[box])
    share[box[whole]] = 1.0
    part, box = part[~whole], box[~whole]
    areas = shapely.area(shapely.intersection(boxes[box], parts[part])) / l0_size**2
    np.add.at(share, box, areas)
    return np.minimum(share, 1.0)


def contents(path: Path) -> bytes:
    """Return the bytes of an annotation file, unpacked when it was packed with gzip.

    Raises:
        DataError: It is missing or cannot be read.
        CorruptFileError: It is packed, and damaged.
    """
    try:
        found = path.read_bytes()
        return gzip.decompress(found) if found.startswith(_GZIP) else found
    except FileNotFoundError:
        raise DataError(f"{path}: no such file: check the path") from None
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise CorruptFileError(
            f"{path}: cannot be unpacked ({error}): export it anew"
        ) from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None


_GZIP = b"\x1f\x8b"


def unpacked(path: Path) -> Path:
    """Return a path without `.gz` at its end."""
    return path.with_suffix("") if path.suffix.lower() == ".gz" else path


def coordinate(path: Path, value: object) -> float:
    """Return one coordinate of an annotation file.

    Raises:
        CorruptFileError: It is not a finite number.
    """
    try:
        number = float(value)  # type: ignore[arg-type]  # checked by trying
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise CorruptFileError(f"{path}: {value!r} is not a coordinate: export it anew")
    return number
