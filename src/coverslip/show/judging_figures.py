"""Figures of judgement: models side by side, and how far a probability can be believed.

Rows come as plain mappings, so that nothing here needs to know who judged.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from coverslip import store

_INK, _REFERENCE, _QUIET = "#7a1f5c", "#1f4e7a", "0.6"


def draw_comparison(
    path: Path, rows: Sequence[Mapping[str, str | float]], reference: str, caption: str
) -> None:
    """Draw each model's AUC with its interval, and its difference from the reference.

    Args:
        path: The PNG to write.
        rows: A row a model, in the order shown: `model`, `auc`, `auc_low`, `auc_high`,
            `difference`, `difference_low`, `difference_high`, `p`, `p_holm`.
        reference: The model that the others are compared with.
        caption: A line above the figure.
    """
    names = [str(row["model"]) for row in rows]
    height = 1.5 + 0.34 * len(rows)
    width = 7.4 + 0.07 * max(map(len, names))
    figure = Figure(figsize=(width, height), dpi=130, layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for place, row in enumerate(rows):
        is_reference = row["model"] == reference
        colour = _REFERENCE if is_reference else _INK
        _whisker(left, place, [float(row[f"auc{end}"]) for end in _ENDS], colour)
        if is_reference:
            continue
        of_difference = [float(row[f"difference{end}"]) for end in _ENDS]
        _whisker(right, place, of_difference, colour)
        right.annotate(
            _p_text(float(row["p_holm"])),
            (1.02, place),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=8,
        )
    at = names.index(reference)
    left.axvline(float(rows[at]["auc"]), color=_REFERENCE, lw=0.8, ls=":")
    right.axvline(0, color=_REFERENCE, lw=0.8, ls=":")
    right.annotate(
        "reference", (0, at), ha="center", va="center", fontsize=8, color=_REFERENCE
    ).set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 1.5})
    left.set_yticks(range(len(rows)), names, fontsize=9)
    left.set_ylim(len(rows) - 0.5, -0.5)
    left.set_xlabel("AUC, 95 % interval", fontsize=9)
    right.set_xlabel(f"AUC minus that of {reference}, paired", fontsize=9)
    right.annotate(
        "p (Holm)",
        (1.02, 1.0),
        xycoords="axes fraction",
        xytext=(0, 4),
        textcoords="offset points",
        fontsize=8,
    )
    right.margins(x=0.15)
    for axis in (left, right):
        axis.xaxis.set_major_locator(MaxNLocator(5))
        axis.tick_params(axis="x", labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    right.tick_params(axis="y", length=0)
    figure.suptitle(caption, fontsize=10)
    _save(figure, path)


_ENDS = ("", "_low", "_high")


def _whisker(axis: Axes, place: int, ends: Sequence[float], colour: str) -> None:
    """Draw a value and its interval; where that is unknown, the value alone."""
    value, low, high = ends
    if math.isfinite(low) and math.isfinite(high):
        axis.plot([low, high], [place, place], color=colour, lw=2)
        axis.plot(value, place, "o", color=colour, ms=6)
    elif math.isfinite(value):
        axis.plot(value, place, "o", mfc="white", color=colour, ms=6)


def _p_text(p: float) -> str:
    if math.isnan(p):
        return "-"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def draw_reliability(
    path: Path, points: Mapping[str, Sequence[Mapping[str, float]]], caption: str
) -> None:
    """Draw what was said against what happened, and how many slides stand behind it.

    Args:
        path: The PNG to write.
        points: Of one or two ways to tell probabilities, by name, a row a bin: `n`,
            `said`, `happened`, the ends of its interval `low`, `high`, and the bin's
            `middle`.
        caption: A line above the figure.
    """
    figure = Figure(figsize=(4.8, 6.3), dpi=130, layout="constrained")
    upper, lower = figure.subplots(
        2, 1, sharex=True, gridspec_kw={"height_ratios": (4, 1)}
    )
    upper.plot([0, 1], [0, 1], color="0.75", lw=1)
    looks = ((_QUIET, "s", -0.015), (_INK, "o", 0.015))
    for (name, rows), (colour, marker, shift) in zip(
        points.items(), looks[-len(points) :], strict=True
    ):
        said = [row["said"] for row in rows]
        happened = [row["happened"] for row in rows]
        for x, row in zip(said, rows, strict=True):
            upper.plot([x, x], [row["low"], row["high"]], color=colour, lw=1.2)
        upper.plot(said, happened, marker, color=colour, ms=5, label=name)
        middles = [row["middle"] + shift for row in rows]
        lower.bar(middles, [row["n"] for row in rows], width=0.03, color=colour)
    upper.set(ylabel="share that came true", ylim=(-0.02, 1.02), box_aspect=1)
    upper.legend(loc="upper left", frameon=False, fontsize=8)
    upper.set_title(caption, fontsize=9)
    lower.set(xlabel="probability told", ylabel="slides", xlim=(-0.02, 1.02))
    lower.set_box_aspect(0.22)
    for axis in (upper, lower):
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    with store.writing(path) as part:
        FigureCanvasAgg(figure).print_png(part)  # type: ignore[no-untyped-call] # matplotlib's own
