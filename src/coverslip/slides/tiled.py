"""Slides of JPEG tiles, decoded directly; all else is asked of OpenSlide.

OpenSlide stays the reference. It opens the file and says what the levels, the scale and
the bounds are; before a level is read directly, some of its pixels are compared with
OpenSlide's, and where one differs the level is left to OpenSlide, with a warning. A tile
that is missing or damaged is left to OpenSlide too, which paints it or says what is wrong.

At whole pixels of a level both give the same values. Between pixels OpenSlide blends
neighbours, and this reader takes the nearest.
"""

import threading
import warnings
from typing import Self

import numpy as np
import numpy.typing as npt

from coverslip.errors import SlideWarning
from coverslip.geometry import Box, Mpp
from coverslip.slides.openslide import OpenSlideSlide
from coverslip.slides.shelf import Shelf
from coverslip.slides.slide import RGB
from coverslip.slides.tiles import TileError, TileFile, TileLevel

KEPT = 192 << 20
"""Bytes of decoded tiles kept a slide: two rows of tiles of the widest slides."""

SAMPLES = 4
"""Places of a level that are compared with OpenSlide before it is trusted."""

SAMPLE = 64
"""Side of such a place, in pixels."""

BLEND = 2e-3
"""Largest part of a pixel at which OpenSlide's blending stays within one grey level."""

Ints = npt.NDArray[np.int64]


