"""Tests of the corrected resampled t-test."""

import numpy as np
import pytest
from benchmarks.accuracy.resampled import corrected_t_test
from scipy.stats import ttest_rel


def test_without_shared_bags_it_is_the_paired_t_test():
    """No correction is left when the test share is 0."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 20))
    plain = ttest_rel(a, b)
    found = corrected_t_test(a, b, 0.0)
    assert found.p == pytest.approx(plain.pvalue)
    interval = plain.confidence_interval()
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_the_correction_is_nadeau_and_bengios():
    """Of differences 1, 2, 3 the mean is 2, the variance 1: t = 2 / sqrt(1/3 + 1/9)."""
    found = corrected_t_test([2, 4, 6], [1, 2, 3], 1 / 9)
    t, reach = 3.0, 4.302653 * (2 / 3)
    assert found.mean == 2
    assert (found.low, found.high) == pytest.approx((2 - reach, 2 + reach), abs=1e-5)
    assert found.p == pytest.approx(1 - t / np.sqrt(2 + t**2))  # Student's t, 2 degrees


def test_methods_that_never_differ_are_not_told_apart():
    """A difference of zero in every fold has p 1, and a constant one p 0."""
    assert corrected_t_test([1, 2, 3], [1, 2, 3], 1 / 9).p == 1
    found = corrected_t_test([1, 2, 3], [0, 1, 2], 1 / 9)
    assert (found.p, found.low, found.high) == (0, 1, 1)
