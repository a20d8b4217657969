"""Structures of several cells: vessels, glands and nests, benign or tumour."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from coverslip.cohorts.painted.cells import BENIGN, ENDOTHELIUM, Library
from coverslip.cohorts.painted.pixels import Gray
from coverslip.cohorts.painted.regions import COARSE, Regions
from coverslip.cohorts.painted.shapes import (
    Points,
    press_ellipse,
    rotation,
    scattered,
)


@dataclass(frozen=True)
class Dyes:
    """The amounts of both dyes, 0 to 255, that are painted on in place."""

    haematoxylin: Gray
    eosin: Gray

    def press(
        self, l0_xy: Points, radii: Points, turn: float, blue: float, pink: float
    ) -> None:
        """Set an ellipse of both dyes."""
        press_ellipse(self.haematoxylin, l0_xy, radii, turn, blue)
        press_ellipse(self.eosin, l0_xy, radii, turn, pink)


def lay_cluster(
    rng: Generator, dyes: Dyes, nuclei: Library, l0_xy: Points, radii: Points
) -> None:
    """Lay a gland, nuclei round a lumen, or a solid nest of the same nuclei.

    Args:
        rng: Chooses which, and its details.
        dyes: Painted on in place.
        nuclei: What it is made of; the larger they are, the fewer.
        l0_xy: Its middle.
        radii: Half its length and half its width.
    """
    turn = rng.uniform(0, np.pi)
    press_ellipse(dyes.eosin, l0_xy, 1.15 * radii, turn, rng.uniform(74, 107))
    if rng.random() < GLAND_SHARE:
        dyes.press(l0_xy, 0.42 * radii, turn, 4, rng.uniform(6, 50))
        cells, turns = _ring(rng, 0.8 * radii, 0.85 * nuclei.length)
    else:
        side = 2 * radii.max()
        cells = scattered(rng, (side, side), 0.95 * nuclei.length) - side / 2
        cells = cells[np.hypot(*(cells / radii).T) < 1]
        turns = rng.uniform(0, np.pi, len(cells))
    cells = cells @ rotation(turn) + l0_xy
    nuclei.lay(rng, dyes.haematoxylin, cells, turns + turn)


GLAND_SHARE = 0.55
"""Share of the clusters that have a lumen."""


def _ring(rng: Generator, radii: Points, spacing: float) -> tuple[Points, Points]:
    """Return positions round an ellipse, and the angle outwards at each."""
    around = rng.uniform(0, 7) + np.arange(0, 2 * np.pi, spacing / radii.mean())
    around += rng.uniform(-0.1, 0.1, len(around))
    places = radii * np.column_stack([np.cos(around), np.sin(around)])
    return places, around + rng.uniform(-0.4, 0.4, len(around))


def lay_vessels(rng: Generator, dyes: Dyes, regions: Regions) -> None:
    """Lay small vessels: a pale lumen, a pink wall, flat nuclei round it."""
    endothelium = Library.of(rng, ENDOTHELIUM, 16, 3)
    for l0_xy in _calm_places(rng, regions, rng.uniform(6e-6, 12e-6)):
        radii = rng.uniform(9, 26) * np.array([1, rng.uniform(0.5, 1)])
        turn, wall = rng.uniform(0, np.pi), rng.uniform(3, 7)
        dyes.press(l0_xy, radii + wall, turn, 12, rng.uniform(108, 150))
        content = rng.choice([10, 25, 165], p=[0.5, 0.3, 0.2])
        dyes.press(l0_xy, radii, turn, 3, content)
        places, outwards = _ring(rng, radii + wall * 0.6, 24)
        places = places @ rotation(turn) + l0_xy
        endothelium.lay(rng, dyes.haematoxylin, places, outwards + turn + np.pi / 2)


def lay_inclusions(rng: Generator, dyes: Dyes, regions: Regions) -> None:
    """Lay groups of benign glands and nests, so that a gland alone is no tumour."""
    benign = Library.of(rng, BENIGN, 8, 6)
    for l0_middle in _calm_places(rng, regions, rng.uniform(1e-6, 4e-6)):
        group = scattered(rng, (260, 260), rng.uniform(72, 100)) - 130
        group = group[np.hypot(*group.T) < rng.uniform(30, 130)]
        for l0_xy in group + l0_middle:
            radii = rng.uniform(22, 38) * np.array([1, rng.uniform(0.6, 1)])
            lay_cluster(rng, dyes, benign, l0_xy, radii)


def _calm_places(rng: Generator, regions: Regions, density: float) -> Points:
    """Return places in tissue but not in follicles, `density` of them in a square px."""
    calm = np.argwhere((regions.tissue > 0.99) & (regions.mantle < 0.01))
    count = int(len(calm) * COARSE**2 * density)
    chosen = calm[rng.integers(len(calm), size=count)] if len(calm) else calm[:0]
    return COARSE * chosen[:, ::-1].astype(np.float64)
