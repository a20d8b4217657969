"""Calibration: of slides said to be 80 % likely, do 80 % turn out so?

A temperature, fitted on validation slides, makes probabilities sharper or flatter; it
does not change which class is the likeliest, nor of two classes the order of slides.
Expected calibration error and reliability bins look at the last class's probability when
there are two classes, and at the likeliest class's when there are more (`told`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import softmax

from coverslip.errors import DataError
from coverslip.judge.intervals import Interval
from coverslip.judge.metrics import Floats, Ints, log_loss
from coverslip.judge.rates import rate_interval

COOLEST, HOTTEST = 0.1, 10.0
"""Between these a temperature is looked for."""

BINS = 10
LEAST = 1e-12
"""Probabilities below count as this, so that their logarithm is finite."""

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Temperature:
    """What logits are divided by.

    Attributes:
        value: Above 1 it flattens probabilities, below 1 it sharpens them.
        note: Why it is not simply the best one; empty when it is.
    """

    value: float
    note: str = ""


@dataclass(frozen=True)
class Bin:
    """Slides that were told about the same probability.

    Attributes:
        low: Their probability is above this (the first bin holds its lower end, too).
        high: And not above this.
        n: How many slides.
        said: Their mean probability.
        happened: The share of them for which it came true, with its interval.
    """

    low: float
    high: float
    n: int
    said: float
    happened: Interval


def fit_temperature(labels: npt.ArrayLike, probabilities: npt.ArrayLike) -> Temperature:
    """Find the temperature with the least log loss (Guo et al. 2017).

    It lies between 0.1 and 10. Where every slide's true class is the likeliest one the
    best temperature would be 0, which makes every probability 0 or 1: then the slides
    cannot tell how sure is too sure, and it is 1, as it is with one class only.

    Args:
        labels: (N,) class numbers of validation slides.
        probabilities: (N, C).

    Raises:
        DataError: There is no slide, or the arrays are not labels and probabilities.
    """
    log_loss(labels, probabilities)  # refuses what are not labels and probabilities
    y, p = np.asarray(labels), np.asarray(probabilities, dtype=np.float64)
    if len(np.unique(y)) < 2:
        return Temperature(1.0, "one class only: left at 1")
    rest = np.where(np.eye(p.shape[1], dtype=bool)[y], -1, p).max(axis=1)
    if (p[np.arange(len(y)), y] >= rest).all():
        return Temperature(1.0, "no slide on the wrong side: left at 1")
    found = minimize_scalar(
        lambda log_t: log_loss(y, with_temperature(p, float(np.exp(log_t)))),
        bounds=(np.log(COOLEST), np.log(HOTTEST)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    value = float(np.exp(found.x))
    for bound in (COOLEST, HOTTEST):
        if abs(np.log(value / bound)) < 1e-3:
            return Temperature(bound, f"held at the bound of {bound:g}")
    return Temperature(value)


def with_temperature(probabilities: npt.ArrayLike, temperature: float) -> Floats:
    """Return probabilities (N, C) whose logits are divided by a temperature."""
    p = np.asarray(probabilities, dtype=np.float64)
    scaled: Floats = softmax(np.log(np.maximum(p, LEAST)) / temperature, axis=-1)
    return scaled


def told(labels: npt.ArrayLike, probabilities: npt.ArrayLike) -> tuple[Bools, Floats]:
    """Return whether what was told came true (N,), and how likely it was told (N,).

    Of two classes it is "the slide is of the last class", of more "it is of the class
    that is the likeliest".
    """
    y, p = np.asarray(labels), np.asarray(probabilities, dtype=np.float64)
    if p.shape[1] == 2:
        return y == 1, p[:, 1]
    return p.argmax(axis=1) == y, p.max(axis=1)


def brier(labels: npt.ArrayLike, probabilities: npt.ArrayLike) -> float:
    """Return the Brier score: the mean of half the squared distance from the truth.

    0 is best, 1 worst. Of two classes it is the squared error of either probability.
    """
    y, p = np.asarray(labels), np.asarray(probabilities, dtype=np.float64)
    return float(((p - np.eye(p.shape[1])[y]) ** 2).sum(axis=1).mean() / 2)


def calibration_error(
    happened: npt.ArrayLike,
    said: npt.ArrayLike,
    *,
    bins: int = BINS,
    equal_mass: bool = False,
) -> float:
    """Return the expected calibration error (Naeini et al. 2015; Guo et al. 2017).

    The mean over slides of how far their bin's mean probability lies from the share
    that came true. It depends on the bins, and with few slides it is above 0 even of
    perfect probabilities.

    Args:
        happened: (N,) true or false.
        said: (N,) probabilities of it.
        bins: How many.
        equal_mass: Bins of as many slides each, not of the same width.
    """
    event, p = _arrays(happened, said)
    _, where = _binned(p, bins, equal_mass=equal_mass)
    return float(np.abs(np.bincount(where, p - event)).sum() / len(p))


def brier_parts(
    happened: npt.ArrayLike, said: npt.ArrayLike, *, bins: int = BINS
) -> dict[str, float]:
    """Return reliability, resolution and uncertainty by equal-width bins (Murphy 1973).

    The Brier score is reliability - resolution + uncertainty where the slides of a bin
    have the same probability, and nearly so elsewhere.
    """
    event, p = _arrays(happened, said)
    _, where = _binned(p, bins, equal_mass=False)
    n = np.bincount(where)
    weight, n = n[n > 0] / len(p), n[n > 0]
    tells = np.bincount(where, p)[np.unique(where)] / n
    comes = np.bincount(where, event)[np.unique(where)] / n
    base = event.mean()
    return {
        "reliability": float((weight * (tells - comes) ** 2).sum()),
        "resolution": float((weight * (comes - base) ** 2).sum()),
        "uncertainty": float(base * (1 - base)),
    }


def reliability_bins(
    happened: npt.ArrayLike,
    said: npt.ArrayLike,
    *,
    clusters: Sequence[str] | None = None,
    bins: int = BINS,
    equal_mass: bool = False,
) -> list[Bin]:
    """Return the points of a reliability plot: the bins that hold slides.

    Args:
        happened: (N,) true or false.
        said: (N,) probabilities of it.
        clusters: (N,) the case of each slide, which the intervals count.
        bins: How many.
        equal_mass: Bins of as many slides each, not of the same width.
    """
    event, p = _arrays(happened, said)
    edges, where = _binned(p, bins, equal_mass=equal_mass)
    found = []
    for number in np.unique(where):
        inside = np.flatnonzero(where == number).tolist()
        cases = None if clusters is None else [clusters[i] for i in inside]
        share = rate_interval(event[inside], cases)
        low, high = float(edges[number]), float(edges[number + 1])
        found.append(Bin(low, high, len(inside), float(p[inside].mean()), share))
    return found


def _binned(p: Floats, bins: int, *, equal_mass: bool) -> tuple[Floats, Ints]:
    """Return the edges of the bins (B + 1,) and each probability's bin (N,)."""
    edges = np.linspace(0, 1, bins + 1)
    if equal_mass:
        edges = np.unique(np.quantile(p, edges))
        edges = edges if len(edges) > 1 else np.repeat(edges, 2)
    return edges, np.searchsorted(edges[1:-1], p).astype(np.int64)


def _arrays(happened: npt.ArrayLike, said: npt.ArrayLike) -> tuple[Floats, Floats]:
    event = np.asarray(happened).astype(np.float64)
    p = np.asarray(said, dtype=np.float64)
    if event.shape != p.shape or p.ndim != 1 or not len(p):
        raise DataError(
            f"outcomes {event.shape} and probabilities {p.shape}: there must be one of "
            "each for at least one slide"
        )
    if not (np.isfinite(p).all() and p.min() >= 0 and p.max() <= 1):
        raise DataError("probabilities are NaN or not between 0 and 1")
    return event, p
