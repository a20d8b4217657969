"""What the trials of benchmark 1 come to: figures, intervals, and paired differences."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from benchmarks.accuracy.tissue_trials import PLACES, Recipe
from scipy.optimize import brentq
from scipy.stats import norm
from scipy.stats import t as student

from coverslip import store
from coverslip.judge.comparison import holm
from coverslip.judge.metrics import auc, choose_threshold

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
Pair = tuple[float, float]
"""Learning rate and weight decay."""


REPEATS = 1000
"""How often test bags are drawn again."""

LEAST_P = 1e-6
"""Smaller p values are given as this one."""


class Drawn:
    """Test bags drawn again, many times, within each class: the same for all models."""

    def __init__(self, labels: Ints, repeats: int = REPEATS) -> None:
        rng = np.random.default_rng(0)
        classes = [np.flatnonzero(labels == c) for c in np.unique(labels)]
        self.bags = [
            np.concatenate([rng.choice(c, len(c)) for c in classes])
            for _ in range(repeats)
        ]
        self.labels = labels

    def aucs(self, scores: Floats) -> Floats:
        """Return the mean AUC of the seeds' scores (N, S), in every draw: (R,)."""
        values = [
            [auc(self.labels[bags], column) for column in scores[bags].T]
            for bags in self.bags
        ]
        return np.mean(values, axis=1)

    def means(self, values: Floats) -> Floats:
        """Return the mean of the seeds' values (N, S), in every draw: (R,)."""
        each = values.mean(axis=1)  # (N,)
        return np.array([each[bags].mean() for bags in self.bags])


def interval(seeds: Floats, draws: Floats) -> store.Facts:
    """Return the mean over seeds, its 95 % interval, and the p of "it is 0".

    A figure varies with the test bags (the variance of `draws`) and with the training
    (that of the seeds' figures, over their number). Each part has its own reach, the
    second by Student's t, since five seeds tell their variance badly; the reaches add as
    errors do. What varies with both bag and seed is counted twice, on the safe side.

    Args:
        seeds: The figure of each seed, all test bags, (S,).
        draws: The mean over seeds in every draw of bags, (R,).
    """
    value, number = float(seeds.mean()), len(seeds)
    of_bags = float(draws.std())
    of_seeds = float(seeds.std(ddof=1)) / number**0.5 if number > 1 else 0.0

    def reach(p: float) -> float:
        parts = (
            norm.isf(p / 2) * of_bags,
            student.isf(p / 2, max(number - 1, 1)) * of_seeds,
        )
        return float(np.hypot(*parts))

    if reach(LEAST_P) <= abs(value):
        p = LEAST_P
    else:
        p = float(brentq(lambda p: reach(p) - abs(value), LEAST_P, 1.0))
    wide = reach(0.05)
    return {"value": value, "low": value - wide, "high": value + wide, "p": p}


def summarise(
    recipe: Recipe, pair: Pair, trials: Sequence[store.Facts]
) -> dict[str, Any]:
    """Return a row: what a recipe's trials came to on validation and test."""
    place = max(
        PLACES,
        key=lambda p: np.mean([np.mean(t["val"][p]["instance_auc"]) for t in trials]),
    )
    labels = np.array(trials[0]["test"]["labels"])
    scores = np.array([t["test"]["scores"] for t in trials]).T  # (N, S)
    inside = np.array([t["test"][place]["instance_auc"] for t in trials]).T  # (P, S)
    slides = Drawn(labels).aucs(scores)  # (R,)
    patches = Drawn(np.ones(len(inside))).means(inside)  # (R,)
    each = np.array([auc(labels, column) for column in scores.T])  # (S,)
    seen = inside.mean(axis=0)  # (S,)
    return {
        "commits": sorted({t["commit"] for t in trials}),
        "name": recipe.name,
        "model": recipe.model,
        "options": recipe.options,
        "lr": pair[0],
        "weight_decay": pair[1],
        "epochs_kept": [t["epoch"] for t in trials],
        "val_auc": [slide_auc(t["val"]) for t in trials],
        "auc": interval(each, slides),
        "auc_of_seeds": each.tolist(),
        "auc_of_mean": auc(labels, scores.mean(axis=1)),
        "place": place,
        "val_instance_auc": [np.mean(t["val"][place]["instance_auc"]) for t in trials],
        "instance_auc": interval(seen, patches),
        "instance_auc_of_seeds": seen.tolist(),
        "found": np.mean([t["test"][place]["found"] for t in trials], axis=0).tolist(),
        "entropy": float(np.mean([t["test"]["entropy"] for t in trials])),
        "top10": float(np.mean([t["test"]["top10"] for t in trials])),
        "threshold": float(np.mean([_threshold(t["val"]) for t in trials])),
        "seconds": sum(t["seconds"] for t in trials),
        "_scores": scores,
        "_seeds": {"auc": each, "instance_auc": seen},
        "_draws": {"auc": slides, "instance_auc": patches},
    }


def compare_with(ours: str, rows: Sequence[dict[str, Any]]) -> None:
    """Add to each rival's row how much better ours is, paired, with Holm's p."""
    first = next(row for row in rows if row["name"] == ours)
    rivals = [row for row in rows if row is not first]
    for figure in ("auc", "instance_auc"):
        for row in rivals:
            seeds, draws = (
                np.subtract(first[key][figure], row[key][figure])
                for key in ("_seeds", "_draws")
            )  # (S,), (R,)
            row[f"gain_{figure}"] = interval(seeds, draws)
        adjusted = holm([row[f"gain_{figure}"]["p"] for row in rivals])
        for row, p in zip(rivals, adjusted, strict=True):
            row[f"gain_{figure}"]["p_holm"] = p


def _threshold(part: store.Facts) -> float:
    scores = np.array(part["scores"])
    return choose_threshold(part["labels"], scores)


def slide_auc(part: store.Facts) -> float:
    """Return the AUC of what a model said of a part's bags."""
    return auc(np.array(part["labels"]), np.array(part["scores"]))


def slide_loss(part: store.Facts) -> float:
    """Return the mean of -log of the true class's probability."""
    y, p = np.array(part["labels"]), np.array(part["scores"])
    return float(-np.log(np.clip(np.where(y == 1, p, 1 - p), 1e-9, 1)).mean())
