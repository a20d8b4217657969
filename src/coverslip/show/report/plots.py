"""The figures of a report, from plain arrays and rows: nothing here knows who judged."""

import re
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from coverslip.show.report import drawing
from coverslip.show.report.drawing import CYCLE, INK, MAIN, QUIET, SECOND

Floats = npt.NDArray[np.float64]
ACROSS = 3
"""Panels in a row, at most."""


@drawing.styled
def roc(curves: Sequence[Mapping[str, object]]) -> Figure:
    """Draw ROC curves with their bands, a panel each.

    Args:
        curves: Of each: `title`; `x` and `y` (P,) of the curve; `grid`, `low`, `high`
            (Q,) of the band; `others`, curves [(x, y)] of the folds; `point`, where the
            decisions lie, or None, and `decided`, what it is called.
    """
    columns = min(ACROSS, len(curves))
    rows = -(-len(curves) // columns)
    side = 3.9 if columns == 1 else 2.9
    figure = drawing.new(side * columns + 0.1, side * rows + 0.35)
    panels = drawing.axes(figure, rows, columns)
    for axis, curve in zip(panels, curves, strict=False):
        _roc_panel(axis, curve)
    for axis in panels[len(curves) :]:
        axis.set_visible(False)
    return figure


def _roc_panel(axis: Axes, curve: Mapping[str, object]) -> None:
    grid, low, high = (np.asarray(curve[key]) for key in ("grid", "low", "high"))
    axis.plot([0, 1], [0, 1], color=QUIET, lw=0.8, ls=":")
    axis.fill_between(grid, low, high, color=MAIN, alpha=0.18, lw=0, label="95 % band")
    for x, y in curve.get("others", ()):  # type: ignore[attr-defined] # a list of pairs
        axis.step(x, y, where="post", color=QUIET, lw=0.7, alpha=0.7)
    axis.step(curve["x"], curve["y"], where="post", color=MAIN, label="ROC")  # type: ignore[arg-type] # arrays
    if curve.get("point") is not None:
        x, y = curve["point"]  # type: ignore[misc] # a pair
        axis.plot(x, y, "o", color=SECOND, ms=6, label=str(curve["decided"]), zorder=3)
    axis.set(
        xlabel="1 - specificity",
        ylabel="sensitivity",
        xlim=(-0.02, 1.02),
        ylim=(-0.02, 1.02),
        aspect="equal",
    )
    axis.set_title(str(curve["title"]))
    axis.legend(loc="lower right")


@drawing.styled
def calibration(points: Mapping[str, Sequence[Mapping[str, float]]]) -> Figure:
    """Draw what was told against what came true, and the slides behind it.

    Args:
        points: By way of telling, a row a bin as `judging_figures.draw_reliability`.
    """
    figure = drawing.new(4.0, 5.0)
    upper, lower = drawing.axes(
        figure, 2, 1, sharex=True, gridspec_kw={"height_ratios": (4, 1)}
    )
    upper.plot([0, 1], [0, 1], color=QUIET, lw=0.8, ls=":")
    looks = ((QUIET, "s", -0.012), (MAIN, "o", 0.012))
    for (name, bins), (colour, marker, shift) in zip(
        points.items(), looks[-len(points) :], strict=True
    ):
        for row in bins:
            x = row["said"] + shift / 2
            upper.plot([x, x], [row["low"], row["high"]], color=colour, lw=1.1)
        said = [row["said"] + shift / 2 for row in bins]
        happened = [row["happened"] for row in bins]
        upper.plot(said, happened, marker, color=colour, ms=5, label=name)
        middles = [row["middle"] + shift for row in bins]
        lower.bar(middles, [row["n"] for row in bins], width=0.024, color=colour)
    upper.set(ylabel="share that came true", ylim=(-0.02, 1.02), box_aspect=1)
    upper.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2)
    lower.set(xlabel="probability told", ylabel="slides", xlim=(-0.02, 1.02))
    lower.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    lower.set_box_aspect(0.25)
    return figure


@drawing.styled
def confusion(matrix: Sequence[Sequence[int]], classes: Sequence[str]) -> Figure:
    """Draw how many slides of each class were decided to be which.

    Args:
        matrix: matrix[t][p] slides of class t were decided to be p.
        classes: Names in order.
    """
    counts = np.asarray(matrix)
    n = len(classes)
    longest = max(len(short(name)) for name in classes)
    side = max(2.2, 0.7 * n)
    figure = drawing.new(side + 0.8 + 0.06 * longest, side + 0.5 + 0.06 * longest)
    axis = drawing.axes(figure)[0]
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1.25)
    for t in range(n):
        for p in range(n):
            dark = shares[t, p] > 0.7
            axis.text(
                p,
                t,
                f"{counts[t, p]}\n{shares[t, p]:.0%}",
                ha="center",
                va="center",
                color="#fffffe"
                if dark
                else "#1b1b1d",  # not the page's: cells are pale
                fontsize=9 if n < 6 else 7,
            )
    names = [short(name) for name in classes]
    axis.set_xticks(range(n), names, rotation=0 if longest * n < 30 else 45)
    axis.set_yticks(range(n), names)
    axis.set(xlabel="decided", ylabel="is")
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
    return figure


