"""One patch of a slide at one scale: the only place where patch pixels are resampled."""

from typing import Literal

import cv2
import numpy as np

from coverslip.geometry import Scale
from coverslip.slides.slide import RGB, Slide
from coverslip.slides.tiled import TiledSlide

Reduce = Literal["area", "half"]
"""How pixels are made fewer: averaged, or by half while they are decoded."""


def read_patch(
    slide: Slide, l0_xy: tuple[int, int], scale: Scale, reduce: Reduce = "area"
) -> RGB:
    """Read one patch and bring it to the asked size.

    Reducing averages the pixels that fall on one; enlarging interpolates cubically.
    "half" decodes at half the size where the level is exactly twice as fine as asked
    (or four times, ...): 1.6 grey levels off the mean on tissue or less, and up to half
    a pixel aside where the corner is odd. Everywhere else it averages all the same, and
    so it does where a slide, a level or a tile is left to OpenSlide.

    Args:
        slide: The slide.
        l0_xy: Top-left corner in level-0 pixels.
        scale: What to read and what to make of it.
        reduce: How to reduce.

    Returns:
        An image of shape (scale.size, scale.size, 3); white outside the slide.

    Raises:
        UnreadableSlideError: The pixels cannot be decoded.
    """
    pixels = _halved(slide, l0_xy, scale) if reduce == "half" else None
    if pixels is None:
        pixels = slide.read(l0_xy, scale.level, (scale.lv_size, scale.lv_size))
    if len(pixels) == scale.size:
        return pixels
    way = cv2.INTER_AREA if len(pixels) > scale.size else cv2.INTER_CUBIC
    resized = cv2.resize(pixels, (scale.size, scale.size), interpolation=way)
    return np.asarray(resized, dtype=np.uint8)


def _halved(slide: Slide, l0_xy: tuple[int, int], scale: Scale) -> RGB | None:
    """Read a patch at half its size; None where that cannot be had.

    At 2.1 times as fine, averaging what was halved is some 5 grey levels off.
    """
    if scale.lv_size % (2 * scale.size) or not isinstance(slide, TiledSlide):
        return None
    return slide.read_halved(l0_xy, scale.level, (scale.lv_size, scale.lv_size))
