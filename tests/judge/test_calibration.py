"""Temperature, calibration error, Brier score and the points of a reliability plot."""

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from coverslip.errors import DataError
from coverslip.judge.calibration import (
    HOTTEST,
    brier,
    brier_parts,
    calibration_error,
    fit_temperature,
    reliability_bins,
    told,
    with_temperature,
)
from coverslip.judge.metrics import log_loss

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def two_columns(p: npt.ArrayLike) -> Floats:
    """Return (N, 2) probabilities from those of the second class."""
    return np.column_stack([1 - np.asarray(p), p])


def true_slides(rng: np.random.Generator, n: int) -> tuple[Ints, Floats]:
    """Return labels drawn with the probabilities they are told with."""
    p = rng.beta(0.7, 0.7, size=n)
    return (rng.random(n) < p).astype(np.int64), two_columns(p)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_a_wrong_temperature_is_found_and_undone(temperature: float):
    """Probabilities made too sharp or too flat come back as they were."""
    labels, honest = true_slides(np.random.default_rng(0), 20_000)
    spoilt = with_temperature(honest, 1 / temperature)
    found = fit_temperature(labels, spoilt)
    assert found.note == ""
    assert found.value == pytest.approx(temperature, rel=0.05)
    mended = with_temperature(spoilt, found.value)
    assert np.abs(mended - honest).max() < 0.02


