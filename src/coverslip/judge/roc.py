"""The ROC curve, and the band in which the true one lies given so few slides.

At each threshold the shares of negatives and of positives that are called have intervals
of their own (`rates.rate_interval`, which counts cases). They are the axes of an ellipse
around the curve's point there, and the band is what all these ellipses cover. Where
slides are many its height is that of the delta method, the spread of the sensitivity at
a given specificity: both shares vary, and the curve's slope carries the one over to the
other. With few slides it is cautious, and it does not shrink to a line where a curve is
perfect, as a bootstrap's does. It holds the true curve at any one place with the level's
chance, which is no promise for all places at once (`tests/judge/test_roc.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from coverslip.errors import DataError
from coverslip.judge.intervals import LEVEL
from coverslip.judge.metrics import Floats, Ints
from coverslip.judge.rates import rate_interval
from coverslip.judge.resampling import checked_scores

METHOD = "ellipses of Wilson's intervals at each threshold, counting cases"


@dataclass(frozen=True)
class RocBand:
    """A curve by its points, from (0, 0) to (1, 1), and the intervals around each.

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
        height = self.true[np.searchsorted(self.false, x, side="right") - 1]
        upper = self.true + _quarter(self.false - x[:, None], self._reach(0))
        lower = self.true - _quarter(x[:, None] - self.false, self._reach(1))
        return height, lower.min(axis=1), upper.max(axis=1)

    def _reach(self, end: int) -> tuple[Floats, Floats]:
        """Return how far the ellipses reach, away from the curve at one of its sides."""
        across = np.abs(self.false_ends[:, end] - self.false)
        return across, np.abs(self.true_ends[:, 1 - end] - self.true)


def _quarter(away: Floats, reach: tuple[Floats, Floats]) -> Floats:
    """Return the height of quarter ellipses (Q, P) at so far from their middles.

    At the other side of the middle a curve, which only rises, keeps the whole height.
    Beyond an ellipse's end there is none: minus infinity.
    """
    across, high = reach
    part = np.maximum(away, 0) / np.maximum(across, np.finfo(np.float64).tiny)
    height = high * np.sqrt(np.maximum(0, 1 - part**2))
    return np.where(part <= 1, height, -np.inf)


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
    limits = np.append(np.inf, np.unique(s)[::-1])
    negatives, positives = (
        _shares(s, y == wanted, limits, clusters, level) for wanted in (0, 1)
    )
    return RocBand(
        negatives[:, 0], positives[:, 0], negatives[:, 1:], positives[:, 1:], level
    )


def _shares(
    scores: Floats,
    own: npt.NDArray[np.bool_],
    limits: Floats,
    clusters: Sequence[str] | None,
    level: float,
) -> Floats:
    """Return share called and its interval at each limit, (P, 3), for some slides."""
    places: Ints = np.flatnonzero(own)
    cases = None if clusters is None else [clusters[i] for i in places]
    found = [rate_interval(scores[places] >= limit, cases, level) for limit in limits]
    table = np.array([[one.value, one.low, one.high] for one in found])
    # with cases the width of an interval varies, but the ends of a curve only rise
    return np.maximum.accumulate(table, axis=0)
