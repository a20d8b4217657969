"""Confidence intervals of AUC and proportions."""

import json
import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, norm

from coverslip.errors import DataError
from coverslip.judge.intervals import (
    auc_interval,
    bootstrap_interval,
    delong_interval,
    delong_variance,
    newcombe_interval,
    placements,
)
from coverslip.judge.metrics import auc
from coverslip.judge.rates import proportion_interval

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def binormal(
    rng: np.random.Generator, m: int, n: int, area: float
) -> tuple[Ints, Floats]:
    """Return labels and scores of m positives and n negatives with that true AUC."""
    labels = np.repeat([1, 0], [m, n])
    return labels, rng.normal(labels * norm.ppf(area) * math.sqrt(2))


def brute_variance(labels: Ints, scores: Floats) -> float:
    """Return DeLong's variance from all pairs of a positive and a negative."""
    x, y = scores[labels == 1], scores[labels == 0]
    psi = (x[:, None] > y) + 0.5 * (x[:, None] == y)
    rows, columns = psi.mean(axis=1), psi.mean(axis=0)
    area = psi.mean()
    v10 = sum((r - area) ** 2 for r in rows) / (len(x) - 1)
    v01 = sum((c - area) ** 2 for c in columns) / (len(y) - 1)
    return float(v10 / len(x) + v01 / len(y))


@given(st.integers(2, 12), st.integers(2, 12), st.integers(1, 20), st.integers(0, 999))
def test_the_fast_variance_is_the_definition(m: int, n: int, levels: int, seed: int):
    """Midranks give what all pairs give, ties included."""
    labels = np.repeat([1, 0], [m, n])
    scores = np.random.default_rng(seed).integers(0, levels, size=m + n).astype(float)
    assert delong_variance(labels, scores) == pytest.approx(
        brute_variance(labels, scores), abs=1e-12
    )
    of_positives, of_negatives = placements(labels, scores)
    assert of_positives.mean() == pytest.approx(auc(labels, scores))
    assert of_negatives.mean() == pytest.approx(auc(labels, scores))


def test_delong_is_symmetric_on_the_logit_scale_and_stays_within_0_and_1():
    """The ends lie evenly about the AUC in log odds, a wider level further out."""
    labels, scores = binormal(np.random.default_rng(1), 18, 19, 0.85)
    found = delong_interval(labels, scores)
    odds = [math.log(x / (1 - x)) for x in (found.low, found.value, found.high)]
    assert odds[1] == pytest.approx((odds[0] + odds[2]) / 2)
    half_width = 1.959964 * math.sqrt(delong_variance(labels, scores))
    slope = found.value * (1 - found.value)
    assert odds[2] - odds[1] == pytest.approx(half_width / slope)
    wider = delong_interval(labels, scores, level=0.99)
    assert 0 < wider.low < found.low < found.value < found.high < wider.high < 1


@pytest.mark.parametrize(
    ("labels", "scores"),
    [
        ([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9]),
        ([0, 0, 1, 1], [0.8, 0.9, 0.1, 0.2]),
        ([0, 0, 1, 1], [0.5, 0.5, 0.5, 0.5]),
        ([0, 0, 0, 1], [0.1, 0.2, 0.8, 0.5]),
    ],
)
def test_where_delong_degenerates_newcombe_takes_over(
    labels: list[int], scores: list[float]
):
    """Perfect, inverted, tied and lone-positive scores get a real interval."""
    assert math.isnan(delong_interval(labels, scores).low)
    found = auc_interval(labels, scores)
    assert found.method == "Newcombe"
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.high - found.low > 0.3


@given(st.floats(0, 1), st.integers(1, 300), st.integers(1, 300))
def test_newcombe_ends_solve_its_equation(value: float, m: int, n: int):
    """Each end is z of its own Hanley-McNeil errors away, or a bound of the scale."""
    found = newcombe_interval(value, m, n)
    assert 0 <= found.low <= value <= found.high <= 1
    for end in (found.low, found.high):
        if not 1e-9 < end < 1 - 1e-9:
            continue
        pairs = (m + n) / 2 - 1
        q1, q2 = end / (2 - end), 2 * end**2 / (1 + end)
        # Hanley and McNeil's variance with both groups of the mean size
        variance = end * (1 - end) + pairs * (q1 - end**2) + pairs * (q2 - end**2)
        assert abs(value - end) == pytest.approx(
            1.959964 * math.sqrt(variance / (m * n)), rel=1e-4, abs=1e-8
        )


def test_newcombe_is_not_a_point_at_one_and_mirrors_at_zero():
    """A perfect AUC has room below it: little with many slides, much with few."""
    few, many = newcombe_interval(1.0, 5, 5), newcombe_interval(1.0, 500, 500)
    assert few.high == many.high == 1
    assert few.low < 0.8
    assert 0.99 < many.low < 1
    mirrored = newcombe_interval(0.0, 5, 5)
    assert (mirrored.low, mirrored.high) == (0, pytest.approx(1 - few.low))


def test_bootstrap_agrees_with_delong_when_slides_are_independent():
    """Two methods for the same thing give ends within a fifth of the width."""
    labels, scores = binormal(np.random.default_rng(2), 60, 80, 0.85)
    delong, found = (
        delong_interval(labels, scores),
        bootstrap_interval(auc, labels, scores),
    )
    width = delong.high - delong.low
    assert found.low == pytest.approx(delong.low, abs=width / 5)
    assert found.high == pytest.approx(delong.high, abs=width / 5)


