"""Patches: where on the tissue the squares lie that are looked at (seed 1.1, 1.3).

A grid from the corner of the scanned area, last row and column included; a square is
kept when more than `threshold` of its area is tissue. The share is computed for the
whole grid in one pass from the integral image of the tissue mask, with real-valued
corners, so that it is exact for any scale.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field

from coverslip import store
from coverslip.errors import CorruptFileError, TooCoarseError, TooSmallError
from coverslip.geometry import Box, Mpp, Scale, magnification, plan_scale
from coverslip.options import Options
from coverslip.prepare.tissue import Tissue
from coverslip.slides.overview import require_mpp
from coverslip.slides.slide import Slide

Coordinates = npt.NDArray[np.int64]
"""Level-0 top-left corners (x, y), shape (N, 2)."""


class PatchOptions(Options):
    """How patches are laid over the tissue."""

    mpp: float = Field(
        0.5, ge=0.01, le=100, description="um per pixel of a patch (0.5 is 20x)"
    )
    size: int = Field(256, ge=8, description="side of a patch in pixels")
    stride: int | None = Field(
        None, ge=1, description="pixels from patch to patch; the size when not given"
    )
    threshold: float = Field(
        0.8, ge=0, lt=1, description="keep a patch with more tissue than this share"
    )
    upsample: bool = Field(
        default=False, description="admit slides coarser than asked, enlarging them"
    )

    @property
    def step(self) -> int:
        """Pixels from one patch to the next."""
        return self.stride or self.size

    @property
    def overlap(self) -> int:
        """Pixels that neighbouring patches share; negative when they leave gaps."""
        return self.size - self.step


@dataclass(frozen=True)
class Patches:
    """The patches of one slide.

    Attributes:
        slide_id: The slide.
        coords: (N, 2) level-0 top-left corners (x, y), row by row.
        tissue_share: (N,) share of each patch that is tissue, 0 to 1.
        scale: How each is read.
        l0_size: (width, height) of the slide.
        facts: How they were laid.
    """

    slide_id: str
    coords: Coordinates
    tissue_share: npt.NDArray[np.float32]
    scale: Scale
    l0_size: tuple[int, int]
    facts: store.Facts

    def __len__(self) -> int:
        return len(self.coords)

    def save(self, path: Path, slide: Slide, overlap: int) -> None:
        """Write coordinates with the union of CLAM's and TRIDENT's attributes."""
        store.write_h5(
            path,
            {"coords": self.coords, "tissue_share": self.tissue_share},
            {
                "slide_id": self.slide_id,
                "scale": self.scale.facts(),
                "l0_size": list(self.l0_size),
                **self.facts,
            },
            {"coords": peer_attributes(self.scale, slide, overlap, path)},
        )

    @classmethod
    def load(cls, path: Path) -> "Patches":
        """Read what `save` wrote.

        Raises:
            DataError: There is no such file.
            CorruptFileError: It is damaged, or was not written by coverslip.
        """
        with store.reading_h5(path) as file:
            facts = store.facts_of(file)
            coords = np.asarray(file["coords"][:], dtype=np.int64).reshape(-1, 2)
            share = np.asarray(file["tissue_share"][:], dtype=np.float32)
        try:
            return cls(
                slide_id=facts.pop("slide_id"),
                coords=coords,
                tissue_share=share,
                scale=Scale(**facts.pop("scale")),
                l0_size=tuple(facts.pop("l0_size")),
                facts=facts,
            )
        except (KeyError, TypeError) as error:
            raise CorruptFileError(
                f"{path}: not patches of coverslip ({error!r}): delete it and run the "
                "same command again"
            ) from None


def lay_patches(
    slide: Slide, tissue: Tissue, options: PatchOptions | None = None
) -> Patches:
    """Lay patches over the tissue of a slide.

    Returns:
        The patches, none where there is no tissue.

    Raises:
        MissingMppError: The scale of the slide is unknown.
        TooCoarseError: The slide is coarser than asked.
        TooSmallError: The slide is smaller than one patch.
    """
    options = options or PatchOptions()
    scale, l0_xs, l0_ys = lay_grid(slide, tissue.bounds, options)
    share = coverage(tissue, l0_xs, l0_ys, scale.l0_size)
    rows, columns = np.nonzero(share > options.threshold)
    return Patches(
        slide_id=slide.slide_id,
        coords=np.stack([l0_xs[columns], l0_ys[rows]], axis=1),
        tissue_share=share[rows, columns].astype(np.float32),
        scale=scale,
        l0_size=slide.l0_size,
        facts={"options": options.facts(), "tissue": dict(tissue.facts)},
    )


def lay_grid(
    slide: Slide, bounds: Box, options: PatchOptions
) -> tuple[Scale, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Lay the grid whose squares are kept where there is tissue.

    Returns:
        How each is read; (X,) left edges; (Y,) top edges, in level-0 pixels.

    Raises:
        MissingMppError, TooCoarseError, TooSmallError: As `lay_patches`.
    """
    scale = _scale(slide, options)
    l0_step = scale.l0_size * options.step / options.size
    l0_xs = _grid(bounds.l0_x, bounds.l0_width, scale.l0_size, l0_step)
    l0_ys = _grid(bounds.l0_y, bounds.l0_height, scale.l0_size, l0_step)
    if not (len(l0_xs) and len(l0_ys)):
        raise TooSmallError(
            f"{slide.path}: {bounds.l0_width} x {bounds.l0_height} px is smaller than "
            f"one patch of {scale.l0_size:.0f} px: ask for a smaller --size"
        )
    return scale, l0_xs, l0_ys


