"""Two models on the same slides: differences, tests, and many of them."""

import json
import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from coverslip.errors import DataError, OptionError
from coverslip.judge.comparison import (
    COLUMNS,
    auc_difference,
    bootstrap_difference,
    compare,
    delong_difference,
    holm,
)
from coverslip.judge.metrics import auc

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def two_models(
    rng: np.random.Generator, m: int = 49, n: int = 80, worse: float = 1.0
) -> tuple[Ints, Floats, Floats]:
    """Return labels and the scores of two models that see much the same."""
    labels = np.repeat([1, 0], [m, n])
    seen = rng.normal(size=m + n) + 1.6 * labels
    return (
        labels,
        seen + 0.4 * rng.normal(size=m + n),
        seen + worse * rng.normal(size=m + n),
    )


def wins(labels: Ints, scores: Floats) -> Floats:
    """Return (m, n): 1 where a positive stands above a negative, one half at a tie."""
    x, y = scores[labels == 1][:, None], scores[labels == 0][None, :]
    return (x > y) + 0.5 * (x == y)


@given(st.integers(2, 9), st.integers(2, 9), st.integers(2, 12), st.integers(0, 999))
def test_the_test_is_delongs_by_all_pairs(m: int, n: int, levels: int, seed: int):
    """The z is the difference over the error from the covariance matrix of both AUC."""
    rng = np.random.default_rng(seed)
    labels = np.repeat([1, 0], [m, n])
    a, b = rng.integers(0, levels, (2, m + n)).astype(float)
    pairs = wins(labels, a), wins(labels, b)
    of_positives = np.array([w.mean(axis=1) for w in pairs])
    of_negatives = np.array([w.mean(axis=0) for w in pairs])
    covariance = np.cov(of_positives) / m + np.cov(of_negatives) / n  # (2, 2)
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    found = delong_difference(labels, a, b)
    assert found.value == pytest.approx(
        roc_auc_score(labels, a) - roc_auc_score(labels, b)
    )
    if variance < 1e-12:
        assert math.isnan(found.low)
        return
    z = found.value / math.sqrt(variance)
    assert found.z == pytest.approx(z)
    assert found.p == pytest.approx(2 * norm.sf(abs(z)))
    assert found.low == pytest.approx(
        max(-1, found.value - 1.959964 * math.sqrt(variance)), abs=1e-6
    )


def obuchowski(labels: Ints, a: Floats, b: Floats, cases: list[str]) -> float:
    """Return the variance of a difference of AUC as Obuchowski 1997 writes it."""
    positive = labels == 1
    names = np.array(cases)
    v10 = [wins(labels, s).mean(axis=1) for s in (a, b)]
    v01 = [wins(labels, s).mean(axis=0) for s in (a, b)]
    total = np.zeros((2, 2))
    with_p, with_n = set(names[positive]), set(names[~positive])
    everyone = with_p | with_n
    m, n = int(positive.sum()), int((~positive).sum())
    for r in range(2):
        for s in range(2):
            s10 = s01 = s11 = 0.0
            for case in everyone:
                p, q = names[positive] == case, names[~positive] == case
                x = [v10[k][p].sum() - p.sum() * v10[k].mean() for k in (r, s)]
                y = [v01[k][q].sum() - q.sum() * v01[k].mean() for k in (r, s)]
                s10 += x[0] * x[1]
                s01 += y[0] * y[1]
                s11 += x[0] * y[1] + x[1] * y[0]
            total[r, s] = (
                len(with_p) / (len(with_p) - 1) * s10 / m**2
                + len(with_n) / (len(with_n) - 1) * s01 / n**2
                + len(everyone) / (len(everyone) - 1) * s11 / (m * n)
            )
    return float(total[0, 0] + total[1, 1] - 2 * total[0, 1])


def test_with_cases_the_variance_is_obuchowskis():
    """Cases of several slides, some of both classes, count as her formula counts them."""
    rng = np.random.default_rng(1)
    labels, a, b = two_models(rng, 18, 24)
    cases = [f"case {i}" for i in rng.integers(0, 15, size=42)]
    found = delong_difference(labels, a, b, cases)
    error = math.sqrt(obuchowski(labels, a, b, cases))
    assert found.z == pytest.approx(found.value / error)
    assert found.method == "paired DeLong for cases"


