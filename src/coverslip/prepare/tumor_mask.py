"""Tumour masks as images, such as CAMELYON16's `tumor_001_mask.tif`.

A mask covers the slide from level 0's origin: 0 is background, anything else tumour.
One pyramid level is read, never level 0 of a large file.

Source: `read_tumor_mask` of the seed (1.4).
"""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import shapely
import tifffile
from PIL import Image
from shapely import Polygon

from coverslip.errors import CorruptFileError, DataError

Mask = npt.NDArray[np.bool_]
"""A mask of shape (height, width)."""

LARGEST_PIXELS = 2**29
"""A level of more pixels is not read into memory."""

LOSSY = {6, 7, 33003, 33005, 34712}
"""TIFF compressions that blur a mask's values: JPEG and JPEG 2000."""

_DAMAGE = (
    OSError,
    ValueError,
    LookupError,
    RuntimeError,
    Image.DecompressionBombError,
)


class TumorMask(NamedTuple):
    """One level of a tumour mask.

    Attributes:
        mask: True in tumour, (height, width).
        px_downsample: Level-0 pixels per mask pixel along (x, y), real numbers.
    """

    mask: Mask
    px_downsample: tuple[float, float]


def read_tumor_mask(
    path: Path, downsample: float = 32, l0_size: tuple[int, int] | None = None
) -> TumorMask:
    """Read the level of a mask that is nearest to a downsample.

    Args:
        path: `.tif`, pyramidal or not, or `.png`.
        downsample: The downsample that is wished for.
        l0_size: (width, height) of the slide, for a mask made smaller than the slide;
            without it the mask's largest level counts as level 0.

    Raises:
        DataError: The file is missing, or no level of it fits into memory.
        CorruptFileError: It cannot be decoded.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file: check the path")
    try:
        is_png = path.suffix.lower() == ".png"
        values, l0_file = (
            _read_png(path) if is_png else _read_tiff(path, downsample, l0_size)
        )
    except _DAMAGE as error:
        raise CorruptFileError(
            f"{path}: not a readable mask image ({error}): export it anew"
        ) from None
    mask = values.max(axis=2) if values.ndim == 3 else values
    height, width = mask.shape
    l0_width, l0_height = l0_size or l0_file
    return TumorMask(mask != 0, (l0_width / width, l0_height / height))


def _read_png(path: Path) -> tuple[npt.NDArray[np.uint8], tuple[int, int]]:
    with Image.open(path) as image:
        _check_size(path, image.size)
        grey = (
            image
            if image.mode in {"1", "L", "P", "I", "I;16"}
            else image.convert("RGB")
        )
        return np.asarray(grey), image.size


def _read_tiff(
    path: Path, downsample: float, l0_size: tuple[int, int] | None
) -> tuple[npt.NDArray[np.uint8], tuple[int, int]]:
    with tifffile.TiffFile(path) as file:
        pages = _levels(file)
        l0_file = (pages[0].imagewidth, pages[0].imagelength)
        l0_width, _ = l0_size or l0_file
        page = min(
            pages, key=lambda p: abs(math.log(l0_width / p.imagewidth / downsample))
        )
        _check_size(path, (page.imagewidth, page.imagelength))
        values = page.asarray()
        if values.ndim == 3:
            values = values[..., :3]
        if page.compression in LOSSY:
            values = values > 127
        return values, l0_file


def _levels(file: tifffile.TiffFile) -> list[tifffile.TiffPage]:
    """Return the pages that show the whole mask, the largest first."""
    levels = [level.keyframe for series in file.series for level in series.levels]
    levels.sort(key=lambda page: -page.imagewidth)
    wide, high = levels[0].imagewidth, levels[0].imagelength
    return [
        page
        for page in levels
        if abs(page.imagewidth * high / wide - page.imagelength) < 2
    ]


def _check_size(path: Path, px_size: tuple[int, int]) -> None:
    if px_size[0] * px_size[1] > LARGEST_PIXELS:
        raise DataError(
            f"{path}: its smallest fitting level has {px_size[0]} x {px_size[1]} pixels: "
            "save it with a pyramid, or with a downsample"
        )


def polygons_from_mask(mask: Mask, px_downsample: tuple[float, float]) -> list[Polygon]:
    """Trace a mask along the edges of its pixels, holes included.

    Exact: a polygon's area is its number of pixels times the area of one. Pixels that
    touch at a corner only are separate polygons.

    Args:
        mask: True inside, (height, width).
        px_downsample: Level-0 pixels per mask pixel along (x, y).

    Returns:
        Valid polygons in level-0 pixels, none overlapping.
    """
    padded = np.pad(mask.view(np.int8), 1)
    across = _runs((padded[1:-1, 1:] - padded[1:-1, :-1]).T)
    along = _runs(padded[1:, 1:-1] - padded[:-1, 1:-1])
    edges = np.concatenate([across, along[:, :, ::-1]])
    faces = shapely.get_parts(shapely.polygonize(shapely.linestrings(edges)))
    inner = shapely.get_coordinates(shapely.point_on_surface(faces)).astype(int)
    tumor = faces[mask[inner[:, 1], inner[:, 0]]]
    return list(shapely.transform(tumor, lambda px_xy: px_xy * px_downsample))


def _runs(steps: npt.NDArray[np.int8]) -> npt.NDArray[np.int64]:
    """Join unit edges into segments [(line, start), (line, end)], shape (M, 2, 2).

    `steps[line, i]` is +1 or -1 where the mask changes across the i-th unit edge of a
    grid line. A run ends where the sign changes, hence at every crossing of outlines.
    """
    length = steps.shape[1]
    flat = np.ascontiguousarray(steps).ravel()
    edges = np.flatnonzero(flat)
    signs = flat[edges]
    begins = np.ones(len(edges) + 1, np.bool_)
    begins[1:-1] = (
        (np.diff(edges) != 1) | (np.diff(signs) != 0) | (edges[1:] % length == 0)
    )
    line, start = np.divmod(edges[begins[:-1]], length)
    end = edges[begins[1:]] % length + 1
    return np.stack([np.stack([line, start], 1), np.stack([line, end], 1)], axis=1)
