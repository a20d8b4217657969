"""The ROC curve, and the band in which the true one lies given so few slides.

At each threshold the shares of positives and of negatives that are called have an
interval of their own (`rates.rate_interval`, which counts cases), each at the square
root of the level: the rectangle of the two holds the true point at that threshold with
the level's chance. The band is what these rectangles cover (Hilgers 1991, there with
exact intervals). It holds the true curve at any one place with that chance at least, is
not a promise for all places at once, and does not shrink to a line where a curve is
perfect, as a bootstrap's does.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from coverslip.errors import DataError
from coverslip.judge.intervals import LEVEL
from coverslip.judge.metrics import Floats
from coverslip.judge.rates import rate_interval
from coverslip.judge.resampling import checked_scores

METHOD = "rectangles of Wilson's intervals at each threshold, counting cases"


@dataclass(frozen=True)
class RocBand:
    """A curve by its points, from (0, 0) to (1, 1), and the rectangle around each.

    Attributes:
        false: (P,) shares of negatives called, rising.
        true: (P,) shares of positives called, rising.
        false_ends: (P, 2) interval of each share of negatives.
        true_ends: (P, 2) interval of each share of positives.
        level: Chance that the band holds the true curve at one place.
    """

    false: Floats
    true: Floats
    false_ends: Floats
    true_ends: Floats
    level: float

    def at(self, false: npt.ArrayLike) -> tuple[Floats, Floats, Floats]:
        """Return the curve's height, and the band's lower and upper end, at places (Q,).

        Args:
            false: Shares of negatives, 0 to 1.
        """
        x = np.asarray(false, dtype=np.float64)
        last = np.searchsorted(self.false, x, side="right") - 1
        begun = np.searchsorted(self.false_ends[:, 0], x, side="right") - 1
        over = np.searchsorted(self.false_ends[:, 1], x, side="left")
        over = np.minimum(over, len(self.true) - 1)
        return self.true[last], self.true_ends[over, 0], self.true_ends[begun, 1]


def roc_band(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    clusters: Sequence[str] | None = None,
    level: float = LEVEL,
) -> RocBand:
    """Return the ROC curve of two classes with its band.

    Args:
        labels: (N,) of 0 and 1, or false and true; both occur.
        scores: (N,) the greater the more positive.
        clusters: (N,) the case of each slide; None when each slide is its own.
        level: Chance that the band holds the true curve at one place.

    Raises:
        DataError: Only one class occurs, a score is NaN, or lengths differ.
    """
    y, s = checked_scores(labels, scores)
    if len(np.unique(y)) < 2:
        raise DataError("a ROC curve needs slides of both classes")
    cases = None if clusters is None else list(clusters)
    limits = np.append(np.inf, np.unique(s)[::-1])
    sides = []
    for wanted in (0, 1):
        own = np.flatnonzero(y == wanted).tolist()
        own_cases = None if cases is None else [cases[i] for i in own]
        found = [rate_interval(s[own] >= t, own_cases, level**0.5) for t in limits]
        sides.append(np.array([[one.value, one.low, one.high] for one in found]))
    # with cases the width of an interval varies, but a curve and its ends only rise
    negatives, positives = (np.maximum.accumulate(side, axis=0) for side in sides)
    return RocBand(
        negatives[:, 0], positives[:, 0], negatives[:, 1:], positives[:, 1:], level
    )