def _scale(slide: Slide, options: PatchOptions) -> Scale:
    try:
        return plan_scale(
            require_mpp(slide),
            slide.downsamples,
            Mpp(options.mpp),
            options.size,
            upsample=options.upsample,
        )
    except TooCoarseError as error:
        raise TooCoarseError(f"{slide.path}: {error}") from None


def _grid(
    l0_start: int, l0_extent: int, l0_side: float, l0_step: float
) -> npt.NDArray[np.int64]:
    """Return where patches start along one axis; the last one ends inside."""
    count = int((l0_extent - l0_side + 0.5) // l0_step) + 1
    offsets = np.rint(np.arange(max(0, count)) * l0_step)
    return np.asarray(l0_start + offsets, dtype=np.int64)


def coverage(
    tissue: Tissue,
    l0_xs: npt.NDArray[np.int64],
    l0_ys: npt.NDArray[np.int64],
    l0_side: float,
) -> npt.NDArray[np.float64]:
    """Return the share of tissue in every square of a grid.

    Args:
        tissue: The tissue.
        l0_xs: (X,) left edges.
        l0_ys: (Y,) top edges.
        l0_side: Side of the squares.

    Returns:
        (Y, X) shares, 0 to 1.
    """
    across, down = tissue.l0_per_px
    area = cv2.integral(tissue.mask.view(np.uint8))  # (H + 1, W + 1)
    px_xs = (l0_xs[None] + [[0.0], [l0_side]] - tissue.bounds.l0_x) / across
    px_ys = (l0_ys[None] + [[0.0], [l0_side]] - tissue.bounds.l0_y) / down
    left, right = (_interpolate(area.T, edge).T for edge in px_xs)  # (H + 1, X)
    strip = right - left
    top, bottom = (_interpolate(strip, edge) for edge in px_ys)  # (Y, X)
    px_area = (l0_side / across) * (l0_side / down)
    return np.asarray((bottom - top) / px_area)


def _interpolate(
    rows: npt.NDArray[Any], positions: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the rows at real-valued positions, linearly between neighbours."""
    inside = np.clip(positions, 0, len(rows) - 1)
    below = np.minimum(inside.astype(np.int64), len(rows) - 2)
    weight = (inside - below)[:, None]
    return np.asarray(rows[below] * (1 - weight) + rows[below + 1] * weight)


def peer_attributes(
    scale: Scale, slide: Slide, overlap: int, path: Path
) -> dict[str, Any]:
    """Return the attributes that CLAM's and TRIDENT's readers expect on `coords`.

    Both know a `patch_size`, and mean different things when pixels are resampled: it is
    TRIDENT's, the size after resampling. What CLAM would read from `patch_level` is
    `lv_size` of the scale.
    """
    level_size = np.array(slide.level_sizes[scale.level])
    return {
        "patch_level": scale.level,
        "downsample": np.array([slide.downsamples[scale.level]] * 2),
        "downsampled_level_dim": level_size,
        "level_dim": level_size,
        "save_path": str(path.parent),
        **trident_attributes(scale, slide.l0_size, overlap),
        "name": slide.slide_id,
        "savetodir": str(path.parent),
        "target_mpp": float(scale.asked_mpp),
        "achieved_mpp": float(scale.achieved_mpp),
        "level0_mpp": float(scale.l0_mpp),
    }


def trident_attributes(
    scale: Scale, l0_size: tuple[int, int], overlap: int
) -> dict[str, int]:
    """Return the numbers that TRIDENT's readers expect on `coords`; all are integers."""
    return {
        "patch_size": scale.size,
        "patch_size_level0": round(scale.l0_size),
        "level0_magnification": max(1, round(magnification(scale.l0_mpp))),
        "target_magnification": max(1, round(magnification(scale.asked_mpp))),
        "overlap": overlap,
        "level0_width": l0_size[0],
        "level0_height": l0_size[1],
    }
