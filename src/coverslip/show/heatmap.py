"""Heatmaps: where on the slide the model looked, and what it saw there."""

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from shapely.geometry import Polygon

from coverslip import store
from coverslip.geometry import Box, Mpp
from coverslip.learn.prediction import Prediction
from coverslip.slides.overview import read_overview, require_mpp
from coverslip.slides.slide import RGB, Slide

PX_LONG_SIDE = 1400
"""Longer side of one panel in pixels, at most."""

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Panel:
    """One picture of a heatmap: a value for each patch, drawn over the slide."""

    title: str
    values: Values
    colours: str


@dataclass(frozen=True)
class PatchShape:
    """Where the patches of a prediction lie, and what the last class is called.

    Attributes:
        coords: (N, 2) level-0 top-left corners.
        l0_side: Side of a patch in level-0 pixels.
        class_name: The last class.
        outlines: What somebody drew on the slide, in level-0 pixels.
    """

    coords: npt.NDArray[np.int64]
    l0_side: float
    class_name: str
    outlines: tuple[Polygon, ...] = ()


def rank(values: npt.NDArray[np.floating]) -> Values:
    """Return the share of the other patches that have a lower value, 0 to 1.

    Equal values have equal ranks, so that no order shows where there is none.
    """
    if len(values) < 2:
        return np.ones(len(values))
    lower = np.searchsorted(np.sort(values), values, side="left")
    return np.asarray(lower / (len(values) - 1))


def paint(
    coords: npt.NDArray[np.int64],
    values: Values,
    l0_side: float,
    bounds: Box,
    px_size: tuple[int, int],
) -> Values:
    """Spread the values of patches over a picture of the slide's bounds.

    Where patches overlap, their mean is taken; where there is none, the result is NaN.
    What lies outside the bounds is cut off. A patch reaches to the end of the level-0
    pixel it ends in, so that neighbours leave no gap.

    Args:
        coords: (N, 2) level-0 top-left corners.
        values: (N,).
        l0_side: Side of a patch in level-0 pixels.
        bounds: What the picture shows.
        px_size: (width, height) of the picture.

    Returns:
        (height, width).
    """
    px_width, px_height = px_size
    total = np.zeros((px_height + 1, px_width + 1))
    count = np.zeros_like(total)
    scale = np.array([px_width / bounds.l0_width, px_height / bounds.l0_height])
    start = coords - np.array([bounds.l0_x, bounds.l0_y])
    left, top = np.rint(start * scale).clip(0, px_size).astype(int).T
    right, bottom = (
        np.rint((start + math.ceil(l0_side)) * scale).clip(0, px_size).astype(int).T
    )
    # A rectangle is four corners of its second difference: one pass for all patches.
    for sign, px_y, px_x in (
        (1, top, left),
        (-1, top, right),
        (-1, bottom, left),
        (1, bottom, right),
    ):
        np.add.at(total, (px_y, px_x), sign * values)
        np.add.at(count, (px_y, px_x), sign)
    total = total.cumsum(axis=0).cumsum(axis=1)[:-1, :-1]
    count = count.cumsum(axis=0).cumsum(axis=1)[:-1, :-1].round()
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def draw_heatmap(
    path: Path, slide: Slide, prediction: Prediction, shape: PatchShape, title: str
) -> None:
    """Write a picture: the slide, tier-1 attention, and the score of each patch.

    Attention is shown by rank, since its values depend on the number of patches; the
    score is tier 1's probability of the last class, from 0 to 1. Outlines, where there
    are any, are drawn in black on each.

    Raises:
        UnreadableSlideError: The slide cannot be read.
        OutputError: The picture cannot be written.
    """
    mpp = require_mpp(slide)
    bounds = slide.bounds
    px_per_l0 = PX_LONG_SIDE / max(bounds.l0_width, bounds.l0_height)
    picture, bounds = read_overview(slide, Mpp(mpp / min(1.0, px_per_l0)))
    panels = [
        Panel("tier-1 attention (rank)", rank(prediction.attention), "magma"),
        Panel(
            f"probability of {shape.class_name}",
            prediction.patch_probabilities[:, -1].astype(np.float64),
            "RdBu_r",
        ),
    ]
    l0_per_px = bounds.l0_width / picture.shape[1]
    figure = _figure(picture, l0_per_px * mpp, title, len(panels) + 1)
    for axis, panel in zip(figure.axes[1:], panels, strict=True):
        painted = paint(
            shape.coords, panel.values, shape.l0_side, bounds, picture.shape[1::-1]
        )
        _draw_panel(axis, painted, panel)
    for axis in figure.axes[: len(panels) + 1]:
        for outline in shape.outlines:
            l0_ring = np.asarray(outline.exterior.coords)
            px_ring = (l0_ring - (bounds.l0_x, bounds.l0_y)) / l0_per_px
            axis.plot(*px_ring.T, color="black", lw=1.4)
    quick = {"compress_level": 1}  # tissue hardly gets smaller with more effort
    with store.writing(path) as part:
        FigureCanvasAgg(figure).print_png(part, pil_kwargs=quick)  # type: ignore[no-untyped-call] # matplotlib's own


