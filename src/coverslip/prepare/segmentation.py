"""Split a small picture of a slide into tissue and background (seed section I, 1.2).

Saturation, split by Otsu's threshold, then closed, opened and cleaned. Stained tissue
is coloured, glass is not; fat is mostly empty and falls below the threshold, so that
lymph nodes come out whole and the fat around them does not. Ink is taken out before
(dark without colour, or a hue that neither haematoxylin nor eosin has); carbon pigment
inside tissue is closed over again.

Not covered: telling artefacts such as folds or blurred areas from good tissue.
"""

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field

from coverslip.options import Options
from coverslip.slides.slide import RGB

Mask = npt.NDArray[np.bool_]
"""A mask of shape (height, width), True on tissue."""

Grey = npt.NDArray[np.uint8]
"""One channel, (height, width)."""


class TissueOptions(Options):
    """How tissue is found. Lengths are physical, so one set fits every scanner."""

    mask_mpp: float = Field(
        8.0, gt=0, description="um per pixel of the mask (8 is 1/32 of a 40x slide)"
    )
    smooth_um: float = Field(12.0, ge=0, description="blur before the threshold, um")
    saturation_min: int = Field(
        15, ge=0, le=255, description="lowest threshold: an empty slide stays empty"
    )
    saturation_max: int = Field(
        60, ge=0, le=255, description="highest threshold: pale tissue stays tissue"
    )
    drop_ink: bool = Field(
        default=True, description="leave out black, green and blue-green ink"
    )
    close_um: float = Field(80.0, ge=0, description="close gaps up to this width, um")
    open_um: float = Field(80.0, ge=0, description="drop strands up to this width, um")
    min_area_um2: float = Field(20_000.0, ge=0, description="drop smaller pieces, um2")
    min_hole_um2: float = Field(20_000.0, ge=0, description="fill smaller holes, um2")


def segment(picture: RGB, px_mpp: float, options: TissueOptions) -> tuple[Mask, float]:
    """Split a picture into tissue and background.

    Args:
        picture: (height, width, 3), RGB.
        px_mpp: Its micrometres per pixel.
        options: How.

    Returns:
        The mask, and the saturation (0-255) above which a pixel counts as tissue.
    """
    hsv = cv2.cvtColor(picture, cv2.COLOR_RGB2HSV)
    hue, saturation, value = (np.asarray(c, np.uint8) for c in cv2.split(hsv))
    if options.drop_ink:
        saturation[_ink(picture, hue, saturation, value)] = 0
    if options.smooth_um > 0:
        blurred = cv2.GaussianBlur(saturation, (0, 0), options.smooth_um / px_mpp)
        saturation = np.asarray(blurred, np.uint8)
    otsu, _ = cv2.threshold(saturation, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    threshold = float(np.clip(otsu, options.saturation_min, options.saturation_max))
    mask = (saturation > threshold).astype(np.uint8)
    for operation, width_um in (
        (cv2.MORPH_CLOSE, options.close_um),
        (cv2.MORPH_OPEN, options.open_um),
    ):
        if width_um >= px_mpp:
            mask = cv2.morphologyEx(mask, operation, _disk(width_um / px_mpp))  # type: ignore[assignment] # OpenCV's stubs lose the dtype
    kept = _drop_small(mask.view(np.bool_), options.min_area_um2 / px_mpp**2)
    filled = ~_drop_small(~kept, options.min_hole_um2 / px_mpp**2)
    return filled, threshold


INK_DARK = 110
INK_GREY = 40
INK_HUES = (30, 110)
"""Dark and nearly without colour, or green to blue-green: no stain looks like that."""


def _ink(picture: RGB, hue: Grey, saturation: Grey, value: Grey) -> Mask:
    """Return where a picture, given with its HSV channels, shows ink.

    In uint8 throughout, plane by plane: a picture of 10 million pixels in 50 ms.
    """
    red, green, blue = cv2.split(picture)
    chroma = value - cv2.min(cv2.min(red, green), blue)  # value is the largest of them
    black = (value < INK_DARK) & (chroma < INK_GREY)
    greenish = (saturation > INK_GREY) & (hue > INK_HUES[0]) & (hue < INK_HUES[1])
    return np.asarray(black | greenish)


def _disk(px_width: float) -> npt.NDArray[np.uint8]:
    side = 2 * max(1, round(px_width / 2)) + 1
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)).astype(np.uint8)


def _drop_small(mask: Mask, px_area: float) -> Mask:
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8))
    keep = stats[:, cv2.CC_STAT_AREA] >= px_area
    keep[0] = False
    return np.asarray(keep[labels], dtype=np.bool_)
