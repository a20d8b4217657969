"""Referral: which slides a model should leave to a person.

Split conformal prediction (Vovk et al. 2005; the score of Sadinle, Lei and Wasserman
2019): validation slides say how improbable a slide's true class may look, and every
class that looks no more improbable than that is in the slide's set. The set holds the
true class of 1 - alpha of new slides at least, on average over validation sets, if these
are slides of the same kind, each its own case, that chose nothing else. A slide whose
set is not exactly one class is referred.

By default each class has its own limit (Mondrian), so that the promise holds for slides
of each class, the rare one too. A class then needs 1 / alpha - 1 validation slides; with
fewer no limit keeps the promise, and every slide is referred.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from coverslip.errors import OptionError
from coverslip.judge.metrics import NAN, Floats, log_loss

ALPHA = 0.1

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Conformal:
    """Limits that validation slides have set.

    Attributes:
        alpha: The share of new slides whose set may lack their class.
        limits: (C,) a class is in the set where 1 - its probability is not above this;
            None where there were too few slides to say.
        slides: (C,) how many validation slides each limit comes from.
        per_class: The promise holds for slides of each class, not only for all together.
    """

    alpha: float
    limits: tuple[float | None, ...]
    slides: tuple[int, ...]
    per_class: bool = True

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> "Conformal":
        """Return the limits from what `facts` gave."""
        return cls(
            facts["alpha"],
            tuple(facts["limits"]),
            tuple(facts["slides"]),
            facts["per_class"],
        )

    def facts(self) -> dict[str, Any]:
        """Return the limits JSON-ready."""
        return asdict(self) | {"limits": list(self.limits), "slides": list(self.slides)}

    def sets(self, probabilities: npt.ArrayLike) -> Bools:
        """Return which classes are in each slide's set, (N, C).

        A class without a limit is in every set.
        """
        p = np.asarray(probabilities, dtype=np.float64)
        limits = np.array([np.inf if one is None else one for one in self.limits])
        inside: Bools = 1 - p <= limits
        return inside

    def refer(self, probabilities: npt.ArrayLike) -> Bools:
        """Return which slides are referred, (N,): all where a class has no limit."""
        referred: Bools = self.sets(probabilities).sum(axis=1) != 1
        return referred | (None in self.limits)

    def sentence(self, classes: Sequence[str]) -> str:
        """Say in a line why every slide is referred; empty where that is not so."""
        if None not in self.limits:
            return ""
        few = [
            f"{n} of {name}"
            for name, n, limit in zip(classes, self.slides, self.limits, strict=True)
            if limit is None
        ]
        return (
            f"every slide is referred: validation has {' and '.join(few)}, and a "
            f"coverage of {100 * (1 - self.alpha):g} % needs {least_slides(self.alpha)}"
            f"{' of each class' if self.per_class else ''}"
        )


def least_slides(alpha: float) -> int:
    """Return how many validation slides a limit needs: 1 / alpha - 1, rounded up."""
    return math.ceil(1 / alpha - 1 - 1e-9)


def fit_conformal(
    labels: npt.ArrayLike,
    probabilities: npt.ArrayLike,
    alpha: float = ALPHA,
    *,
    per_class: bool = True,
) -> Conformal:
    """Set the limits by validation slides.

    A limit is the k-th smallest of the n slides' 1 - probability of their true class,
    with k = (n + 1) (1 - alpha) rounded up.

    Args:
        labels: (N,) class numbers.
        probabilities: (N, C).
        alpha: The share of new slides whose set may lack their class, between 0 and 1.
        per_class: Each class by its own slides; otherwise one limit by all.

    Raises:
        OptionError: `alpha` is not between 0 and 1.
        DataError: There is no slide, or the arrays are not labels and probabilities.
    """
    if not 0 < alpha < 1:
        raise OptionError(f"alpha={alpha}: it must lie between 0 and 1")
    log_loss(labels, probabilities)  # refuses what are not labels and probabilities
    y, p = np.asarray(labels), np.asarray(probabilities, dtype=np.float64)
    strange = 1 - p[np.arange(len(y)), y]
    groups = [strange[y == c] if per_class else strange for c in range(p.shape[1])]
    return Conformal(
        alpha,
        tuple(_limit(group, alpha) for group in groups),
        tuple(len(group) for group in groups),
        per_class,
    )


def _limit(strange: Floats, alpha: float) -> float | None:
    rank = math.ceil((len(strange) + 1) * (1 - alpha) - 1e-9)
    return float(np.sort(strange)[rank - 1]) if rank <= len(strange) else None


def referral_figures(
    conformal: Conformal,
    labels: npt.ArrayLike,
    probabilities: npt.ArrayLike,
    right: npt.ArrayLike,
) -> dict[str, float | list[float]]:
    """Return how the limits fare on labelled slides; NaN where there are none.

    Args:
        conformal: From other slides.
        labels: (N,) class numbers.
        probabilities: (N, C).
        right: (N,) whether the model decides rightly.

    Returns:
        `rate`: share of slides referred; `coverage`: share whose set has their class;
        `coverage_per_class` (C,); `accuracy_kept`, `accuracy_referred`: shares decided
        rightly of those that are not, and that are, referred.
    """
    y, p = np.asarray(labels), np.asarray(probabilities, dtype=np.float64)
    correct, referred = np.asarray(right).astype(bool), conformal.refer(p)
    covered = conformal.sets(p)[np.arange(len(y)), y]
    return {
        "rate": float(referred.mean()),
        "coverage": float(covered.mean()),
        "coverage_per_class": [_share(covered[y == c]) for c in range(p.shape[1])],
        "accuracy_kept": _share(correct[~referred]),
        "accuracy_referred": _share(correct[referred]),
    }


def _share(hits: Bools) -> float:
    return float(hits.mean()) if len(hits) else NAN
