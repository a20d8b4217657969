"""Confidence intervals: how far a figure could be off, given so few slides.

`auc_interval` is what most callers need, and `rates.rate_interval` for accuracy and the
like; the rest are the methods they choose from. Where nothing can be said the ends are
NaN.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import norm, rankdata
from scipy.stats import t as student

from coverslip.judge.metrics import NAN, Floats, Ints, auc, null_for_nan
from coverslip.judge.resampling import (
    REPEATS,
    bootstrap,
    case_numbers,
    checked_scores,
    fewest_cases,
)

LEVEL = 0.95

Statistic = Callable[[Ints, Floats], float]


@dataclass(frozen=True)
class Interval:
    """A figure, and the ends between which the true one lies at that level."""

    value: float
    low: float
    high: float
    level: float
    method: str

    def __str__(self) -> str:
        return (
            f"{self.value:.3f} ({100 * self.level:g} % {self.low:.3f}-{self.high:.3f})"
        )

    def facts(self) -> dict[str, Any]:
        """Return the interval JSON-ready: NaN becomes None."""
        facts: dict[str, Any] = null_for_nan(asdict(self))
        return facts


def auc_interval(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    clusters: Sequence[str] | None = None,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """Return the AUC with the interval that suits the data.

    For two classes it is DeLong's, which counts cases when some have several slides; for
    more it is a bootstrap. Where these shrink to a point, as at an AUC of 0 or 1, it is
    Newcombe's, for as many cases as there are (of more than two classes: of the rarest
    class against the rest).

    Args:
        labels: (N,) class numbers.
        scores: (N,) for two classes, or (N, C) probabilities, as for `metrics.auc`.
        clusters: (N,) the case of each slide; None when each slide is its own.
        level: Confidence, between 0 and 1.
        seed: For the bootstrap.

    Raises:
        DataError: A score is NaN, or the arrays differ in length.
    """
    y, s = checked_scores(labels, scores)
    cases = case_numbers(clusters, len(y))
    case_labels = np.unique(np.column_stack([y, cases]), axis=0)[:, 0]
    n_cases = np.unique(case_labels, return_counts=True)[1]
    if len(n_cases) < 2:
        return Interval(NAN, NAN, NAN, level, "none (one class only)")
    if s.ndim == 1:
        found = delong_interval(y, s, level, clusters)
    else:
        found = bootstrap_interval(auc, y, s, clusters=clusters, level=level, seed=seed)
    if found.low < found.high:
        return found
    rarest = int(n_cases.min())
    return newcombe_interval(found.value, rarest, int(n_cases.sum()) - rarest, level)


def delong_interval(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    level: float = LEVEL,
    clusters: Sequence[str] | None = None,
) -> Interval:
    """Return the AUC with DeLong's interval on the logit scale.

    DeLong, DeLong and Clarke-Pearson 1988; by midranks as in Sun and Xu 2014; with
    several slides a case as in Obuchowski 1997. The logit keeps the ends within 0..1 and
    the coverage near the level (Perme and Manevski 2019). The ends are NaN where the
    variance is zero or unknown: an AUC of 0 or 1, or fewer than two cases of a class.

    Args:
        labels: (N,) of 0 and 1.
        scores: (N,) the greater the more positive, or (N, 2) probabilities.
        level: Confidence, between 0 and 1.
        clusters: (N,) the case of each slide; None when each slide is its own.

    Raises:
        DataError: A score is NaN, or the arrays differ in length.
    """
    y, s = checked_scores(labels, scores)
    cases = case_numbers(clusters, len(y))
    value, variance = auc(y, s), delong_variance(y, s, cases)
    method = "DeLong, logit"
    if cases.max() + 1 < len(y):
        method = "DeLong for cases, logit"
    if not variance > 0 or value in (0, 1):
        return Interval(value, NAN, NAN, level, method)
    reach = critical_value(y, cases, level) * np.sqrt(variance) / (value * (1 - value))
    low, high = expit(logit(value) - reach), expit(logit(value) + reach)
    return Interval(value, float(low), float(high), level, method)


def delong_variance(labels: Ints, scores: Floats, cases: Ints | None = None) -> float:
    """Return the variance of the AUC; NaN with fewer than two cases of a class."""
    if len(np.unique(labels == 1)) < 2:
        return NAN
    cases = np.arange(len(labels)) if cases is None else cases
    return placement_variance(labels, *placements(labels, scores), cases)


def placement_variance(
    labels: Ints, of_positives: Floats, of_negatives: Floats, cases: Ints
) -> float:
    """Return the variance of the mean placement (Obuchowski 1997).

    With one slide a case it is DeLong's. Of the differences between two models'
    placements it is the variance of the difference of their AUC.

    Args:
        labels: (N,) of 0 and 1.
        of_positives: (m,), from `placements`.
        of_negatives: (n,), from `placements`.
        cases: (N,), from `case_numbers`.

    Returns:
        The variance; NaN with fewer than two cases of a class.
    """
    positive = labels == 1
    k = int(cases.max()) + 1
    sums, counts = [], []
    for chosen, placed in ((positive, of_positives), (~positive, of_negatives)):
        share = (placed - placed.mean()) / len(placed)
        sums.append(np.bincount(cases[chosen], share, k))
        counts.append(len(np.unique(cases[chosen])))
    if min(counts) < 2:
        return NAN
    (p, n), (with_p, with_n) = sums, counts
    own = with_p / (with_p - 1) * (p @ p) + with_n / (with_n - 1) * (n @ n)
    return float(own + 2 * k / (k - 1) * (p @ n))


def placements(labels: Ints, scores: Floats) -> tuple[Floats, Floats]:
    """Return what each slide contributes to the AUC, in O(N log N).

    Args:
        labels: (N,) of 0 and 1.
        scores: (N,).

    Returns:
        For each positive the share of negatives below it, and for each negative the
        share of positives above it; ties count one half.
    """
    positive = labels == 1
    ranks = rankdata(scores)
    below = ranks[positive] - rankdata(scores[positive])
    not_above = ranks[~positive] - rankdata(scores[~positive])
    return below / (~positive).sum(), 1 - not_above / positive.sum()


def newcombe_interval(value: float, m: int, n: int, level: float = LEVEL) -> Interval:
    """Return Newcombe's score-type interval for an AUC.

    Method 5 of Newcombe 2006 (Statistics in Medicine 25:559): the ends are the values
    that lie `z` of their own standard errors from the estimate, the error following
    Hanley and McNeil's exponential model with both groups of the mean size. It needs no
    scores and has a width even at an AUC of 0 or 1.

    Args:
        value: The estimated AUC.
        m: How many positives.
        n: How many negatives.
        level: Confidence, between 0 and 1.
    """
    if np.isnan(value) or min(m, n) < 1:
        return Interval(value, NAN, NAN, level, "Newcombe")
    # the error is the same for an AUC of a and of 1 - a, so one end gives the other
    low = _newcombe_low(value, m, n, normal_quantile(level))
    high = 1 - _newcombe_low(1 - value, m, n, normal_quantile(level))
    return Interval(value, low, high, level, "Newcombe")


def _newcombe_low(estimate: float, m: int, n: int, z: float) -> float:
    def error(theta: float) -> float:
        spread = (1 - theta) / (2 - theta) + theta / (1 + theta)
        extra = ((m + n) / 2 - 1) * spread
        return float(np.sqrt(theta * (1 - theta) * (1 + extra) / (m * n)))

    if estimate == 0:
        return 0.0
    below_one = min(estimate, 1 - 1e-12)  # at 1 the error vanishes: a false root
    return float(
        brentq(lambda theta: estimate - theta - z * error(theta), 0, below_one)
    )


def bootstrap_interval(
    statistic: Statistic,
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    *,
    clusters: Sequence[str] | None = None,
    level: float = LEVEL,
    repeats: int = REPEATS,
    seed: int = 0,
) -> Interval:
    """Return a statistic with its bootstrap interval: see `judge.resampling`.

    Args:
        statistic: Takes labels (N,) and scores (N,) or (N, C), returns a number.
        labels: (N,) class numbers.
        scores: (N,) or (N, C).
        clusters: (N,) the case of each slide; None when each slide is its own.
        level: Confidence, between 0 and 1.
        repeats: How many samples.
        seed: The same seed gives the same interval.

    Raises:
        DataError: A score is NaN, or the arrays differ in length.
    """
    y, s = checked_scores(labels, scores)
    cases = case_numbers(clusters, len(y))
    found = bootstrap(
        lambda slides: statistic(y[slides], s[slides]),
        y,
        cases,
        repeats=repeats,
        seed=seed,
    )
    drawn = "slides" if clusters is None else "cases"
    return Interval(
        found.value, *found.ends(level), level, f"bootstrap of {drawn}, BCa"
    )


def critical_value(labels: Ints, cases: Ints, level: float = LEVEL) -> float:
    """Return how many standard errors an interval reaches.

    The normal distribution's; when some case has several slides, Student's t for the
    fewest cases of a class, since cases are few where slides are many.
    """
    if cases.max() + 1 == len(cases):
        return normal_quantile(level)
    return student_quantile(level, fewest_cases(labels, cases) - 1)


def normal_quantile(level: float) -> float:
    """Return how many standard deviations hold that share of a normal distribution."""
    return float(norm.ppf((1 + level) / 2))


def student_quantile(level: float, freedom: int) -> float:
    """Return the same of Student's t, of one degree of freedom at least."""
    return float(student.ppf((1 + level) / 2, max(1, freedom)))
