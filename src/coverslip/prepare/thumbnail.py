"""The thumbnail that shows a person what was taken for tissue."""

from typing import Any

import cv2
import numpy as np

from coverslip.geometry import Mpp
from coverslip.prepare.tissue import Tissue
from coverslip.slides.overview import require_mpp
from coverslip.slides.slide import RGB, Slide

GREEN, GREY = (0, 140, 0), (150, 150, 150)


def draw_outlines(picture: RGB, tissue: Tissue) -> RGB:
    """Return a picture of the tissue's bounds with outlines (green) and boxes (grey)."""
    drawn = picture.copy()
    px_size = np.array(picture.shape[1::-1])
    bounds = tissue.bounds
    l0_origin = np.array([bounds.l0_x, bounds.l0_y])
    px_per_l0 = px_size / [bounds.l0_width, bounds.l0_height]
    thickness = max(1, round(max(picture.shape) / 600))

    def draw(ring: Any, colour: tuple[int, int, int], width: int) -> None:  # noqa: ANN401 - shapely
        points = (np.asarray(ring.coords)[:, :2] - l0_origin) * px_per_l0
        px_points = np.rint(points).clip(0, px_size - 1).astype(np.int32)
        cv2.polylines(drawn, [px_points], isClosed=True, color=colour, thickness=width)

    for outline in tissue.outlines:
        draw(outline.envelope.exterior, GREY, 1)
    for outline in tissue.outlines:
        for ring in (outline.exterior, *outline.interiors):
            draw(ring, GREEN, thickness)
    return drawn


PX_LONG_SIDE = 1500
"""Longer side of a thumbnail in pixels, where the slide has so many."""


def thumbnail_mpp(slide: Slide) -> Mpp:
    """Return the scale at which a slide fits into a thumbnail.

    Raises:
        MissingMppError: The scale of the slide is unknown.
    """
    bounds = slide.bounds
    longer = max(bounds.l0_width, bounds.l0_height)
    return Mpp(require_mpp(slide) * max(1.0, longer / PX_LONG_SIDE))
