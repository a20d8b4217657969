"""Figures from labels and probabilities."""

import json
import math
import warnings

import numpy as np
import numpy.typing as npt
import pytest
import sklearn.metrics as sk
from hypothesis import given
from hypothesis import strategies as st

from coverslip.errors import DataError
from coverslip.judge.metrics import (
    auc,
    average_precision,
    choose_threshold,
    evaluate,
    log_loss,
    metrics_at,
)

Case = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]


@st.composite
def predictions(draw: st.DrawFn, n_classes: int) -> Case:
    """Return labels with every class, and probabilities with many ties."""
    n = draw(st.integers(2 * n_classes, 30))
    seed = draw(st.integers(0, 2**32 - 1))
    levels = draw(st.sampled_from([1, 3, 1000]))
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % n_classes)
    if n_classes == 2:
        scores = rng.integers(0, levels + 1, size=n) / levels
        return labels, np.column_stack([1 - scores, scores])
    weights = rng.integers(1, levels + 2, size=(n, n_classes)).astype(float)
    return labels, weights / weights.sum(axis=1, keepdims=True)


def two(scores: list[float]) -> npt.NDArray[np.float64]:
    """Return the probabilities of two classes from those of the second."""
    return np.column_stack([1 - np.array(scores), scores])


@given(predictions(2))
def test_two_classes_agree_with_scikit_learn(case: Case):
    """AUC, average precision, log loss and every rate are scikit-learn's."""
    y, p = case
    s = p[:, 1]
    assert auc(y, p) == auc(y, s) == pytest.approx(sk.roc_auc_score(y, s))
    assert average_precision(y, p) == pytest.approx(sk.average_precision_score(y, s))
    assert log_loss(y, p) == pytest.approx(sk.log_loss(y, p))
    found, decided = metrics_at(y, p, 0.5), s >= 0.5
    assert found["confusion"] == sk.confusion_matrix(y, decided).tolist()
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(y, decided))
    balanced = sk.balanced_accuracy_score(y, decided)
    assert found["balanced_accuracy"] == pytest.approx(balanced)
    assert found["sensitivity"] == pytest.approx(sk.recall_score(y, decided))
    specificity = sk.recall_score(y, decided, pos_label=0)
    assert found["specificity"] == pytest.approx(specificity)
    precision = sk.precision_score(y, decided, zero_division=np.nan)
    assert found["precision"] == pytest.approx(precision, nan_ok=True)
    assert found["f1"] == pytest.approx(sk.f1_score(y, decided))


@given(predictions(3))
def test_three_classes_agree_with_scikit_learn(case: Case):
    """Areas are one-versus-rest means, decisions argmax, F1 macro."""
    y, p = case
    decided = p.argmax(axis=1)
    expected = sk.roc_auc_score(y, p, multi_class="ovr", average="macro")
    assert auc(y, p) == pytest.approx(expected)
    onehot = np.eye(3)[y]
    assert average_precision(y, p) == pytest.approx(
        sk.average_precision_score(onehot, p)
    )
    found = evaluate(y, p, 0.9, ["a", "b", "c"])
    assert found.threshold is None
    assert found.accuracy == pytest.approx(sk.accuracy_score(y, decided))
    assert found.f1 == pytest.approx(sk.f1_score(y, decided, average="macro"))
    balanced = sk.balanced_accuracy_score(y, decided)
    assert found.balanced_accuracy == pytest.approx(balanced)
    assert found.sensitivity == pytest.approx(balanced)
    b = found.per_class["b"]
    assert b["n"] == (y == 1).sum()
    assert b["auc"] == pytest.approx(sk.roc_auc_score(y == 1, p[:, 1]))
    assert b["sensitivity"] == pytest.approx(sk.recall_score(y == 1, decided == 1))


def test_perfect_separation_scores_one_with_its_own_threshold():
    """The slide next to the threshold is on the right side (DTFD-MIL loses it)."""
    y, p = [0, 0, 1, 1], two([0.1, 0.3, 0.8, 0.9])
    threshold = choose_threshold(y, p[:, 1])
    assert threshold == pytest.approx(0.55)
    found = evaluate(y, p, threshold, ["normal", "tumor"])
    assert (found.accuracy, found.auc, found.auprc, found.f1) == (1, 1, 1, 1)


def test_an_inverted_model_scores_zero():
    """No threshold makes a model that is always wrong look right."""
    y, p = [1, 1, 0, 0], two([0.1, 0.3, 0.8, 0.9])
    threshold = choose_threshold(y, p[:, 1])
    assert threshold == 0.5
    found = evaluate(y, p, threshold, ["normal", "tumor"])
    assert (found.accuracy, found.auc, found.sensitivity, found.specificity) == (0,) * 4


def test_a_score_equal_to_the_threshold_is_positive():
    """The rule of decision is score >= threshold."""
    assert metrics_at([1, 0], two([0.5, 0.4999]), 0.5)["accuracy"] == 1


