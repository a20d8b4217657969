"""Reading: tiles at full resolution, patches across tiles, and half the resolution.

    python -m benchmarks.speed.reading

Beside OpenSlide (openslide-python, `read_region` and to RGB) and the limit, which is
libjpeg-turbo given bytes that lie in memory. Pixels are compared before anything is
timed.
"""

from pathlib import Path

import cv2
import numpy as np
import openslide
import simplejpeg
import tifffile
from benchmarks.speed.measure import rows_of, show, take_turns
from benchmarks.speed.mosaic import TILE, mosaic
from PIL import Image

from coverslip import store
from coverslip.slides.finding import open_slide
from coverslip.slides.slide import RGB
from coverslip.slides.tiled import TiledSlide

SIDE = 20_000
TILES = 400
FULL = 8_000
"""Bytes of a tile that shows tissue, at least."""

Places = list[tuple[int, int]]


def main(side: int = SIDE) -> store.Facts:
    """Time all ways to read and return the rows of the table."""
    path = mosaic(side)
    with open_slide(path) as slide, openslide.OpenSlide(path) as rival:
        if not isinstance(slide, TiledSlide):
            raise TypeError(f"{path}: has no direct reader")
        return {
            "stage": "reading",
            "slide": f"{side} x {side} px, JPEG tiles of {TILE} px",
            "rows": [
                *_whole_tiles(path, slide, rival),
                *_across_tiles(slide, rival),
                *_halved(slide, rival),
            ],
        }


def _whole_tiles(
    path: Path, slide: TiledSlide, rival: openslide.OpenSlide
) -> list[store.Facts]:
    level = slide.tiles.levels[0]
    rows, columns = np.nonzero(level.counts[:-1, :-1] > FULL)
    chosen = np.sort(np.random.default_rng(0).permutation(len(rows))[:TILES])
    tiles = [(int(columns[i]), int(rows[i])) for i in chosen]
    places = [(x * TILE, y * TILE) for x, y in tiles]
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        numbers = [y * level.counts.shape[1] + x for x, y in tiles]
        pieces = []
        for number in numbers:
            tiff.filehandle.seek(page.dataoffsets[number])
            pieces.append((tiff.filehandle.read(page.databytecounts[number]), number))
        tables = page.jpegtables
        streams = [level.head + piece[2:] for piece, _ in pieces]
        for place, stream in zip(places[:50], streams[:50], strict=True):
            _same(slide.read(place, 0, (TILE, TILE)), simplejpeg.decode_jpeg(stream))
            _same(_of_openslide(rival, place, TILE), simplejpeg.decode_jpeg(stream))
        ways = {
            "libjpeg-turbo, bytes in memory (limit)": lambda: [
                simplejpeg.decode_jpeg(stream) for stream in streams
            ],
            "coverslip": lambda: _read(slide, places, TILE),
            "tifffile, bytes in memory": lambda: [
                page.decode(piece, number, jpegtables=tables)
                for piece, number in pieces
            ],
            "openslide-python": lambda: [
                _of_openslide(rival, place, TILE) for place in places
            ],
        }
        timed = take_turns({name: (way, TILES) for name, way in ways.items()})
    return rows_of(
        "tiles of the slide",
        timed,
        rival="openslide-python",
        limit="libjpeg-turbo, bytes in memory (limit)",
        bars={"coverslip": {"times_rival": 5, "of_limit": 0.8}},
    )


def _across_tiles(slide: TiledSlide, rival: openslide.OpenSlide) -> list[store.Facts]:
    """Every patch of a piece of slide, off the tiles' grid."""
    places = [
        (left, top)
        for top in range(4096 + 100, 4096 + 100 + 16 * TILE, TILE)
        for left in range(4096 + 77, 4096 + 77 + 25 * TILE, TILE)
    ]
    _same(slide.read(places[7], 0, (TILE, TILE)), _of_openslide(rival, places[7], TILE))
    timed = take_turns(
        {
            "coverslip": (lambda: _read(slide, places, TILE), len(places)),
            "openslide-python": (
                lambda: [_of_openslide(rival, place, TILE) for place in places],
                len(places),
            ),
        }
    )
    return rows_of(
        "patches across tiles",
        timed,
        rival="openslide-python",
        bars={"coverslip": {"times_rival": 4}},
    )


def _halved(slide: TiledSlide, rival: openslide.OpenSlide) -> list[store.Facts]:
    """Two by two tiles to one patch, as where a 40x slide has no 20x level."""
    side = 2 * TILE
    places = [
        (left, top)
        for top in range(4096, 4096 + 10 * side, side)
        for left in range(4096, 4096 + 10 * side, side)
    ]

    def area(pixels: RGB) -> RGB:
        return cv2.resize(pixels, (TILE, TILE), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]

    def of_rival(place: tuple[int, int]) -> RGB:
        picture = Image.fromarray(_of_openslide(rival, place, side))
        return np.asarray(picture.resize((TILE, TILE), Image.Resampling.LANCZOS))

    def exact() -> None:
        slide.clear()
        for place in places:
            area(slide.read(place, 0, (side, side)))

    def while_decoding() -> None:
        slide.clear()
        for place in places:
            slide.read_halved(place, 0, (side, side))

    timed = take_turns(
        {
            "coverslip, exact area": (exact, len(places)),
            "coverslip, halved while decoding": (while_decoding, len(places)),
            "openslide-python, Pillow Lanczos": (
                lambda: [of_rival(place) for place in places],
                len(places),
            ),
        }
    )
    return rows_of(
        "40x to 20x without a level",
        timed,
        rival="openslide-python, Pillow Lanczos",
        bars={"coverslip, exact area": {"times_rival": 6}},
    )


def _read(slide: TiledSlide, places: Places, side: int) -> None:
    slide.clear()
    for place in places:
        slide.read(place, 0, (side, side))


def _of_openslide(rival: openslide.OpenSlide, place: tuple[int, int], side: int) -> RGB:
    return np.asarray(rival.read_region(place, 0, (side, side)).convert("RGB"))


def _same(ours: RGB, theirs: RGB) -> None:
    if not np.array_equal(ours, theirs):
        raise ValueError("pixels differ: nothing is timed")


if __name__ == "__main__":
    show(main())
