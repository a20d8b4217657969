"""Intervals of shares that count cases, not slides."""

import numpy as np
import pytest

from coverslip.errors import DataError
from coverslip.judge.rates import proportion_interval, rate_interval


def test_slides_that_are_their_own_cases_have_wilsons_interval():
    """With or without their names."""
    right = np.arange(20) < 17
    names = [str(i) for i in range(20)]
    assert rate_interval(right) == proportion_interval(17, 20)
    assert rate_interval(right, names) == proportion_interval(17, 20)


def test_cases_that_go_together_count_once():
    """Every slide five times over: the width is that of the cases, but for Student's t."""
    right, names = np.arange(40) < 32, [str(i) for i in range(40)]
    once = rate_interval(right)
    many = rate_interval(np.repeat(right, 5), np.repeat(names, 5).tolist())
    assert many.value == once.value
    assert many.method == "Wilson, cases"
    width = once.high - once.low
    assert width < many.high - many.low < 1.1 * width
    blind = rate_interval(np.repeat(right, 5))
    assert blind.high - blind.low < 0.6 * width


def test_slides_of_a_case_that_do_not_go_together_count_alone():
    """Cases with one slide wrong of four each vary no more than slides do."""
    right, cases = np.tile([1, 1, 1, 0], 30), np.repeat(np.arange(30), 4).astype(str)
    found, alone = rate_interval(right, cases.tolist()), rate_interval(right)
    assert found.high - found.low == pytest.approx(alone.high - alone.low, rel=0.06)


def test_all_right_is_as_sure_as_its_cases():
    """Thirty slides of three cases, all right, are not thirty witnesses."""
    cases = np.repeat(list("abc"), 10).tolist()
    found = rate_interval(np.ones(30), cases)
    assert found.high == 1
    assert found.low < proportion_interval(3, 3).low
    assert rate_interval(np.zeros(30), cases).low == 0


def test_nothing_and_misfits():
    """No slide has no interval; a missing case is an error."""
    assert np.isnan(rate_interval([]).low)
    with pytest.raises(DataError, match="1 cases given for 2 slides"):
        rate_interval([1, 0], ["a"])