def test_ties_count_one_half():
    """With all scores equal the AUC is a half, with one tie of four pairs 7/8."""
    assert auc([0, 1, 0, 1], [0.2] * 4) == 0.5
    assert auc([0, 0, 1, 1], [0.1, 0.5, 0.5, 0.9]) == 0.875


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_gives_nan_and_no_crash(label: int):
    """What needs both classes is NaN, in silence, and null in JSON."""
    found = evaluate([label] * 3, two([0.2, 0.6, 0.7]), 0.5, ["normal", "tumor"])
    assert math.isnan(found.auc)
    assert math.isnan(found.auprc)
    assert math.isnan(found.balanced_accuracy)
    assert found.accuracy == pytest.approx(2 / 3 if label else 1 / 3)
    assert math.isnan(found.specificity if label else found.sensitivity)
    facts = json.loads(json.dumps(found.facts(), allow_nan=False))
    assert facts["auc"] is None
    assert facts["classes"] == ["normal", "tumor"]
    assert facts["confusion"] == ([[0, 0], [1, 2]] if label else [[1, 2], [0, 0]])


def test_a_class_without_slides_is_left_out_of_the_means():
    """The macro AUC is over the classes that occur in the labels."""
    y = np.array([0, 0, 1, 1])
    p = np.array([[0.7, 0.2, 0.1], [0.4, 0.5, 0.1], [0.5, 0.3, 0.2], [0.1, 0.8, 0.1]])
    expected = (
        sk.roc_auc_score(y == 0, p[:, 0]) + sk.roc_auc_score(y == 1, p[:, 1])
    ) / 2
    assert auc(y, p) == pytest.approx(expected)
    found = evaluate(y, p, 0.5, ["a", "b", "c"])
    assert found.per_class["c"]["n"] == 0
    assert math.isnan(found.per_class["c"]["auc"])
    assert found.balanced_accuracy == 0.5


def brute_threshold_j(y: npt.NDArray[np.int64], s: npt.NDArray[np.float64]) -> float:
    """Return the best J of any threshold."""
    return max(j(y, s, t) for t in [*s, 2.0])


def j(y: npt.NDArray[np.int64], s: npt.NDArray[np.float64], threshold: float) -> float:
    """Return sensitivity + specificity - 1."""
    return float((s[y == 1] >= threshold).mean() - (s[y == 0] >= threshold).mean())


@given(predictions(2))
def test_the_threshold_has_the_greatest_youden_index(case: Case):
    """No other threshold does better, and it is finite and between the scores."""
    y, p = case
    s = p[:, 1]
    threshold = choose_threshold(y, s)
    assert j(y, s, threshold) >= brute_threshold_j(y, s) - 1e-12 or threshold == 0.5
    assert brute_threshold_j(y, s) > 1e-12 or threshold == 0.5
    assert 0 <= threshold <= 1


@given(st.floats(0.01, 0.99), st.booleans())
def test_the_threshold_parts_scores_that_are_neighbours_as_floats(x: float, up: bool):
    """Even where no number lies between two scores the upper one is positive."""
    other = float(np.nextafter(x, 1))
    assert choose_threshold([0, 1], [x, other]) == other
    assert choose_threshold([1, 0], [x, other] if up else [other, x]) in (0.5, other)


def test_equally_good_thresholds_are_broken_toward_a_half():
    """Of 0.25 and 0.6, both with J = 1/2, the nearer to 0.5 is taken."""
    y, s = [0, 1, 0, 1], [0.2, 0.3, 0.5, 0.7]
    assert choose_threshold(y, s) == pytest.approx(0.6)


@pytest.mark.parametrize("y", [[0, 0], [1, 1], [0, 1]])
def test_without_information_the_threshold_is_a_half(y: list[int]):
    """One class, or equal scores, say nothing about a threshold."""
    assert choose_threshold(y, [0.9, 0.9]) == 0.5


def test_log_loss_of_a_certain_error_is_finite():
    """A probability of 0 for the truth is expensive, not infinite."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = sk.log_loss([0, 1], [[0.0, 1.0], [0.5, 0.5]])
    assert log_loss([0, 1], [[0.0, 1.0], [0.5, 0.5]]) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("labels", "probabilities", "said"),
    [
        ([], np.zeros((0, 2)), "at least one slide"),
        ([0, 1], [0.2, 0.8], "classes"),
        ([0], [[0.5, 0.5], [0.5, 0.5]], "labels"),
        ([0, 1], [[4.78, -3.78], [0.5, 0.5]], "do not sum to 1"),
        ([0, 1], [[2.0, 1.0], [0.5, 0.5]], "do not sum to 1"),
        ([0, 1], [[np.nan, 0.5], [0.5, 0.5]], "NaN"),
        ([0, 2], [[0.5, 0.5], [0.5, 0.5]], "labels 0..2 for 2 classes"),
    ],
)
def test_what_is_no_probability_is_refused(
    labels: list[int], probabilities: npt.ArrayLike, said: str
):
    """Logits, NaN and arrays that do not fit are errors, not figures."""
    with pytest.raises(DataError, match=said):
        metrics_at(labels, probabilities, 0.5)
