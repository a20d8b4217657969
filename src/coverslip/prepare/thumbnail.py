"""The thumbnail that shows a person what was taken for tissue."""

import cv2
import numpy as np

from coverslip.prepare.tissue import Tissue
from coverslip.slides.slide import RGB


def draw_outlines(picture: RGB, tissue: Tissue) -> RGB:
    """Draw the outlines (green) and boxes (grey) on a picture of the tissue's bounds."""
    drawn = np.ascontiguousarray(picture)
    px_height, px_width = picture.shape[:2]
    bounds = tissue.bounds
    scale = np.array([px_width / bounds.l0_width, px_height / bounds.l0_height])
    origin = np.array([bounds.l0_x, bounds.l0_y])
    thickness = max(1, round(max(picture.shape) / 600))
    for box in tissue.boxes:
        corner = (np.array([box.l0_x, box.l0_y]) - origin) * scale
        size = np.array([box.l0_width, box.l0_height]) * scale
        start, end = np.rint(corner), np.rint(corner + size)
        cv2.rectangle(
            drawn,
            (int(start[0]), int(start[1])),
            (int(end[0]), int(end[1])),
            (150, 150, 150),
            1,
        )
    for outline in tissue.outlines:
        for ring in (outline.exterior, *outline.interiors):
            px_ring = np.rint((np.asarray(ring.coords) - origin) * scale)
            cv2.polylines(
                drawn, [px_ring.astype(np.int32)], True, (0, 140, 0), thickness
            )
    return drawn
