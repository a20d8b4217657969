"""Figures on how good slide probabilities are; what cannot be computed is NaN.

Labels are class numbers (N,) from 0, probabilities (N, C) in the same order of classes.
Of two classes the last is the positive one, and its probability is the score; the rule
of decision is `score >= threshold`. Of more than two the most probable one is decided on
and no threshold is used. The threshold is chosen on validation slides, never on the
slides that are judged: chosen on those it flatters the accuracy by several points.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from coverslip.errors import DataError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

NAN = float("nan")
RATES = ("sensitivity", "specificity", "precision", "f1")


@dataclass(frozen=True)
class Metrics:
    """How good the probabilities of some slides are.

    Of two classes sensitivity, specificity, precision and F1 are the positive class's;
    of more they are means over the classes, each against the rest.

    Attributes:
        n: How many slides.
        classes: Class names in order.
        threshold: What was decided with; None with more than two classes.
        auc: Area under the ROC curve; of more than two classes the mean of each against
            the rest.
        auprc: Average precision, with means in the same way.
        log_loss: Mean of -log of the true class's probability, in nats.
        accuracy: Part of the slides decided rightly.
        balanced_accuracy: Mean over the classes of the part decided rightly.
        sensitivity: Part of the positives called positive.
        specificity: Part of the negatives called negative.
        precision: Part of those called positive that are.
        f1: Harmonic mean of precision and sensitivity.
        confusion: confusion[t][p] slides of class t were decided to be p.
        per_class: The four rates, AUC and number of slides of each class by name.
    """

    n: int
    classes: tuple[str, ...]
    threshold: float | None
    auc: float
    auprc: float
    log_loss: float
    accuracy: float
    balanced_accuracy: float
    sensitivity: float
    specificity: float
    precision: float
    f1: float
    confusion: list[list[int]]
    per_class: dict[str, dict[str, float]]

    def facts(self) -> dict[str, Any]:
        """Return the figures JSON-ready: NaN becomes None."""
        facts: dict[str, Any] = null_for_nan(asdict(self))
        return facts


def null_for_nan(value: Any) -> Any:  # noqa: ANN401 - JSON is anything
    """Return nested figures with None where they are NaN or infinite."""
    if isinstance(value, dict):
        return {key: null_for_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [null_for_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def evaluate(
    labels: npt.ArrayLike,
    probabilities: npt.ArrayLike,
    threshold: float,
    classes: Sequence[str],
) -> Metrics:
    """Judge probabilities against labels.

    Args:
        labels: (N,) class numbers.
        probabilities: (N, C); each row sums to 1.
        threshold: From `choose_threshold` on other slides, or 0.5; unused when C > 2.
        classes: The C names.

    Raises:
        DataError: There is no slide, or the arrays are not labels and probabilities.
    """
    y, p = _checked(labels, probabilities)
    if p.shape[1] != len(classes):
        raise DataError(
            f"{p.shape[1]} probabilities a slide for {len(classes)} classes"
        )
    figures = metrics_at(y, p, threshold)
    confusion = np.array(figures["confusion"])
    per_class = {
        name: {"n": int((y == c).sum()), "auc": auc(y == c, p[:, c])}
        | class_rates(confusion, c)
        for c, name in enumerate(classes)
    }
    return Metrics(
        **figures,
        classes=tuple(classes),
        threshold=threshold if len(classes) == 2 else None,
        auc=auc(y, p),
        auprc=average_precision(y, p),
        log_loss=log_loss(y, p),
        per_class=per_class,
    )


def metrics_at(
    labels: npt.ArrayLike, probabilities: npt.ArrayLike, threshold: float
) -> dict[str, Any]:
    """Return the figures that depend on a decision, by their names in `Metrics`.

    Raises:
        DataError: There is no slide, or the arrays are not labels and probabilities.
    """
    y, p = _checked(labels, probabilities)
    n_classes = p.shape[1]
    decided = (p[:, 1] >= threshold).astype(int) if n_classes == 2 else p.argmax(axis=1)
    confusion = np.zeros((n_classes, n_classes), dtype=np.int64)
    np.add.at(confusion, (y, decided), 1)
    rates = [class_rates(confusion, c) for c in range(n_classes)]
    figures = (
        rates[1]
        if n_classes == 2
        else {name: _mean([one[name] for one in rates]) for name in RATES}
    )
    several = len(np.unique(y)) > 1
    return figures | {
        "n": len(y),
        "accuracy": float(np.trace(confusion) / len(y)),
        "balanced_accuracy": _mean([r["sensitivity"] for r in rates])
        if several
        else NAN,
        "confusion": confusion.tolist(),
    }


def choose_threshold(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Choose the threshold with the greatest Youden's J, on validation slides.

    The threshold lies midway between two neighbouring scores, so it is always finite.
    Equally good ones: the nearest to 0.5. None better than chance, or one class: 0.5.

    Args:
        labels: (N,) of 0 and 1.
        scores: (N,) probabilities of class 1.
    """
    positive = np.asarray(labels).astype(bool)
    values, where = np.unique(np.asarray(scores, dtype=np.float64), return_inverse=True)
    hits = np.bincount(where[positive], minlength=len(values))
    alarms = np.bincount(where[~positive], minlength=len(values))
    # J of the rule "score >= values[i + 1]", times positives times negatives: exact
    youden = (
        np.cumsum(hits[::-1])[::-1] * alarms.sum()
        - np.cumsum(alarms[::-1])[::-1] * hits.sum()
    )[1:]
    if not len(youden) or youden.max() <= 0:
        return 0.5
    below, above = values[:-1], values[1:]
    midway = (below + above) / 2
    midway = np.where(midway > below, midway, above)
    best = midway[youden == youden.max()]
    return float(best[np.abs(best - 0.5).argmin()])


