"""Paints lesions that cannot be told from the normal tissue round them by colour.

A lesion is glands and nests of large, pleomorphic nuclei. It takes the place of normal
tissue and borrows the local mean and spread of each colour channel from it, so what
tells it apart is structure: the size, shape and order of its nuclei.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.random import Generator
from shapely.geometry import Polygon

from coverslip.cohorts.painted.cells import LYMPHOCYTE, SPINDLE, Library, tumour
from coverslip.cohorts.painted.clusters import Dyes, lay_cluster
from coverslip.cohorts.painted.layers import Layers, Stain, finished_eosin
from coverslip.cohorts.painted.pixels import Gray, averaged, blurred, times
from coverslip.cohorts.painted.shapes import (
    fill,
    press_ellipse,
    scattered,
)
from coverslip.slides.slide import RGB

NEIGHBOURHOOD = 161
"""Side in px of the square over which colour is matched: below a 256-px patch."""

Colours = npt.NDArray[np.floating[Any]]
"""Real numbers of shape (height, width, 3)."""


def paint_lesions(
    rng: Generator,
    image: RGB,
    layers: Layers,
    stain: Stain,
    lesions: tuple[Polygon, ...],
) -> None:
    """Replace the tissue within the outlines; `image` is changed in place."""
    nuclei = Library.of(rng, tumour(rng.random()), 12, 8)
    between = (Library.of(rng, LYMPHOCYTE, 6, 4), Library.of(rng, SPINDLE, 12, 3))
    size = len(image)
    for outline in lesions:
        left, top, right, bottom = (int(v) for v in outline.bounds)
        pad = NEIGHBOURHOOD // 2
        rows = slice(max(0, top - pad), min(size, bottom + pad))
        columns = slice(max(0, left - pad), min(size, right + pad))
        here = rows, columns
        haematoxylin = layers.ground_haematoxylin[here].copy()
        eosin = layers.ground_eosin[here].copy()
        _fill_with_tumour(rng, Dyes(haematoxylin, eosin), nuclei, between)
        eosin = finished_eosin(rng, eosin, haematoxylin)
        mask = layers.mask[here]
        painted = stain.dye(times(haematoxylin, mask), times(eosin, mask))
        matched = _with_colours_of(image[here], painted, mask)
        inside = fill((outline,), mask.shape[::-1], (columns.start, rows.start))
        share = blurred(inside, 2)[..., None] / np.float32(255)
        mixed = image[here] + share * (matched - image[here])
        image[here] = np.round(mixed).astype(np.uint8)


def _fill_with_tumour(
    rng: Generator, dyes: Dyes, nuclei: Library, between: tuple[Library, Library]
) -> None:
    """Cover two dye layers with glands, nests, and stroma between them; in place."""
    shape = dyes.eosin.shape[::-1]
    taken = np.zeros_like(dyes.eosin)
    loose = scattered(rng, shape, 17)
    for middle in scattered(rng, shape, rng.uniform(3.8, 5.4) * nuclei.length):
        radii = (
            rng.uniform(1.2, 1.9) * nuclei.length * np.array([1, rng.uniform(0.6, 1)])
        )
        lay_cluster(rng, dyes, nuclei, middle, radii)
        press_ellipse(taken, middle, np.full(2, radii.mean()), 0, 255)
    column, row = np.clip(loose.astype(int), 0, np.subtract(shape, 1)).T
    loose = loose[(taken[row, column] == 0) & (rng.random(len(loose)) < 0.7)]
    rng.shuffle(loose)
    cut = 2 * len(loose) // 3
    between[0].lay(rng, dyes.haematoxylin, loose[:cut])
    between[1].lay(rng, dyes.haematoxylin, loose[cut:])


def _with_colours_of(model: RGB, image: RGB, mask: Gray) -> Colours:
    """Return `image` with the local mean and spread of each channel of `model`.

    Args:
        model: uint8 of shape (height, width, 3).
        image: The same.
        mask: Where both hold tissue; the rest is not looked at.
    """
    weight = mask[..., None].astype(np.float32) / 255 + np.float32(1e-6)
    weight = np.repeat(weight, 3, axis=2)
    total = averaged(weight, NEIGHBOURHOOD)

    def moments(values: Colours) -> tuple[Colours, Colours]:
        mean = averaged(weight * values, NEIGHBOURHOOD) / total
        square = averaged(weight * values**2, NEIGHBOURHOOD) / total
        return mean, np.sqrt(np.maximum(square - mean**2, 1))

    values = image.astype(np.float32)
    mean, spread = moments(values)
    model_mean, model_spread = moments(model.astype(np.float32))
    gain = np.clip(model_spread / spread, 0.6, 1.7)
    matched: Colours = np.clip((values - mean) * gain + model_mean, 0, 255)
    return matched
