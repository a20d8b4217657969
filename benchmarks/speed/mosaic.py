"""Slides for timing: large mosaics of the tissue of a real slide, tiled JPEG pyramids.

    python -m benchmarks.speed.mosaic SIDE FILE

A grid of blocks of `BLOCK` pixels; about a third show tissue cut from the real slide at
full resolution, the others its glass; or a painted slide's, where there is no real one.
Coarser levels are area means of the block.
Beyond `SHARED` pixels tiles that are alike share their bytes in the file: a slide of
100,000 pixels then takes some megabytes and as many seconds.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg
import tifffile
from benchmarks.accuracy.record import PROJECT, data_folder

from coverslip.cohorts.painted.slide import PaintedOptions, paint_slide
from coverslip.slides.finding import open_slide
from coverslip.slides.slide import RGB
from coverslip.store import writing

SOURCE = "slides/ln_metastasis_HE_20x.tif"
TISSUE = (1792, 2048), (2816, 3328), (3072, 4352)
"""Corners of pieces that are nearly all tissue, and of one that is fat and glass."""
GLASS = (5696, 0)
BLOCK, TILE, QUALITY = 2048, 256, 85
MPP = 0.25
SHARE = 0.35
MOST_LEVELS = 7
SHARED = 50_000
"""From this side on, tiles of the same pixels lie in the file once."""

Kinds = npt.NDArray[np.int64]
"""Which piece lies in each cell of the grid, (rows, columns); 0 is glass."""


def mosaic(side: int, folder: Path = PROJECT / "build" / "speed") -> Path:
    """Return a square mosaic of so many pixels, made unless it is there."""
    path = folder / f"mosaic_{side}.tif"
    if not path.exists():
        write_mosaic(path, side)
    return path


def write_mosaic(
    path: Path, side: int, seed: int = 0, pieces: list[RGB] | None = None
) -> None:
    """Write a mosaic; tiles are encoded one by one, so that memory stays small.

    Args:
        path: The file.
        side: Width and height in pixels.
        seed: Draws which piece lies where.
        pieces: A block of glass, then some of tissue; those of the real slide without.
    """
    pieces = pieces or _pieces()
    cells = -(-side // BLOCK)
    chance = np.random.default_rng(seed)
    kinds = chance.integers(1, len(pieces), (cells, cells))
    glass = chance.permutation(cells * cells) >= round(SHARE * cells * cells)
    kinds[glass.reshape(cells, cells)] = 0
    with writing(path) as part:
        with tifffile.TiffWriter(part, bigtiff=True) as tiff:
            _write_levels(tiff, pieces, kinds, side)
        if side >= SHARED:
            _share(part, kinds)


def _write_levels(
    tiff: tifffile.TiffWriter, pieces: list[RGB], kinds: Kinds, side: int
) -> None:
    levels = min(MOST_LEVELS, int(np.log2(side / TILE)) + 1)
    for level in range(levels):
        small = [_reduced(piece, level) for piece in pieces]
        shared = side >= SHARED and len(small[0]) >= TILE
        tiff.write(
            _encoded_once(small, kinds, side >> level)
            if shared
            else _tiles(small, kinds, side >> level),
            shape=(side >> level, side >> level, 3),
            dtype=np.uint8,
            tile=(TILE, TILE),
            photometric="ycbcr" if shared else "rgb",
            subsampling=(2, 2) if shared else None,
            compression="jpeg",
            compressionargs={"level": QUALITY, "outcolorspace": "YCBCR"},
            subfiletype=int(level > 0),
            resolution=(1e4 / MPP / 2**level,) * 2,
            resolutionunit="CENTIMETER",
            metadata=None,
        )


def _pieces() -> list[RGB]:
    """Return a block of glass and some of tissue."""
    with open_slide(data_folder() / SOURCE) as slide:
        return [
            np.array(slide.read(l0_xy, 0, (BLOCK, BLOCK))) for l0_xy in (GLASS, *TISSUE)
        ]


def painted_pieces(across: int = 3) -> list[RGB]:
    """Return as many blocks of a painted slide: the palest, then the most stained.

    Args:
        across: Blocks in a row of the painted slide.
    """
    options = PaintedOptions(size=across * BLOCK, fold_share=0, ink_share=0)
    image = paint_slide(np.random.default_rng(0), options, lesions=False).image
    blocks = [
        np.ascontiguousarray(part)
        for row in np.split(image, across)
        for part in np.split(row, across, axis=1)
    ]
    blocks.sort(key=lambda block: float(block.mean()), reverse=True)
    return [blocks[0], *blocks[-len(TISSUE) :]]


def _reduced(piece: RGB, level: int) -> RGB:
    size = (BLOCK >> level,) * 2
    return np.asarray(cv2.resize(piece, size, interpolation=cv2.INTER_AREA), np.uint8)


def _tiles(pieces: list[RGB], kinds: Kinds, side: int) -> Iterator[RGB]:
    """Yield the tiles of a level, row by row; the last ones are filled with glass."""
    block = len(pieces[0])
    for top in range(0, side, TILE):
        for left in range(0, side, TILE):
            tile = np.empty((TILE, TILE, 3), np.uint8)
            for y in range(0, TILE, min(block, TILE)):
                for x in range(0, TILE, min(block, TILE)):
                    row, down = divmod(top + y, block)
                    column, across = divmod(left + x, block)
                    inside = row < len(kinds) and column < len(kinds)
                    kind = kinds[row, column] if inside else 0
                    part = tile[y : y + block, x : x + block]
                    height, width = part.shape[:2]
                    part[:] = pieces[kind][
                        down : down + height, across : across + width
                    ]
            yield tile


def _numbers(kinds: Kinds, block: int, side: int) -> npt.NDArray[np.int64]:
    """Return a number for each tile of a level (rows, columns): alike, if alike.

    Tiles that the edge of the slide cuts are counted as whole ones.
    """
    count, across = -(-side // TILE), block // TILE
    rows, columns = np.divmod(np.arange(count), across)
    kind = kinds[np.ix_(rows, rows)]
    return np.asarray((kind * across + columns[:, None]) * across + columns[None])


def _encoded_once(pieces: list[RGB], kinds: Kinds, side: int) -> Iterator[bytes]:
    """Yield the JPEG stream of each tile where it is first met, and nothing elsewhere."""
    across = len(pieces[0]) // TILE
    met: set[int] = set()
    for number in _numbers(kinds, len(pieces[0]), side).ravel().tolist():
        if number in met:
            yield b""
            continue
        met.add(number)
        place, column = divmod(number, across)
        kind, row = divmod(place, across)
        tile = pieces[kind][row * TILE : (row + 1) * TILE]
        tile = np.ascontiguousarray(tile[:, column * TILE : (column + 1) * TILE])
        yield simplejpeg.encode_jpeg(tile, QUALITY, colorsubsampling="420")


def _share(path: Path, kinds: Kinds) -> None:
    """Let each tile that was left out point at the one of its kind that is there."""
    with tifffile.TiffFile(path, mode="r+") as tiff:
        for level, page in enumerate(tiff.pages):
            block = BLOCK >> level
            if block < TILE:
                break
            numbers = _numbers(kinds, block, page.imagewidth).ravel()
            _, first, place = np.unique(numbers, return_index=True, return_inverse=True)
            for tag in ("TileOffsets", "TileByteCounts"):
                values = np.array(page.tags[tag].value)[first][place]
                page.tags[tag].overwrite(values.tolist())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("side", type=int)
    parser.add_argument("file", type=Path)
    given = parser.parse_args()
    write_mosaic(given.file, given.side)
