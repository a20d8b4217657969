"""Confidence intervals: how far a figure could be off, given so few slides.

`auc_interval` and `proportion_interval` are what most callers need; the rest are the
methods they choose from. Where nothing can be said the ends are NaN.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import norm, rankdata

from coverslip.errors import DataError
from coverslip.judge.metrics import NAN, Floats, Ints, auc, null_for_nan

LEVEL = 0.95
REPEATS = 2000

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

    The slides of one case are alike and tell less than as many cases would: when some
    case has several slides, cases are bootstrapped. Otherwise the interval is DeLong's
    for two classes, and a bootstrap of slides for more. Where these shrink to a point,
    as at an AUC of 0 or 1, it is Newcombe's, for as many cases as there are (of more
    than two classes: of the rarest class against the rest).

    Args:
        labels: (N,) class numbers.
        scores: (N,) for two classes, or (N, C) probabilities, as for `metrics.auc`.
        clusters: (N,) the case of each slide; None when each slide is its own.
        level: Confidence, between 0 and 1.
        seed: For the bootstrap.

    Raises:
        DataError: A score is NaN, or the arrays differ in length.
    """
    y, s = _arrays(labels, scores)
    cases = _numbered(clusters, len(y))
    case_labels = np.unique(np.column_stack([y, cases]), axis=0)[:, 0]
    n_cases = np.unique(case_labels, return_counts=True)[1]
    if len(n_cases) < 2:
        return Interval(NAN, NAN, NAN, level, "none (one class only)")
    if s.ndim == 1 and cases.max() + 1 == len(y):
        found = delong_interval(y, s, level)
    else:
        found = bootstrap_interval(auc, y, s, clusters=clusters, level=level, seed=seed)
    if found.low < found.high:
        return found
    rarest = int(n_cases.min())
    return newcombe_interval(found.value, rarest, int(n_cases.sum()) - rarest, level)


def proportion_interval(successes: int, n: int, level: float = LEVEL) -> Interval:
    """Return a proportion with Wilson's score interval (Wilson 1927).

    For accuracy, sensitivity and specificity: `successes` of `n` slides were right.
    """
    if n == 0:
        return Interval(NAN, NAN, NAN, level, "none (no slides)")
    z, share = _z(level), successes / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
    low = 0.0 if successes == 0 else float(middle - reach)
    high = 1.0 if successes == n else float(middle + reach)
    return Interval(share, low, high, level, "Wilson")


def delong_interval(
    labels: npt.ArrayLike, scores: npt.ArrayLike, level: float = LEVEL
) -> Interval:
    """Return the AUC with DeLong's interval on the logit scale.

    DeLong, DeLong and Clarke-Pearson 1988; by midranks as in Sun and Xu 2014. The logit
    keeps the ends within 0..1 and the coverage near the level (Perme and Manevski 2019).
    The ends are NaN where the variance is zero or unknown: an AUC of 0 or 1, or fewer
    than two slides of a class.

    Args:
        labels: (N,) of 0 and 1.
        scores: (N,) the greater the more positive, or (N, 2) probabilities.
        level: Confidence, between 0 and 1.

    Raises:
        DataError: A score is NaN, or the arrays differ in length.
    """
    y, s = _arrays(labels, scores)
    value, variance = auc(y, s), delong_variance(y, s)
    if not variance > 0 or value in (0, 1):
        return Interval(value, NAN, NAN, level, "DeLong, logit")
    reach = _z(level) * np.sqrt(variance) / (value * (1 - value))
    low, high = expit(logit(value) - reach), expit(logit(value) + reach)
    return Interval(value, float(low), float(high), level, "DeLong, logit")


def delong_variance(labels: Ints, scores: Floats) -> float:
    """Return the variance of the AUC; NaN with fewer than two slides of a class."""
    if min((labels == 1).sum(), (labels != 1).sum()) < 2:
        return NAN
    return float(sum(p.var(ddof=1) / len(p) for p in placements(labels, scores)))


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
    low = _newcombe_low(value, m, n, _z(level))
    high = 1 - _newcombe_low(1 - value, m, n, _z(level))
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
    """Return a statistic with its percentile bootstrap interval.

    Whole cases are drawn with replacement, as many as there are, among those that have
    slides of the same classes: every sample has every class.

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
    y, s = _arrays(labels, scores)
    strata = _strata(y, _numbered(clusters, len(y)))
    rng = np.random.default_rng(seed)
    method = "bootstrap of slides" if clusters is None else "bootstrap of cases"
    values = np.empty(repeats)
    for repeat in range(repeats):
        drawn = [
            cases[i]
            for cases in strata
            for i in rng.integers(len(cases), size=len(cases))
        ]
        sample = np.concatenate(drawn)
        values[repeat] = statistic(y[sample], s[sample])
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(statistic(y, s), float(low), float(high), level, method)


def _strata(labels: Ints, cases: Ints) -> list[list[npt.NDArray[np.intp]]]:
    """Return the positions of each case's slides, cases of the same classes together."""
    strata: dict[tuple[int, ...], list[npt.NDArray[np.intp]]] = {}
    order = np.argsort(cases, kind="stable")
    for slides in np.split(order, np.flatnonzero(np.diff(cases[order])) + 1):
        strata.setdefault(tuple(np.unique(labels[slides]).tolist()), []).append(slides)
    return list(strata.values())


def _numbered(clusters: Sequence[str] | None, n: int) -> Ints:
    """Return the number of each slide's case, from 0."""
    if clusters is None:
        return np.arange(n)
    if len(clusters) != n:
        raise DataError(
            f"{len(clusters)} cases given for {n} slides: give one for each"
        )
    numbers = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)[1]
    return numbers.astype(np.int64)


def _arrays(labels: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[Ints, Floats]:
    """Return labels, and scores with two columns made one."""
    y = np.asarray(labels).astype(np.int64)
    s = np.asarray(scores, dtype=np.float64)
    if not len(y) or y.shape != s.shape[:1] or not np.isfinite(s).all():
        raise DataError(
            f"labels {y.shape} and scores {s.shape}: there must be one finite score for "
            "each of at least one slide"
        )
    return y, s[:, 1] if s.ndim == 2 and s.shape[1] == 2 else s


def _z(level: float) -> float:
    return float(norm.ppf((1 + level) / 2))
