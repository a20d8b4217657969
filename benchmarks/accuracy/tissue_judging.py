"""What the trials of benchmark 1 come to: figures, intervals, and paired differences."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from benchmarks.accuracy.tissue_trials import PLACES, Recipe

from coverslip import store
from coverslip.judge.comparison import holm
from coverslip.judge.metrics import auc, choose_threshold
from coverslip.judge.resampling import REPEATS

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
Pair = tuple[float, float]
"""Learning rate and weight decay."""


class Drawn:
    """Test bags and seeds drawn again, many times: a bootstrap of two levels.

    A seed stands for a training: its bags, weights and order, which all models share. So
    an interval speaks of trainings like these on bags like these. Bags are drawn within
    each class.
    """

    def __init__(self, labels: Ints, seeds: int, repeats: int = REPEATS) -> None:
        rng = np.random.default_rng(0)
        classes = [np.flatnonzero(labels == c) for c in np.unique(labels)]
        self.bags = [
            np.concatenate([rng.choice(c, len(c)) for c in classes])
            for _ in range(repeats)
        ]
        self.seeds = rng.integers(seeds, size=(repeats, seeds))
        self.labels = labels

    def aucs(self, scores: Floats) -> Floats:
        """Return the mean AUC of the seeds' scores (N, S), in every draw: (R,)."""
        values = [
            [
                auc(self.labels[bags], scores[bags, seed])
                for seed in range(scores.shape[1])
            ]
            for bags in self.bags
        ]
        return np.take_along_axis(np.array(values), self.seeds, axis=1).mean(axis=1)

    def means(self, values: Floats) -> Floats:
        """Return the mean of the seeds' values (N, S), in every draw: (R,)."""
        each = np.array([values[bags].mean(axis=0) for bags in self.bags])  # (R, S)
        return np.take_along_axis(each, self.seeds, axis=1).mean(axis=1)


def interval(value: float, draws: Floats) -> store.Facts:
    """Return a figure with the 95 % percentile interval of its draws."""
    low, high = np.quantile(draws, [0.025, 0.975])
    return {"value": value, "low": float(low), "high": float(high)}


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
    slides = Drawn(labels, len(trials)).aucs(scores)  # (R,)
    patches = Drawn(np.ones(len(inside)), len(trials)).means(inside)  # (R,)
    each = [auc(labels, column) for column in scores.T]
    return {
        "name": recipe.name,
        "model": recipe.model,
        "options": recipe.options,
        "lr": pair[0],
        "weight_decay": pair[1],
        "epochs_kept": [t["epoch"] for t in trials],
        "val_auc": [slide_auc(t["val"]) for t in trials],
        "auc": interval(float(np.mean(each)), slides),
        "auc_of_seeds": each,
        "auc_of_mean": auc(labels, scores.mean(axis=1)),
        "place": place,
        "val_instance_auc": [np.mean(t["val"][place]["instance_auc"]) for t in trials],
        "instance_auc": interval(float(inside.mean()), patches),
        "instance_auc_of_seeds": inside.mean(axis=0).tolist(),
        "found": np.mean([t["test"][place]["found"] for t in trials], axis=0).tolist(),
        "entropy": float(np.mean([t["test"]["entropy"] for t in trials])),
        "top10": float(np.mean([t["test"]["top10"] for t in trials])),
        "threshold": float(np.mean([_threshold(t["val"]) for t in trials])),
        "seconds": sum(t["seconds"] for t in trials),
        "_scores": scores,
        "_draws": {"auc": slides, "instance_auc": patches},
    }


def compare_with(ours: str, rows: Sequence[dict[str, Any]]) -> None:
    """Add to each rival's row how much better ours is, paired, with Holm's p."""
    first = next(row for row in rows if row["name"] == ours)
    rivals = [row for row in rows if row is not first]
    for figure in ("auc", "instance_auc"):
        for row in rivals:
            draws = first["_draws"][figure] - row["_draws"][figure]  # (R,)
            value = first[figure]["value"] - row[figure]["value"]
            aside = min((draws <= 0).sum(), (draws >= 0).sum()) + 1
            p = min(1.0, 2 * float(aside) / (len(draws) + 1))
            row[f"gain_{figure}"] = {**interval(value, draws), "p": p}
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
