"""Sets that hold the true class as often as they promise, and who is referred."""

import json
import math

import numpy as np
import numpy.typing as npt
import pytest

from coverslip.errors import DataError, OptionError
from coverslip.judge.referral import (
    Conformal,
    fit_conformal,
    least_slides,
    referral_figures,
)

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def slides(
    rng: np.random.Generator, counts: tuple[int, ...], apart: float = 1.5
) -> tuple[Ints, Floats]:
    """Return labels and (badly calibrated) probabilities of so many slides a class."""
    labels = np.repeat(np.arange(len(counts)), counts)
    logits = (
        rng.normal(size=(len(labels), len(counts)))
        + apart * np.eye(len(counts))[labels]
        + 0.8 * np.arange(len(counts))
    )
    p = np.exp(2 * logits)
    return labels, p / p.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("alpha", [0.1, 0.2])
@pytest.mark.parametrize("counts", [(40, 12), (30, 19, 9)])
def test_each_class_is_covered_as_promised(counts: tuple[int, ...], alpha: float):
    """Over many validation sets each class's coverage is what the ranks give exactly.

    It is (n + 1) (1 - alpha), rounded up, over n + 1: never below 1 - alpha.
    """
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(600):
        limits = fit_conformal(*slides(rng, counts), alpha)
        labels, p = slides(rng, (40,) * len(counts))
        own = limits.sets(p)[np.arange(len(labels)), labels]
        covered.append([own[labels == c].mean() for c in range(len(counts))])
    for n, found in zip(counts, np.mean(covered, axis=0), strict=True):
        promised = math.ceil((n + 1) * (1 - alpha) - 1e-9) / (n + 1)
        assert promised >= 1 - alpha
        assert found == pytest.approx(promised, abs=0.012)


def test_one_limit_covers_all_together_but_not_the_rare_class():
    """What the default is for: the marginal promise is kept at the rare class's cost."""
    rng = np.random.default_rng(1)
    marginal, rare, own = [], [], []
    for _ in range(400):
        validation = slides(rng, (12, 60))
        labels, p = slides(rng, (20, 100))
        for per_class, kept in ((False, rare), (True, own)):
            limits = fit_conformal(*validation, 0.1, per_class=per_class)
            covered = limits.sets(p)[np.arange(120), labels]
            kept.append(covered[labels == 0].mean())
            if not per_class:
                marginal.append(covered.mean())
    assert np.mean(marginal) == pytest.approx(0.904, abs=0.01)
    assert np.mean(rare) < 0.85
    assert np.mean(own) > 0.9


def test_limits_and_sets_by_hand():
    """Nine slides a class at 90 %: the limit is the strangest of them."""
    p_of_last = [*(0.05 * k for k in range(9)), *(1 - 0.06 * k for k in range(9))]
    p = np.column_stack([1 - np.array(p_of_last), p_of_last])
    limits = fit_conformal(np.repeat([0, 1], 9), p, 0.1)
    assert limits.limits == pytest.approx((0.40, 0.48))
    assert limits.slides == (9, 9)
    said = np.array([[0.9, 0.1], [0.5, 0.5], [0.55, 0.45], [0.42, 0.58]])
    assert limits.sets(said).tolist() == [
        [True, False],
        [False, False],
        [False, False],
        [False, True],
    ]
    assert limits.refer(said).tolist() == [False, True, True, False]


def test_a_slide_between_two_classes_is_referred():
    """Overlapping classes give sets of two in between, and one class far out."""
    limits = fit_conformal(*slides(np.random.default_rng(2), (50, 50), apart=0.8), 0.1)
    said = np.array([[0.999, 0.001], [0.5, 0.5], [0.0001, 0.9999]])
    assert limits.sets(said).sum(axis=1).tolist() == [1, 2, 1]
    assert limits.refer(said).tolist() == [False, True, False]


@pytest.mark.parametrize(("alpha", "least"), [(0.1, 9), (0.05, 19), (0.2, 4), (0.3, 3)])
def test_too_few_slides_of_a_class_refer_everything(alpha: float, least: int):
    """A class needs 1 / alpha - 1 slides; with one fewer all are referred, and it says so."""
    assert least_slides(alpha) == least
    rng = np.random.default_rng(3)
    enough = fit_conformal(*slides(rng, (least, 40)), alpha)
    assert enough.sentence(["normal", "tumour"]) == ""
    few = fit_conformal(*slides(rng, (least - 1, 40)), alpha)
    sure = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    assert few.refer(sure).all()
    sentence = few.sentence(["normal", "tumour"])
    assert f"validation has {least - 1} of normal, and" in sentence
    assert f"needs {least} of each class" in sentence


def test_limits_survive_json():
    """What the model's card keeps gives the same limits back."""
    for counts in ((20, 20), (3, 20)):
        limits = fit_conformal(*slides(np.random.default_rng(4), counts))
        again = Conformal.of(json.loads(json.dumps(limits.facts(), allow_nan=False)))
        assert again == limits


def test_figures_by_hand():
    """Of four slides one is referred; it is the one that was decided wrongly."""
    limits = Conformal(0.1, (0.4, 0.4), (9, 9))
    p = [[0.9, 0.1], [0.8, 0.2], [0.5, 0.5], [0.7, 0.3]]
    figures = referral_figures(limits, [0, 0, 0, 1], p, [True, True, False, False])
    assert figures["rate"] == 0.25
    assert figures["coverage"] == 0.5
    assert figures["coverage_per_class"] == pytest.approx([2 / 3, 0])
    assert figures["accuracy_kept"] == pytest.approx(2 / 3)
    assert figures["accuracy_referred"] == 0
    none = referral_figures(
        Conformal(0.1, (0.6, 0.1), (9, 9)), [0], [[0.9, 0.1]], [True]
    )
    assert math.isnan(float(none["accuracy_referred"]))  # type: ignore[arg-type]


def test_referred_slides_are_those_decided_wrongly_more_often():
    """On new slides the accuracy of those kept is well above that of those referred."""
    rng = np.random.default_rng(5)
    limits = fit_conformal(*slides(rng, (60, 60), apart=1.0))
    labels, p = slides(rng, (500, 500), apart=1.0)
    right = p.argmax(axis=1) == labels
    figures = referral_figures(limits, labels, p, right)
    kept, referred = figures["accuracy_kept"], figures["accuracy_referred"]
    assert isinstance(kept, float)
    assert isinstance(referred, float)
    assert kept > referred + 0.1


def test_a_senseless_alpha_and_unfit_arrays_are_refused():
    """Alpha lies between 0 and 1, and probabilities sum to 1."""
    labels, p = slides(np.random.default_rng(6), (5, 5))
    for alpha in (0, 1, -0.1):
        with pytest.raises(OptionError, match="between 0 and 1"):
            fit_conformal(labels, p, alpha)
    with pytest.raises(DataError):
        fit_conformal(labels, p[:3])