def auc(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Return the area under the ROC curve; ties count one half.

    Args:
        labels: (N,) class numbers.
        scores: (N,) for two classes, or (N, C). With C > 2 the areas of each class that
            occurs against the rest are averaged.

    Returns:
        0 to 1, or NaN when fewer than two classes occur.
    """
    return _one_vs_rest(_auc, labels, scores)


def average_precision(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Return the area under the precision-recall curve by steps, arguments as `auc`."""
    return _one_vs_rest(_average_precision, labels, scores)


def log_loss(labels: npt.ArrayLike, probabilities: npt.ArrayLike) -> float:
    """Return the mean of -log of the true class's probability, in nats.

    Probabilities of 0 count as the smallest step from 0 to 1, so it stays finite.
    """
    y, p = _checked(labels, probabilities)
    true = p[np.arange(len(y)), y]
    return float(-np.log(np.maximum(true, np.finfo(np.float64).eps)).mean())


def _one_vs_rest(
    area: Callable[[npt.NDArray[np.bool_], Floats], float],
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
) -> float:
    y, s = np.asarray(labels).astype(np.int64), np.asarray(scores, dtype=np.float64)
    occurring = np.unique(y)
    if len(occurring) < 2:
        return NAN
    if s.ndim == 1 or s.shape[1] == 2:
        return area(y == 1, s if s.ndim == 1 else s[:, 1])
    return _mean([area(y == c, s[:, c]) for c in occurring])


def _auc(positive: npt.NDArray[np.bool_], scores: Floats) -> float:
    """Return the Mann-Whitney statistic as a share of all pairs."""
    m = int(positive.sum())
    n = len(positive) - m
    above = rankdata(scores)[positive].sum() - m * (m + 1) / 2
    return float(above / (m * n))


def _average_precision(positive: npt.NDArray[np.bool_], scores: Floats) -> float:
    """Sum precision over the rises of recall, one step for each distinct score."""
    values, where = np.unique(-scores, return_inverse=True)
    hits = np.bincount(where[positive], minlength=len(values))
    called = np.bincount(where, minlength=len(values))
    precision = np.cumsum(hits) / np.cumsum(called)
    return float((precision * hits).sum() / hits.sum())


def class_rates(confusion: Ints, c: int) -> dict[str, float]:
    """Return the rates of class c against the rest, by name; NaN where undefined."""
    tp = int(confusion[c, c])
    fn = int(confusion[c].sum()) - tp
    fp = int(confusion[:, c].sum()) - tp
    tn = int(confusion.sum()) - tp - fn - fp
    return {
        "sensitivity": _ratio(tp, tp + fn),
        "specificity": _ratio(tn, tn + fp),
        "precision": _ratio(tp, tp + fp),
        "f1": _ratio(2 * tp, 2 * tp + fp + fn),
    }


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else NAN


def _mean(values: Sequence[float]) -> float:
    """Return the mean of those that are defined."""
    defined = [value for value in values if not math.isnan(value)]
    return math.fsum(defined) / len(defined) if defined else NAN


def _checked(
    labels: npt.ArrayLike, probabilities: npt.ArrayLike
) -> tuple[Ints, Floats]:
    """Return labels and probabilities as arrays that fit each other."""
    y, p = np.asarray(labels), np.asarray(probabilities, dtype=np.float64)
    if p.ndim != 2 or y.shape != p.shape[:1] or not len(y) or p.shape[1] < 2:
        raise DataError(
            f"labels {y.shape} and probabilities {p.shape}: there must be at least one "
            "slide, (N,) labels and (N, classes) probabilities"
        )
    if (
        not (np.isfinite(p).all() and np.allclose(p.sum(axis=1), 1, atol=1e-3))
        or (p < 0).any()
    ):
        raise DataError(
            "probabilities are negative, NaN or do not sum to 1 for a slide"
        )
    y = y.astype(np.int64)
    if y.min() < 0 or y.max() >= p.shape[1]:
        raise DataError(f"labels {y.min()}..{y.max()} for {p.shape[1]} classes")
    return y, p
