"""The dyes in painted tissue: fibres, cytoplasm, nuclei and vessels, and their colours.

Haematoxylin and eosin are painted apart, as amounts, and become colours at the end.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from numpy.random import Generator
from shapely.geometry import Polygon

from coverslip.cohorts.painted.cells import (
    CENTROBLAST,
    LYMPHOCYTE,
    SPINDLE,
    Library,
    sample,
)
from coverslip.cohorts.painted.clusters import Dyes, lay_inclusions, lay_vessels
from coverslip.cohorts.painted.pixels import (
    Field,
    Gray,
    averaged,
    blurred,
    enlarged,
    grain,
    light_through,
    times,
)
from coverslip.cohorts.painted.regions import COARSE, Regions
from coverslip.cohorts.painted.shapes import (
    Points,
    fill,
    scattered,
)
from coverslip.slides.slide import RGB

HALF = 2
"""Level-0 px in one pixel of the textures before they are enlarged."""


@dataclass(frozen=True)
class Stain:
    """Optical density of each dye at full strength, per channel (R, G, B)."""

    haematoxylin: npt.NDArray[np.float64]
    eosin: npt.NDArray[np.float64]

    @classmethod
    def of(cls, rng: Generator) -> "Stain":
        """Draw the colours and strengths of one slide's staining."""
        blue = np.array([0.98, 1.14, 0.56]) * (1 + 0.06 * rng.standard_normal(3))
        pink = np.array([0.10, 0.78, 0.36]) * (1 + 0.09 * rng.standard_normal(3))
        return cls(blue * rng.uniform(0.8, 1.2), pink * rng.uniform(0.75, 1.2))

    def dye(self, haematoxylin: Gray, eosin: Gray) -> RGB:
        """Return the transmitted light (Beer and Lambert), 255 where nothing is."""
        amount = np.arange(256) / 255
        blue = light_through(
            haematoxylin, 255 * 10 ** -np.outer(amount, self.haematoxylin)
        )
        pink = light_through(eosin, 255 * 10 ** -np.outer(amount, self.eosin))
        return times(blue, pink)


@dataclass(frozen=True)
class Layers:
    """The dyes in a slide's tissue, 0 to 255, in level-0 px.

    Attributes:
        mask: 255 in tissue, 0 outside and in fat, soft between.
        haematoxylin: Of everything.
        eosin: Of everything.
        ground_haematoxylin: Without nuclei and vessels.
        ground_eosin: Without nuclei and vessels.
    """

    mask: Gray
    haematoxylin: Gray
    eosin: Gray
    ground_haematoxylin: Gray
    ground_eosin: Gray


def paint_layers(
    rng: Generator, size: int, tissue: tuple[Polygon, ...], regions: Regions
) -> Layers:
    """Fill the regions of a slide with fibres, cytoplasm and nuclei."""
    mask = blurred(fill(tissue, (size, size)), 1.3)
    ground_haematoxylin, ground_eosin = _grounds(rng, size, regions)
    haematoxylin, eosin = ground_haematoxylin.copy(), ground_eosin.copy()
    _lay_nuclei(rng, haematoxylin, regions)
    lay_vessels(rng, Dyes(haematoxylin, eosin), regions)
    lay_inclusions(rng, Dyes(haematoxylin, eosin), regions)
    return Layers(
        mask,
        times(haematoxylin, mask),
        times(finished_eosin(rng, eosin, haematoxylin), mask),
        ground_haematoxylin,
        ground_eosin,
    )


def finished_eosin(rng: Generator, eosin: Gray, haematoxylin: Gray) -> Gray:
    """Return eosin grainy, with soft borders, and faint where nuclei lie."""
    height, width = eosin.shape
    rough = np.clip(200 + 26 * grain(rng, 0.9, (width, height)), 0, 255)
    eosin = times(blurred(eosin, 1.1), rough.astype(np.uint8))
    free = 255 - times(haematoxylin, np.full_like(haematoxylin, 153))
    return times(eosin, free)


def _grounds(rng: Generator, size: int, regions: Regions) -> tuple[Gray, Gray]:
    """Return haematoxylin and eosin of everything but nuclei and vessels."""
    half = (-(-size // HALF),) * 2

    def wide(field: Field) -> Field:
        return enlarged(field, half)

    inner, outer = _fibres(rng, [wide(regions.height), wide(regions.depth)])
    fibres = inner + wide(regions.capsule) * (outer - inner)
    fibrous, germinal = wide(regions.fibrous), wide(regions.germinal)
    mesh = grain(rng, 1.1, half) + 0.6 * grain(rng, 4, half)
    loose = 66 + 19 * mesh - 20 * germinal
    eosin = loose + fibrous * (132 + 58 * fibres - loose)
    haematoxylin = (1 - fibrous) * (26 + 9 * mesh - 10 * germinal) + 7

    def whole(amount: Field) -> Gray:
        return enlarged(np.clip(amount, 0, 255).astype(np.uint8), (size, size))

    return whole(haematoxylin), whole(eosin)


def _fibres(rng: Generator, l0_across: Sequence[Field]) -> list[Field]:
    """Return streaks of about zero mean and unit spread for each map of heights.

    The streaks run along the contours of the maps, which are in level-0 px.
    """
    tile, length = 1024, 41
    noise = rng.standard_normal((tile, tile)).astype(np.float32)
    ends = np.pad(noise, ((0, 0), (2 * length, 2 * length)), "wrap")
    streaks = averaged(blurred(ends, 0.8), length, 1)[:, 2 * length : -2 * length]
    bands = blurred(streaks, 14, 4)
    streaks = streaks / streaks.std() + 0.6 * bands / bands.std()
    streaks /= streaks.std()
    column = np.indices(l0_across[0].shape, dtype=np.float32)[1]
    return [
        np.asarray(
            cv2.remap(
                streaks,
                column,
                across / HALF,
                cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_WRAP,
            ),
            np.float32,
        )
        for across in l0_across
    ]


def fibre_turn(regions: Regions) -> Field:
    """Return the direction of the fibres in radians, from x towards y."""
    down, right = np.where(
        regions.capsule > 0.5, np.gradient(regions.depth), np.gradient(regions.height)
    )
    turn: Field = np.arctan2(-right, down)
    return turn


def _lay_nuclei(rng: Generator, canvas: Gray, regions: Regions) -> None:
    """Lay lymphocytes, centroblasts and spindle cells where they belong."""
    shape = canvas.shape[::-1]

    def chosen(spacing: float, share: Field) -> Points:
        l0_xy = scattered(rng, shape, spacing)
        return l0_xy[rng.random(len(l0_xy)) < sample(share, l0_xy, COARSE)]

    tissue = regions.tissue
    lymphocytes = Library.of(rng, LYMPHOCYTE, 8, 8)
    lymphocytes.lay(rng, canvas, chosen(13.5, regions.crowding * tissue))
    germinal = regions.germinal * tissue
    Library.of(rng, CENTROBLAST, 8, 6).lay(rng, canvas, chosen(22, 0.85 * germinal))
    spindles = chosen(24, (0.05 + 0.5 * regions.fibrous) * tissue)
    turn = sample(fibre_turn(regions), spindles, COARSE)
    turn += 0.15 * rng.standard_normal(len(turn))
    Library.of(rng, SPINDLE, 16, 4).lay(rng, canvas, spindles, turn)
