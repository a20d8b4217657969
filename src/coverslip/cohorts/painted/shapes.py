"""Outlines of painted slides: tissue pieces, fat vacuoles, lesions; all level-0 px."""

import cv2
import numpy as np
import numpy.typing as npt
from numpy.random import Generator
from shapely import affinity, voronoi_polygons
from shapely.geometry import MultiPoint, Point, Polygon
from shapely.ops import unary_union

from coverslip.cohorts.painted.pixels import Gray
from coverslip.errors import OptionError

Points = npt.NDArray[np.float64]
"""Positions of shape (N, 2), as (x, y)."""

LESION_MARGIN = 30.0
"""Level-0 px that stay free between a lesion and anything that is not tissue."""


def blob(rng: Generator, roughness: float, waves: int, vertices: int = 240) -> Polygon:
    """Return an organic outline round (0, 0) of mean radius 1, always simple.

    Args:
        rng: Source of the shape.
        roughness: Size of the bumps as a share of the radius.
        waves: Bumps of up to so many periods a turn; the finer, the flatter.
        vertices: Corners of the polygon.
    """
    angle = np.linspace(0, 2 * np.pi, vertices, endpoint=False)
    period = np.arange(2, waves + 2)
    phase = rng.uniform(0, 2 * np.pi, waves)
    height = roughness * rng.standard_normal(waves) / (period - 1) ** 1.5
    bumps = (height * np.cos(np.outer(angle, period) + phase)).sum(axis=1)
    radius = 1 + np.clip(bumps, -0.4, 0.18)
    return Polygon(np.column_stack([radius * np.cos(angle), radius * np.sin(angle)]))


