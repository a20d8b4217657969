"""The FROC curve: lesions found against false alarms a slide."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from coverslip import store

LOWEST = 1 / 16
"""Left end of the axis, in alarms a slide; what happens before is drawn there."""


def draw_froc(
    path: Path,
    alarms: npt.NDArray[np.float64],
    sensitivity: npt.NDArray[np.float64],
    points: Sequence[tuple[float, float]],
    caption: str,
) -> None:
    """Draw the curve over a logarithmic axis, and the points that make the score.

    Args:
        path: The PNG to write.
        alarms: (P,) false positives a slide, from 0.
        sensitivity: (P,) of the curve.
        points: (alarms, sensitivity) of those marked, in order.
        caption: A line above the curve.

    Raises:
        OutputError: The picture cannot be written.
    """
    highest = 2 * points[-1][0]
    inside = np.append(0, alarms[:-1]) <= highest
    figure = Figure(figsize=(5.6, 4.2), dpi=130, layout="constrained")
    axis = figure.subplots()
    x = np.append(np.maximum(alarms[inside], LOWEST), highest)
    y = np.append(sensitivity[inside], sensitivity[inside][-1])
    axis.plot(x, y, color="#7a1f5c", lw=2, drawstyle="default")
    axis.plot(*zip(*points, strict=True), "o", color="#1f4e7a")
    for rate, value in points:
        axis.annotate(
            f"{value:.2f}",
            (rate, value),
            (0, -13),
            fontsize=8,
            textcoords="offset points",
            ha="center",
        )
    axis.set_xscale("log", base=2)
    ticks = [LOWEST, 2 * LOWEST, *(rate for rate, _ in points), highest]
    names = [f"1/{1 / tick:g}" if tick < 1 else f"{tick:g}" for tick in ticks]
    axis.set_xticks(ticks, names)
    axis.minorticks_off()
    axis.set(
        xlabel="false positives per slide",
        ylabel="sensitivity (lesions found)",
        xlim=(LOWEST, highest),
        ylim=(-0.02, 1.02),
    )
    axis.grid(color="0.9")
    axis.set_title(caption, fontsize=9)
    with store.writing(path) as part:
        FigureCanvasAgg(figure).print_png(part)  # type: ignore[no-untyped-call] # matplotlib's own
