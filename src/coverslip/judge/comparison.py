"""Comparison: is one model better than another on the same slides?

Both models' figures share the slides' luck, so they are compared slide by slide: two
intervals that overlap say little, the interval of the difference says it. Of two classes
the test is DeLong's, with cases in place of slides when some case has several. Of more
it is the bootstrap. DeLong's for cases was preferred to a bootstrap of cases because it
needs no seed, has no least p, and is DeLong's own where each case has one slide. Where
there is no difference 3-7 % of studies come out as significant at 5 %, as they should
(`tests/judge/test_coverage.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from coverslip.errors import DataError, OptionError
from coverslip.judge.intervals import (
    LEVEL,
    Interval,
    Statistic,
    auc_interval,
    normal_quantile,
    placement_variance,
    placements,
)
from coverslip.judge.metrics import NAN, Floats, auc, null_for_nan
from coverslip.judge.resampling import (
    REPEATS,
    bootstrap,
    case_numbers,
    checked_scores,
)

COLUMNS = (
    "model",
    "auc",
    "auc_low",
    "auc_high",
    "difference",
    "difference_low",
    "difference_high",
    "p",
    "p_holm",
)


@dataclass(frozen=True)
class Difference:
    """How much greater a figure is for one model than for another on the same slides.

    Attributes:
        value: First minus second.
        low: Where its interval begins.
        high: Where it ends.
        level: Of the interval.
        z: The difference in standard errors; NaN of a bootstrap.
        p: Two-sided, of "there is no difference"; 1 where no slide tells them apart,
            NaN where nothing can be said.
        method: How it was found.
    """

    value: float
    low: float
    high: float
    level: float
    z: float
    p: float
    method: str

    def facts(self) -> dict[str, Any]:
        """Return the difference JSON-ready: NaN becomes None."""
        facts: dict[str, Any] = null_for_nan(asdict(self))
        return facts


@dataclass(frozen=True)
class Compared:
    """One model of a comparison.

    Attributes:
        model: Its name.
        auc: With its interval.
        difference: Its AUC minus the reference's; None of the reference itself.
        p_holm: The p of the difference, adjusted for as many models as are compared.
    """

    model: str
    auc: Interval
    difference: Difference | None = None
    p_holm: float = NAN


@dataclass(frozen=True)
class Comparison:
    """Several models on the same slides, each against the reference.

    Attributes:
        reference: Name of the model the others are compared with.
        models: In the order they were given, the reference among them.
        slides: How many.
        cases: How many cases they are of.
    """

    reference: str
    models: tuple[Compared, ...]
    slides: int
    cases: int

    def rows(self) -> list[dict[str, str | float]]:
        """Return one flat row a model, by `COLUMNS`; figures are NaN where undefined."""
        return [_row(model) for model in self.models]

    def facts(self) -> dict[str, Any]:
        """Return everything JSON-ready."""
        models = [
            {
                "model": one.model,
                "auc": one.auc.facts(),
                "difference": None
                if one.difference is None
                else one.difference.facts(),
                "p_holm": null_for_nan(one.p_holm),
            }
            for one in self.models
        ]
        counts = {"slides": self.slides, "cases": self.cases}
        return {"reference": self.reference, **counts, "models": models}


def _row(one: Compared) -> dict[str, str | float]:
    area, than = one.auc, one.difference
    ours = (area.value, area.low, area.high)
    theirs = (NAN,) * 4 if than is None else (than.value, than.low, than.high, than.p)
    return dict(zip(COLUMNS, (one.model, *ours, *theirs, one.p_holm), strict=True))


def compare(
    labels: npt.ArrayLike,
    scores: Mapping[str, npt.ArrayLike],
    cases: Sequence[str] | None = None,
    reference: str | None = None,
    *,
    level: float = LEVEL,
    seed: int = 0,
) -> Comparison:
    """Compare the AUC of several models on the same slides with that of one of them.

    Args:
        labels: (N,) class numbers.
        scores: Of each model by name: (N,) for two classes, or (N, C) probabilities.
        cases: (N,) the case of each slide; None when each slide is its own.
        reference: The model the others are compared with; the first when not given. Name
            it before looking: the best of many is flattered by having been chosen.
        level: Confidence of the intervals, between 0 and 1.
        seed: For the bootstrap of more than two classes.

    Raises:
        DataError: A score is NaN, the arrays differ in length, or there is no model.
        OptionError: The reference is not among the models.
    """
    if not scores:
        raise DataError("no model to compare: give the scores of two or more")
    reference = next(iter(scores)) if reference is None else reference
    if reference not in scores:
        known = ", ".join(scores)
        raise OptionError(f"reference {reference!r} is none of the models: {known}")
    others = [name for name in scores if name != reference]
    against = [
        auc_difference(
            labels, scores[name], scores[reference], cases, level=level, seed=seed
        )
        for name in others
    ]
    adjusted = holm([difference.p for difference in against])
    found = dict(zip(others, zip(against, adjusted, strict=True), strict=True))
    models = tuple(
        Compared(
            name,
            auc_interval(labels, s, cases, level, seed),
            *found.get(name, (None, NAN)),
        )
        for name, s in scores.items()
    )
    n = len(np.asarray(labels))
    return Comparison(reference, models, n, int(case_numbers(cases, n).max()) + 1)


def auc_difference(
    labels: npt.ArrayLike,
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    clusters: Sequence[str] | None = None,
    *,
    level: float = LEVEL,
    seed: int = 0,
) -> Difference:
    """Return the first model's AUC minus the second's, with the test that suits the data.

    `delong_difference` for two classes, `bootstrap_difference` for more.

    Args:
        labels: (N,) class numbers.
        first: (N,) for two classes, or (N, C) probabilities.
        second: The other model's, of the same slides.
        clusters: (N,) the case of each slide; None when each slide is its own.
        level: Confidence, between 0 and 1.
        seed: For the bootstrap.

    Raises:
        DataError: A score is NaN, or the arrays differ in length.
    """
    y, a = checked_scores(labels, first)
    _, b = checked_scores(labels, second)
    if a.ndim == 1 and b.ndim == 1:
        return delong_difference(y, a, b, clusters, level)
    return bootstrap_difference(auc, y, a, b, clusters=clusters, level=level, seed=seed)


def delong_difference(
    labels: npt.ArrayLike,
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    clusters: Sequence[str] | None = None,
    level: float = LEVEL,
) -> Difference:
    """Return the difference of two AUC by DeLong's paired test.

    DeLong, DeLong and Clarke-Pearson 1988; with several slides a case Obuchowski 1997.
    The variance is that of the differences between the two models' placements. The
    normal distribution serves with few cases, too: Student's t would call too few
    differences significant.

    Args:
        labels: (N,) of 0 and 1.
        first: (N,) the greater the more positive, or (N, 2) probabilities.
        second: The other model's, of the same slides.
        clusters: (N,) the case of each slide; None when each slide is its own.
        level: Confidence, between 0 and 1.

    Raises:
        DataError: A score is NaN, or the arrays differ in length.
    """
    y, a = checked_scores(labels, first)
    _, b = checked_scores(labels, second)
    cases = case_numbers(clusters, len(y))
    several = int(cases.max()) + 1 < len(y)
    method = "paired DeLong for cases" if several else "paired DeLong"
    if len(np.unique(y == 1)) < 2:
        return Difference(NAN, NAN, NAN, level, NAN, NAN, "none (one class only)")
    of_positives, of_negatives = (
        x - z for x, z in zip(placements(y, a), placements(y, b), strict=True)
    )
    value = float(of_positives.mean())
    if not (of_positives.any() or of_negatives.any()):
        return Difference(0.0, NAN, NAN, level, 0.0, 1.0, method)
    variance = placement_variance(y, of_positives, of_negatives, cases)
    if not variance > 0:
        return Difference(value, NAN, NAN, level, NAN, NAN, method)
    error = float(np.sqrt(variance))
    reach = normal_quantile(level) * error
    z = value / error
    p = float(2 * norm.sf(abs(z)))
    low, high = max(-1.0, value - reach), min(1.0, value + reach)
    return Difference(value, low, high, level, z, p, method)


def bootstrap_difference(  # noqa: PLR0913 - those of bootstrap_interval, and a rival
    statistic: Statistic,
    labels: npt.ArrayLike,
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    *,
    clusters: Sequence[str] | None = None,
    level: float = LEVEL,
    repeats: int = REPEATS,
    seed: int = 0,
) -> Difference:
    """Return the difference of any statistic between two models, by a paired bootstrap.

    The same slides are drawn for both, whole cases together: see `judge.resampling`. The
    p value is where an end of the interval meets 0, so the two agree; it is not much less
    than 1 / repeats.

    Args:
        statistic: Takes labels (N,) and scores (N,) or (N, C), returns a number.
        labels: (N,) class numbers.
        first: (N,) or (N, C).
        second: The other model's, of the same slides.
        clusters: (N,) the case of each slide; None when each slide is its own.
        level: Confidence, between 0 and 1.
        repeats: How many samples.
        seed: The same seed gives the same interval.

    Raises:
        DataError: A score is NaN, or the arrays differ in length.
    """
    y, a = checked_scores(labels, first)
    _, b = checked_scores(labels, second)

    def gain(slides: npt.NDArray[np.intp]) -> float:
        return statistic(y[slides], a[slides]) - statistic(y[slides], b[slides])

    cases = case_numbers(clusters, len(y))
    found = bootstrap(gain, y, cases, repeats=repeats, seed=seed, corrected=False)
    drawn = "slides" if clusters is None else "cases"
    return Difference(
        found.value,
        *found.ends(level),
        level,
        NAN,
        found.p_value(),
        f"paired bootstrap of {drawn}",
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values adjusted for their number (Holm 1979), in the order given.

    The smallest is multiplied by how many there are, the next by one fewer, and so on;
    none becomes less than one before it, nor more than 1. NaN stays NaN and counts.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")  # NaN last
    stepped: Floats = p[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1)
    return [float(value) for value in adjusted]