def test_copies_of_a_slide_add_nothing():
    """Every slide four times over, as one case, gives the same z and p."""
    labels, a, b = two_models(np.random.default_rng(2), 20, 25)
    cases = [f"case {i}" for i in range(45)]
    once = delong_difference(labels, a, b, cases)
    alone = delong_difference(labels, a, b)
    assert (once.z, once.p) == pytest.approx((alone.z, alone.p))
    many = delong_difference(
        np.repeat(labels, 4),
        np.repeat(a, 4),
        np.repeat(b, 4),
        np.repeat(cases, 4).tolist(),
    )
    assert many.z == pytest.approx(once.z)
    assert many.p == pytest.approx(once.p)
    blind = delong_difference(np.repeat(labels, 4), np.repeat(a, 4), np.repeat(b, 4))
    assert abs(blind.z) > 1.9 * abs(once.z)


def test_the_order_of_the_models_is_the_sign():
    """Swapped models have the opposite difference and the same p."""
    labels, a, b = two_models(np.random.default_rng(3))
    one, other = delong_difference(labels, a, b), delong_difference(labels, b, a)
    assert (one.value, one.low, one.high) == pytest.approx(
        (-other.value, -other.high, -other.low)
    )
    assert one.p == pytest.approx(other.p)


def test_models_that_rank_alike_do_not_differ_and_have_no_interval():
    """A model and its own logarithm: no difference, p of 1, ends unknown."""
    labels, a, _ = two_models(np.random.default_rng(4))
    found = delong_difference(labels, a, np.exp(a))
    assert (found.value, found.p) == (0, 1)
    assert math.isnan(found.low)
    resampled = bootstrap_difference(auc, labels, a, np.exp(a), repeats=50)
    assert (resampled.value, resampled.p) == (0, 1)


def test_where_no_slide_varies_nothing_is_claimed():
    """Perfect against constant scores, or one class only: no p."""
    labels = np.repeat([1, 0], [5, 6])
    found = delong_difference(labels, labels + 0.0, np.zeros(11))
    assert found.value == 0.5
    assert math.isnan(found.p)
    assert math.isnan(delong_difference(np.ones(4, int), np.arange(4.0), np.ones(4)).p)
    assert json.loads(json.dumps(found.facts(), allow_nan=False))["p"] is None


def test_the_paired_bootstrap_agrees_with_delong():
    """Two methods for the same thing: ends within a sixth of the width, p alike."""
    labels, a, b = two_models(np.random.default_rng(5), 60, 80)
    one = delong_difference(labels, a, b)
    other = bootstrap_difference(auc, labels, a, b)
    width = one.high - one.low
    assert other.value == pytest.approx(one.value)
    assert other.low == pytest.approx(one.low, abs=width / 6)
    assert other.high == pytest.approx(one.high, abs=width / 6)
    assert other.p == pytest.approx(one.p, abs=0.02)


def test_pairing_matters():
    """The difference is far surer than the two AUC taken apart would allow."""
    labels, a, b = two_models(np.random.default_rng(6), worse=0.5)
    found = compare(labels, {"a": a, "b": b})
    apart = math.hypot(*(m.auc.high - m.auc.low for m in found.models))
    difference = found.models[1].difference
    assert difference is not None
    assert difference.high - difference.low < 0.75 * apart


@pytest.mark.parametrize("seed", range(6))
def test_the_bootstraps_p_and_interval_agree(seed: int):
    """The interval leaves 0 out exactly when p is below 5 %."""
    labels, a, b = two_models(np.random.default_rng(seed), 20, 25, worse=1.5)
    found = bootstrap_difference(auc, labels, a, b, repeats=400, seed=seed)
    assert (found.p < 0.05) == (found.low > 0 or found.high < 0)
    again = bootstrap_difference(auc, labels, a, b, repeats=400, seed=seed)
    assert again == found


def test_the_bootstrap_draws_the_same_whole_cases_for_both():
    """Every draw holds whole cases, and both models' scores of the same slides."""
    labels = np.array([0, 0, 0, 1, 1, 1, 1])
    cases = list("aabccdd")
    drawn: list[tuple[float, ...]] = []

    def keep(y: Ints, s: Floats) -> float:
        drawn.append(tuple(s % 100))
        assert (y == labels[(s % 100).astype(int)]).all()
        return float(s.mean())

    slides = np.arange(7.0)
    bootstrap_difference(
        keep, labels, slides + 100, slides + 200, clusters=cases, repeats=20
    )
    assert drawn[::2] == drawn[1::2]
    for sample in drawn:
        counts = np.bincount(np.array(sample, int), minlength=7)
        assert (counts[0], counts[3], counts[5]) == (counts[1], counts[4], counts[6])


