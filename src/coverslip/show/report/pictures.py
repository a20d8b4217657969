"""The pictures of one slide for a report: layers that lie on each other exactly.

All layers cover the slide's bounds. A report may be mailed, so every picture is small:
the thumbnail and the patches are JPEG, the heatmaps PNG with few colours.
"""

import base64
import io
from collections.abc import Sequence

import cv2
import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from PIL import Image
from shapely.geometry import Polygon

from coverslip.geometry import Box, Mpp, Scale
from coverslip.learn.prediction import Prediction
from coverslip.show.heatmap import paint, rank, round_length
from coverslip.show.report.facts import PatchPicture, SlidePictures
from coverslip.slides.overview import read_overview, require_mpp
from coverslip.slides.reading import read_patch
from coverslip.slides.slide import RGB, Slide

PX_LONG_SIDE = 640
"""Longer side of a thumbnail in pixels, at most."""
PX_PATCH = 144
"""Side of a patch's picture in pixels, at most."""
QUALITY = 80
SHADES = 63
"""Colours of a heatmap."""
ATTENTION, PROBABILITY = "magma", "RdBu_r"
"""Colour maps that people with any colour vision can read."""


def picture_slide(
    slide: Slide,
    prediction: Prediction,
    coords: npt.NDArray[np.int64],
    scale: Scale,
    outlines: Sequence[Polygon],
    *,
    of_class: tuple[int, str],
    shown: int = 6,
) -> SlidePictures:
    """Make the pictures of a slide.

    Args:
        slide: The slide.
        prediction: What a model says of its n patches.
        coords: (n, 2) level-0 corners, in the prediction's order.
        scale: How its patches are read.
        outlines: Its tissue, in level-0 pixels.
        of_class: Number and name of the class whose patch probabilities are shown.
        shown: How many of the top patches, and of the bottom ones, at most.

    Raises:
        UnreadableSlideError: It cannot be read.
    """
    picture, bounds = _thumbnail(slide)
    px_size = (picture.shape[1], picture.shape[0])
    ranks = rank(prediction.attention)
    chances = prediction.patch_probabilities[:, of_class[0]].astype(np.float64)
    order = (-prediction.attention).argsort(kind="stable")
    count = min(shown, -(-len(order) // 2))
    frame = _Frame(bounds, px_size)

    def patches(chosen: npt.NDArray[np.intp], letter: str) -> tuple[PatchPicture, ...]:
        return tuple(
            PatchPicture(
                f"{letter}{number}",
                _patch(slide, coords[i], scale),
                frame.square(coords[i], scale.l0_size),
                (int(coords[i, 0]), int(coords[i, 1])),
                float(ranks[i]),
                float(chances[i]),
            )
            for number, i in enumerate(chosen, start=1)
        )

    px_um = require_mpp(slide) * bounds.l0_width / px_size[0]
    length, label = round_length(px_size[0] * px_um / 4)
    return SlidePictures(
        px_size=px_size,
        thumbnail=jpeg_uri(picture),
        outlines=" ".join(frame.path(outline) for outline in outlines),
        attention=layer_uri(
            paint(coords, ranks, scale.l0_size, bounds, px_size), ATTENTION
        ),
        probability=layer_uri(
            paint(coords, chances, scale.l0_size, bounds, px_size), PROBABILITY
        ),
        shown_class=of_class[1],
        bar=(length / px_um, label),
        top=patches(order[:count], "T"),
        bottom=patches(order[::-1][: min(count, len(order) - count)], "B"),
    )


class _Frame:
    """Turns level-0 pixels into pixels of the thumbnail."""

    def __init__(self, bounds: Box, px_size: tuple[int, int]) -> None:
        self.l0_origin = np.array([bounds.l0_x, bounds.l0_y], dtype=np.float64)
        self.px_per_l0 = np.array(px_size) / [bounds.l0_width, bounds.l0_height]

    def points(self, l0_points: npt.ArrayLike) -> npt.NDArray[np.float64]:
        moved = np.asarray(l0_points, dtype=np.float64) - self.l0_origin
        return np.asarray(moved * self.px_per_l0)

    def square(
        self, l0_xy: npt.NDArray[np.int64], l0_side: float
    ) -> tuple[float, float, float]:
        left, top = self.points(l0_xy)
        return float(left), float(top), float(l0_side * self.px_per_l0[0])

    def path(self, outline: Polygon) -> str:
        """Return an outline with its holes, to half a pixel, as an SVG path."""
        simpler = outline.simplify(0.5 / float(self.px_per_l0.min()))
        rings = (simpler.exterior, *simpler.interiors)
        parts = []
        for ring in rings:
            points = self.points(np.asarray(ring.coords)[:, :2])
            parts.append("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) + "Z")
        return "".join(parts)


def _thumbnail(slide: Slide) -> tuple[RGB, Box]:
    bounds = slide.bounds
    longer = max(bounds.l0_width, bounds.l0_height)
    return read_overview(
        slide, Mpp(require_mpp(slide) * max(1.0, longer / PX_LONG_SIDE))
    )


def _patch(slide: Slide, l0_xy: npt.NDArray[np.int64], scale: Scale) -> str:
    pixels = read_patch(slide, (int(l0_xy[0]), int(l0_xy[1])), scale)
    if len(pixels) > PX_PATCH:
        small = cv2.resize(pixels, (PX_PATCH, PX_PATCH), interpolation=cv2.INTER_AREA)
        pixels = np.asarray(small, dtype=np.uint8)
    return jpeg_uri(pixels)


def jpeg_uri(picture: RGB) -> str:
    """Return a picture as a data URI."""
    data = io.BytesIO()
    Image.fromarray(picture).save(data, "JPEG", quality=QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"


def layer_uri(values: npt.NDArray[np.float64], colours: str) -> str:
    """Return values (height, width) from 0 to 1 as a picture; NaN is transparent."""
    known = np.isfinite(values)
    levels = np.where(known, np.nan_to_num(values).clip(0, 1) * (SHADES - 1), SHADES)
    picture = Image.fromarray(np.rint(levels).astype(np.uint8), "P")
    shades = mpl.colormaps[colours](np.linspace(0, 1, SHADES))[:, :3]
    palette = np.rint(np.vstack([shades, [1, 1, 1]]) * 255).astype(np.uint8)
    picture.putpalette(palette.tobytes())
    data = io.BytesIO()
    picture.save(data, "PNG", optimize=True, transparency=SHADES)
    return f"data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}"


def gradient(colours: str, stops: int = 9) -> str:
    """Return a colour map as the colours of a CSS gradient, from 0 to 1."""
    shades = mpl.colormaps[colours](np.linspace(0, 1, stops))
    return ", ".join(mpl.colors.to_hex(shade) for shade in shades)