def tissue_pieces(rng: Generator, size: int) -> tuple[Polygon, ...]:
    """Return one to three pieces of tissue side by side, with fat vacuoles as holes.

    Args:
        rng: Source of the shapes.
        size: Side of the slide in level-0 px.
    """
    count = min(int(rng.choice([1, 2, 3], p=[0.35, 0.4, 0.25])), 1 + size // 1500)
    shares = rng.dirichlet(np.full(count, 40.0))
    middles = size * (np.cumsum(shares) - shares / 2)
    across = bool(rng.integers(2))
    pieces = []
    for middle, width in zip(middles, size * shares, strict=True):
        half_width = 0.42 * width
        half_height = min(0.42 * size, half_width * rng.uniform(1.5, 2.4))
        outline = affinity.scale(
            blob(rng, 0.13, 50), half_width, half_height, origin=(0, 0)
        )
        slack = 0.49 * size - half_height * 1.18
        y = size / 2 + rng.uniform(-1, 1) * max(0.0, slack)
        outline = affinity.translate(outline, middle, y)
        if across:
            outline = affinity.affine_transform(outline, [0, 1, 1, 0, 0, 0])
        pieces.append(_with_fat(rng, outline))
    return tuple(pieces)


def _with_fat(rng: Generator, outline: Polygon) -> Polygon:
    """Cut a lobule of fat cells near the edge out of a piece."""
    inside = outline.buffer(-30)
    edge = np.asarray(outline.exterior.coords)
    centre = np.asarray(outline.centroid.coords[0])
    hilum = centre + rng.uniform(0.75, 0.95) * (edge[rng.integers(len(edge))] - centre)
    reach = np.sqrt(outline.area) * rng.uniform(0.12, 0.2)
    side = int(2 * reach)
    middles = hilum - reach + scattered(rng, (side, side), rng.uniform(70, 90))
    lobule = affinity.translate(
        affinity.scale(blob(rng, 0.15, 12), reach, reach, origin=(0, 0)), *hilum
    ).intersection(inside)
    cells = [
        cell.buffer(-18).buffer(14)
        for cell in voronoi_polygons(MultiPoint(middles)).geoms
        if lobule.contains(cell)
    ]
    holes = [c for c in cells if isinstance(c, Polygon) and c.area > 600]
    return Polygon(outline.exterior.coords, [h.exterior.coords for h in holes])


def lesion_outlines(
    rng: Generator, tissue: tuple[Polygon, ...], share: tuple[float, float]
) -> tuple[Polygon, ...]:
    """Return one to four lesions within the tissue, clear of its edge and its fat.

    Args:
        rng: Source of the shapes.
        tissue: The pieces of tissue.
        share: Least and most area of all lesions together, as a share of the tissue's.

    Raises:
        OptionError: They do not fit.
    """
    whole = unary_union(tissue)
    room = whole.buffer(-LESION_MARGIN)
    for _ in range(50):
        area = whole.area * rng.uniform(*share)
        # Blobs much smaller than a 256-px patch would not be lesions of any patch.
        count = int(rng.integers(1, 1 + np.clip(area // 40_000, 1, 4)))
        areas = area * rng.dirichlet(np.full(count, 6.0))
        placed: list[Polygon] = []
        for part in sorted(areas, reverse=True):
            found = _place(rng, room, part)
            if found is None:
                break
            placed.append(found)
            room = room.difference(found.buffer(LESION_MARGIN))
        if len(placed) == count:
            return tuple(placed)
        room = whole.buffer(-LESION_MARGIN)
    raise OptionError(
        f"lesion_share={share}: so large lesions do not fit into the tissue: "
        "lower the share, or enlarge the slides"
    )


def _place(rng: Generator, room: Polygon, area: float) -> Polygon | None:
    """Find a place for one blob of the given area; None when 60 tries did not."""
    left, top, right, bottom = room.bounds
    for _ in range(60):
        shape = affinity.scale(blob(rng, 0.16, 9, 96), 1.0, rng.uniform(0.65, 1.0))
        shape = affinity.rotate(shape, rng.uniform(0, 180))
        factor = float(np.sqrt(area / shape.area))
        shape = affinity.scale(shape, factor, factor, origin=(0, 0))
        x, y = rng.uniform(left, right), rng.uniform(top, bottom)
        if not room.contains(Point(x, y)):
            continue
        shape = affinity.translate(shape, x, y)
        if room.contains(shape):
            return shape
    return None


def scattered(rng: Generator, px_size: tuple[float, float], spacing: float) -> Points:
    """Return positions spread evenly but not regularly: a hexagonal grid, shaken.

    Args:
        rng: Source of the shaking.
        px_size: (width, height) to cover.
        spacing: Mean distance of neighbours.
    """
    columns = np.arange(0, px_size[0], spacing)
    rows = np.arange(0, px_size[1], spacing * 0.87)
    grid = np.stack(np.meshgrid(columns, rows), axis=-1)
    grid[1::2, :, 0] += spacing / 2
    shaken: Points = grid.reshape(-1, 2)
    return shaken + rng.uniform(-0.29, 0.29, shaken.shape) * spacing


def fill(
    polygons: tuple[Polygon, ...],
    px_size: tuple[int, int],
    l0_origin: tuple[float, float] = (0, 0),
    downsample: float = 1.0,
) -> Gray:
    """Return a mask that is 255 inside the polygons and 0 outside and in their holes.

    Args:
        polygons: Outlines in level-0 px.
        px_size: (width, height) of the mask.
        l0_origin: Where the mask's top-left corner lies.
        downsample: Level-0 px in one pixel of the mask.
    """
    mask = np.zeros(px_size[::-1], np.uint8)
    for polygon in polygons:
        rings = [
            np.round((np.asarray(ring.coords) - l0_origin) / downsample).astype(int)
            for ring in (polygon.exterior, *polygon.interiors)
        ]
        cv2.fillPoly(mask, rings[:1], 255)
        cv2.fillPoly(mask, rings[1:], 0)
    return mask


def press_ellipse(
    canvas: Gray,
    px_xy: npt.NDArray[np.float64],
    radii: npt.NDArray[np.float64],
    turn: float,
    value: float,
) -> None:
    """Set an ellipse of a canvas to one value; in place.

    Args:
        canvas: uint8 of shape (height, width).
        px_xy: Its middle.
        radii: Half its length and half its width in px.
        turn: Direction of its length in radians, from x towards y.
        value: 0 to 255.
    """
    middle = [round(v) for v in px_xy.tolist()]
    axes = [max(1, round(v)) for v in radii.tolist()]
    cv2.ellipse(
        canvas,
        middle,
        axes,
        float(np.degrees(turn)),
        0,
        360,
        int(value),
        -1,
        cv2.LINE_AA,
    )


def rotation(turn: float) -> npt.NDArray[np.float64]:
    """Return the matrix that turns row vectors (x, y) by `turn` radians."""
    cos, sin = np.cos(turn), np.sin(turn)
    return np.array([[cos, sin], [-sin, cos]])
