"""A slide as a deep-zoom pyramid: square tiles, each level half as fine as the next.

The last level is level 0 of the slide; level 0 of the pyramid is one pixel. Tile (column,
row) of a level that is 2^k coarser begins at level-0 pixel (column, row) * SIDE * 2^k,
exactly, whatever the slide's own levels are. At the right and below, a tile shows what
is left of the slide and is stretched over whole pixels, by less than one, so that it
covers that part and no more.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import simplejpeg

from coverslip.slides.shelf import Shelf
from coverslip.slides.slide import RGB, Slide

SIDE = 256
"""Side of a tile in pixels."""

SLACK = 1.01
"""A level of the slide this much coarser than a tile still serves for it."""

FINEST = 4.0
"""What is read at most that many times finer, along one axis, is read at once; beyond,
a tile is put together from the four of the next finer level."""

QUALITY = 90
"""Of JPEG, colours at full resolution: stains are told by their colour."""

KEPT = 64 << 20
"""Bytes of tiles kept a slide for putting coarser ones together."""


@dataclass(frozen=True)
class Place:
    """One tile: its level, and its column and row there."""

    level: int
    column: int
    row: int


class Pyramid:
    """The tiles of one slide; several threads may ask at once.

    Args:
        slide: The slide; it stays the caller's to close.

    Attributes:
        top: Number of the finest level, which is level 0 of the slide.
    """

    def __init__(self, slide: Slide) -> None:
        self.slide = slide
        self.top = (max(slide.l0_size) - 1).bit_length()
        self._shelf: Shelf[RGB] = Shelf(KEPT)

    def size(self, level: int) -> tuple[int, int]:
        """Return (width, height) of a level."""
        step = 1 << (self.top - level)
        width, height = self.slide.l0_size
        return -(-width // step), -(-height // step)

    def holds(self, place: Place) -> bool:
        """Say whether there is such a tile."""
        if not 0 <= place.level <= self.top:
            return False
        width, height = self.size(place.level)
        return 0 <= place.column * SIDE < width and 0 <= place.row * SIDE < height

    def l0_box(self, place: Place) -> tuple[int, int, int, int]:
        """Return left, top, right, bottom of a tile in level-0 pixels."""
        l0_side = SIDE << (self.top - place.level)
        width, height = self.slide.l0_size
        left, top = place.column * l0_side, place.row * l0_side
        return left, top, min(left + l0_side, width), min(top + l0_side, height)

    def tile(self, place: Place) -> RGB:
        """Return the pixels of a tile: (height, width, 3), `SIDE` each but at the ends.

        Raises:
            UnreadableSlideError: They cannot be decoded.
        """
        downsample = 1 << (self.top - place.level)
        source = self._source(downsample)
        left, top, right, bottom = self.l0_box(place)
        size = -(-(right - left) // downsample), -(-(bottom - top) // downsample)
        if downsample / self.slide.downsamples[source] > FINEST * SLACK:
            return self._shelf.get(
                place, lambda: _fitted(self._put_together(place), size)
            )
        return _fitted(self._read(source, (left, top), (right, bottom)), size)

    def jpeg(self, place: Place) -> bytes:
        """Return a tile as JPEG.

        Raises:
            UnreadableSlideError: Its pixels cannot be decoded.
        """
        pixels = np.ascontiguousarray(self.tile(place))
        encoded: bytes = simplejpeg.encode_jpeg(
            pixels, quality=QUALITY, colorsubsampling="444"
        )
        return encoded

    def _source(self, downsample: int) -> int:
        """Return the slide's coarsest level that is fine enough."""
        downsamples = self.slide.downsamples
        enough = [i for i, d in enumerate(downsamples) if d <= downsample * SLACK]
        return max(enough, key=lambda i: downsamples[i], default=0)

    def _read(
        self, source: int, l0_start: tuple[int, int], l0_end: tuple[int, int]
    ) -> RGB:
        """Read a part of one of the slide's levels, and nothing beyond its end."""
        l0_at, lv_size = [], []
        for axis in (0, 1):
            lv_whole = self.slide.level_sizes[source][axis]
            l0_whole = self.slide.l0_size[axis]
            nearest = round(l0_start[axis] * lv_whole / l0_whole)
            begin = min(nearest, lv_whole - 1)
            moved = begin != nearest
            l0_at.append(
                round(begin * l0_whole / lv_whole) if moved else l0_start[axis]
            )
            l0_wanted = l0_end[axis] - l0_start[axis]
            wanted = round(l0_wanted / self.slide.downsamples[source])
            lv_size.append(max(1, min(wanted, lv_whole - begin)))
        return self.slide.read((l0_at[0], l0_at[1]), source, (lv_size[0], lv_size[1]))

    def _put_together(self, place: Place) -> RGB:
        """Return the tiles of the next finer level that a tile consists of, side by side."""
        rows = []
        for row in (2 * place.row, 2 * place.row + 1):
            columns = (2 * place.column, 2 * place.column + 1)
            places = [Place(place.level + 1, column, row) for column in columns]
            tiles = [self.tile(part) for part in places if self.holds(part)]
            if tiles:
                rows.append(np.concatenate(tiles, axis=1))
        return np.concatenate(rows, axis=0)


def _fitted(pixels: RGB, size: tuple[int, int]) -> RGB:
    """Return pixels at (width, height), averaged where they become fewer."""
    if pixels.shape[1::-1] == size:
        return pixels
    fewer = pixels.shape[1] >= size[0] and pixels.shape[0] >= size[1]
    way = cv2.INTER_AREA if fewer else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, size, interpolation=way), np.uint8)
