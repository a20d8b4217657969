"""The small protocol that every reader of whole-slide images keeps."""

from pathlib import Path
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from coverslip.geometry import Box, Mpp

RGB = npt.NDArray[np.uint8]
"""An image of shape (height, width, 3)."""


class Slide(Protocol):
    """One opened whole-slide image.

    Attributes:
        slide_id: File name without its last extension.
        path: The file.
        l0_size: (width, height) of level 0.
        level_sizes: (width, height) of each level, level 0 first.
        downsamples: Downsample of each level, real numbers, level 0 first.
        l0_mpp: Micrometres per pixel at level 0; None when the file does not say.
        bounds: The part of level 0 that was scanned (all of it for most formats).
    """

    @property
    def slide_id(self) -> str: ...  # noqa: D102
    @property
    def path(self) -> Path: ...  # noqa: D102
    @property
    def l0_size(self) -> tuple[int, int]: ...  # noqa: D102
    @property
    def level_sizes(self) -> tuple[tuple[int, int], ...]: ...  # noqa: D102
    @property
    def downsamples(self) -> tuple[float, ...]: ...  # noqa: D102
    @property
    def l0_mpp(self) -> Mpp | None: ...  # noqa: D102
    @property
    def bounds(self) -> Box: ...  # noqa: D102

    def read(self, l0_xy: tuple[int, int], level: int, lv_size: tuple[int, int]) -> RGB:
        """Read pixels of one level; what is transparent or outside comes white.

        Args:
            l0_xy: Top-left corner in level-0 pixels.
            level: Pyramid level.
            lv_size: (width, height) to read, in pixels of that level.

        Raises:
            UnreadableSlideError: The pixels cannot be decoded.
        """
        ...

    def close(self) -> None:
        """Release the file."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...
