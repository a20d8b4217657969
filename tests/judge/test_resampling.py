"""The bootstrap: what is drawn, and the ends and p values made of it."""

import numpy as np
import pytest
from scipy.stats import bootstrap as scipy_bootstrap
from scipy.stats import norm

from coverslip.judge.resampling import (
    Bootstrap,
    bootstrap,
    case_numbers,
    fewest_cases,
)


def test_ends_agree_with_scipys_bca():
    """Of a skewed mean, but for Student's t and the luck of the draw."""
    sample = np.random.default_rng(0).exponential(size=60)
    labels = np.zeros(60, np.int64)
    found = bootstrap(
        lambda slides: float(sample[slides].mean()),
        labels,
        case_numbers(None, 60),
        repeats=8000,
    )
    expected = scipy_bootstrap(
        (sample,), np.mean, n_resamples=8000, method="BCa", rng=1
    ).confidence_interval
    wide = Bootstrap(found.value, found.values, 10**9, found.acceleration)
    assert wide.ends(0.95) == pytest.approx((expected.low, expected.high), abs=0.02)
    assert found.ends(0.95)[0] < wide.ends(0.95)[0]
    assert found.ends(0.95)[1] > wide.ends(0.95)[1]


def test_without_correction_the_ends_are_percentiles_and_p_is_where_they_meet_0():
    """Of evenly spread values, with so many degrees of freedom that t is normal."""
    values = np.linspace(-0.1, 0.9, 10_001)
    found = Bootstrap(0.4, values, 10**9)
    assert found.ends(0.9) == pytest.approx((-0.05, 0.85), abs=1e-3)
    assert found.p_value() == pytest.approx(0.2, abs=1e-3)
    assert found.ends(1 - found.p_value())[0] == pytest.approx(0, abs=1e-3)


def test_p_is_never_nought_and_unknown_where_a_sample_is():
    """A thousand samples on one side leave a p of about a thousandth."""
    found = Bootstrap(1.0, np.linspace(0.5, 1.5, 1000), 10**9)
    assert found.p_value() == pytest.approx(2 / 1001)
    assert np.isnan(Bootstrap(1.0, np.array([1.0, np.nan]), 5).p_value())


def test_few_cases_of_a_class_widen_the_ends():
    """The class with the fewest cases decides."""
    labels = np.array([0, 0, 0, 0, 1, 1])
    assert fewest_cases(labels, case_numbers(list("abcdee"), 6)) == 1
    assert fewest_cases(labels, case_numbers(list("aabcde"), 6)) == 2
    values = norm.ppf((np.arange(5000) + 0.5) / 5000)
    few, many = Bootstrap(0.0, values, 2), Bootstrap(0.0, values, 200)
    assert few.ends(0.8)[1] > many.ends(0.8)[1] + 0.3