def test_bootstrap_is_seeded():
    """The same seed gives the same ends, another seed others."""
    labels, scores = binormal(np.random.default_rng(3), 10, 10, 0.8)
    ends = [
        bootstrap_interval(auc, labels, scores, repeats=50, seed=seed).low
        for seed in (1, 1, 2)
    ]
    assert ends[0] == ends[1] != ends[2]


def test_slides_of_a_case_do_not_count_as_cases():
    """Every slide four times over: the interval stays that of the cases."""
    labels, scores = binormal(np.random.default_rng(4), 20, 25, 0.8)
    cases = [f"case{i}" for i in range(45)]
    once = auc_interval(labels, scores, cases)
    assert once.method == "DeLong, logit"
    repeated = auc_interval(
        np.repeat(labels, 4), np.repeat(scores, 4), np.repeat(cases, 4).tolist()
    )
    assert repeated.method == "DeLong for cases, logit"
    assert repeated.value == pytest.approx(once.value)
    width = once.high - once.low
    assert repeated.high - repeated.low == pytest.approx(width, rel=0.2)
    naive = delong_interval(np.repeat(labels, 4), np.repeat(scores, 4))
    assert naive.high - naive.low < 0.6 * width


def test_a_perfect_clustered_auc_is_as_sure_as_its_cases():
    """With 3 and 4 cases the interval at 1 is Newcombe's for 3 and 4, not for slides."""
    labels = np.repeat([1, 1, 1, 0, 0, 0, 0], 10)
    cases = np.repeat(list("abcdefg"), 10).tolist()
    found = auc_interval(labels, labels + 0.0, cases)
    assert found == newcombe_interval(1.0, 3, 4)


def test_cases_with_slides_of_both_classes_are_drawn_whole():
    """A mixed case is resampled as one, and every sample has both classes."""
    labels = np.array([0, 1, 0, 1, 0, 1, 0])
    cases = ["a", "a", "b", "b", "c", "c", "d"]
    seen: list[tuple[int, int]] = []

    def count(y: Ints, s: Floats) -> float:
        seen.append((int((y == 0).sum()), int((y == 1).sum())))
        return float(s.mean())

    bootstrap_interval(count, labels, np.arange(7.0), clusters=cases, repeats=20)
    samples, left_out = seen[:21], seen[21:]  # those for the acceleration come last
    assert set(samples) == {(4, 3)}
    assert left_out == [(3, 2)] * 3


def test_three_classes_are_bootstrapped_and_keep_a_width_when_perfect():
    """The macro AUC has an interval too, at 1 that of the rarest class and the rest."""
    labels = np.repeat([0, 1, 2], [6, 8, 10])
    noisy = np.random.default_rng(5).dirichlet([1, 1, 1], size=24)
    assert auc_interval(labels, np.eye(3)[labels]) == newcombe_interval(1.0, 6, 18)
    mixed = auc_interval(labels, noisy)
    assert mixed.method == "bootstrap of slides, BCa"
    assert mixed.low < auc(labels, noisy) < mixed.high


def test_two_columns_of_probabilities_are_one_score():
    """(N, 2) probabilities give the interval of the second column."""
    labels, scores = binormal(np.random.default_rng(6), 12, 12, 0.8)
    s = norm.cdf(scores)
    assert auc_interval(labels, np.column_stack([1 - s, s])) == auc_interval(labels, s)


def test_one_class_has_no_interval_and_null_in_json():
    """Nothing is invented where nothing can be said."""
    found = auc_interval([1, 1], [0.3, 0.4])
    facts = json.loads(json.dumps(found.facts(), allow_nan=False))
    assert (facts["value"], facts["low"], facts["high"]) == (None, None, None)
    assert "one class" in found.method


def test_unfit_arrays_are_refused():
    """NaN scores and a missing case are errors."""
    with pytest.raises(DataError, match="finite"):
        auc_interval([0, 1], [0.1, float("nan")])
    with pytest.raises(DataError, match="1 cases given for 2 slides"):
        auc_interval([0, 1], [0.1, 0.2], ["a"])


@given(st.integers(1, 200), st.data())
def test_proportions_have_wilsons_interval(n: int, data: st.DataObject):
    """The ends are scipy's, within 0 and 1 and never a point."""
    k = data.draw(st.integers(0, n))
    found = proportion_interval(k, n)
    expected = binomtest(k, n).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx(
        (expected.low, expected.high), abs=1e-9
    )
    assert 0 <= found.low <= k / n <= found.high <= 1
    assert math.isnan(proportion_interval(0, 0).low)


@pytest.mark.slow
def test_the_intervals_cover_the_truth_as_often_as_they_say():
    """Of 3,000 studies (40 + 60 slides, AUC 0.85) 93-97 % of intervals hold the truth.

    Seen: 94.9 % for DeLong's on the logit scale, 95.3 % for Newcombe's.
    """
    rng = np.random.default_rng(0)
    hits = np.zeros(2)
    for _ in range(3000):
        labels, scores = binormal(rng, 40, 60, 0.85)
        delong = delong_interval(labels, scores)
        newcombe = newcombe_interval(delong.value, 40, 60)
        hits += [
            delong.low <= 0.85 <= delong.high,
            newcombe.low <= 0.85 <= newcombe.high,
        ]
    delong_coverage, newcombe_coverage = hits / 3000
    assert 0.93 < delong_coverage < 0.97
    assert 0.93 < newcombe_coverage < 0.97
