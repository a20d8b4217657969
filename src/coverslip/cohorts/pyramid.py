"""Writes an image as a slide: a tiled, pyramidal TIFF that every slide reader opens."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import tifffile

from coverslip.geometry import Mpp
from coverslip.slides.slide import RGB
from coverslip.store import writing

UM_PER_CM = 10_000


def write_pyramid(  # noqa: PLR0913 - options of one file, all with defaults
    path: Path,
    image: RGB,
    l0_mpp: Mpp | float | None,
    *,
    tile: int = 256,
    quality: int = 85,
    levels: int | None = None,
    downsample: int = 2,
    description: str = "coverslip",
) -> None:
    """Write an image as level 0 of a slide, and the coarser levels made from it.

    The tiles are JPEG (YCbCr). A coarser level is the area average of the one before
    and has floor(width / downsample) x floor(height / downsample) pixels, so sizes
    that do not divide give real-valued downsamples, as scanners do.

    Args:
        path: The file; what is there is replaced.
        image: uint8 of shape (height, width, 3).
        l0_mpp: Micrometres per pixel of the image; None writes no scale.
        tile: Side of a tile in pixels, a multiple of 16.
        quality: JPEG quality, 1 to 100.
        levels: How many levels; None: until the coarsest fits into one tile.
        downsample: Side of a level divided by the side of the next.
        description: Text of the ImageDescription tag.

    Raises:
        ValueError: The image is not uint8 RGB.
        OutputError: The file cannot be written.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"image must be uint8 RGB, not {image.dtype} {image.shape}")
    sizes = list(islice(_level_sizes(image, tile, downsample), levels))
    per_cm = None if l0_mpp is None else UM_PER_CM / l0_mpp
    level = image
    with writing(path) as part, tifffile.TiffWriter(part) as tiff:
        for index, size in enumerate(sizes):
            if index:
                level = np.asarray(
                    cv2.resize(level, size, interpolation=cv2.INTER_AREA), np.uint8
                )
            scale = image.shape[1] / size[0]
            tiff.write(
                level,
                tile=(tile, tile),
                photometric="rgb",  # of the array; the tiles become YCbCr
                compression="jpeg",
                compressionargs={"level": quality, "outcolorspace": "YCBCR"},
                subfiletype=tifffile.FILETYPE.REDUCEDIMAGE if index else 0,
                description=None if index else description,
                resolution=None if per_cm is None else (per_cm / scale,) * 2,
                resolutionunit=None if per_cm is None else "CENTIMETER",
                metadata=None,
            )


def _level_sizes(image: RGB, tile: int, downsample: int) -> Iterator[tuple[int, int]]:
    """Give the (width, height) of each level down to the first within one tile."""
    height, width = image.shape[:2]
    yield width, height
    while max(width, height) > tile:
        width, height = max(1, width // downsample), max(1, height // downsample)
        yield width, height