def test_the_temperature_has_the_least_log_loss():
    """No temperature of a fine grid does better, with three classes too."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, size=60)
    p = rng.dirichlet([0.4, 0.4, 0.4], size=60) * 0.6 + 0.4 * np.eye(3)[labels]
    p[:9] = p[:9, [1, 2, 0]]
    found = fit_temperature(labels, p).value
    least = log_loss(labels, with_temperature(p, found))
    for other in np.geomspace(0.1, 10, 300):
        assert least <= log_loss(labels, with_temperature(p, other)) + 1e-9


def test_temperature_divides_the_log_odds_and_keeps_the_order():
    """Log odds of 2 become 1 at a temperature of 2; 0.5 stays 0.5."""
    p = 1 / (1 + np.exp([-2.0, 0.0, 4.0]))
    found = with_temperature(two_columns(p), 2.0)[:, 1]
    assert np.log(found / (1 - found)) == pytest.approx([1, 0, -2])
    extreme = with_temperature(np.array([[0.0, 1.0]]), 0.1)
    assert np.isfinite(extreme).all()
    assert extreme.sum() == pytest.approx(1)


def test_separated_validation_leaves_probabilities_alone():
    """Every slide on the right side says nothing on how sure is too sure."""
    found = fit_temperature([0, 0, 1, 1], two_columns([0.1, 0.4, 0.6, 0.9]))
    assert found.value == 1
    assert "no slide on the wrong side" in found.note
    assert fit_temperature([1, 1], two_columns([0.2, 0.9])).value == 1


def test_probabilities_worse_than_chance_meet_the_bound():
    """Where the best temperature would be endless it is 10, and says so."""
    found = fit_temperature([1, 1, 0, 0], two_columns([0.1, 0.4, 0.6, 0.9]))
    assert found.value == HOTTEST
    assert "bound of 10" in found.note


@given(st.integers(0, 999))
def test_the_brier_score_of_two_classes_is_scikit_learns(seed: int):
    """Half the squared distance is the squared error of one probability."""
    rng = np.random.default_rng(seed)
    labels, p = rng.integers(0, 2, 20), rng.random(20)
    expected = brier_score_loss(labels, p, pos_label=1)
    assert brier(labels, two_columns(p)) == pytest.approx(expected)


def test_the_brier_score_of_three_classes_by_hand():
    """Right for certain is 0, wrong for certain 1; thirds are a third."""
    assert brier([2], [[0, 0, 1]]) == 0
    assert brier([2], [[1, 0, 0]]) == 1
    assert brier([0], [[1 / 3, 1 / 3, 1 / 3]]) == pytest.approx(1 / 3)


@given(st.integers(0, 999))
def test_the_brier_score_is_the_sum_of_its_parts(seed: int):
    """Exactly, where the slides of a bin were told the same."""
    rng = np.random.default_rng(seed)
    p = rng.choice([0.05, 0.25, 0.55, 0.95], size=40)
    happened = rng.random(40) < p
    parts = brier_parts(happened, p)
    score = parts["reliability"] - parts["resolution"] + parts["uncertainty"]
    assert score == pytest.approx(brier(happened.astype(int), two_columns(p)))
    assert min(parts.values()) >= 0


@given(st.integers(0, 999), st.booleans())
def test_the_points_are_scikit_learns(seed: int, equal_mass: bool):
    """Equal-width and equal-mass bins have its means and shares."""
    rng = np.random.default_rng(seed)
    p = rng.random(50).round(rng.integers(2, 6))
    happened = rng.random(50) < p
    strategy = "quantile" if equal_mass else "uniform"
    came, said = calibration_curve(happened, p, n_bins=7, strategy=strategy)
    found = reliability_bins(happened, p, bins=7, equal_mass=equal_mass)
    assert [one.said for one in found] == pytest.approx(said.tolist())
    assert [one.happened.value for one in found] == pytest.approx(came.tolist())
    assert sum(one.n for one in found) == 50
    for one in found:
        assert one.low <= one.said <= one.high
        assert one.happened.low <= one.happened.value <= one.happened.high
    error = sum(one.n * abs(one.said - one.happened.value) for one in found) / 50
    assert calibration_error(
        happened, p, bins=7, equal_mass=equal_mass
    ) == pytest.approx(error)


def test_the_calibration_error_by_hand():
    """Two at 0.1 of which one came true, two at 0.9 that both did: (0.4 + 0.1) / 2."""
    error = calibration_error([0, 1, 1, 1], [0.1, 0.1, 0.9, 0.9])
    assert error == pytest.approx(0.25)
    assert calibration_error([1, 0], [0.5, 0.5], equal_mass=True) == 0
    assert calibration_error([1, 1], [1.0, 1.0]) == 0


def test_honest_probabilities_have_a_small_error_and_sharpened_ones_a_great_one():
    """Of many slides the error is below 1.5 % as they are told, above 8 % sharpened."""
    labels, p = true_slides(np.random.default_rng(2), 20_000)
    for equal_mass in (False, True):
        honest = calibration_error(*told(labels, p), equal_mass=equal_mass)
        sharp = with_temperature(p, 0.3)
        spoilt = calibration_error(*told(labels, sharp), equal_mass=equal_mass)
        assert honest < 0.015
        assert spoilt > 0.08


def test_of_more_classes_the_likeliest_is_what_was_told():
    """Of two it is the last class, whichever is likelier."""
    happened, said = told([0, 2], [[0.5, 0.3, 0.2], [0.6, 0.3, 0.1]])
    assert (happened.tolist(), said.tolist()) == ([True, False], [0.5, 0.6])
    happened, said = told([0, 1], [[0.8, 0.2], [0.7, 0.3]])
    assert (happened.tolist(), said.tolist()) == ([False, True], [0.2, 0.3])


def test_the_intervals_of_points_count_cases():
    """Ten slides of one case tell no more than one slide."""
    happened, said = np.repeat([True, False], 10), np.full(20, 0.5)
    apart = reliability_bins(happened, said)[0].happened
    cases = ["a"] * 10 + ["b"] * 10
    together = reliability_bins(happened, said, clusters=cases)[0].happened
    assert together.value == apart.value == 0.5
    assert together.high - together.low > 1.5 * (apart.high - apart.low)


def test_unfit_arrays_are_refused():
    """Probabilities beyond 0..1, none at all, and labels that do not fit are errors."""
    with pytest.raises(DataError, match="not between 0 and 1"):
        calibration_error([1], [1.2])
    with pytest.raises(DataError, match="at least one slide"):
        calibration_error([], [])
    with pytest.raises(DataError, match="not sum to 1"):
        fit_temperature([0, 1], [[0.2, 0.2], [0.5, 0.5]])
    assert math.isfinite(brier([1], [[1.0, 0.0]]))
