"""Is one method better than another over the folds of one cross-validation?

Folds share training bags, so their differences are not independent and the plain paired
t-test is far too sure. Nadeau & Bengio (2003) correct its variance:

    t = mean(d) / sqrt((1 / J + n_test / n_train) var(d)),      J - 1 degrees of freedom

over J differences d, all repeats' folds together (Bouckaert & Frank 2004).
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np
import numpy.typing as npt
from scipy import stats


@dataclass(frozen=True)
class Difference:
    """How much better the first is than the second, over folds.

    Attributes:
        mean: Mean difference.
        low: Lower end of its 95 % interval.
        high: Upper end.
        p: Two-sided p value of no difference.
    """

    mean: float
    low: float
    high: float
    p: float


def corrected_t_test(
    first: npt.ArrayLike, second: npt.ArrayLike, test_share: float
) -> Difference:
    """Compare two methods on the same folds (Nadeau & Bengio 2003).

    Args:
        first: A figure a fold (J,), such as accuracy; NaN is not allowed.
        second: The other's, on the same folds.
        test_share: Test bags over training bags of a fold, 1/9 for ten folds.
    """
    d = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    mean = float(d.mean())
    error = sqrt((1 / len(d) + test_share) * float(d.var(ddof=1)))
    if error == 0:
        return Difference(mean, mean, mean, 1.0 if mean == 0 else 0.0)
    t = stats.t(len(d) - 1)
    reach = float(t.ppf(0.975)) * error
    p = 2 * float(t.sf(abs(mean) / error))
    return Difference(mean, mean - reach, mean + reach, p)
