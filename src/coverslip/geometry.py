"""Scales, boxes and frames: the only place where coordinates are converted.

Three frames are in use, and every variable carries its frame as a prefix:

    l0_   pixels of level 0, the finest; origin at the slide's top-left corner
    lv_   pixels of a pyramid level
    px_   pixels of an image in memory: a tissue mask, a thumbnail, a patch

A pair is always (x, y) or (width, height); arrays are indexed [y, x]. Downsamples
are real numbers (4.00022 is usual) and are never truncated.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NewType

from coverslip.errors import TooCoarseError

Mpp = NewType("Mpp", float)
"""Micrometres per pixel."""

ROUNDING = 5e-13
"""Relative error of a division that must not cost another pixel."""

UPSAMPLING_SLACK = 1.1
"""A slide up to this factor coarser than asked is enlarged without being asked."""


@dataclass(frozen=True)
class Box:
    """An axis-aligned rectangle in level-0 pixels, half-open on the right and below."""

    l0_x: int
    l0_y: int
    l0_width: int
    l0_height: int

    def as_list(self) -> list[int]:
        """Return [x, y, width, height]."""
        return [self.l0_x, self.l0_y, self.l0_width, self.l0_height]


@dataclass(frozen=True)
class Scale:
    """How patches of `size` pixels at `asked_mpp` are read from one slide.

    Attributes:
        asked_mpp: Scale of the patch that was asked for.
        l0_mpp: Scale of level 0.
        level: Pyramid level that is read: the coarsest that is not coarser than asked.
        level_mpp: Scale of that level.
        size: Side of the patch in pixels.
        lv_size: Side of the square read from the level, in its pixels.
        l0_size: Side of the patch in level-0 pixels (a real number).
        resample: Pixels read for one pixel kept, along one axis (1 = no resampling).
        achieved_mpp: Scale of the patch after rounding to whole pixels.
    """

    asked_mpp: Mpp
    l0_mpp: Mpp
    level: int
    level_mpp: Mpp
    size: int
    lv_size: int
    l0_size: float
    resample: float
    achieved_mpp: Mpp

    def facts(self) -> dict[str, Any]:
        """Return the audit of this scale as JSON-ready facts."""
        return asdict(self)


def plan_scale(
    l0_mpp: Mpp,
    downsamples: Sequence[float],
    asked_mpp: Mpp,
    size: int,
    *,
    upsample: bool = False,
) -> Scale:
    """Choose the level to read and the pixels to read from it.

    Args:
        l0_mpp: Micrometres per pixel of level 0.
        downsamples: Downsample of each level, level 0 first; they may be fractions.
        asked_mpp: Micrometres per pixel of the patch.
        size: Side of the patch in pixels.
        upsample: Admit a level 0 that is coarser than asked.

    Raises:
        TooCoarseError: Level 0 is coarser than asked, by more than `UPSAMPLING_SLACK`.
    """
    wanted = asked_mpp / l0_mpp
    if wanted * UPSAMPLING_SLACK < 1 and not upsample:
        raise TooCoarseError(
            f"level 0 has {l0_mpp:g} mpp, coarser than the {asked_mpp:g} asked: "
            f"ask for --target-mpp {l0_mpp:g}, or admit enlarging with --upsample"
        )
    # A level 1 % coarser than asked still counts as fine enough: pyramids are rounded.
    level = max(
        (i for i, d in enumerate(downsamples) if d <= wanted * 1.01),
        key=lambda i: downsamples[i],
        default=0,
    )
    downsample = downsamples[level]
    lv_size = max(1, round(size * wanted / downsample))
    return Scale(
        asked_mpp=asked_mpp,
        l0_mpp=l0_mpp,
        level=level,
        level_mpp=Mpp(l0_mpp * downsample),
        size=size,
        lv_size=lv_size,
        l0_size=size * wanted,
        resample=lv_size / size,
        achieved_mpp=Mpp(lv_size * downsample * l0_mpp / size),
    )


def magnification(mpp: Mpp) -> float:
    """Return the objective power that goes with a scale: 0.5 mpp is 20x."""
    return 10.0 / mpp


def scale_name(mpp: Mpp, size: int, overlap: int) -> str:
    """Name a patching as TRIDENT's users know it: `20x_256px_0px_overlap`."""
    return f"{magnification(mpp):.4g}x_{size}px_{overlap}px_overlap"


def px_size_from_l0(l0_size: tuple[int, int], downsample: float) -> tuple[int, int]:
    """Return the (width, height) of an image that covers a level-0 extent."""
    exact = (1 - ROUNDING) / downsample  # 42021 / 1.4 is a little more than 30015
    return (
        max(1, math.ceil(l0_size[0] * exact)),
        max(1, math.ceil(l0_size[1] * exact)),
    )
