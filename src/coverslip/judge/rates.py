"""Intervals of accuracy, sensitivity, specificity: shares of slides that are right."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from coverslip.judge.intervals import (
    LEVEL,
    Interval,
    normal_quantile,
    student_quantile,
)
from coverslip.judge.metrics import NAN
from coverslip.judge.resampling import case_numbers


def proportion_interval(successes: int, n: int, level: float = LEVEL) -> Interval:
    """Return a proportion with Wilson's score interval (Wilson 1927).

    For counts of slides that are each their own case: `successes` of `n` were right.
    """
    if n == 0:
        return Interval(NAN, NAN, NAN, level, "none (no slides)")
    low, high = _wilson(successes / n, n, normal_quantile(level))
    return Interval(successes / n, low, high, level, "Wilson")


def rate_interval(
    right: npt.ArrayLike, clusters: Sequence[str] | None = None, level: float = LEVEL
) -> Interval:
    """Return the share of slides that are right, with an interval that counts cases.

    Wilson's with Student's t and, in place of the number of slides, as many independent
    ones as would vary like these cases do (Rao and Scott 1992). That number lies between
    all slides and Kish's, were the slides of a case all right or all wrong together,
    which is taken where the share is 0 or 1 and nothing varies.

    Args:
        right: (N,) true or false.
        clusters: (N,) the case of each slide; None when each slide is its own.
        level: Confidence, between 0 and 1.

    Raises:
        DataError: There is not one case for each slide.
    """
    hits = np.asarray(right).astype(np.float64)
    n = len(hits)
    cases = case_numbers(clusters, n)
    if n == 0 or cases.max() + 1 == n:
        return proportion_interval(int(hits.sum()), n, level)
    share = float(hits.mean())
    sizes = np.bincount(cases)
    least = n**2 / float((sizes**2).sum())
    drift = np.bincount(cases, hits - share)
    variance = len(sizes) / max(1, len(sizes) - 1) * float((drift**2).sum()) / n**2
    if share in (0, 1):
        alike = least
    else:
        alike = share * (1 - share) / max(variance, np.finfo(np.float64).tiny)
    independent = float(np.clip(alike, least, n))
    low, high = _wilson(share, independent, student_quantile(level, len(sizes) - 1))
    return Interval(share, low, high, level, "Wilson, cases")


def _wilson(share: float, n: float, z: float) -> tuple[float, float]:
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
    low = 0.0 if share == 0 else float(middle - reach)
    high = 1.0 if share == 1 else float(middle + reach)
    return low, high
