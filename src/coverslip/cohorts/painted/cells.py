"""Nuclei of painted slides: a library of stamps for each kind, and how they are laid."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from coverslip.cohorts.painted.pixels import Field, Gray, blurred
from coverslip.cohorts.painted.shapes import Points


@dataclass(frozen=True)
class Kind:
    """How nuclei of one kind look; lengths in px at 0.5 mpp.

    Attributes:
        length: Least and most length.
        narrow: Least and most width as a share of the length.
        crooked: Irregularity of the outline.
        chromatin: Haematoxylin between the clumps, 0 to 1.
        rim: Haematoxylin added at the nuclear membrane.
        clumps: Contrast of the chromatin clumps.
        grain: Size of the clumps in px.
        nucleoli: Most nucleoli in a nucleus.
    """

    length: tuple[float, float]
    narrow: tuple[float, float]
    crooked: float
    chromatin: float
    rim: float
    clumps: float
    grain: float
    nucleoli: int


LYMPHOCYTE = Kind((10, 14), (0.85, 1), 0.05, 0.56, 0.06, 0.32, 1.4, 0)
CENTROBLAST = Kind((15, 21), (0.75, 1), 0.08, 0.42, 0.14, 0.22, 1.6, 2)
SPINDLE = Kind((20, 30), (0.22, 0.32), 0.05, 0.60, 0.05, 0.16, 1.5, 0)
ENDOTHELIUM = Kind((11, 17), (0.26, 0.36), 0.05, 0.60, 0.05, 0.16, 1.5, 0)
BENIGN = Kind((13, 18), (0.75, 1), 0.05, 0.50, 0.12, 0.26, 1.7, 1)
LOW_GRADE = Kind((15, 21), (0.70, 1), 0.07, 0.48, 0.16, 0.29, 1.9, 1)
HIGH_GRADE = Kind((20, 31), (0.60, 0.95), 0.13, 0.42, 0.23, 0.34, 2.3, 2)


def tumour(grade: float) -> Kind:
    """Return how tumour nuclei of a grade look, 0 (almost benign) to 1 (bizarre)."""

    def between(low: float, high: float) -> float:
        return low + grade * (high - low)

    def pair(
        low: tuple[float, float], high: tuple[float, float]
    ) -> tuple[float, float]:
        return between(low[0], high[0]), between(low[1], high[1])

    low, high = LOW_GRADE, HIGH_GRADE
    return Kind(
        pair(low.length, high.length),
        pair(low.narrow, high.narrow),
        between(low.crooked, high.crooked),
        between(low.chromatin, high.chromatin),
        between(low.rim, high.rim),
        between(low.clumps, high.clumps),
        between(low.grain, high.grain),
        high.nucleoli,
    )


def stamp(rng: Generator, kind: Kind, turn: float) -> Gray:
    """Return one nucleus as haematoxylin, 0 to 255, in a square just large enough.

    Args:
        rng: Source of its shape and chromatin.
        kind: How it looks.
        turn: Direction of its length in radians, from x towards y.
    """
    length = rng.uniform(*kind.length) / 2
    width = length * rng.uniform(*kind.narrow)
    half = int(np.ceil(length * 1.3)) + 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float64)
    u = (np.cos(turn) * x + np.sin(turn) * y) / length
    v = (np.cos(turn) * y - np.sin(turn) * x) / width
    angle = np.arctan2(v, u)
    edge = np.ones_like(angle)
    for period in (2, 3, 4, 5):
        height = kind.crooked * rng.standard_normal() * 1.6 / period
        edge += height * np.cos(period * angle + rng.uniform(0, 2 * np.pi))
    depth = np.hypot(u, v) / np.maximum(edge, 0.5)
    inside = np.clip((1 - depth) * width / 1.6 + 0.5, 0, 1)
    noise = blurred(rng.standard_normal(x.shape), kind.grain)
    noise /= noise.std() + 1e-9
    chromatin = kind.chromatin + kind.clumps * np.clip(0.5 * noise, -0.8, 1.2)
    chromatin += kind.rim * np.exp(-(((depth - 0.9) / 0.16) ** 2))
    for _ in range(int(rng.integers(0, kind.nucleoli + 1))):
        away, at = rng.uniform(0, 0.45), rng.uniform(0, 2 * np.pi)
        spot = np.hypot(
            (u - away * np.cos(at)) * length, (v - away * np.sin(at)) * width
        )
        chromatin += 0.5 * np.clip(length * 0.24 - spot + 0.5, 0, 1)
    shade = rng.uniform(0.78, 1.12)
    amount: Field = np.clip(255 * shade * inside * chromatin, 0, 255)
    return amount.astype(np.uint8)


@dataclass(frozen=True)
class Library:
    """Ready stamps of one kind.

    Attributes:
        length: Mean length of a nucleus in px.
        stamps: For each of several directions, several variants.
    """

    length: float
    stamps: tuple[tuple[Gray, ...], ...]

    @classmethod
    def of(cls, rng: Generator, kind: Kind, turns: int, variants: int) -> "Library":
        """Draw the stamps of one kind."""
        return cls(
            sum(kind.length) / 2,
            tuple(
                tuple(stamp(rng, kind, np.pi * turn / turns) for _ in range(variants))
                for turn in range(turns)
            ),
        )

    def lay(
        self,
        rng: Generator,
        canvas: Gray,
        px_xy: Points,
        turn: npt.NDArray[np.float64] | None = None,
    ) -> None:
        """Press one stamp at each position; where two overlap the darker stays.

        Args:
            rng: Chooses the variants, and the directions when `turn` is None.
            canvas: Haematoxylin, changed in place.
            px_xy: Positions of the middles on the canvas.
            turn: Direction of each nucleus in radians.
        """
        turns, variants = len(self.stamps), len(self.stamps[0])
        if turn is None:
            rows = rng.integers(turns, size=len(px_xy))
        else:
            rows = np.round(turn / np.pi * turns).astype(int) % turns
        columns = rng.integers(variants, size=len(px_xy))
        height, width = canvas.shape
        places = np.round(px_xy).astype(int).tolist()
        for (x, y), row, column in zip(
            places, rows.tolist(), columns.tolist(), strict=True
        ):
            mark = self.stamps[row][column]
            half = len(mark) // 2
            if half <= x < width - half and half <= y < height - half:
                here = canvas[y - half : y + half + 1, x - half : x + half + 1]
                np.maximum(here, mark, out=here)


def sample(field: Field, px_xy: Points, downsample: float) -> Points:
    """Return a coarse field's values at positions of the fine image."""
    column, row = np.clip(px_xy / downsample, 0, np.subtract(field.shape[::-1], 1)).T
    values: Points = field[row.astype(int), column.astype(int)].astype(np.float64)
    return values
