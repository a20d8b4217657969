"""A small picture of a whole slide, read block by block so that memory stays small."""

import math

import cv2
import numpy as np

from coverslip.errors import MissingMppError
from coverslip.geometry import Box, Mpp, px_size_from_l0
from coverslip.slides.slide import RGB, Slide

BLOCK = 4096
"""Most pixels, along one axis, that are read from a level at once."""


def require_mpp(slide: Slide) -> Mpp:
    """Return the scale of level 0.

    Raises:
        MissingMppError: Neither the file nor the user says it.
    """
    if slide.l0_mpp is None:
        raise MissingMppError(
            f"{slide.path}: micrometres per pixel unknown: state them with "
            "--mpp, or for each slide in a CSV wsi,mpp with --mpp-csv"
        )
    return slide.l0_mpp


def read_overview(slide: Slide, mpp: Mpp) -> tuple[RGB, Box]:
    """Read the scanned part of a slide at about `mpp` micrometres per pixel.

    The picture covers the slide's bounds exactly: its scale along each axis is the
    bounds' extent over the picture's, so that no pixel is off at the far edge.

    Returns:
        The picture, and the part of level 0 that it shows.

    Raises:
        MissingMppError: The scale of the slide is unknown.
        UnreadableSlideError: The pixels cannot be decoded.
    """
    wanted = max(1.0, mpp / require_mpp(slide))
    bounds = slide.bounds
    px_width, px_height = px_size_from_l0((bounds.l0_width, bounds.l0_height), wanted)
    level = max(
        (i for i, d in enumerate(slide.downsamples) if d <= wanted * 1.01),
        key=lambda i: slide.downsamples[i],
        default=0,
    )
    picture = np.empty((px_height, px_width, 3), np.uint8)
    px_block = max(1, int(BLOCK * slide.downsamples[level] / wanted))
    for px_y in range(0, px_height, px_block):
        for px_x in range(0, px_width, px_block):
            part = picture[px_y : px_y + px_block, px_x : px_x + px_block]
            part[:] = _read_block(slide, level, (px_x, px_y), part.shape, picture.shape)
    return picture, bounds


def _read_block(
    slide: Slide,
    level: int,
    px_xy: tuple[int, int],
    px_shape: tuple[int, ...],
    px_whole: tuple[int, ...],
) -> RGB:
    """Read one block of the picture and reduce it by area."""
    bounds, downsample = slide.bounds, slide.downsamples[level]
    l0_per_px_x = bounds.l0_width / px_whole[1]
    l0_per_px_y = bounds.l0_height / px_whole[0]
    l0_xy = (
        bounds.l0_x + math.floor(px_xy[0] * l0_per_px_x),
        bounds.l0_y + math.floor(px_xy[1] * l0_per_px_y),
    )
    lv_size = (
        max(1, round(px_shape[1] * l0_per_px_x / downsample)),
        max(1, round(px_shape[0] * l0_per_px_y / downsample)),
    )
    pixels = slide.read(l0_xy, level, lv_size)
    return cv2.resize(  # type: ignore[return-value] # OpenCV's stubs lose the dtype
        pixels, (px_shape[1], px_shape[0]), interpolation=cv2.INTER_AREA
    )