@drawing.styled
def scores(
    groups: Mapping[str, Floats], threshold: float | None, measured: str
) -> Figure:
    """Draw the probability of every slide, a line a class.

    Args:
        groups: Probabilities by true class.
        threshold: Where decisions turn; None where there is none or several.
        measured: What the probability is of.
    """
    longest = max(len(short(name)) for name in groups)
    figure = drawing.new(3.6 + 0.06 * longest, 1.1 + 0.55 * len(groups))
    axis = drawing.axes(figure)[0]
    for line, (colour, values) in enumerate(
        zip(_colours(len(groups)), groups.values(), strict=True)
    ):
        places = line + _spread(values)
        axis.plot(values, places, "o", color=colour, ms=4, alpha=0.7, mew=0)
    if threshold is not None:
        axis.axvline(threshold, color=INK, lw=0.9, ls="--")
        axis.annotate(
            f"threshold {threshold:.3f}",
            (threshold, 1),
            (0, 3),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="center"
            if 0.2 < threshold < 0.8
            else "right"
            if threshold > 0.5
            else "left",
            fontsize=8,
        )
    names = [f"{short(name)} ({len(v)})" for name, v in groups.items()]
    axis.set_yticks(range(len(groups)), names)
    axis.set(xlabel=measured, xlim=(-0.02, 1.02), ylim=(len(groups) - 0.4, -0.6))
    return figure


def _spread(values: Floats) -> Floats:
    """Return a small offset for each, so that near values do not hide each other."""
    offsets = np.zeros(len(values))
    steps = (0.0, -0.12, 0.12, -0.24, 0.24, -0.32, 0.32)
    order = np.argsort(values, kind="stable")
    for place, i in enumerate(order):
        offsets[i] = steps[place % len(steps)]
    return offsets


def _colours(n: int) -> list[str]:
    return [CYCLE[i % len(CYCLE)] for i in range(n)]


@drawing.styled
def training(
    logs: Mapping[str, Sequence[Mapping[str, float]]], losses: Sequence[str]
) -> Figure:
    """Draw losses and validation AUC over the epochs.

    Args:
        logs: Rows of the log of each training, by name; `epoch` and figures.
        losses: Columns that are losses: drawn apart where there is one training,
            the last one only where there are several.
    """
    figure = drawing.new(4.2, 4.4)
    upper, lower = drawing.axes(figure, 2, 1, sharex=True)
    many = len(logs) > 1
    for (name, rows), colour in zip(logs.items(), _colours(len(logs)), strict=True):
        epochs = [row["epoch"] for row in rows]
        for loss, own in zip(losses, _colours(len(losses)), strict=True):
            if many and loss != losses[-1]:
                continue
            values = [row.get(loss, np.nan) for row in rows]
            label = name if many else loss_name(loss)
            upper.plot(
                epochs, values, color=colour if many else own, lw=1.1, label=label
            )
        areas = [row.get("val_auc", np.nan) for row in rows]
        lower.plot(epochs, areas, color=colour, lw=1.1)
    upper.set(ylabel="validation loss" if many else "loss")
    lower.set(xlabel="epoch", ylabel="validation AUC", ylim=(-0.02, 1.02))
    lower.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    if not many or len(logs) <= 8:
        upper.legend(loc="best")
    return figure


@drawing.styled
def comparison(rows: Sequence[Mapping[str, float | str]], reference: str) -> Figure:
    """Draw each run's AUC, and its difference from the reference, with intervals.

    Args:
        rows: As `judging_figures.draw_comparison`.
        reference: The run that the others are compared with.
    """
    names = [short(str(row["model"]), 30) for row in rows]
    figure = drawing.new(5.6 + 0.06 * max(map(len, names)), 1.1 + 0.32 * len(rows))
    left, right = drawing.axes(figure, 1, 2, sharey=True)
    for place, row in enumerate(rows):
        colour = SECOND if row["model"] == reference else MAIN
        _whisker(left, place, row, "auc", colour)
        if row["model"] != reference:
            _whisker(right, place, row, "difference", colour)
    at = [row["model"] for row in rows].index(reference)
    right.axvline(0, color=INK, lw=0.8, ls=":")
    right.plot(0, at, "o", color=SECOND, ms=5)
    left.set_yticks(range(len(rows)), names)
    left.set_ylim(len(rows) - 0.5, -0.5)
    left.set_xlabel("AUC")
    right.set_xlabel(f"AUC less that of {short(reference)}")
    right.margins(x=0.15)
    right.tick_params(axis="y", length=0, labelleft=False)
    for axis in (left, right):
        axis.xaxis.set_major_locator(MaxNLocator(4))
    return figure


def _whisker(
    axis: Axes, place: int, row: Mapping[str, float | str], name: str, colour: str
) -> None:
    value, low, high = (float(row[f"{name}{end}"]) for end in ("", "_low", "_high"))
    known = bool(np.isfinite([low, high]).all())
    if known:
        axis.plot([low, high], [place, place], color=colour, lw=1.6)
    if np.isfinite(value):
        axis.plot(
            value, place, "o", mfc=colour if known else "none", color=colour, ms=5
        )


def loss_name(column: str) -> str:
    """Return what a column of a training's log is called."""
    if column == "val_loss":
        return "validation"
    return re.sub(r"_|(?<=tier)(?=\d)", " ", column.removeprefix("loss_"))


def short(name: str, most: int = 18) -> str:
    """Return a name that fits beside an axis."""
    plain = name.replace("$", "\\$")  # to matplotlib a dollar begins mathematics
    return plain if len(plain) <= most else f"{plain[: most - 1]}…"
