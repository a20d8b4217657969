"""A slide as a deep-zoom pyramid: square tiles, each level half as fine as the next.

The last level is level 0 of the slide; level 0 of the pyramid is one pixel. Tile (column,
row) of a level that is 2^k coarser begins at level-0 pixel (column, row) * SIDE * 2^k,
less the overlap, exactly, whatever the slide's own levels are. At the right and below, a tile shows what
is left of the slide and is stretched over whole pixels, by less than one, so that it
covers that part and no more.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import simplejpeg

from coverslip.slides.shelf import Shelf
from coverslip.slides.slide import RGB, Slide

SIDE = 254
"""Side of a tile in pixels, without what overlaps."""

OVERLAP = 1
"""Pixels of its neighbours that a tile shows at each side. Without any, OpenSeadragon
would stretch tiles by a pixel to hide the seams, and nothing would lie where it should."""

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

    def l0_box(self, place: Place, overlap: int = OVERLAP) -> tuple[int, int, int, int]:
        """Return left, top, right, bottom of a tile in level-0 pixels.

        Args:
            place: The tile.
            overlap: Of its neighbours' pixels, how many it shows at each side.
        """
        step = 1 << (self.top - place.level)
        width, height = self.slide.l0_size
        return (
            max(0, place.column * SIDE - overlap) * step,
            max(0, place.row * SIDE - overlap) * step,
            min(((place.column + 1) * SIDE + overlap) * step, width),
            min(((place.row + 1) * SIDE + overlap) * step, height),
        )

    def tile(self, place: Place) -> RGB:
        """Return the pixels of a tile: (height, width, 3), with those that overlap.

        Raises:
            UnreadableSlideError: They cannot be decoded.
        """
        return self._shown(place, OVERLAP)

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

    def _shown(self, place: Place, overlap: int) -> RGB:
        step = 1 << (self.top - place.level)
        left, top, right, bottom = self.l0_box(place, overlap)
        size = -(-(right - left) // step), -(-(bottom - top) // step)
        source = self._source(step)
        if step / self.slide.downsamples[source] <= FINEST * SLACK:
            return _fitted(self._read(source, (left, top), (right, bottom)), size)
        if overlap:
            return _fitted(self._with_neighbours(place, overlap), size)
        return self._shelf.get(place, lambda: _fitted(self._from_finer(place), size))

    def _from_finer(self, place: Place) -> RGB:
        """Return the tiles of the next finer level that a tile consists of, joined."""
        parts = [
            [
                Place(place.level + 1, 2 * place.column + right, 2 * place.row + down)
                for right in (0, 1)
            ]
            for down in (0, 1)
        ]
        return self._joined(parts)

    def _with_neighbours(self, place: Place, overlap: int) -> RGB:
        """Return a tile with the nearest pixels of those around it."""
        parts = [
            [
                Place(place.level, place.column + right, place.row + down)
                for right in (-1, 0, 1)
            ]
            for down in (-1, 0, 1)
        ]
        joined = self._joined(parts)
        left = max(0, min(place.column, 1) * SIDE - overlap)
        top = max(0, min(place.row, 1) * SIDE - overlap)
        right = (min(place.column, 1) + 1) * SIDE + overlap
        bottom = (min(place.row, 1) + 1) * SIDE + overlap
        return joined[top:bottom, left:right]

    def _joined(self, rows: list[list[Place]]) -> RGB:
        """Return tiles, without overlap, side by side; what is no tile is left out."""
        lines = [
            [self._shown(part, 0) for part in row if self.holds(part)] for row in rows
        ]
        return np.concatenate([np.concatenate(line, axis=1) for line in lines if line])


def _fitted(pixels: RGB, size: tuple[int, int]) -> RGB:
    """Return pixels at (width, height), averaged where they become fewer."""
    if pixels.shape[1::-1] == size:
        return pixels
    fewer = pixels.shape[1] >= size[0] and pixels.shape[0] >= size[1]
    way = cv2.INTER_AREA if fewer else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, size, interpolation=way), np.uint8)
