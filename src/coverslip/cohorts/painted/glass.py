"""What happens to painted tissue on the glass: folds, pen ink, light and noise."""

import numpy as np
import numpy.typing as npt
from numpy.random import Generator
from shapely.geometry import LineString, Polygon

from coverslip.cohorts.painted.pixels import (
    Gray,
    blurred,
    enlarged,
    light_through,
    times,
    value_noise,
)
from coverslip.cohorts.painted.shapes import fill
from coverslip.slides.slide import RGB

INKS = np.array([(40, 62, 168), (42, 44, 52), (36, 128, 84)])
"""Colours of the usual pens: blue, black, green."""


def add_fold(rng: Generator, image: RGB, tissue: tuple[Polygon, ...]) -> None:
    """Lay a band of tissue double, so that the light passes it twice; in place."""
    piece = tissue[int(rng.integers(len(tissue)))]
    middle = np.asarray(piece.representative_point().coords[0])
    reach = 0.5 * np.sqrt(piece.area) * rng.uniform(0.7, 1.2)
    line = _curve(rng, middle, reach, bend=0.25)
    width = rng.uniform(10, 26)
    here, mask = _under(line.buffer(width).intersection(piece), image)
    second = np.roll(image[here], rng.integers(15, 40, 2), axis=(0, 1))
    clear = 255 - blurred(mask, 1.6)[..., None]
    image[here] = times(image[here], np.maximum(second, clear))


def add_ink(rng: Generator, image: RGB, tissue: tuple[Polygon, ...]) -> None:
    """Draw a pen stroke on the glass, partly over tissue; in place."""
    piece = tissue[int(rng.integers(len(tissue)))]
    edge = np.asarray(piece.exterior.coords)
    start = edge[int(rng.integers(len(edge)))]
    line = _curve(rng, start, rng.uniform(0.08, 0.22) * len(image), bend=0.5)
    stroke = line.buffer(rng.uniform(0.008, 0.016) * len(image))
    here, mask = _under(stroke, image)
    height, width = mask.shape
    patchy = value_noise(rng, max(mask.shape), 60)[:height, :width]
    cover = blurred(mask, 3) * np.clip(0.78 + 0.1 * patchy, 0, 1)
    clear = 255 - INKS[int(rng.integers(len(INKS)))]
    table = 255 - np.outer(np.arange(256) / 255, clear)
    image[here] = times(image[here], light_through(cover.astype(np.uint8), table))


def on_glass(rng: Generator, image: RGB) -> RGB:
    """Return the image as a scanner sees it: lamp colour, shading, and noise."""
    size = len(image)
    lamp = np.array([241, 240, 242]) + rng.uniform(-4, 4, 3)
    shading = np.clip(1.6 * value_noise(rng, 64, 24)[..., None] + lamp, 0, 255)
    lit = times(image, enlarged(shading.astype(np.uint8), (size, size)))
    tile = 512
    noise = np.round(1.3 * rng.standard_normal((tile, tile, 3))).astype(np.int8)
    for top in range(0, size, tile):
        for left in range(0, size, tile):
            here = lit[top : top + tile, left : left + tile]
            noisy = here + noise[: here.shape[0], : here.shape[1]].astype(np.int16)
            np.clip(noisy, 0, 255, out=here, casting="unsafe")
    return lit


def _curve(
    rng: Generator, middle: npt.NDArray[np.float64], reach: float, bend: float
) -> LineString:
    """Return a curved line through `middle`, `reach` px to either side."""
    turn = rng.uniform(0, 2 * np.pi)
    along = np.array([np.cos(turn), np.sin(turn)])
    aside = np.array([-along[1], along[0]])
    t = np.linspace(-1, 1, 40)[:, None]
    sway = bend * rng.uniform(-1, 1, 2)
    wave = sway[0] * t * t + sway[1] * (t**3 - t)
    return LineString(middle + reach * (t * along + wave * aside))


def _under(shape: Polygon, image: RGB) -> tuple[tuple[slice, slice], Gray]:
    """Return the part of the image under a shape, with a margin, and the shape there."""
    margin, (height, width) = 12, image.shape[:2]
    left, top = (max(0, int(v) - margin) for v in shape.bounds[:2])
    right, bottom = (int(v) + margin for v in shape.bounds[2:])
    here = slice(top, min(bottom, height)), slice(left, min(right, width))
    rows, columns = image[here].shape[:2]
    parts = tuple(getattr(shape, "geoms", (shape,)))
    return here, fill(parts, (columns, rows), (left, top))
