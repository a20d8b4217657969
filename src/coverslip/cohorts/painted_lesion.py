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

from coverslip.cohorts.painted_cells import LYMPHOCYTE, SPINDLE, TUMOUR, Library
from coverslip.cohorts.painted_layers import Layers, Stain, finished_eosin
from coverslip.cohorts.painted_pixels import Gray, averaged, blurred, times
from coverslip.cohorts.painted_shapes import (
    Points,
    fill,
    press_ellipse,
    rotation,
    scattered,
)
from coverslip.slides.slide import RGB

NEIGHBOURHOOD = 161
"""Side in px of the square over which colour is matched: below a 256-px patch."""

Colours = npt.NDArray[np.floating[Any]]
"""Real numbers of shape (height, width, 3)."""

GLAND_SHARE = 0.6
"""Share of the clusters that have a lumen; the rest are solid nests."""


def paint_lesions(
    rng: Generator,
    image: RGB,
    layers: Layers,
    stain: Stain,
    lesions: tuple[Polygon, ...],
) -> None:
    """Replace the tissue within the outlines; `image` is changed in place."""
    tumour = Library.of(rng, TUMOUR, 12, 8)
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
        _fill_with_tumour(rng, haematoxylin, eosin, tumour, between)
        eosin = finished_eosin(rng, eosin, haematoxylin)
        mask = layers.mask[here]
        painted = stain.dye(times(haematoxylin, mask), times(eosin, mask))
        matched = _with_colours_of(image[here], painted, mask)
        inside = fill((outline,), mask.shape[::-1], (columns.start, rows.start))
        share = blurred(inside, 2)[..., None] / np.float32(255)
        mixed = image[here] + share * (matched - image[here])
        image[here] = np.round(mixed).astype(np.uint8)


def _fill_with_tumour(
    rng: Generator,
    haematoxylin: Gray,
    eosin: Gray,
    tumour: Library,
    between: tuple[Library, Library],
) -> None:
    """Cover two dye layers with glands, nests, and stroma between them; in place."""
    shape = haematoxylin.shape[::-1]
    taken = np.zeros_like(haematoxylin)
    nuclei: list[Points] = []
    turns: list[Points] = []
    for middle in scattered(rng, shape, rng.uniform(88, 112)):
        radii = rng.uniform(28, 46) * np.array([1, rng.uniform(0.6, 1)])
        turn = rng.uniform(0, np.pi)
        press_ellipse(taken, middle, 1.15 * radii, turn, 255)
        press_ellipse(eosin, middle, 1.15 * radii, turn, rng.uniform(74, 107))
        if rng.random() < GLAND_SHARE:
            press_ellipse(eosin, middle, 0.42 * radii, turn, rng.uniform(6, 50))
            press_ellipse(haematoxylin, middle, 0.42 * radii, turn, 4)
            around = rng.uniform(0, 7) + np.arange(0, 2 * np.pi, 22 / radii.mean())
            around += rng.uniform(-0.1, 0.1, len(around))
            cells = 0.8 * radii * np.column_stack([np.cos(around), np.sin(around)])
            turns.append(around + turn + rng.uniform(-0.4, 0.4, len(around)))
        else:
            cells = scattered(rng, (120, 120), 24) - 60
            cells = cells[np.hypot(*(cells / radii).T) < 1]
            turns.append(rng.uniform(0, np.pi, len(cells)))
        nuclei.append(cells @ rotation(turn) + middle)
    loose = scattered(rng, shape, 17)
    column, row = np.clip(loose.astype(int), 0, np.subtract(shape, 1)).T
    loose = loose[(taken[row, column] == 0) & (rng.random(len(loose)) < 0.55)]
    cut = len(loose) // 2
    rng.shuffle(loose)
    between[0].lay(rng, haematoxylin, loose[:cut])
    between[1].lay(rng, haematoxylin, loose[cut:])
    tumour.lay(rng, haematoxylin, np.concatenate(nuclei), np.concatenate(turns))


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
