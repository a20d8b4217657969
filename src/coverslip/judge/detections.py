"""Detections: the points of a slide where a model sees tumour, each with a score.

Two ways lead from the scores of patches to detections:

    peaks    non-maximum suppression: the best patch, then the best of those farther off
             than a radius, and so on. The default: it has no threshold to choose, the
             FROC curve goes through all of them, and two lesions stay two.
    regions  patches from a threshold on, those that touch being one detection at the
             best of them. Fewer points, but a threshold that has to be chosen on other
             slides, and a false bridge makes two lesions one.

Detections of other programs are read from the organisers' files: `prob,x,y` a row, level
0 pixels, no header needed.
"""

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import shapely
from pydantic import Field
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree
from shapely import MultiPolygon, Polygon

from coverslip import store
from coverslip.errors import DataError
from coverslip.options import Options
from coverslip.prepare.outlines import patch_boxes

Floats = npt.NDArray[np.float64]
Groups = npt.NDArray[np.int64]

RADIUS_UM = 200.0
"""A patch this near to a better one is no detection of its own: of patches of 128 um,
the eight around it; and a lesion must be longer than this to count."""


class Detections(NamedTuple):
    """What was detected on one slide.

    Attributes:
        l0_points: (N, 2) in level-0 pixels, (x, y).
        scores: (N,) the higher the likelier; any finite numbers.
    """

    l0_points: Floats
    scores: Floats


NO_DETECTIONS = Detections(np.empty((0, 2)), np.empty(0))


def peaks(
    l0_coords: npt.NDArray[np.int64],
    scores: npt.ArrayLike,
    l0_size: float,
    l0_radius: float,
) -> Detections:
    """Return the centres of the patches that no better one lies near to.

    Patches are taken from the best down; each one taken removes those within the
    radius. Of equal scores the upper, then the left patch comes first, whatever the
    order of the patches.

    Args:
        l0_coords: (N, 2) level-0 top-left corners.
        scores: (N,).
        l0_size: Side of a patch in level-0 pixels.
        l0_radius: Level-0 pixels.

    Raises:
        DataError: The arrays differ in length, or a score is not finite.
    """
    corners, values = _checked(l0_coords, scores)
    left = np.ones(len(values), dtype=bool)
    taken = []
    tree = KDTree(corners) if len(corners) else None
    for i in _best_first(corners, values).tolist():
        if tree is not None and left[i]:
            taken.append(i)
            left[tree.query_ball_point(corners[i], l0_radius)] = False
    return _at_centres(corners, values, l0_size, np.array(taken, dtype=np.intp))


def regions(
    l0_coords: npt.NDArray[np.int64],
    scores: npt.ArrayLike,
    l0_size: float,
    threshold: float,
) -> Detections:
    """Return the best patch of each group of touching patches from a threshold on.

    Patches touch when they share an edge, a corner, or overlap. Arguments as `peaks`.

    Raises:
        DataError: The arrays differ in length, or a score is not finite.
    """
    corners, values = _checked(l0_coords, scores)
    high = values >= threshold
    corners, values = corners[high], values[high]
    if not len(values):
        return _at_centres(corners, values, l0_size, np.empty(0, np.intp))
    group = touching(corners, l0_size)
    order = _best_first(corners, values)
    first = np.unique(group[order], return_index=True)[1]
    return _at_centres(corners, values, l0_size, order[np.sort(first)])


def touching(l0_coords: npt.NDArray[np.generic], l0_size: float) -> Groups:
    """Return (N,) which group of touching patches each one belongs to, from 0 on.

    Patches touch when they share an edge, a corner, or overlap.

    Args:
        l0_coords: (N, 2) level-0 top-left corners.
        l0_size: Side of a patch in level-0 pixels.
    """
    if not len(l0_coords):
        return np.empty(0, np.int64)
    reach = math.ceil(l0_size)  # corners are whole pixels, and a side need not be
    pairs = KDTree(l0_coords).query_pairs(reach, p=math.inf, output_type="ndarray")
    links = coo_array(
        (np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])),
        shape=(len(l0_coords), len(l0_coords)),
    )
    _, group = connected_components(links, directed=False)
    return np.asarray(group, dtype=np.int64)


