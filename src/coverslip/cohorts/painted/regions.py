"""Where the regions of painted tissue lie, drawn after the anatomy of a lymph node.

A fibrous capsule and trabeculae, scars, and follicles with or without germinal centres;
everything else is filled with lymphocytes.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from shapely.geometry import Polygon

from coverslip.cohorts.painted.pixels import (
    Field,
    Gray,
    averaged,
    blurred,
    ramp,
    value_noise,
)
from coverslip.cohorts.painted.shapes import fill

COARSE = 8
"""Level-0 px in one pixel of the maps of regions."""


@dataclass(frozen=True)
class Regions:
    """Maps of 0 to 1 over the slide, one pixel for `COARSE` level-0 px.

    Attributes:
        tissue: Inside a piece's outer edge.
        fibrous: Capsule, trabeculae and scars.
        capsule: The outermost part of it.
        mantle: Follicles, densely filled.
        germinal: Their germinal centres.
        crowding: Share of places that hold a lymphocyte.
        depth: Level-0 px to the edge; the fibres of the capsule run along its contours.
        height: A wavy map along whose contours all other fibres run, level-0 px too.
    """

    tissue: Field
    fibrous: Field
    capsule: Field
    mantle: Field
    germinal: Field
    crowding: Field
    depth: Field
    height: Field


def lay_regions(rng: Generator, size: int, tissue: tuple[Polygon, ...]) -> Regions:
    """Divide the tissue of a slide of `size` level-0 px into regions."""
    side = -(-size // COARSE)
    shells = tuple(Polygon(piece.exterior) for piece in tissue)
    inside = fill(shells, (side, side), downsample=COARSE)
    depth = COARSE * _distance(inside)

    def noise(l0_cell: float) -> Field:
        return value_noise(rng, side, l0_cell / COARSE)

    row = COARSE * np.indices((side, side), dtype=np.float32)[0]
    thickness = 34 + 14 * noise(400)
    capsule = ramp(depth / thickness, 1.3, 0.7)
    trabeculae = ramp(np.abs(noise(520)) - 0.05 * noise(200), 0.11, 0.03)
    trabeculae *= ramp(noise(800), -0.3, 0.3)
    scars = ramp(noise(760) + 0.2 * noise(150), 1.3, 1.7)
    fibrous = np.maximum(capsule, np.maximum(trabeculae, scars))
    mantle, germinal = _follicles(rng, depth)
    fibrous *= 1 - mantle
    crowding = np.clip(0.56 + 0.10 * noise(300) + 0.08 * noise(90), 0.3, 1)
    crowding = crowding + (0.97 - crowding) * mantle
    crowding *= (1 - 0.9 * fibrous) * (1 - 0.82 * germinal)
    fat = (inside - fill(tissue, (side, side), downsample=COARSE)) / np.float32(255)
    crowding *= ramp(averaged(fat, 9), 0.6, 0.25)
    return Regions(
        tissue=inside / np.float32(255),
        fibrous=fibrous,
        mantle=mantle,
        germinal=germinal,
        crowding=crowding.astype(np.float32),
        capsule=capsule,
        depth=blurred(depth, 2.5) + 4 * noise(90),
        height=row + 100 * noise(420) + 22 * noise(110),
    )


def _distance(inside: Gray) -> Field:
    """Return how far each pixel inside is from the edge, in pixels of the map."""
    return np.asarray(cv2.distanceTransform(inside, cv2.DIST_L2, 3), np.float32)


def _follicles(rng: Generator, depth: Field) -> tuple[Field, Field]:
    """Return the maps of follicles and of their germinal centres."""
    mantle, germinal = np.zeros_like(depth), np.zeros_like(depth)
    deep = np.argwhere(depth > 150)
    row, column = np.indices(depth.shape, dtype=np.float32)
    wobble = value_noise(rng, len(depth), 130 / COARSE)
    wanted = int(len(deep) * COARSE**2 * rng.uniform(3e-6, 6e-6))
    taken: list[tuple[float, float, float]] = []
    for y, x in deep[rng.integers(len(deep), size=4 * wanted)] if len(deep) else ():
        radius = rng.uniform(95, 210) / COARSE
        if len(taken) == wanted or any(
            np.hypot(x - x2, y - y2) < 1.25 * (radius + r2) for x2, y2, r2 in taken
        ):
            continue
        taken.append((x, y, radius))
        away = np.hypot(column - x, (row - y) * rng.uniform(0.85, 1.2)) / radius
        away += 0.07 * wobble
        np.maximum(mantle, ramp(away, 1.1, 0.9), out=mantle)
        if rng.random() < 0.6:
            np.maximum(germinal, ramp(away, 0.68, 0.5), out=germinal)
    return mantle, germinal
