"""Slides read with OpenSlide, the field's reference reader."""

import math
from pathlib import Path
from typing import Self

import numpy as np
import openslide
from PIL import Image

from coverslip.errors import MissingMppError, UnreadableSlideError
from coverslip.geometry import Box, Mpp
from coverslip.slides.slide import RGB
from coverslip.store import slide_id_of

SQUARE_SLACK = 0.02
"""Pixels whose sides differ by more than this share are not treated as square."""

PLAUSIBLE_MPP = (0.01, 30.0)
"""What a microscope scans at. Programs that know no scale write that of a screen or a
printer into TIFF files: 72 dots per inch is 353 um."""


class OpenSlideSlide:
    """A slide read by OpenSlide; see `coverslip.slides.slide.Slide` for the contract.

    Args:
        path: The file.
        l0_mpp: Micrometres per pixel of level 0, overriding what the file says.
        missing_mpp: The same, only where the file does not say it.

    Attributes:
        stretches: Factors (across, down) of each level, by which a place is multiplied
            before OpenSlide is asked for it.

    Raises:
        UnreadableSlideError: The file is missing, not a slide, or damaged.
    """

    def __init__(
        self,
        path: Path,
        l0_mpp: Mpp | None = None,
        missing_mpp: Mpp | None = None,
    ) -> None:
        if not path.exists():
            raise UnreadableSlideError(f"{path}: no such file: check the path")
        try:
            self._slide = openslide.OpenSlide(path)
        except openslide.OpenSlideUnsupportedFormatError:
            raise UnreadableSlideError(
                f"{path}: not a slide that OpenSlide can open, or cut short: check that "
                "it was copied whole and is what its suffix says, or convert it to a "
                "tiled pyramidal TIFF"
            ) from None
        except (openslide.OpenSlideError, OSError) as error:
            raise UnreadableSlideError(_damaged(path, error)) from None
        self.path = path
        self.slide_id = slide_id_of(path)
        self.l0_size = self._slide.dimensions
        self.level_sizes = self._slide.level_dimensions
        self.downsamples = self._slide.level_downsamples
        self.stretches = [
            _stretch(self.l0_size, size, downsample)
            for size, downsample in zip(self.level_sizes, self.downsamples, strict=True)
        ]
        self._given_mpp, self._missing_mpp = l0_mpp, missing_mpp

    @property
    def l0_mpp(self) -> Mpp | None:
        """Micrometres per pixel at level 0; None when neither file nor user says."""
        if self._given_mpp is not None:
            return self._given_mpp
        properties = self._slide.properties
        try:
            mpp_x = float(properties[openslide.PROPERTY_NAME_MPP_X])
            mpp_y = float(properties[openslide.PROPERTY_NAME_MPP_Y])
        except (KeyError, ValueError):
            return self._missing_mpp
        finest, coarsest = PLAUSIBLE_MPP
        if not (finest < mpp_x < coarsest and finest < mpp_y < coarsest):
            return self._missing_mpp
        if abs(mpp_x / mpp_y - 1) > SQUARE_SLACK:
            raise MissingMppError(
                f"{self.path}: pixels are not square ({mpp_x:g} x {mpp_y:g} um): "
                "state the scale to use in a CSV wsi,mpp with --mpp-csv"
            )
        return Mpp((mpp_x + mpp_y) / 2)

    @property
    def bounds(self) -> Box:
        """The scanned part of level 0: OpenSlide's bounds, else everything."""
        properties = self._slide.properties
        l0_width, l0_height = self.l0_size
        l0_x = int(properties.get(openslide.PROPERTY_NAME_BOUNDS_X, 0))
        l0_y = int(properties.get(openslide.PROPERTY_NAME_BOUNDS_Y, 0))
        width = int(properties.get(openslide.PROPERTY_NAME_BOUNDS_WIDTH, l0_width))
        height = int(properties.get(openslide.PROPERTY_NAME_BOUNDS_HEIGHT, l0_height))
        return Box(
            l0_x, l0_y, min(width, l0_width - l0_x), min(height, l0_height - l0_y)
        )

    @property
    def series(self) -> str | None:
        """The DICOM series that several files may share; None for other formats."""
        return self._slide.properties.get("dicom.SeriesInstanceUID")

    def read(self, l0_xy: tuple[int, int], level: int, lv_size: tuple[int, int]) -> RGB:
        """Read pixels of one level; what is transparent or outside comes white.

        Raises:
            UnreadableSlideError: The pixels cannot be decoded.
        """
        across, down = self.stretches[level]
        asked = round(l0_xy[0] * across), round(l0_xy[1] * down)
        try:
            rgba = self._slide.read_region(asked, level, lv_size)
        except (openslide.OpenSlideError, OSError) as error:
            raise UnreadableSlideError(_damaged(self.path, error)) from None
        white = Image.new("RGB", rgba.size, (255, 255, 255))
        white.paste(rgba, mask=rgba.getchannel("A"))
        return np.asarray(white)

    def lv_xy(self, l0_xy: tuple[int, int], level: int) -> tuple[int, int]:
        """Return the pixel of a level that is nearest to a place."""
        across, down = self.stretches[level]
        downsample = self.downsamples[level]
        return (
            round(l0_xy[0] * across / downsample),
            round(l0_xy[1] * down / downsample),
        )

    def close(self) -> None:
        """Release the file."""
        self._slide.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def is_slide(path: Path) -> bool:
    """Say whether OpenSlide knows the format of a file, by its content."""
    return openslide.OpenSlide.detect_format(path) is not None


def _stretch(
    l0_size: tuple[int, int], lv_size: tuple[int, int], downsample: float
) -> tuple[float, float]:
    """Return by what to multiply a position so that OpenSlide reads it rightly.

    Where a format does not state a level's downsample, OpenSlide takes the mean of the
    two axes for both, which is off by several pixels at the far end of a long slide.
    """
    across, down = l0_size[0] / lv_size[0], l0_size[1] / lv_size[1]
    if not math.isclose((across + down) / 2, downsample, rel_tol=1e-9):
        return 1.0, 1.0
    return downsample / across, downsample / down


def _damaged(path: Path, error: Exception) -> str:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return f"{path}: damaged or truncated ({reason}): copy or export it again"