def test_holm_by_a_worked_example():
    """0.005 x 4, 0.01 x 3, 0.03 x 2, then 0.04 x 1 raised to the one before it."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1, 1]
    assert holm([]) == []
    with_unknown = holm([0.01, float("nan"), 0.02])
    assert with_unknown[0] == pytest.approx(0.03)
    assert with_unknown[2] == pytest.approx(0.04)
    assert math.isnan(with_unknown[1])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_rejects_what_stepping_down_rejects(p_values: list[float]):
    """An adjusted p is below alpha exactly where Holm's steps have not yet stopped."""
    alpha = 0.05
    rejected = set()
    for step, place in enumerate(np.argsort(p_values, kind="stable")):
        if p_values[place] * (len(p_values) - step) >= alpha:
            break
        rejected.add(int(place))
    adjusted = holm(p_values)
    assert {i for i, p in enumerate(adjusted) if p < alpha} == rejected
    assert all(p <= q <= 1 for p, q in zip(p_values, adjusted, strict=True))


def test_a_comparison_holds_each_model_against_the_reference():
    """AUC are scikit-learn's, differences those of the pairs, p adjusted together."""
    rng = np.random.default_rng(7)
    labels, a, b = two_models(rng)
    c = rng.normal(size=129)
    found = compare(labels, {"a": a, "b": b, "c": c}, reference="b")
    for one, scores in zip(found.models, (a, b, c), strict=True):
        assert one.auc.value == pytest.approx(roc_auc_score(labels, scores))
    first, reference, last = found.models
    assert reference.difference is None
    assert first.difference == delong_difference(labels, a, b)
    assert last.difference == delong_difference(labels, c, b)
    raw = [one.difference.p for one in (first, last) if one.difference is not None]
    assert [first.p_holm, last.p_holm] == holm(raw)
    rows = found.rows()
    assert [tuple(row) for row in rows] == [COLUMNS] * 3
    assert rows[2]["difference"] == last.difference.value
    assert math.isnan(float(rows[1]["p"]))
    facts = json.loads(json.dumps(found.facts(), allow_nan=False))
    assert (facts["reference"], facts["slides"], facts["cases"]) == ("b", 129, 129)
    assert facts["models"][1]["p_holm"] is None


def test_the_first_model_is_the_reference_unless_another_is_named():
    """Cases are counted, and their number is told."""
    labels, a, b = two_models(np.random.default_rng(8), 10, 10)
    found = compare(labels, {"x": a, "y": b}, [str(i // 2) for i in range(20)])
    assert (found.reference, found.slides, found.cases) == ("x", 20, 10)
    assert found.models[1].difference is not None
    assert found.models[1].difference.method == "paired DeLong for cases"


def test_three_classes_are_compared_by_bootstrap():
    """The difference is that of the two macro AUC."""
    rng = np.random.default_rng(9)
    labels = np.repeat([0, 1, 2], 15)
    good = rng.dirichlet([1, 1, 1], 45) + 0.7 * np.eye(3)[labels]
    bad = rng.dirichlet([1, 1, 1], 45)
    found = auc_difference(labels, good, bad)
    assert found.method == "paired bootstrap of slides"
    assert found.value == pytest.approx(auc(labels, good) - auc(labels, bad))
    assert 0 < found.low < found.value < found.high
    assert found.p < 0.01


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda y, _: compare(y, {}), DataError, "no model"),
        (
            lambda y, s: compare(y, {"a": s}, reference="z"),
            OptionError,
            "'z' is none of the models: a",
        ),
        (lambda y, s: compare(y, {"a": s, "b": s[1:]}), DataError, "one finite score"),
        (lambda y, s: compare(y, {"a": s}, ["1"]), DataError, "1 cases given"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    call: Callable[[Ints, Floats], object], error: type[Exception], message: str
):
    """No model, an unknown reference, and arrays that do not fit are errors."""
    labels, a, _ = two_models(np.random.default_rng(0), 3, 4)
    with pytest.raises(error, match=message):
        call(labels, a)