class TiledSlide:
    """A slide read tile by tile; see `coverslip.slides.slide.Slide` for the contract.

    Args:
        reference: The same slide by OpenSlide; it is closed with this one.

    Attributes:
        tiles: Its tiles.

    Raises:
        TileError: The file is not a pyramid of JPEG tiles, or not one that matches
            the levels which OpenSlide sees.
    """

    def __init__(self, reference: OpenSlideSlide) -> None:
        self.reference = reference
        self.tiles = TileFile(reference.path)
        if not _same_levels(self.tiles.levels, reference.level_sizes):
            self.tiles.close()
            raise TileError(f"{reference.path}: other levels than OpenSlide's")
        self._shelf: Shelf[RGB] = Shelf(KEPT)
        self._trust: dict[int, bool] = {}
        self._checking = threading.Lock()
        self.path = reference.path
        self.slide_id = reference.slide_id
        self.l0_size = reference.l0_size
        self.level_sizes = reference.level_sizes
        self.downsamples = reference.downsamples

    @property
    def l0_mpp(self) -> Mpp | None:
        """Micrometres per pixel at level 0; None when neither file nor user says."""
        return self.reference.l0_mpp

    @property
    def bounds(self) -> Box:
        """The scanned part of level 0."""
        return self.reference.bounds

    def read(self, l0_xy: tuple[int, int], level: int, lv_size: tuple[int, int]) -> RGB:
        """Read pixels of one level; what is outside comes white.

        Raises:
            UnreadableSlideError: The pixels cannot be decoded.
        """
        if self.trusts(level):
            try:
                return self._cut(level, self.reference.lv_xy(l0_xy, level), lv_size)
            except TileError:
                pass
        return self.reference.read(l0_xy, level, lv_size)

    def read_halved(
        self, l0_xy: tuple[int, int], level: int, lv_size: tuple[int, int]
    ) -> RGB | None:
        """Read pixels of one level at half its size, reduced while they are decoded.

        Three times as fast as averaging, with other pixels: 1.6 grey levels off on
        average, and up to half a pixel aside where the place is odd.

        Returns:
            (height / 2, width / 2, 3), or None where that cannot be had.
        """
        width, height = lv_size
        if width % 2 or height % 2 or not self.trusts(level):
            return None
        left, top = self.reference.lv_xy(l0_xy, level)
        try:
            return self._cut(
                level, (left // 2, top // 2), (width // 2, height // 2), halved=True
            )
        except TileError:
            return None

    def trusts(self, level: int) -> bool:
        """Say whether a level is read directly; the first time, find out."""
        if level not in self._trust:
            with self._checking:
                if level not in self._trust:
                    self._trust[level] = self._agrees(level)
        return self._trust[level]

    def whole_pixels(self, level: int, axis: int) -> tuple[Ints, Ints]:
        """Return places along an axis that OpenSlide takes for whole pixels of a level.

        Returns:
            The same places in pixels of level 0 and in pixels of the level.
        """
        stretch = self.reference.stretches[level][axis]
        downsample = self.downsamples[level]
        lv = np.arange(self.level_sizes[level][axis])
        l0 = np.rint(lv * downsample / stretch)
        off = np.abs(np.rint(l0 * stretch) / downsample - lv)
        whole = off < BLEND
        return l0[whole].astype(np.int64), lv[whole]

    def clear(self) -> None:
        """Forget the tiles that are kept."""
        self._shelf = Shelf(KEPT)

    def close(self) -> None:
        """Release the file."""
        self.tiles.close()
        self.reference.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _cut(
        self,
        level: int,
        lv_xy: tuple[int, int],
        lv_size: tuple[int, int],
        *,
        halved: bool = False,
    ) -> RGB:
        """Put a rectangle together from its tiles; all sizes are halved ones if halved.

        Raises:
            TileError: A tile is missing or damaged.
        """
        facts, part = self.tiles.levels[level], 2 if halved else 1
        (left, top), (width, height) = lv_xy, lv_size
        tile_w, tile_h = (side // part for side in facts.tile)
        level_w, level_h = (-(-side // part) for side in facts.size)
        x_end, y_end = min(left + width, level_w), min(top + height, level_h)
        x_begin, y_begin = max(left, 0), max(top, 0)
        outside = (x_begin, y_begin, x_end, y_end) != (
            left,
            top,
            left + width,
            top + height,
        )
        out: RGB = np.empty((height, width, 3), np.uint8)
        if outside:
            out[:] = 255
        elif (width, height) == (tile_w, tile_h) and not (
            halved or left % tile_w or top % tile_h
        ):
            return self.tiles.decode(level, left // tile_w, top // tile_h, into=out)
        for row in range(y_begin // tile_h, -(-y_end // tile_h)):
            for column in range(x_begin // tile_w, -(-x_end // tile_w)):
                x0, x1 = column * tile_w, min((column + 1) * tile_w, level_w)
                y0, y1 = row * tile_h, min((row + 1) * tile_h, level_h)
                whole = x_begin <= x0 and x1 <= x_end and y_begin <= y0 and y1 <= y_end
                tile = self._tile(level, column, row, halved=halved, keep=not whole)
                xs = max(x0, x_begin), min(x1, x_end)
                ys = max(y0, y_begin), min(y1, y_end)
                out[ys[0] - top : ys[1] - top, xs[0] - left : xs[1] - left] = tile[
                    ys[0] - y0 : ys[1] - y0, xs[0] - x0 : xs[1] - x0
                ]
        return out

    def _tile(
        self, level: int, column: int, row: int, *, halved: bool, keep: bool
    ) -> RGB:
        """Return a decoded tile, kept for the next read if only part of it is wanted."""
        decode = self.tiles.decode_halved if halved else self.tiles.decode
        if not keep:
            return decode(level, column, row)
        key = level, column, row, halved
        return self._shelf.get(key, lambda: decode(level, column, row))

    def _agrees(self, level: int) -> bool:
        """Compare some places with OpenSlide: trust a level if some agree, none differs."""
        compared = 0
        width, height = self.level_sizes[level]
        size = min(SAMPLE, width), min(SAMPLE, height)
        for l0_xy in self._places(level):
            try:
                own = self._cut(level, self.reference.lv_xy(l0_xy, level), size)
            except TileError:
                continue  # OpenSlide will be asked for it
            other = self.reference.read(l0_xy, level, size)
            differs = np.abs(own.astype(np.int16) - other).max()
            if differs > self._tolerance(level):
                warnings.warn(
                    f"{self.path}: level {level} decoded directly differs from "
                    f"OpenSlide's pixels by up to {differs}: it is read with OpenSlide",
                    SlideWarning,
                    stacklevel=4,
                )
                return False
            compared += 1
        return compared > 0

    def _tolerance(self, level: int) -> int:
        return 0 if float(self.downsamples[level]).is_integer() else 2

    def _places(self, level: int) -> list[tuple[int, int]]:
        """Return level-0 places that are whole pixels of a level, in its fullest tiles."""
        facts = self.tiles.levels[level]
        (l0_xs, lv_xs), (l0_ys, lv_ys) = (
            self.whole_pixels(level, axis) for axis in (0, 1)
        )
        column, first_x = np.unique(lv_xs // facts.tile[0], return_index=True)
        row, first_y = np.unique(lv_ys // facts.tile[1], return_index=True)
        fullest = np.argsort(-facts.counts[np.ix_(row, column)], axis=None)[:SAMPLES]
        ys, xs = np.unravel_index(fullest, (len(row), len(column)))
        return [
            (int(l0_xs[first_x[x]]), int(l0_ys[first_y[y]]))
            for x, y in zip(xs, ys, strict=True)
        ]


def _same_levels(levels: list[TileLevel], sizes: tuple[tuple[int, int], ...]) -> bool:
    """Say whether pages are OpenSlide's levels; some formats pad them to whole tiles."""
    return len(levels) == len(sizes) and all(
        0 <= level.size[axis] - size[axis] < 2 * level.tile[axis]
        for level, size in zip(levels, sizes, strict=True)
        for axis in (0, 1)
    )


def open_tiled(reference: OpenSlideSlide) -> TiledSlide | None:
    """Return a slide's direct reader, or None where its format has none."""
    try:
        return TiledSlide(reference)
    except (TileError, OSError):
        return None
