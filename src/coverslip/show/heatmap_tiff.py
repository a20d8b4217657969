"""Heatmaps as pyramidal TIFF, on the slide's own pixels.

A pixel of the picture covers a square of a power of two of level-0 pixels, from the
slide's corner on, as a level of the slide itself would; the file states its size in
micrometres. What is left at the right and lower edge (less than one pixel) is cut off:
so ASAP, which divides whole numbers, gets the same power of two along both axes.

    colour    RGB; white where there is no patch: OpenSlide, QuPath and ASAP open it
    values    float32, 0 where there is no patch: QuPath opens it, ASAP lays it over the
              slide. OpenSlide does not open it.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import tifffile

from coverslip.geometry import Box, Mpp
from coverslip.show.heatmap import PatchShape, Values, paint
from coverslip.store import writing

LONGEST = 4096
"""Longer side in pixels, at most."""

PATCH_PX = 32
"""A patch need not be wider than about this many pixels."""

TILE = 256
UM_PER_CM = 10_000


@dataclass(frozen=True)
class Frame:
    """How a picture lies on a slide.

    Attributes:
        bounds: The part of level 0 that it shows.
        downsample: Level-0 pixels for one of its pixels: a power of two.
        px_size: (width, height).
        px_mpp: Micrometres for one of its pixels.
    """

    bounds: Box
    downsample: int
    px_size: tuple[int, int]
    px_mpp: Mpp


def frame_of(bounds: Box, l0_side: float, l0_mpp: Mpp) -> Frame:
    """Choose the finest frame of bounded size that patches of a side need.

    Args:
        bounds: What is to be shown: all of level 0, or the scanned part.
        l0_side: Side of a patch in level-0 pixels.
        l0_mpp: Micrometres for one pixel of level 0.
    """
    longest = max(bounds.l0_width, bounds.l0_height)
    least = max(1.0, longest / (LONGEST + 1), l0_side / PATCH_PX)
    downsample = 1 << max(0, math.floor(math.log2(least)))
    while longest // downsample > LONGEST:
        downsample *= 2
    downsample = min(downsample, max(1, min(bounds.l0_width, bounds.l0_height)))
    width, height = bounds.l0_width // downsample, bounds.l0_height // downsample
    whole = Box(bounds.l0_x, bounds.l0_y, width * downsample, height * downsample)
    return Frame(whole, downsample, (width, height), Mpp(l0_mpp * downsample))


def write_colours(
    path: Path, patches: PatchShape, values: Values, frame: Frame, colours: str
) -> None:
    """Write values from 0 to 1 in colour.

    Args:
        path: The `.tif`.
        patches: Where they lie.
        values: (N,).
        frame: How the picture lies on the slide.
        colours: Name of a colour map, such as `magma`.

    Raises:
        OutputError: The file cannot be written.
    """
    painted = _painted(patches, values, frame)
    table = (mpl.colormaps[colours](np.arange(256))[:, :3] * 255).round()
    index = np.nan_to_num(painted * 255).round().clip(0, 255).astype(np.uint8)
    picture = table.astype(np.uint8)[index]
    picture[np.isnan(painted)] = 255
    _write(path, picture, frame, "rgb")


def write_values(path: Path, patches: PatchShape, values: Values, frame: Frame) -> None:
    """Write values as they are, one channel for each column.

    Arguments and errors as `write_colours`; `values` has shape (N, C).
    """
    columns = np.asarray(values, np.float64).T
    channels = [np.nan_to_num(_painted(patches, one, frame)) for one in columns]
    picture = np.stack(channels, axis=-1).astype(np.float32)
    _write(path, picture, frame, "minisblack")


def _painted(patches: PatchShape, values: Values, frame: Frame) -> Values:
    return paint(patches.coords, values, patches.l0_side, frame.bounds, frame.px_size)


def _write(path: Path, picture: npt.NDArray[Any], frame: Frame, kind: str) -> None:
    per_cm = UM_PER_CM / frame.px_mpp
    with writing(path) as part, tifffile.TiffWriter(part, bigtiff=False) as tiff:
        for index, level in enumerate(_pyramid(picture)):
            scale = picture.shape[1] / level.shape[1]
            tiff.write(
                level[..., 0] if level.shape[2] == 1 else level,
                tile=(TILE, TILE),
                photometric=kind,
                planarconfig="contig",
                compression="adobe_deflate",
                subfiletype=tifffile.FILETYPE.REDUCEDIMAGE if index else 0,
                resolution=(per_cm / scale,) * 2,
                resolutionunit="CENTIMETER",
                description=None if index else "coverslip heatmap",
                software=False,
                metadata=None,
            )


def _pyramid(picture: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    """Give the picture, and halves of it down to one tile."""
    while True:
        yield picture
        height, width, channels = picture.shape
        if max(height, width) <= TILE:
            return
        size = (max(1, width // 2), max(1, height // 2))
        reduced = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        picture = np.asarray(reduced, picture.dtype).reshape(size[1], size[0], channels)