class FrocOptions(Options):
    """How patches become detections, and in which scale lesions are measured."""

    score: Literal["probability", "attention"] = Field(
        "probability",
        description="what of a patch is its score: the probability of the last class, or "
        "attention, as a share of the slide's highest, times the slide's probability",
    )
    find: Literal["peaks", "regions"] = Field(
        "peaks",
        description="a detection is a patch with no better one near (peaks), or the best "
        "of touching patches above a threshold (regions)",
    )
    radius: float = Field(RADIUS_UM, gt=0, description="peaks: how near is near, in um")
    threshold: float = Field(0.5, description="regions: the least score of a patch")
    lesion_mpp: float | None = Field(
        None,
        gt=0,
        description="um per pixel of level 0 that lesions are measured with; CAMELYON16's "
        "organisers take 0.243 for every slide; none: each slide's own",
    )


@dataclass(frozen=True)
class HotRegion:
    """Touching patches whose scores all reach a threshold.

    Attributes:
        shape: Their union in level-0 pixels, holes included; each patch reaches to the
            end of the level-0 pixel it ends in. Of several polygons where patches touch
            at a corner only.
        patches: (n,) which patches they are.
    """

    shape: Polygon | MultiPolygon
    patches: npt.NDArray[np.int64]


def hot_regions(
    l0_coords: npt.NDArray[np.int64],
    scores: npt.ArrayLike,
    l0_size: float,
    threshold: float,
) -> list[HotRegion]:
    """Return the areas of the detections that `regions` finds, the best first.

    Arguments and errors as there.
    """
    corners, values = _checked(l0_coords, scores)
    high = np.flatnonzero(values >= threshold)
    group = touching(corners[high], l0_size)
    order = high[_best_first(corners[high], values[high])]
    place = np.empty(len(values), np.int64)
    place[high] = group
    first = np.unique(place[order], return_index=True)[1]
    boxes = patch_boxes(l0_coords, l0_size)
    members = [high[group == place[order[i]]] for i in np.sort(first)]
    # Without points along straight edges, of which a union has one a patch.
    return [
        HotRegion(shapely.union_all(boxes[which]).simplify(0), which)
        for which in members
    ]


def _checked(
    l0_coords: npt.NDArray[np.int64], scores: npt.ArrayLike
) -> tuple[Floats, Floats]:
    corners = np.asarray(l0_coords, dtype=np.float64).reshape(-1, 2)
    values = np.asarray(scores, dtype=np.float64)
    if values.shape != (len(corners),) or not np.isfinite(values).all():
        raise DataError(
            f"scores {values.shape} of {len(corners)} patches: there must be one finite "
            "score for each"
        )
    return corners, values


def _best_first(corners: Floats, values: Floats) -> npt.NDArray[np.intp]:
    return np.lexsort((corners[:, 0], corners[:, 1], -values))


def _at_centres(
    corners: Floats, values: Floats, l0_size: float, chosen: npt.NDArray[np.intp]
) -> Detections:
    return Detections(corners[chosen] + l0_size / 2, values[chosen])


def write_detections(path: Path, found: Detections) -> None:
    """Write detections as the organisers read them: `prob,x,y`, whole level-0 pixels."""
    with (
        store.writing(path) as part,
        part.open("w", newline="", encoding="utf-8") as file,
    ):
        table = csv.writer(file, lineterminator="\n")
        for score, (x, y) in zip(found.scores, found.l0_points, strict=True):
            table.writerow([f"{score:.9g}", int(x), int(y)])


def read_detections(path: Path) -> Detections:
    """Read `prob,x,y`, with or without a header; an empty file means no detection.

    Raises:
        DataError: The file is missing, or a row is not three finite numbers.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if any(row)]
    except FileNotFoundError:
        raise DataError(f"{path}: no such file: check the path") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a readable table ({error})") from None
    if rows and [cell.strip().lower() for cell in rows[0]][1:] == ["x", "y"]:
        rows = rows[1:]
    table = np.array([_numbers(path, row) for row in rows]).reshape(-1, 3)
    return Detections(table[:, 1:], table[:, 0])


def _numbers(path: Path, row: list[str]) -> list[float]:
    try:
        numbers = [float(cell) for cell in row]
    except ValueError:
        numbers = []
    if len(numbers) != 3 or not all(map(math.isfinite, numbers)):
        raise DataError(
            f"{path}: {','.join(row)!r} is no detection: write prob,x,y in level-0 pixels"
        )
    return numbers
