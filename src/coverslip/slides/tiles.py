"""The JPEG tiles of a TIFF pyramid, found once and decoded one by one.

OpenSlide spends five sixths of its time around the JPEG decoder. Where a slide is a
plain pyramid of JPEG tiles, which most are, its bytes can be given to libjpeg-turbo as
they lie. A tile holds either its own tables or shares the level's (TIFF tag 347), and
does not say itself whether its colours are YCbCr or RGB: both are put before it.
"""

import os
import threading
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
import simplejpeg
import tifffile

from coverslip.slides.slide import RGB

BEGIN, END = b"\xff\xd8", b"\xff\xd9"
"""Markers at the two ends of a JPEG stream."""


class TileError(Exception):
    """A tile is missing, or is not what its level says."""


@dataclass(frozen=True, eq=False)
class TileLevel:
    """One level of a pyramid.

    Attributes:
        size: (width, height) of the picture.
        tile: (width, height) of a tile; those at the right and below stand over.
        offsets: Where each tile begins in the file, (rows, columns).
        counts: Its bytes, (rows, columns); 0 where it is missing.
        head: What is put before the bytes of a tile in place of its first marker.
    """

    size: tuple[int, int]
    tile: tuple[int, int]
    offsets: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    head: bytes


class TileFile:
    """The levels of a TIFF file, and its bytes; several threads may read at once.

    Args:
        path: The file; it is opened for the first tile.

    Attributes:
        levels: The finest first.

    Raises:
        TileError: The file is no TIFF with a pyramid of JPEG tiles.
        OSError: The file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        try:
            with tifffile.TiffFile(path) as tiff:
                pages = [p for p in tiff.pages if isinstance(p, tifffile.TiffPage)]
                levels = [_level(page) for page in pages if _is_level(page)]
        except (tifffile.TiffFileError, ValueError, KeyError, IndexError) as error:
            raise TileError(f"{path}: {error}") from None
        if not levels:
            raise TileError(f"{path}: no JPEG tiles")
        self.levels = sorted(levels, key=lambda level: -level.size[0])
        self.path = path
        self._file: FileIO | None = None
        self._turn = threading.Lock()

    def decode(
        self, level: int, column: int, row: int, *, into: RGB | None = None
    ) -> RGB:
        """Decode a tile.

        Args:
            level: Number of the level, the finest first.
            column: Number of the tile from the left.
            row: Number of the tile from above.
            into: Where to write it, (height, width, 3), contiguous.

        Raises:
            TileError: It is missing, damaged, or of another size.
        """
        return self._decoded(level, column, row, halved=False, into=into)

    def decode_halved(self, level: int, column: int, row: int) -> RGB:
        """Decode a tile at half its size, within the discrete cosine transform.

        Raises:
            TileError: It is missing, damaged, or of another size.
        """
        return self._decoded(level, column, row, halved=True, into=None)

    def close(self) -> None:
        """Release the file."""
        if self._file is not None:
            self._file.close()

    def _decoded(
        self, level: int, column: int, row: int, *, halved: bool, into: RGB | None
    ) -> RGB:
        facts = self.levels[level]
        count = int(facts.counts[row, column])
        if count <= len(BEGIN):
            raise TileError("missing")
        stream = self._bytes(int(facts.offsets[row, column]), count)
        if not stream.startswith(BEGIN):
            raise TileError("not JPEG")
        width, height = facts.tile
        least = (height // 2, width // 2) if halved else (0, 0)
        try:
            pixels: RGB = simplejpeg.decode_jpeg(
                facts.head + stream[len(BEGIN) :],
                min_height=least[0],
                min_width=least[1],
                buffer=into,
            )
        except ValueError as error:
            raise TileError(str(error)) from None
        expected = least if halved else (height, width)
        if pixels.shape[:2] != expected:
            raise TileError(f"{pixels.shape} in place of {expected}")
        return pixels

    def _bytes(self, offset: int, count: int) -> bytes:
        with self._turn:
            if self._file is None:
                self._file = FileIO(self.path)
            if not hasattr(os, "pread"):  # Windows
                self._file.seek(offset)
                return self._file.read(count)
        return os.pread(self._file.fileno(), count, offset)


def _is_level(page: tifffile.TiffPage) -> bool:
    return (
        page.is_tiled
        and page.compression == tifffile.COMPRESSION.JPEG
        and page.photometric in (tifffile.PHOTOMETRIC.YCBCR, tifffile.PHOTOMETRIC.RGB)
        and page.samplesperpixel == 3
        and page.bitspersample == 8
        and page.planarconfig == tifffile.PLANARCONFIG.CONTIG
        and page.imagedepth == 1
    )


def _level(page: tifffile.TiffPage) -> TileLevel:
    tile = page.tilewidth, page.tilelength
    columns = -(-page.imagewidth // tile[0])
    rows = -(-page.imagelength // tile[1])
    tables = (page.jpegtables or b"").removeprefix(BEGIN).removesuffix(END)
    is_rgb = page.photometric == tifffile.PHOTOMETRIC.RGB
    return TileLevel(
        size=(page.imagewidth, page.imagelength),
        tile=tile,
        offsets=np.array(page.dataoffsets, np.int64).reshape(rows, columns),
        counts=np.array(page.databytecounts, np.int64).reshape(rows, columns),
        head=BEGIN + _colours(is_rgb=is_rgb) + tables,
    )


def _colours(*, is_rgb: bool) -> bytes:
    """Return Adobe's marker, which tells a decoder what the three components are."""
    content = b"Adobe" + bytes([0, 100, 0, 0, 0, 0, 0 if is_rgb else 1])
    return b"\xff\xee" + (len(content) + 2).to_bytes(2, "big") + content
