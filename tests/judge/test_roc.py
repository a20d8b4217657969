"""The ROC curve is the known one, and its band holds the true curve often enough."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_curve

from coverslip.errors import DataError
from coverslip.judge.rates import rate_interval
from coverslip.judge.roc import roc_band


def drawn(rng, negatives, positives, apart):
    """Return labels and scores of two normal distributions."""
    labels = np.repeat([0, 1], [negatives, positives])
    return labels, rng.normal(size=len(labels)) + apart * labels


def test_the_curve_is_that_of_another_library():
    """Points, ties included, are scikit-learn's."""
    rng = np.random.default_rng(0)
    labels, scores = drawn(rng, 30, 20, 1.0)
    scores = np.round(scores, 1)
    band = roc_band(labels, scores)
    false, true, _ = roc_curve(labels, scores, drop_intermediate=False)
    assert band.false == pytest.approx(false)
    assert band.true == pytest.approx(true)


def test_the_band_holds_the_curve_and_only_rises():
    """Everywhere lower end <= curve <= upper end, within 0 and 1."""
    labels, scores = drawn(np.random.default_rng(1), 25, 12, 0.8)
    curve, low, high = roc_band(labels, scores).at(np.linspace(0, 1, 101))
    assert (low <= curve).all()
    assert (curve <= high).all()
    assert low.min() >= 0
    assert high.max() <= 1
    assert (np.diff(low) >= -1e-12).all()
    assert (np.diff(high) >= -1e-12).all()


def test_at_a_perfect_curve_the_band_is_as_wide_as_the_slides_are_few():
    """All five positives found: the true share may be as low as Wilson's interval."""
    labels = np.repeat([0, 1], [40, 5])
    _, low, high = roc_band(labels, labels + 0.0).at([0.5])
    assert low[0] == pytest.approx(rate_interval(np.ones(5)).low)
    assert high[0] == 1


def test_slides_of_one_case_are_no_more_than_a_case():
    """Every slide four times over, as one case: the band does not get narrower."""
    labels, scores = drawn(np.random.default_rng(2), 12, 12, 1.0)
    places = np.linspace(0, 1, 21)
    _, low, high = roc_band(labels, scores).at(places)
    cases = [f"case {i}" for i in range(24) for _ in range(4)]
    again = roc_band(labels.repeat(4), scores.repeat(4), cases)
    _, case_low, case_high = again.at(places)
    _, slide_low, slide_high = roc_band(labels.repeat(4), scores.repeat(4)).at(places)
    assert (case_high - case_low).mean() >= (high - low).mean()
    assert (slide_high - slide_low).mean() < 0.8 * (high - low).mean()


def test_the_band_holds_the_true_curve_at_any_one_place():
    """In 95 of 100 studies or more, at each of some specificities."""
    rng = np.random.default_rng(3)
    places = np.array([0.05, 0.2, 0.5])
    truth = norm.sf(norm.isf(places) - 1.5)
    held = np.zeros(3)
    for _ in range(100):
        labels, scores = drawn(rng, 15, 15, 1.5)
        _, low, high = roc_band(labels, scores).at(places)
        held += (low <= truth) & (truth <= high)
    assert (held / 100 >= 0.93).all()  # 0.95 less what 100 draws scatter


def test_one_class_has_no_curve():
    """Without negatives there is no specificity."""
    with pytest.raises(DataError, match="slides of both classes"):
        roc_band([1, 1], [0.2, 0.3])
