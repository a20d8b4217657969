"""Drawing whole cases again: the bootstrap behind intervals and comparisons.

Cases are drawn with replacement, as many as there are, among those that have slides of
the same classes: every sample has every class. The ends stand as far out as Student's t
for the fewest cases of a class (the idea of Hesterberg 2015), because a bootstrap of few
cases is too narrow. For a figure they are bias-corrected and accelerated (Efron 1987):
plain percentiles of an AUC near 1 cover too seldom. For the difference of two models they
are plain percentiles: there the corrections are mostly noise, and cover too seldom
(`tests/judge/test_coverage.py`).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import norm
from scipy.stats import t as student

from coverslip.errors import DataError
from coverslip.judge.metrics import Floats, Ints

REPEATS = 2000

Positions = npt.NDArray[np.intp]


def checked_scores(labels: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[Ints, Floats]:
    """Return labels (N,), and scores (N,) or (N, C > 2): two columns are made one.

    Raises:
        DataError: A score is NaN, or the arrays differ in length.
    """
    y = np.asarray(labels).astype(np.int64)
    s = np.asarray(scores, dtype=np.float64)
    if not len(y) or y.shape != s.shape[:1] or not np.isfinite(s).all():
        raise DataError(
            f"labels {y.shape} and scores {s.shape}: there must be one finite score for "
            "each of at least one slide"
        )
    return y, s[:, 1] if s.ndim == 2 and s.shape[1] == 2 else s


def case_numbers(clusters: Sequence[str] | None, n: int) -> Ints:
    """Return the number of each slide's case, from 0; each slide its own without cases.

    Raises:
        DataError: There is not one case for each slide.
    """
    if clusters is None:
        return np.arange(n)
    if len(clusters) != n:
        raise DataError(
            f"{len(clusters)} cases given for {n} slides: give one for each"
        )
    numbers = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)[1]
    return numbers.astype(np.int64)


def fewest_cases(labels: Ints, cases: Ints) -> int:
    """Return how many cases have a slide of the class that the fewest have."""
    pairs = np.unique(np.column_stack([labels, cases]), axis=0)
    return int(np.unique(pairs[:, 0], return_counts=True)[1].min())


def case_strata(labels: Ints, cases: Ints) -> list[list[Positions]]:
    """Return the positions of each case's slides, cases of the same classes together."""
    strata: dict[tuple[int, ...], list[Positions]] = {}
    order = np.argsort(cases, kind="stable")
    for slides in np.split(order, np.flatnonzero(np.diff(cases[order])) + 1):
        strata.setdefault(tuple(np.unique(labels[slides]).tolist()), []).append(slides)
    return list(strata.values())


def case_samples(
    strata: Sequence[Sequence[Positions]], repeats: int, seed: int
) -> Iterator[Positions]:
    """Yield the positions of the slides of each sample."""
    rng = np.random.default_rng(seed)
    for _ in range(repeats):
        yield np.concatenate(
            [
                cases[i]
                for cases in strata
                for i in rng.integers(len(cases), size=len(cases))
            ]
        )


@dataclass(frozen=True)
class Bootstrap:
    """What a figure came to in each sample.

    Attributes:
        value: The figure of all slides.
        values: (R,), of the samples.
        freedom: Degrees of freedom of Student's t.
        acceleration: How fast the figure's error changes with the figure; None takes
            plain percentiles.
    """

    value: float
    values: Floats
    freedom: int
    acceleration: float | None = None

    def ends(self, level: float) -> tuple[float, float]:
        """Return the ends of the interval; NaN where the figure is undefined."""
        z = student.ppf([(1 - level) / 2, (1 + level) / 2], self.freedom)
        if self.acceleration is not None:
            bias = norm.ppf(self._share_below(self.value))
            # below 0.1 only for a class of two or three cases: the ends are extremes
            slope = np.maximum(1 - self.acceleration * (bias + z), 0.1)
            z = bias + (bias + z) / slope
        low, high = np.quantile(self.values, norm.cdf(z))
        return float(low), float(high)

    def p_value(self) -> float:
        """Return the two-sided p of "the figure is 0", by plain percentiles.

        It is where an end of such an interval meets 0; with R samples never much below
        1 / R. NaN where the figure is undefined.
        """
        if np.isnan(self.values).any():
            return float("nan")
        z = norm.ppf(self._share_below(0.0))
        return float(min(1.0, 2 * student.sf(abs(z), self.freedom)))

    def _share_below(self, bound: float) -> float:
        below = ((self.values < bound).mean() + (self.values <= bound).mean()) / 2
        least = 1 / (len(self.values) + 1)
        return float(np.clip(below, least, 1 - least))


def bootstrap(
    figure: Callable[[Positions], float],
    labels: Ints,
    cases: Ints,
    *,
    repeats: int = REPEATS,
    seed: int = 0,
    corrected: bool = True,
) -> Bootstrap:
    """Draw cases again and again, and take a figure of the slides drawn.

    Args:
        figure: Takes positions of slides, some several times, and returns a number.
        labels: (N,) class numbers.
        cases: (N,), from `case_numbers`.
        repeats: How many samples.
        seed: The same seed draws the same samples.
        corrected: For bias and acceleration; plain percentiles otherwise.
    """
    strata = case_strata(labels, cases)
    samples = case_samples(strata, repeats, seed)
    values = np.fromiter((figure(sample) for sample in samples), np.float64, repeats)
    freedom = max(1, fewest_cases(labels, cases) - 1)
    value = figure(np.arange(len(labels)))
    if not corrected:
        return Bootstrap(value, values, freedom)
    left = [np.array([figure(one) for one in lacking]) for lacking in left_out(strata)]
    return Bootstrap(value, values, freedom, acceleration(left))


def left_out(strata: Sequence[Sequence[Positions]]) -> Iterator[list[Positions]]:
    """Yield, of each kind of cases with two or more, the slides without each of them."""
    whole = [slides for cases in strata for slides in cases]
    first = 0
    for cases in strata:
        if len(cases) > 1:
            yield [
                np.concatenate(whole[:i] + whole[i + 1 :])
                for i in range(first, first + len(cases))
            ]
        first += len(cases)


def acceleration(left: Sequence[Floats]) -> float:
    """Return the skewness of a figure's error over 6.

    Args:
        left: The figures of the samples of `left_out`, kind by kind.
    """
    pulls = [(len(f) - 1) / len(f) * (f.mean() - f) for f in left]
    pull = np.concatenate(pulls) if pulls else np.zeros(1)
    spread = float((pull**2).sum())
    return float((pull**3).sum() / (6 * spread**1.5)) if spread > 0 else 0.0
