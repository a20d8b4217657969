"""How far a model's probabilities can be believed, and which slides it should refer.

Both are learned from validation slides, kept in the model's card, and applied to every
prediction. A model that was trained before they were says neither.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from coverslip.judge.calibration import (
    BINS,
    Bin,
    brier,
    brier_parts,
    calibration_error,
    fit_temperature,
    reliability_bins,
    told,
    with_temperature,
)
from coverslip.judge.metrics import log_loss, null_for_nan
from coverslip.judge.referral import ALPHA, Conformal, fit_conformal, referral_figures
from coverslip.learn.checkpoint import ModelCard

Labels = npt.NDArray[np.int64]
Chances = npt.NDArray[np.float64]


def fitted_on_validation(
    card: ModelCard, labels: Labels, probabilities: Chances
) -> ModelCard:
    """Return the card with temperature and limits of referral.

    Args:
        card: The model's.
        labels: (N,) class numbers of validation slides.
        probabilities: (N, C) of the same slides.
    """
    temperature = fit_temperature(labels, probabilities)
    limits = fit_conformal(labels, probabilities, ALPHA)
    return replace(
        card,
        temperature=temperature.value,
        temperature_note=temperature.note,
        referral=limits.facts(),
    )


def calibrated(card: ModelCard, probabilities: Chances) -> Chances | None:
    """Return probabilities (N, C) with the model's temperature; None if it has none."""
    if card.temperature is None:
        return None
    return with_temperature(probabilities, card.temperature)


def referral(card: ModelCard) -> Conformal | None:
    """Return the model's limits of referral; None if it has none."""
    return Conformal.of(card.referral) if card.referral else None


def trust_columns(card: ModelCard) -> list[str]:
    """Return the columns that `trust_cells` fills."""
    return [*(f"calibrated_{name}" for name in card.classes), "refer"]


def trust_cells(card: ModelCard, probabilities: Chances) -> dict[str, str]:
    """Return one slide's calibrated probabilities and whether to refer it.

    Args:
        card: The model's.
        probabilities: (C,).
    """
    cells: dict[str, str] = {}
    scaled, limits = calibrated(card, probabilities[None]), referral(card)
    if scaled is not None:
        for name, value in zip(card.classes, scaled[0], strict=True):
            cells[f"calibrated_{name}"] = f"{value:.6f}"
    if limits is not None:
        cells["refer"] = "yes" if limits.refer(probabilities[None])[0] else "no"
    return cells


def trust_figures(
    card: ModelCard,
    labels: Labels,
    probabilities: Chances,
    right: npt.NDArray[np.bool_],
    *,
    in_sample: bool,
) -> dict[str, Any]:
    """Return figures on calibration and referral, JSON-ready.

    Args:
        card: The model's.
        labels: (N,) class numbers.
        probabilities: (N, C).
        right: (N,) whether the model decides rightly.
        in_sample: Temperature and limits were fitted on these very slides.
    """
    facts: dict[str, Any] = {}
    scaled, limits = calibrated(card, probabilities), referral(card)
    facts["calibration"] = {
        "temperature": card.temperature,
        "note": card.temperature_note,
        "in_sample": in_sample,
        "bins": BINS,
        "before": _believed(labels, probabilities),
        "after": None if scaled is None else _believed(labels, scaled),
    }
    if limits is not None:
        figures = referral_figures(limits, labels, probabilities, right)
        per_class = figures.pop("coverage_per_class")
        facts["referral"] = {
            "alpha": limits.alpha,
            "in_sample": in_sample,
            "note": limits.sentence(card.classes),
            **figures,
            "coverage_per_class": _named(card.classes, per_class),
        }
    checked: dict[str, Any] = null_for_nan(facts)
    return checked


def _named(classes: Sequence[str], values: float | list[float]) -> dict[str, float]:
    return dict(zip(classes, values if isinstance(values, list) else [], strict=True))


def _believed(labels: Labels, probabilities: Chances) -> dict[str, float]:
    happened, said = told(labels, probabilities)
    return {
        "brier": brier(labels, probabilities),
        **brier_parts(happened, said),
        "ece": calibration_error(happened, said),
        "ece_equal_mass": calibration_error(happened, said, equal_mass=True),
        "log_loss": log_loss(labels, probabilities),
    }


def reliability_points(
    labels: Labels, probabilities: Chances, cases: Sequence[str]
) -> list[Mapping[str, float]]:
    """Return the bins of a reliability plot as rows for the figure."""
    happened, said = told(labels, probabilities)
    found = reliability_bins(happened, said, clusters=cases)
    return [_point(one) for one in found]


def _point(one: Bin) -> Mapping[str, float]:
    share = one.happened
    return {
        "n": one.n,
        "said": one.said,
        "happened": share.value,
        "low": share.low,
        "high": share.high,
        "middle": (one.low + one.high) / 2,
    }
