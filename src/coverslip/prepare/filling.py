"""Outlines to a mask: the way back of `polygons_from_mask`, exact to the pixel."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from shapely import Polygon
from shapely.geometry.polygon import orient

Mask = npt.NDArray[np.bool_]
"""A mask of shape (height, width), True inside."""


def fill(outlines: Iterable[Polygon], size: tuple[int, int]) -> Mask:
    """Return the mask of the pixels whose centre lies inside.

    Args:
        outlines: Polygons with holes in mask pixels, (0, 0) at the top-left corner of
            the mask; they may overlap.
        size: (width, height) of the mask.

    Returns:
        A mask of shape (height, width).
    """
    width, height = size
    turns = np.zeros((height, width + 1), np.int16)
    for outline in map(orient, outlines):
        for ring in (outline.exterior, *outline.interiors):
            points = np.asarray(ring.coords)[:, :2]
            rows, columns, signs = _crossings(points, size)
            np.add.at(turns, (rows, columns), signs)
    # Left to right, the sum of the crossings tells how many outlines one is inside of.
    np.cumsum(turns, axis=1, dtype=turns.dtype, out=turns)
    return np.asarray(turns[:, :-1] != 0)


def _crossings(
    ring: npt.NDArray[np.float64], size: tuple[int, int]
) -> tuple[npt.NDArray[np.int64], ...]:
    """Return where a closed ring (N, 2) crosses the lines through pixel centres.

    Returns:
        Row and column of the first pixel right of each crossing, and +1 or -1 for a
        ring that goes down or up there.
    """
    width, height = size
    (x0, y0), (x1, y1) = ring[:-1].T, ring[1:].T
    first = np.ceil(np.minimum(y0, y1) - 0.5).clip(0, height).astype(np.int64)
    after = np.ceil(np.maximum(y0, y1) - 0.5).clip(0, height).astype(np.int64)
    side = np.repeat(np.arange(len(first)), after - first)
    begun = np.cumsum(after - first) - (after - first)
    rows = first[side] + np.arange(len(side)) - begun[side]
    share = (rows + 0.5 - y0[side]) / (y1 - y0)[side]
    x = x0[side] + share * (x1 - x0)[side]
    columns = np.ceil(x - 0.5).clip(0, width).astype(np.int64)
    return rows, columns, np.sign(y1 - y0).astype(np.int64)[side]