def _figure(picture: RGB, px_mpp: float, title: str, panels: int) -> Figure:
    """Lay out the picture `panels` times, below each other where it is wide."""
    px_height, px_width = picture.shape[:2]
    wide = px_width > 1.2 * px_height
    rows, columns = (panels, 1) if wide else (1, panels)
    across = 10.0 if wide else 5.0 * columns
    down = rows * across / columns * px_height / px_width
    figure = Figure(figsize=(across + 1, down + 0.9), dpi=110, layout="compressed")
    figure.suptitle(title, fontsize=11)
    for axis in figure.subplots(rows, columns, squeeze=False).ravel():
        axis.imshow(picture)
        axis.set_axis_off()
    figure.axes[0].set_title("slide", fontsize=9)
    _scale_bar(figure.axes[0], px_mpp, px_width, px_height)
    return figure


def _draw_panel(axis: Axes, painted: Values, panel: Panel) -> None:
    colours = mpl.colormaps[panel.colours]
    drawn = axis.imshow(
        painted,
        cmap=colours,
        vmin=0,
        vmax=1,
        alpha=0.55,
        interpolation="nearest",
    )
    axis.set_title(panel.title, fontsize=9)
    bar = axis.figure.colorbar(drawn, ax=axis, shrink=0.8, pad=0.01)
    bar.ax.tick_params(labelsize=7)


def round_length(most: float) -> tuple[float, str]:
    """Return the greatest round length up to so many micrometres, and its label."""
    power = 10 ** np.floor(np.log10(most))
    length = float(max(step * power for step in (1, 2, 5) if step * power <= most))
    return length, f"{length / 1000:g} mm" if length >= 1000 else f"{length:g} µm"


def _scale_bar(axis: Axes, px_mpp: float, px_width: int, px_height: int) -> None:
    """Draw a bar of a round length, near a fifth of the picture's width."""
    length, label = round_length(px_width * px_mpp / 5)
    px_length = length / px_mpp
    px_y, px_x = px_height * 0.96, px_width * 0.03
    axis.plot([px_x, px_x + px_length], [px_y, px_y], color="black", lw=3)
    axis.annotate(
        label,
        (px_x + px_length / 2, px_y),
        (0, 3),
        textcoords="offset points",
        ha="center",
        fontsize=8,
    )


def patch_scores(
    prediction: Prediction, coords: npt.NDArray[np.int64], classes: tuple[str, ...]
) -> str:
    """Return a CSV with one row a patch, the one most attended to first."""
    ranks = rank(prediction.attention)
    order = (-prediction.attention).argsort(kind="stable")
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    chances = (f"probability_{name}" for name in classes)
    table.writerow(["slide_id", "x", "y", "attention", "attention_rank", *chances])
    for i in order:
        corner = (int(coords[i, 0]), int(coords[i, 1]))
        seen = (f"{prediction.attention[i]:.8g}", f"{ranks[i]:.6f}")
        said = (f"{chance:.6f}" for chance in prediction.patch_probabilities[i])
        table.writerow([prediction.slide_id, *corner, *seen, *said])
    return text.getvalue()
