"""Figures of a run: the ROC curve, the training, and the patches a model looked at."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from coverslip import store
from coverslip.geometry import Scale
from coverslip.learn.prediction import Prediction
from coverslip.slides.reading import read_patch
from coverslip.slides.slide import Slide


def draw_roc(
    path: Path,
    labels: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float64],
    threshold: float,
    caption: str,
) -> None:
    """Draw the ROC curve of two classes, and the point that the threshold stands for.

    Args:
        path: The PNG to write.
        labels: (N,) of 0 and 1, both present.
        scores: (N,) probabilities of class 1.
        threshold: Chosen on validation.
        caption: A line above the curve.
    """
    false, true, _ = roc_curve(labels, scores, drop_intermediate=False)
    figure = Figure(figsize=(4.6, 4.6), dpi=130, layout="constrained")
    axis = figure.subplots()
    axis.plot([0, 1], [0, 1], color="0.75", lw=1)
    axis.step(false, true, where="post", color="#7a1f5c", lw=2)
    called = scores >= threshold
    point = called[labels == 0].mean(), called[labels == 1].mean()
    axis.plot(*point, "o", color="#1f4e7a", label=f"threshold {threshold:.3f}")
    axis.set(
        xlabel="1 - specificity",
        ylabel="sensitivity",
        xlim=(-0.02, 1.02),
        ylim=(-0.02, 1.02),
        aspect="equal",
    )
    axis.set_title(caption, fontsize=9)
    axis.legend(loc="lower right", frameon=False, fontsize=8)
    _save(figure, path)


def draw_training(path: Path, log: Sequence[Mapping[str, str]]) -> None:
    """Draw losses and validation AUC over the epochs of a training's log."""
    epochs = [int(row["epoch"]) for row in log]
    figure = Figure(figsize=(8, 3.2), dpi=130, layout="constrained")
    left, right = figure.subplots(1, 2)
    for name in log[0]:
        if name.startswith("loss_") or name == "val_loss":
            left.plot(epochs, [float(row[name]) for row in log], label=name)
    left.set(xlabel="epoch", ylabel="loss")
    left.legend(frameon=False, fontsize=8)
    areas = [float(row["val_auc"]) for row in log]
    right.plot(epochs, areas, color="#7a1f5c")
    right.set(xlabel="epoch", ylabel="validation AUC", ylim=(-0.02, 1.02))
    _save(figure, path)


def draw_patches(
    path: Path,
    slide: Slide,
    scale: Scale,
    prediction: Prediction,
    *,
    coords: npt.NDArray[np.int64],
    shown: int = 8,
) -> None:
    """Show the patches with the highest attention, the highest score, and the lowest.

    The score is tier 1's probability of the last class.

    Args:
        path: The PNG to write.
        slide: The slide.
        scale: How its patches are read.
        prediction: What the model says of it.
        coords: (n, 2) level-0 corners, in the prediction's order.
        shown: Patches of each kind, at most.
    """
    order = (-prediction.attention).argsort(kind="stable")
    likely = (-prediction.patch_probabilities[:, -1]).argsort(kind="stable")
    count = min(shown, len(order))
    rows = {
        "highest attention": order[:count],
        "highest probability": likely[:count],
        "lowest attention": order[::-1][:count],
    }
    figure = Figure(figsize=(1.5 * count + 0.3, 6.0), dpi=110, layout="constrained")
    axes = figure.subplots(len(rows), count, squeeze=False)
    for line, (title, chosen) in zip(axes, rows.items(), strict=True):
        for axis, i in zip(line, chosen, strict=True):
            corner = (int(coords[i, 0]), int(coords[i, 1]))
            axis.imshow(read_patch(slide, corner, scale))
            axis.set_xlabel(
                f"p {prediction.patch_probabilities[i, -1]:.2f}\n{corner}", fontsize=7
            )
            axis.set(xticks=[], yticks=[])
        line[0].set_title(title, fontsize=9, loc="left")
    figure.suptitle(
        f"{prediction.slide_id}: patches by tier-1 attention and probability",
        fontsize=10,
    )
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    with store.writing(path) as part:
        FigureCanvasAgg(figure).print_png(part)  # type: ignore[no-untyped-call] # matplotlib's own
