"""One patch of a slide at one scale: the only place where patch pixels are resampled."""

import cv2
import numpy as np

from coverslip.geometry import Scale
from coverslip.slides.slide import RGB, Slide


def read_patch(slide: Slide, l0_xy: tuple[int, int], scale: Scale) -> RGB:
    """Read one patch and bring it to the asked size.

    Reducing averages the pixels that fall on one; enlarging interpolates cubically.

    Args:
        slide: The slide.
        l0_xy: Top-left corner in level-0 pixels.
        scale: What to read and what to make of it.

    Returns:
        An image of shape (scale.size, scale.size, 3); white outside the slide.

    Raises:
        UnreadableSlideError: The pixels cannot be decoded.
    """
    pixels = slide.read(l0_xy, scale.level, (scale.lv_size, scale.lv_size))
    if scale.lv_size == scale.size:
        return pixels
    way = cv2.INTER_AREA if scale.lv_size > scale.size else cv2.INTER_CUBIC
    resized = cv2.resize(pixels, (scale.size, scale.size), interpolation=way)
    return np.asarray(resized, dtype=np.uint8)
