"""What is awkward about CAMELYON16's outlines, painted into a slide of the miniature."""

import numpy as np
import numpy.typing as npt
from shapely import MultiPolygon, Point, Polygon

from coverslip.cohorts.camelyon16.facts import label_of_name
from coverslip.cohorts.painted.slide import PaintedSlide
from coverslip.slides.slide import RGB

PAINTED_MPP = 0.5
"""Scale at which slides are painted; they are then enlarged to their hospital's."""

ITC_SLIDE = "test_001"
ITC_RADIUS_UM = 12.0
"""Isolated tumour cells: about as much as one gland."""


def add_catches(
    rng: np.random.Generator, slide_id: str, painted: PaintedSlide
) -> dict[str, list[Polygon]]:
    """Sort lesions into groups as CAMELYON16 does, with a hole and stray cells.

    The largest lesion gets a hole of normal tissue; the slide `ITC_SLIDE` a lesion of a
    few cells, far from the others. `painted.image` is changed in place.

    Returns:
        Outlines by group in level-0 px: `_0`, `_1`, `_2` of a training slide, `Tumor`
        and `Exclusion` of a test slide.
    """
    lesions = sorted(painted.lesions, key=lambda p: -p.area)
    unchanged, far = painted.image.copy(), _far_from(rng, painted)
    middle = lesions[0].representative_point()
    radius = 0.3 * middle.distance(lesions[0].exterior)
    _copy_disc(unchanged, far, painted.image, middle, radius)
    hole = middle.buffer(radius)
    if slide_id == ITC_SLIDE:
        radius = ITC_RADIUS_UM / PAINTED_MPP
        _copy_disc(unchanged, middle, painted.image, far, radius)
        lesions.append(far.buffer(radius))
    if label_of_name(slide_id):
        return {"_0": lesions[::2], "_1": lesions[1::2], "_2": [hole]}
    return {"Tumor": lesions, "Exclusion": [hole]}


def _far_from(rng: np.random.Generator, painted: PaintedSlide) -> Point:
    """Return the place in normal tissue that is farthest from lesions and edges."""
    tissue, lesions = MultiPolygon(painted.tissue), MultiPolygon(painted.lesions)
    points = [Point(xy) for xy in rng.uniform(0, len(painted.image), (400, 2))]
    inside = [point for point in points if tissue.contains(point)]
    return max(
        inside, key=lambda p: min(p.distance(lesions), 6 * p.distance(tissue.boundary))
    )


def _copy_disc(
    source: RGB, source_xy: Point, target: RGB, target_xy: Point, radius: float
) -> None:
    """Copy a disc of an image into another image of the same size; in place."""
    reach = int(np.ceil(radius))
    down, right = np.indices((2 * reach + 1, 2 * reach + 1)) - reach
    disc = down**2 + right**2 <= radius**2

    def pixels(middle: Point) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        rows, columns = down[disc] + round(middle.y), right[disc] + round(middle.x)
        last = len(source) - 1
        return np.clip(rows, 0, last), np.clip(columns, 0, last)

    target[pixels(target_xy)] = source[pixels(source_xy)]
